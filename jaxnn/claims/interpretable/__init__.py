"""Claims of papers on layers that explain themselves."""
