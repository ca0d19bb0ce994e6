"""Paths, parameters and tools around the library: DVC stages, MLflow, Great Expectations, jobs."""
