"""Claims about Kolmogorov-Arnold networks."""
