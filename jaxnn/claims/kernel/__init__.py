"""Claims of layers that are dot products of random features."""
