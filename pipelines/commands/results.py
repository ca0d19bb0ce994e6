"""Job ``results``: one page with every study that has been run."""

from __future__ import annotations

import datetime
from typing import Any

import click

from illmrec import atomic
from illmrec.errors import ParameterError
from pipelines.commands.options import json_option, print_facts, wants_json
from pipelines.parameters.reading import read_params
from pipelines.parameters.training import EvaluateConfig
from pipelines.project.layout import Layout
from pipelines.project.lock import hold_lock


@click.command()
@click.option("--dataset", "wanted", multiple=True, help="Only this data set; may be repeated. Default: all.")
@json_option
@click.pass_context
def command(ctx: click.Context, wanted: tuple[str, ...]) -> None:
    r"""Build the results page: tables with intervals and a picture of each study, from their files alone.

    Where the studies `overall` and `rivals` have run, a table has all their models side by side, paired by user.

    The page is one file that loads nothing and runs no script. Where users and items agree with a data set of the
    paper, the paper's figures stand below ours.

    \b
    Example:
      illmrec results
      illmrec results --dataset amazon
    """
    from pipelines.studies.page import gather_chapter, render_page

    root, params_path = ctx.find_root().obj
    params = read_params(params_path)
    known = params.datasets
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise ParameterError(f"there is no data set {unknown[0]!r}.", hint=f"Data sets: {', '.join(known)}.")
    layouts = [Layout(root, name) for name in wanted or known]
    place = layouts[0].results
    with hold_lock(layouts[0].lock("results")):
        # A data set of the parameters that was never prepared has nothing to show, unless it is asked for by name.
        shown = [layout for layout in layouts if wanted or layout.prepared.is_dir()]
        chapters = [gather_chapter(layout, params.section(EvaluateConfig, layout.dataset)) for layout in shown]
        page = render_page(chapters, datetime.datetime.now(datetime.UTC)).encode()
        atomic.sweep_partial(place.parent, place.name)
        with atomic.write_file(place) as file:
            file.write(page)
    studies = sum(len(chapter.tables) for chapter in chapters)
    facts: dict[str, Any] = {"page": str(place), "bytes": len(page), "datasets": len(chapters), "studies": studies}
    if wants_json():
        facts["models"] = {chapter.dataset: chapter.models for chapter in chapters}
    print_facts(facts)
