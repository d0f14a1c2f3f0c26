"""Tests of evolution strategies."""
