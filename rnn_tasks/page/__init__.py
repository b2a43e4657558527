"""The page on which people draw digits and see how recurrent networks read them."""
