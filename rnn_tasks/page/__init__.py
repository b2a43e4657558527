"""The page on which one draws a digit and sees how recurrent networks read it."""
