"""Claims of neurons that are quotients of polynomials."""
