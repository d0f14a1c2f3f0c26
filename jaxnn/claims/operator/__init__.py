"""Claims of neural operators."""
