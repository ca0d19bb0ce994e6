"""``python -m illmrec``: the command line, for launchers that start modules (``accelerate launch -m illmrec ...``)."""

from pipelines.cli import main

main()
