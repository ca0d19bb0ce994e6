"""From tables and parameters to objects of the library: recommender, trainer, encoders, what is compared."""
