"""Looking inside the networks of a run: what is measured of each replicate, and a page with figures."""
