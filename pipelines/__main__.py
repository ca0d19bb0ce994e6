"""``python -m pipelines``: the command line, for launchers that start modules (``accelerate launch -m pipelines ...``)."""

from pipelines.cli import main

main()
