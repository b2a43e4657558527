"""The table of the field: networks of every cell on every task, beside published figures."""
