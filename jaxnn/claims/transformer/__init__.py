"""Claims of papers on transformers and on published families of them."""
