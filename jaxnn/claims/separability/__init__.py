"""Claims of papers on how well classes lie apart inside a network."""
