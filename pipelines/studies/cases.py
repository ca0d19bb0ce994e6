"""A case of a study: one data set's artifacts with some parameters changed, trained and evaluated apart.

A case has a project folder of its own below ``work/studies``, in which all that it shares with the data set is a link.
What it found is written last; a case with that is not computed again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from illmrec import atomic
from illmrec.config import EmbedImagesConfig, EvaluateConfig, TrainConfig
from pipelines.context import Context
from pipelines.layout import Layout
from pipelines.params import merge, validate_section

METRICS = ("hit@10", "ndcg@10", "mrr")
RESULT = "result.json"


@dataclass(frozen=True)
class Case:
    """One variant.

    Args:
        name: unique within its study; also the name of its folder.
        labels: what the table says about it.
        train: changed keys of section ``train``.
        embed_images: changed keys of section ``embed_images``; empty to share the data set's features.
    """

    name: str
    labels: Mapping[str, Any]
    train: Mapping[str, Any] = field(default_factory=dict)
    embed_images: Mapping[str, Any] = field(default_factory=dict)


def run_case(context: Context, case: Case, folder: Path, extra: Mapping[str, Any]) -> dict[str, Any]:
    """Train and evaluate one case, or return what it found before.

    Args:
        context: the data set; its stages up to ``train-cf`` must have run.
        case: the variant.
        folder: of the study.
        extra: keys of section ``train`` that every case of the study changes.

    Returns:
        Labels, metrics on the test targets with intervals, epochs and tokens; flat.
    """
    train = _change(context.section(TrainConfig), {**extra, **case.train})
    embed = _change(context.section(EmbedImagesConfig), case.embed_images)
    evaluation = context.section(EvaluateConfig)
    own = folder / case.name
    digest = _identify(context.layout, train, embed, evaluation, apart=bool(case.embed_images))
    found = _read_result(own / RESULT, digest)
    if found is None:
        layout = _make_project(context.layout, own, apart=bool(case.embed_images))
        if case.embed_images:
            from pipelines.stages.embed_images import embed_images

            embed_images(layout, embed)
        found = _train_and_rank(layout, train, evaluation)
        atomic.write_json(own / RESULT, {"digest": digest, "found": found})
        shutil.rmtree(layout.checkpoints, ignore_errors=True)
    return {"case": case.name, **case.labels, **found}


def _change(section: Any, changes: Mapping[str, Any]) -> Any:
    """Return a section with some keys changed, validated as a whole.

    Raises:
        ParameterError: when a key is unknown or a value is not allowed.
    """
    return validate_section(type(section), merge(section.model_dump(), dict(changes)), "a case's parameters")


def _identify(
    layout: Layout, train: TrainConfig, embed: EmbedImagesConfig, evaluation: EvaluateConfig, *, apart: bool
) -> str:
    """Return a digest of all that a case's result depends on: what identifies its training, and how it is judged."""
    from pipelines.stages.train import identify_run

    facts = {
        "run": identify_run(layout, train.model_dump(mode="json")),
        "evaluation": evaluation.model_dump(mode="json"),
        "embed": embed.model_dump(mode="json") if apart else None,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _read_result(path: Path, digest: str) -> dict[str, Any] | None:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        found: dict[str, Any] = body["found"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if body.get("digest") == digest else None


def _make_project(shared: Layout, own: Path, *, apart: bool) -> Layout:
    """Return a project in which all is linked that the case shares; what it made before is removed."""
    shutil.rmtree(own / "artifacts", ignore_errors=True)
    layout = Layout(own, shared.dataset)
    layout.features("image").parent.mkdir(parents=True)
    kinds = ("text", "cf") if apart else ("image", "text", "cf")
    linked = [shared.prepared, shared.split, shared.encoders, shared.summaries, *map(shared.features, kinds)]
    for place in linked:
        if place.exists():
            (own / place.relative_to(shared.root)).symlink_to(place, target_is_directory=True)
    layout.feature_cache.parent.mkdir(parents=True, exist_ok=True)
    for place in (shared.root / "data", shared.feature_cache):
        target = own / place.relative_to(shared.root)
        if place.exists() and not target.exists():
            target.symlink_to(place, target_is_directory=True)
    return layout


def _train_and_rank(layout: Layout, train: TrainConfig, evaluation: EvaluateConfig) -> dict[str, Any]:
    import time

    from pipelines.stages.train import make_trainer

    start = time.perf_counter()
    trainer = make_trainer(layout, train, checkpoints=layout.checkpoints / "case")
    trainer.resume()
    trainer.run()
    seconds = time.perf_counter() - start
    model = trainer.recommender
    return {
        **_rank(layout, model, evaluation),
        "validation_ndcg@10": trainer.progress.best_score,
        "best_epoch": round(trainer.progress.best_step / trainer.steps_per_epoch, 2),
        "tokens_per_item": float(model.prompt.items.lengths.mean()),
        "missing_images": int((~model.features["image"].present).sum()),
        "seconds": seconds,
    }


def _rank(layout: Layout, model: Any, evaluation: EvaluateConfig) -> dict[str, float]:
    """Return metrics of the test targets among the full catalog, with intervals over users."""
    import numpy as np

    from illmrec.evaluation.intervals import bootstrap_means, interval
    from illmrec.evaluation.metrics import compute_metrics
    from illmrec.evaluation.protocol import DotScorer, rank_users
    from pipelines.assembly import load_sequences

    sequences = load_sequences(layout)
    histories = sequences.histories("test")
    rows = [histories[user] for user in range(len(sequences))]
    users = model.project_users(model.represent_users(rows, evaluation.batch_size))
    ranks = rank_users(DotScorer(users, model.represent_items()), histories, sequences.test)["full"]
    metrics = compute_metrics(ranks, (10,))
    values = np.stack([metrics[name] for name in METRICS], axis=1)
    means = bootstrap_means(values, evaluation.bootstrap_samples, evaluation.seed)
    found: dict[str, float] = {}
    for column, name in enumerate(METRICS):
        found[name] = float(values[:, column].mean())
        found[f"{name}.low"], found[f"{name}.high"] = interval(means[:, column], evaluation.confidence)
    return found
