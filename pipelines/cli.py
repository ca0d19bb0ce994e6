"""The Click group ``illmrec``. Commands are imported when they run, so that ``--help`` stays fast."""

from __future__ import annotations

import difflib
import importlib
import logging
import os
import sys
from pathlib import Path

import click

from illmrec.errors import IllmrecError
from pipelines.graph import STAGES
from pipelines.project.failures import explain_failure

GROUPS: dict[str, dict[str, str]] = {
    "Raw data": {
        "fetch": "Download a publisher's catalog, or the pictures of a catalog.",
        "sample": "Write three small synthetic raw catalogs below data/.",
    },
    "Stages, run by `dvc repro` in this order": {stage.command: stage.summary for stage in STAGES},
    "Around training": {
        "cost": "Say what training, evaluation and a night will take, from a short probe.",
        "code": "Write what code each stage depends on; `dvc repro` does it first.",
        "repro": "Run `dvc repro` for several data sets at a time.",
        "study": "Compare variants of one data set: a table or figure of the paper, in form.",
        "rivals": "Tune collaborative filtering on validation and rank test targets by it.",
        "results": "Build the page of all studies.",
        "report": "Build the HTML report.",
    },
    "Model registry": {
        "register": "Register the exported head in MLflow as challenger.",
        "promote": "Make the challenger champion if it is shown not to be worse.",
        "rollback": "Make the champion before this one champion again.",
        "registry": "List versions, show the audit log, close what crashes left open.",
        "release": "Register, promote, recommend and report: all data sets, or some.",
    },
    "Operation": {
        "recommend": "Write the nightly recommendations of the champion.",
        "recommendations": "Print the published recommendations.",
        "catalog": "Add new items: they are live in the next night, without a training.",
        "drift": "Compare the data with the champion's; stop when they are too far apart.",
        "growth-check": "Say by exit code whether the catalog has outgrown the champion.",
        "retrain": "From the gate to promotion or refusal, in one job that can be continued.",
    },
    "Project": {
        "preset": "List the committed parameter files, compare them, or put one into use.",
        "config": "Show every parameter of a data set and where its value comes from.",
        "doctor": "Check the environment, the project and the store; say what to mend.",
        "completion": "Print what makes a shell complete commands and options.",
    },
}
"""How ``--help`` groups the commands: name -> one line. Each is `command` of the module of its name in `commands`."""
COMMANDS = {name: summary for group in GROUPS.values() for name, summary in group.items()}


class LazyGroup(click.Group):
    """A group that knows its commands' names and one-line help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the data flow."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return one command."""
        return load_command(name) if name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section, from the table instead of importing each of them."""
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a name that is close to a known one is suggested."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            if not close:
                raise
            raise click.UsageError(f"{error.message.rstrip('.')}. Did you mean {close[0]!r}?", ctx) from None


def load_command(name: str) -> click.Command:
    """Import one command."""
    command: click.Command = importlib.import_module(f"pipelines.commands.{name.replace('-', '_')}").command
    command.name = name
    for part in (command, *getattr(command, "commands", {}).values()):
        part.help = unescape_marks(part.help)
    return command


def unescape_marks(text: str | None) -> str | None:
    r"""Turn the ``\b`` of a raw docstring into the character with which Click keeps the lines of a paragraph."""
    return text and text.replace("\\b\n", "\b\n")


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="illmrec")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Project folder; default: the current folder.",
)
@click.option(
    "--params",
    "params_path",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="Parameters file; default: params.yaml in the project folder.",
)
@click.option("-v", "--verbose", is_flag=True, help="Log details to stderr.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bars and no warnings on stderr.")
@click.pass_context
def cli(ctx: click.Context, root: Path, params_path: Path | None, verbose: bool, quiet: bool) -> None:
    r"""Image-based LLM recommendation: from raw catalogs to registered models and nightly recommendations.

    \b
    Example:
      illmrec sample && dvc repro
      illmrec register --dataset amazon && illmrec promote --dataset amazon
      illmrec recommend --dataset amazon --date 2026-01-31
    """
    if verbose and quiet:
        raise click.UsageError("--verbose and --quiet contradict each other.")
    if quiet:
        from illmrec.progress import silence

        silence()
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR if quiet else logging.WARNING,
        stream=sys.stderr,
        format="%(levelname)s %(name)s: %(message)s",
    )
    # The default run is offline; only stage `encoders` lifts this, and only when its parameters allow it.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("DVC_NO_ANALYTICS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    ctx.obj = (root.absolute(), (params_path or root / "params.yaml").absolute())


cli.help = unescape_marks(cli.help)


def main() -> None:
    """Run the group; turn typed errors into one message and their exit code."""
    try:
        code = cli(prog_name="illmrec", standalone_mode=False)
    except IllmrecError as error:
        fail(str(error), error.hint, error.exit_code)
    except click.exceptions.Abort:
        fail("stopped.", "", 130)
    except click.ClickException as error:
        error.show()
        if getattr(error, "ctx", None) is None:  # else the usage is shown, and says so
            click.echo("Try 'illmrec --help' for help.", err=True)
        sys.exit(error.exit_code)
    except Exception as error:
        known = explain_failure(error)
        if known is None:
            raise
        logging.getLogger(__name__).info("where it failed:", exc_info=error)
        fail(str(known), known.hint, known.exit_code)
    # Click returns what a command exited with.
    sys.exit(code if isinstance(code, int) else 0)


def fail(message: str, hint: str, code: int) -> None:
    """Print one error to stderr and leave with ``code``."""
    click.echo(f"error: {message}" + (f"\n  next: {hint}" if hint else ""), err=True)
    sys.exit(code)
