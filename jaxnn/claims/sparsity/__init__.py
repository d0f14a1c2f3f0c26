"""Claims of papers on sparsity and pruning."""
