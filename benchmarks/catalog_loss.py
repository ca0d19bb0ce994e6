r"""Time and memory of the cross entropy over the catalog, with its gradients, beside torch's over all scores at once.

Both do a forward and a backward pass over random numbers, on one thread.

\b
Example:
  python -m benchmarks.catalog_loss --items 100000 --json
"""

from __future__ import annotations

import click
import torch
import torch.nn.functional as functional
from torch import Tensor

from benchmarks import measure
from illmrec.training.losses import catalog_cross_entropy


@click.command(help=__doc__)
@click.option("--items", "catalogs", type=click.IntRange(min=2), multiple=True, help="Catalog size; may be repeated.")
@click.option("--targets", type=click.IntRange(min=1), default=2500, show_default=True, help="Targets of a step.")
@click.option("--width", type=click.IntRange(min=1), default=384, show_default=True, help="Coordinates of a vector.")
@click.option("--pairs", type=click.IntRange(min=1), default=5, show_default=True, help="Measured pairs a row.")
@click.option("--quick", is_flag=True, help="2,000 items, 300 targets.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def main(catalogs: tuple[int, ...], targets: int, width: int, pairs: int, quick: bool, as_json: bool) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    if quick:
        catalogs, targets = (2_000,), 300
    rows = [measure_loss(n_items, targets, width, pairs) for n_items in catalogs or (3_000, 30_000, 100_000)]
    measure.show("catalog_loss", {"targets": targets, "width": width, "pairs": pairs, "threads": 1}, rows, as_json)


def measure_loss(n_items: int, targets: int, width: int, pairs: int) -> measure.Row:
    """Return the row of one catalog; the difference is the largest of a loss's or a gradient's coordinates.

    Args:
        n_items: size of the catalog.
        targets: targets of a step.
        width: coordinates of a vector.
        pairs: measured pairs.
    """
    rng = torch.Generator().manual_seed(n_items)
    states = torch.randn(targets, width, generator=rng).requires_grad_()
    table = (torch.randn(n_items, width, generator=rng) * width**-0.5).requires_grad_()
    wanted = torch.randint(0, n_items, (targets,), generator=rng)

    def plain() -> list[Tensor]:
        loss = functional.cross_entropy(states @ table.T, wanted)
        return [loss.detach(), *torch.autograd.grad(loss, (states, table))]

    def ours() -> list[Tensor]:
        loss = catalog_cross_entropy(states, table, wanted)
        return [loss.detach(), *torch.autograd.grad(loss, (states, table))]

    difference = max(float((mine - theirs).abs().max()) for mine, theirs in zip(ours(), plain(), strict=True))
    case = f"{targets:,} targets among {n_items:,} items"
    return measure.compare(case, plain, ours, pairs=pairs, max_abs_diff=difference)


if __name__ == "__main__":
    main()
