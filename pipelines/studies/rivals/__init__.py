"""Collaborative filtering to compare with: what there is, how it is tuned, trained with several seeds and ranked."""
