"""Encoders, the content-addressed feature cache and the memory-mapped feature matrix."""
