"""The works of dvc.yaml, one module a stage, without a command line."""
