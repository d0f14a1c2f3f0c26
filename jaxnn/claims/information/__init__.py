"""Claims of papers on the information in activations."""
