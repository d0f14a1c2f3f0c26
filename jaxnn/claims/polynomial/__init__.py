"""Claims of polynomials of all inputs."""
