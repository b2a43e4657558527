"""Small recurrent networks on tasks whose right answer is known."""
