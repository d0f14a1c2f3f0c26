"""Tests of local learning."""
