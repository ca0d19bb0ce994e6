"""The command ``illmrec sample``: three small synthetic raw catalogs below ``data/``."""

from __future__ import annotations

import click

from pipelines.commands.options import json_option, print_facts
from pipelines.project.layout import Layout
from pipelines.project.lock import hold_lock


@click.command(epilog="\b\nExample:\n  illmrec sample --seed 0")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same bytes.")
@json_option
def command(seed: int) -> None:
    """Write data/amazon, data/hm and data/microlens: synthetic, in their publishers' layouts.

    A folder that another program or person filled is never replaced. No parameters file is needed.
    """
    from illmrec.atomic import sweep_partial, write_folder
    from illmrec.progress import track
    from illmrec.samples import amazon, hm, microlens
    from illmrec.samples.notice import refuse_foreign

    root = click.get_current_context().find_root().obj[0]
    data = root / "data"
    writers = {"amazon": amazon.write_catalog, "hm": hm.write_catalog, "microlens": microlens.write_catalog}
    facts: dict[str, int] = {"seed": seed}
    with hold_lock(Layout(root, "all").lock("sample")):
        for name in writers:
            refuse_foreign(data / name)
        sweep_partial(data)
        for name, write_catalog in track(writers.items(), "sample", total=len(writers), unit="catalog"):
            with write_folder(data / name) as folder:
                written = write_catalog(folder, seed)
            facts |= {f"{name}_{what}": count for what, count in written.items()}
    print_facts(facts)
