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
from pipelines.failures import explain_failure

COMMANDS = {
    "fetch": ("pipelines.jobs.fetch", "Download a publisher's catalog, or the pictures of a catalog."),
    "sample": ("pipelines.stages.sample", "Write three small synthetic raw catalogs below data/."),
    "prepare": ("pipelines.stages.prepare", "Read a raw catalog into tables; probe pictures; apply the k-core."),
    "validate": ("pipelines.stages.validate", "Check the tables with Great Expectations; stop on critical failures."),
    "split": ("pipelines.stages.split", "Split histories leave-one-out and draw sampled candidates."),
    "encoders": ("pipelines.stages.encoders", "Resolve pretrained encoders, or train small ones on the catalog."),
    "embed-images": ("pipelines.stages.embed_images", "Encode pictures into the image feature matrix."),
    "embed-text": ("pipelines.stages.embed_text", "Encode descriptions into the text feature matrix."),
    "summarize": ("pipelines.stages.summarize", "Shorten descriptions: by choosing sentences, by a model or a file."),
    "validate-features": (
        "pipelines.stages.validate_features",
        "Check the feature matrices, and that pictures and texts of items belong together.",
    ),
    "train-cf": ("pipelines.stages.train_cf", "Train SASRec; its item embeddings are the CF features."),
    "cost": ("pipelines.jobs.cost", "Say what training, evaluation and a night will take, from a short probe."),
    "train": ("pipelines.stages.train", "Train I-LLMRec and log it to MLflow."),
    "evaluate": ("pipelines.stages.evaluate", "Rank test targets: full catalog and sampled, with intervals."),
    "export": ("pipelines.stages.export", "Export the projection heads to ONNX and compare them with torch."),
    "study": ("pipelines.jobs.study", "Compare variants of one data set: a table or figure of the paper, in form."),
    "rivals": ("pipelines.jobs.rivals", "Tune collaborative filtering on validation and rank test targets by it."),
    "results": ("pipelines.jobs.results", "Build the page of all studies."),
    "repro": ("pipelines.jobs.repro", "Run `dvc repro` for several data sets at a time."),
    "drift": ("pipelines.jobs.drift", "Compare the data with the champion's; stop when they are too far apart."),
    "register": ("pipelines.jobs.register", "Register the exported head in MLflow as challenger."),
    "promote": ("pipelines.jobs.promote", "Make the challenger champion if it is shown not to be worse."),
    "rollback": ("pipelines.jobs.rollback", "Make the champion before this one champion again."),
    "registry": ("pipelines.jobs.registry", "List versions, show the audit log, close what crashes left open."),
    "growth-check": ("pipelines.jobs.growth_check", "Say by exit code whether the catalog has outgrown the champion."),
    "retrain": ("pipelines.jobs.retrain", "From the gate to promotion or refusal, in one job that can be continued."),
    "catalog": ("pipelines.jobs.catalog", "Add new items: they are live in the next night, without a training."),
    "recommend": ("pipelines.jobs.recommend", "Write the nightly recommendations of the champion."),
    "recommendations": ("pipelines.jobs.recommendations", "Print the published recommendations."),
    "release": ("pipelines.jobs.release", "Register, promote, recommend and report: all data sets, or some."),
    "report": ("pipelines.jobs.report", "Build the HTML report."),
    "preset": ("pipelines.jobs.preset", "List the committed parameter files, compare them, or put one into use."),
    "config": ("pipelines.jobs.config", "Show every parameter of a data set and where its value comes from."),
    "doctor": ("pipelines.jobs.doctor", "Check the environment, the project and the store; say what to mend."),
    "completion": ("pipelines.jobs.completion", "Print what makes a shell complete commands and options."),
}


SECTIONS = {
    "Raw data": ("fetch", "sample"),
    "Stages, run by `dvc repro` in this order": (
        *("prepare", "validate", "split", "encoders", "embed-images", "embed-text", "summarize", "validate-features"),
        *("train-cf", "train", "evaluate", "export"),
    ),
    "Around training": ("cost", "repro", "study", "rivals", "results", "report"),
    "Model registry": ("register", "promote", "rollback", "registry", "release"),
    "Operation": ("recommend", "recommendations", "catalog", "drift", "growth-check", "retrain"),
    "Project": ("preset", "config", "doctor", "completion"),
}
"""How ``--help`` groups the commands; one that no section names stands at the end."""


class LazyGroup(click.Group):
    """A group that knows its commands' names and one-line help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order of the data flow."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return one command."""
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(COMMANDS[name][0]).command
        for part in (command, *getattr(command, "commands", {}).values()):
            part.help = unescape_marks(part.help)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section, from the table instead of importing each of them."""
        named = {name for names in SECTIONS.values() for name in names}
        rest = {"More": tuple(name for name in COMMANDS if name not in named)}
        for title, names in (SECTIONS | rest).items():
            rows = [(name, COMMANDS[name][1]) for name in names if name in COMMANDS]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

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
