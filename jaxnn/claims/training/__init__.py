"""Claims of training: how networks learn."""
