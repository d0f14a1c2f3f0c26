"""Claims of papers on neural collapse."""
