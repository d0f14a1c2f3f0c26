"""Claims of papers on how alike representations are."""
