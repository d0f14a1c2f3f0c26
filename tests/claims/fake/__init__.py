"""Claims that only the tests have."""
