"""Claims about activation functions."""
