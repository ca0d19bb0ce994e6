"""One module per DVC stage, each one Click command and one section of parameters."""
