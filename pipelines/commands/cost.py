"""Command ``cost``: what training, evaluation and a night will take."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from pipelines.commands.options import about_dataset, print_facts, wants_json

if TYPE_CHECKING:
    from pipelines.assembly.pricing import Price
    from pipelines.project.context import Context


@click.command()
@about_dataset
@click.option(
    "--seconds", default=10.0, show_default=True, type=click.FloatRange(0.1, 600.0), help="Length of the probe."
)
@click.option("--users", type=click.IntRange(min=1), help="Price so many users; default: those of the data set.")
@click.option("--items", type=click.IntRange(min=1), help="Price so large a catalog; default: the data set's.")
def command(context: Context, seconds: float, users: int | None, items: int | None) -> None:
    r"""Say what training, evaluation and a night will take, before any of it is done.

    Prompt tokens are counted, not guessed. Speed is measured with this data set's own prompts on this machine, five
    times in a short probe of training and of scoring; beside the time stands what the fastest and the slowest of them
    would make of it. What else keeps the machine busy is part of that: how many cores were busy before is printed.
    Training is given for all epochs with their validations; it may stop earlier. Memory is that of
    weights and activations; Python and its libraries come on top. Features and CF model must be there; nothing is
    written.

    --users and --items price another size with this data set's prompts: tokens grow with users, comparing with users
    times items, vectors with both.

    \b
    Example:
      illmrec cost --dataset amazon
      illmrec cost --dataset amazon --seconds 30 --json
      illmrec cost --dataset amazon --users 10000000 --items 500000
    """
    from pipelines.assembly.pricing import estimate

    prices, facts = estimate(context, seconds, users=users, items=items)
    if wants_json():
        flat = {f"{name}/{key}": value for name, price in prices.items() for key, value in asdict(price).items()}
        print_facts(flat | facts)
        return
    _show(prices, facts)


def _show(prices: dict[str, Price], facts: dict[str, Any]) -> None:
    names = ["users", "steps", "tokens", "TFLOP", "time", "measured", "memory", "disk"]
    lines = [["", *names]]
    for name, price in prices.items():
        steps = "-" if price.steps is None else f"{price.steps:,}"
        sizes = f"{price.memory_mb:,.0f} MB", f"{price.disk_mb:,.0f} MB"
        lines.append([name, f"{price.users:,}", steps, f"{price.tokens:,}", f"{price.tflop:,.3g}",
                      describe_seconds(price.seconds), describe_spread(price), *sizes])  # fmt: skip
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        click.echo("  ".join(f"{cell:<{width}}" if not column else f"{cell:>{width}}"
                             for column, (cell, width) in enumerate(zip(line, widths, strict=True))))  # fmt: skip
    click.echo()
    for key, value in facts.items():
        shown = ("no", "yes")[value] if isinstance(value, bool) else value if isinstance(value, str) else f"{value:,}"
        click.echo(f"{key.replace('_', ' ')}: {shown}")


def describe_spread(price: Price) -> str:
    """Return the times at the fastest and the slowest rate that was measured."""
    return f"{describe_seconds(price.seconds_low)} to {describe_seconds(price.seconds_high)}"


def describe_seconds(seconds: float) -> str:
    """Return a duration as people say it: seconds below two minutes, then minutes, hours and days."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
