"""Command ``fetch``: publishers' catalogs, pictures and language models, as folders below ``data/``."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from illmrec.errors import NothingToDoError, ParameterError
from pipelines.commands.fetch_images import images
from pipelines.commands.fetch_language_model import language_model
from pipelines.commands.network import NetworkOptions, hold_folder, network_options
from pipelines.commands.options import json_option, print_facts

if TYPE_CHECKING:
    from illmrec.fetching.client import Client
    from illmrec.fetching.publishers import RemoteFile

folder_option = click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), default=None, help="Raw folder to fill."
)
digest_option = click.option(
    "--sha256", "digests", multiple=True, metavar="NAME=HEX", help="Digest that a file must have."
)


@click.group()
def command() -> None:
    r"""Download a publisher's catalog, the pictures of a catalog, or a language model.

    Stopped or broken downloads go on where they were when the same command is run again. Read the publisher's terms
    first: they bind you, whatever fetches the files.

    \b
    Example:
      illmrec fetch amazon --category Sports_and_Outdoors
      illmrec fetch microlens --variant 100k
      illmrec fetch images --dataset sports
      illmrec fetch language-model
    """


@command.command()
@click.option("--category", required=True, help="For example Sports_and_Outdoors.")
@folder_option
@digest_option
@network_options
@json_option
def amazon(category: str, folder: Path | None, digests: tuple[str, ...], **network: Any) -> None:
    r"""Fetch reviews (5-core) and metadata of one category of Amazon Reviews 2018.

    \b
    Example:
      illmrec fetch amazon --category Video_Games --folder data/games
    """
    from illmrec.fetching.publishers import list_amazon_files

    files = list_amazon_files(category, network["mirror"])
    name = category.lower().replace("_", "-")
    fetch_files(files, folder or Path("data") / name, read_digests(digests), NetworkOptions(**network))


@command.command()
@folder_option
@digest_option
@network_options
@json_option
def goodbooks(folder: Path | None, digests: tuple[str, ...], **network: Any) -> None:
    r"""Fetch the tables of Goodbooks-10k.

    \b
    Example:
      illmrec fetch goodbooks
    """
    from illmrec.fetching.publishers import list_goodbooks_files

    files = list_goodbooks_files(network["mirror"])
    fetch_files(files, folder or Path("data/goodbooks"), read_digests(digests), NetworkOptions(**network))


@command.command()
@click.option("--variant", type=click.Choice(["50k", "100k", "1m"]), required=True, help="Number of users.")
@click.option("--frames", is_flag=True, help="Fetch the frames of the videos too: about 19 GB at 100k.")
@folder_option
@digest_option
@network_options
@json_option
def microlens(variant: str, frames: bool, folder: Path | None, digests: tuple[str, ...], **network: Any) -> None:
    r"""Fetch pairs, titles and covers of MicroLens.

    \b
    Example:
      illmrec fetch microlens --variant 100k --frames
    """
    from illmrec.fetching.publishers import list_microlens_files

    files = list_microlens_files(variant, network["mirror"], frames=frames)
    target = folder or Path("data") / f"microlens-{variant}"
    fetch_files(files, target, read_digests(digests), NetworkOptions(**network))


@command.command()
@click.option(
    "--archive",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Archive that you downloaded yourself; nothing is fetched.",
)
@folder_option
@digest_option
@network_options
@json_option
def hm(archive: Path | None, folder: Path | None, digests: tuple[str, ...], **network: Any) -> None:
    r"""Fetch H&M's catalog from Kaggle with your own account, or unpack the archive you have.

    The files may be used only by those who accepted the competition's rules, with their own account, at
    https://www.kaggle.com/competitions/h-and-m-personalized-fashion-recommendations/rules . Put your API credentials
    into KAGGLE_USERNAME and KAGGLE_KEY; they are sent to www.kaggle.com only and written nowhere. The archive has about
    30 GB and needs as much again while it is unpacked.

    \b
    Example:
      illmrec fetch hm --archive ~/Downloads/h-and-m-personalized-fashion-recommendations.zip
    """
    from illmrec.fetching.archives import extract_archive

    root: Path = click.get_current_context().find_root().obj[0]
    target = root / (folder or Path("data/hm-full"))
    with hold_folder(root, target):
        if (target / "transactions_train.csv").is_file():
            raise NothingToDoError("holds H&M's transactions already.", path=target)
        source = archive or download_hm(root, read_digests(digests), NetworkOptions(**network))
        done = extract_archive(source, target)
        if archive is None:
            source.unlink()
    print_facts({"folder": str(target), "files": done.files, "bytes": done.bytes})


def download_hm(root: Path, digests: dict[str, str], options: NetworkOptions) -> Path:
    """Download H&M's archive below ``work/downloads``.

    Raises:
        ParameterError: when the credentials are not in the environment.
        AnsweredError: when Kaggle refuses them, or the rules were not accepted.
    """
    from illmrec.fetching.connection import Limits
    from illmrec.fetching.download import download_file
    from illmrec.fetching.failures import AnsweredError
    from illmrec.fetching.publishers import HM, HM_RULES

    user, key = os.environ.get("KAGGLE_USERNAME", ""), os.environ.get("KAGGLE_KEY", "")
    if not user or not key:
        hint = f"Accept the rules at {HM_RULES}, set both, or download the archive yourself and pass --archive FILE."
        raise ParameterError(
            "KAGGLE_USERNAME and KAGGLE_KEY are not set; Kaggle gives the files to no one else.", hint=hint
        )
    secret = "Basic " + base64.b64encode(f"{user}:{key}".encode()).decode("ascii")
    place = root / "work" / "downloads" / "hm.zip"
    try:
        with options.connect(Limits()) as client:
            found = download_file(
                client, options.mirror or HM, place, sha256=digests.get("hm.zip", ""), authorization=secret
            )
    except AnsweredError as error:
        if error.status in (401, 403):
            error.hint = f"Check KAGGLE_USERNAME and KAGGLE_KEY, and accept the rules at {HM_RULES}."
        raise
    return found.path


def fetch_files(files: list[RemoteFile], folder: Path, digests: dict[str, str], options: NetworkOptions) -> None:
    """Fetch what a raw folder lacks, unpack archives, and print what was done.

    Raises:
        NothingToDoError: when everything is there.
    """
    from illmrec.fetching.connection import Limits

    root: Path = click.get_current_context().find_root().obj[0]
    target = root / folder
    unknown = sorted(set(digests) - {file.name for file in files})
    if unknown:
        raise ParameterError(f"--sha256 names {unknown[0]!r}, expected one of {', '.join(f.name for f in files)}.")
    facts: dict[str, Any] = {"folder": str(target), "fetched": 0, "already_there": 0, "bytes": 0}
    with hold_folder(root, target), options.connect(Limits()) as client:
        for file in files:
            fetch_one(client, file, target, digests.get(file.name, ""), facts)
    if not facts["fetched"]:
        raise NothingToDoError(f"holds all {len(files)} files already.", path=target)
    print_facts(facts)


def fetch_one(client: Client, file: RemoteFile, folder: Path, sha256: str, facts: dict[str, Any]) -> None:
    """Fetch one file and count it; an archive is unpacked beside it and then removed."""
    from illmrec.atomic import sweep_partial
    from illmrec.fetching.archives import extract_archive
    from illmrec.fetching.download import download_file

    unpacked = folder / file.unpack_to
    if file.unpack_to and unpacked.is_dir() and any(unpacked.iterdir()):
        facts["already_there"] += 1
        return
    done = download_file(client, file.url, folder / file.name, sha256=sha256)
    if file.unpack_to:
        sweep_partial(folder, unpacked.name)
        facts[f"files in {file.unpack_to}"] = extract_archive(done.path, unpacked).files
        done.path.unlink()
    elif done.already_there:
        facts["already_there"] += 1
        return
    facts["fetched"] += 1
    facts["bytes"] += done.bytes
    facts[f"sha256 of {file.name}"] = done.sha256


def read_digests(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return {file name: sha256} from ``NAME=HEX``.

    Raises:
        ParameterError: when one is not of this form.
    """
    digests = {}
    for pair in pairs:
        name, _, digest = pair.partition("=")
        if not name or len(digest) != 64 or set(digest.lower()) - set("0123456789abcdef"):
            raise ParameterError(f"--sha256 is {pair!r}, expected NAME=HEX with 64 hexadecimal digits.")
        digests[name] = digest.lower()
    return digests


command.add_command(images)
command.add_command(language_model)
