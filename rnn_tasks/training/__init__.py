"""The learning problem, the Trainer that solves it, and what is kept of it."""
