"""``python -m pipelines``: the command line, for launchers that start modules, such as ``accelerate launch``."""

from pipelines.cli import main

main()
