"""Readers of the publishers' own raw layouts."""
