"""The recommender around a frozen language model, and the models it is compared with."""
