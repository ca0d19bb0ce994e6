"""Ranks, metrics and intervals on the test targets."""
