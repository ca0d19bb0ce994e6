"""The model registry: versions, aliases, the log of their moves."""
