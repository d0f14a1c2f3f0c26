"""Claims of papers on attribution."""
