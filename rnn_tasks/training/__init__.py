"""The learning problem, the Trainer that solves it, and what is kept of it."""

KINDS = ("loss", "accuracy", "sequence_accuracy")  # of metrics, each a list with a number for each replicate
