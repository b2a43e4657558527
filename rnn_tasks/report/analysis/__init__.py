"""What finished networks do inside."""
