"""Tests of online learning."""
