"""Job ``drift``: the data at hand beside the data of the champion."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from illmrec.atomic import digest_file
from illmrec.errors import DataError, ModelError
from pipelines.parameters.data import DriftConfig
from pipelines.project.context import Context
from pipelines.quality.drift import FieldDrift, compare_profiles
from pipelines.quality.profile import PROFILE_TAG, read_profile
from pipelines.registry.registry import Registry

PROFILE_FILE = "profile.json"


def measure_drift(context: Context, against: Path | None) -> tuple[list[FieldDrift], str]:
    """Return the drift of every field, and a name for what was compared with.

    Raises:
        MissingArtifactError: when ``validate`` has not run.
        ModelError: when there is no champion, or its version has no profile.
        DataError: when a profile is damaged or of another form.
    """
    layout = context.layout
    here = context.shelf.require(layout.quality / PROFILE_FILE)
    new = read_profile(here)
    old, beside = (read_profile(against), str(against)) if against else fetch_champion_profile(context)
    try:
        return compare_profiles(old, new, context.section(DriftConfig)), beside
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        hint = f"Write it again: `illmrec validate --dataset {layout.dataset}`, and register a new version."
        raise DataError(f"the profiles cannot be compared ({error!r}).", path=against or here, hint=hint) from None


def fetch_champion_profile(context: Context) -> tuple[dict[str, Any], str]:
    """Return the profile registered with the champion, checked against its tag, and the version's name."""
    registry = Registry(context)
    champion = registry.champion
    named = champion.describe()
    if PROFILE_TAG not in champion.tags:
        hint = "Give a profile with --against, or register and promote a version made by this release."
        raise ModelError(f"{named} was registered without a data profile.", hint=hint)
    with tempfile.TemporaryDirectory(prefix="illmrec-drift-") as folder:
        path = registry.tracker.download_file(champion, f"extra_files/{PROFILE_FILE}", Path(folder))
        found, expected = digest_file(path), champion.tags[PROFILE_TAG]
        if found != expected:
            hint = "The registry's files were changed: register again."
            raise ModelError(f"sha256 of its profile is {found}, the tag {PROFILE_TAG} says {expected}.", hint=hint)
        return read_profile(path), f"{champion.name} version {champion.number}"


def refuse_drift(drift: list[FieldDrift], beside: str, dataset: str) -> None:
    """Return when no field is past its critical bound.

    Raises:
        DataError: naming each that is.
    """
    critical = [field for field in drift if field.level == "critical"]
    if not critical:
        return
    lines = "".join(
        f"\n  {field.field}: {describe_drift(field)}; expected at most {field.limit:g}" for field in critical
    )
    hint = (
        f"Look at the raw data. If the change is real, train on it: `dvc repro export@{dataset}`, register and "
        "promote; to accept it once, raise the bound in the section `drift`."
    )
    raise DataError(f"the data drifted from {beside}; fields past a critical bound: {len(critical)}{lines}", hint=hint)


def describe_drift(field: FieldDrift) -> str:
    """Return what is printed of one field."""
    return f"{field.level}, {field.measure} {field.value:.3f}, most moved {field.largest}"
