"""Several runs trained as one: their replicates share an axis, and each run leaves what it would have left alone."""
