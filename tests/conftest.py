"""Shared by all tests: one thread, no network, and a small catalog with a language model of RANDOM weights."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

# Before torch is imported anywhere, this test process's children included: equal results on every machine.
os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"
# Where nothing keeps bytecode, each of a hundred processes compiles torch and MLflow again: ten seconds of work instead
# of three. What is kept lies in .venv and in folders that git ignores.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")
# A DVC project that a test makes has no settings yet that would keep it from reporting home.
os.environ["DVC_NO_ANALYTICS"] = "1"

if TYPE_CHECKING:
    import polars as pl

    from illmrec.models.backbone import Backbone

DEAREST_FIRST = (
    *("test_group", "test_quick_start", "test_workflow_steps", "test_killed", "test_registry", "test_study"),
    *("test_retraining_in_dvc", "test_ray_nights", "test_killed_exports", "test_retraining", "test_your_catalog_page"),
    *("test_registry_kills", "test_planted_faults", "test_ray_engine", "test_remote", "test_tracking", "test_embed"),
    *("test_validate_command", "test_gate", "test_data_bombs", "test_validate_features", "test_repro"),
    *("test_summarize", "test_image_bombs", "test_code", "test_dvc_plots", "test_ignored"),
    *("test_fused", "test_fetch_language_model"),
)
"""Modules that begin first, so that no worker is left with a long one at the end; the rest follow as they stand."""


def pytest_configure() -> None:
    """Let Hypothesis take its time: its limit for an example is one of the clock, and the other worker takes half."""
    from hypothesis import settings

    settings.register_profile("any machine", deadline=None)
    settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test as ``slow`` or ``unit``, and order the modules: every worker must come to the same order."""
    places = {name: place for place, name in enumerate(DEAREST_FIRST)}
    for item in items:
        slow = item.path.stem in places or item.path.parent.name == "integration"
        item.add_marker("slow" if slow else "unit")
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="module", autouse=True)
def _keep_garbage_collection_short() -> None:
    """Keep what was imported so far out of the collector's rounds: tests of memory ask for hundreds of them."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def tiny_items() -> pl.DataFrame:
    """Return 20 invented items; some lack a picture, a brand, a category, a description, a title."""
    from benchmarks.tiny import make_items

    return make_items(20)


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory, tiny_items: pl.DataFrame) -> Path:
    """Save a 3-layer Llama with random weights and its tokenizer."""
    from benchmarks.tiny import save_language_model

    return save_language_model(tmp_path_factory.mktemp("backbone"), tiny_items, width=32, layers=3, heads=4)


@pytest.fixture(scope="session")
def tiny_backbone(tiny_model_folder: Path) -> Backbone:
    """Load the saved Llama."""
    from illmrec.models.backbone import Backbone

    return Backbone(tiny_model_folder)


@pytest.fixture(scope="session", autouse=True)
def _compare_json_outputs() -> Iterator[None]:
    """Compare every ``--json`` output that a test gets from Click's runner with ``tests/golden/schemas.json``."""
    from click.testing import CliRunner, Result

    from pipelines.cli import cli
    from tests import golden_schemas

    original = CliRunner.invoke

    def invoke(self: CliRunner, command: Any, args: Any = None, **options: Any) -> Result:
        result = original(self, command, args, **options)
        ended = result.exception is None or isinstance(result.exception, SystemExit)
        if command is cli and ended and not isinstance(args, str | None):
            golden_schemas.compare_output(args, result.stdout)
        return result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CliRunner, "invoke", invoke)
        yield
