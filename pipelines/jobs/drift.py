"""Job ``drift``: the data at hand beside the data of the champion."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from illmrec.config import DriftConfig, RegisterConfig
from illmrec.errors import DataError, ModelError
from pipelines.context import Context, dataset_options, open_context
from pipelines.layout import require

if TYPE_CHECKING:
    from pipelines.quality.drift import FieldDrift

PROFILE_FILE = "profile.json"
PROFILE_TAG = "profile_sha256"
MAX_PROFILE_BYTES = 1_000_000


@click.command()
@dataset_options
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    default=None,
    help="A profile.json to compare with; default: the one registered with the champion.",
)
def command(dataset: str, as_json: bool, against: Path | None) -> None:
    r"""Compare the data's profile, as `validate` wrote it, with the champion's.

    Prints one line per field with what moved most. Past a critical bound of the section `drift` the exit code is 3;
    warnings leave it at 0.

    \b
    Example:
      illmrec drift --dataset amazon
      illmrec drift --dataset amazon --against last-month/profile.json --json
    """
    context = open_context(dataset, as_json)
    found, beside = measure_drift(context, against)
    levels = [field.level for field in found]
    facts: dict[str, Any] = {
        "against": beside,
        "fields": len(found),
        "warnings": levels.count("warning"),
        "critical": levels.count("critical"),
    }
    if as_json:
        context.emit(facts | {"drift": [asdict(field) for field in found]})
    else:
        context.emit(facts | {field.field: _describe(field) for field in found})
    refuse_drift(found, beside, dataset)


def measure_drift(context: Context, against: Path | None) -> tuple[list[FieldDrift], str]:
    """Return the drift of every field, and a name for what was compared with.

    Raises:
        MissingArtifactError: when ``validate`` has not run.
        ModelError: when there is no champion, or its version has no profile.
        DataError: when a profile is damaged or of another form.
    """
    from pipelines.quality.drift import compare_profiles

    layout = context.layout
    here = require(layout.quality / PROFILE_FILE, f"validate --dataset {layout.dataset}")
    new = read_profile(here)
    old, beside = (read_profile(against), str(against)) if against else fetch_champion_profile(context)
    try:
        return compare_profiles(old, new, context.section(DriftConfig)), beside
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        hint = f"Write it again: `illmrec validate --dataset {layout.dataset}`, and register a new version."
        raise DataError(f"the profiles cannot be compared ({error!r}).", path=against or here, hint=hint) from None


def read_profile(path: Path) -> dict[str, Any]:
    """Read a profile.

    Raises:
        DataError: when the file is too large, not JSON, or of another form than this version writes.
    """
    from pipelines.quality.profile import FORM

    hint = "Give a profile.json that `illmrec validate` wrote."
    size = path.stat().st_size
    if size > MAX_PROFILE_BYTES:
        raise DataError(f"has {size:,} bytes, expected at most {MAX_PROFILE_BYTES:,}.", path=path, hint=hint)
    try:
        profile = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"is not a data profile: {error}", path=path, hint=hint) from None
    form = profile.get("form") if isinstance(profile, dict) else None
    if form != FORM:
        raise DataError(f"is a data profile of form {form!r}, expected {FORM}.", path=path, hint=hint)
    return dict(profile)


def fetch_champion_profile(context: Context) -> tuple[dict[str, Any], str]:
    """Return the profile registered with the champion, checked against its tag, and the version's name."""
    from illmrec.atomic import digest_file
    from pipelines.tracking import CHAMPION, Tracker

    dataset = context.layout.dataset
    tracker = Tracker(context.layout.root)
    champion = tracker.resolve(context.section(RegisterConfig).name_prefix + dataset, CHAMPION)
    named = f"version {champion.version} of {champion.name}"
    if PROFILE_TAG not in champion.tags:
        hint = "Give a profile with --against, or register and promote a version made by this release."
        raise ModelError(f"{named} was registered without a data profile.", hint=hint)
    with tempfile.TemporaryDirectory(prefix="illmrec-drift-") as folder:
        path = tracker.download_file(champion, f"extra_files/{PROFILE_FILE}", Path(folder))
        found, expected = digest_file(path), champion.tags[PROFILE_TAG]
        if found != expected:
            hint = "The registry's files were changed: register again."
            raise ModelError(f"sha256 of its profile is {found}, the tag {PROFILE_TAG} says {expected}.", hint=hint)
        return read_profile(path), f"{champion.name} version {champion.version}"


def refuse_drift(found: list[FieldDrift], beside: str, dataset: str) -> None:
    """Return when no field is past its critical bound.

    Raises:
        DataError: naming each that is.
    """
    critical = [field for field in found if field.level == "critical"]
    if not critical:
        return
    lines = "".join(f"\n  {field.field}: {_describe(field)}; expected at most {field.limit:g}" for field in critical)
    hint = (
        f"Look at the raw data. If the change is real, train on it: `dvc repro export@{dataset}`, register and "
        "promote; to accept it once, raise the bound in the section `drift`."
    )
    raise DataError(f"the data drifted from {beside}; fields past a critical bound: {len(critical)}{lines}", hint=hint)


def _describe(field: FieldDrift) -> str:
    return f"{field.level}, {field.measure} {field.value:.3f}, most moved {field.largest}"
