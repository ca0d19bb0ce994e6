"""A case of a study: one data set's artifacts with some parameters changed, trained and ranked apart.

A case has a project folder of its own below ``work/studies``, in which all that it shares with the data set is a link.
The folder is named by a digest of everything its result depends on, so studies that ask for the same case share it, and
a case that is there is not computed again. What it found is written last.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from illmrec import atomic
from illmrec.columns import ITEM_INDEX, USER_INDEX
from illmrec.errors import ParameterError
from illmrec.evaluation.metrics import HIT_10, MRR, NDCG_10, Metric, compute_metrics
from illmrec.evaluation.protocol import DotScorer, rank_cases
from illmrec.evaluation.summary import Resampling, estimate_ratios
from illmrec.training.cost import count_scoring
from pipelines.assembly.contest import load_material
from pipelines.assembly.trainer import identify_run, make_trainer, publish_model
from pipelines.parameters.features import EmbedImagesConfig, EmbedTextConfig, EncodersConfig
from pipelines.parameters.reading import SectionType, merge, validate_section
from pipelines.parameters.training import EvaluateConfig, TrainConfig
from pipelines.project.context import Context
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.stages.embed_images import embed_images
from pipelines.stages.embed_text import embed_text
from pipelines.stages.encoders import make_encoders
from pipelines.studies import revision

METRICS = (Metric("hit", 5), Metric("ndcg", 5), HIT_10, NDCG_10, MRR)
"""What is measured of a case; written out, names of columns."""
RESULT = "result.json"
PROTOCOL_PREFIX = {"full": "", "sampled": "sampled/"}
"""Protocol -> what its metrics' names begin with."""


@dataclass(frozen=True)
class Case:
    """One variant.

    Args:
        name: unique within its study.
        labels: what the table says about it, beside its name.
        train: changed keys of section ``train``.
        embed_images: changed keys of section ``embed_images``; empty to share the data set's picture features.
        encoders: changed keys of section ``encoders``; empty to share the data set's encoders.
    """

    name: str
    labels: Mapping[str, Any] = field(default_factory=dict)
    train: Mapping[str, Any] = field(default_factory=dict)
    embed_images: Mapping[str, Any] = field(default_factory=dict)
    encoders: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CaseResult:
    """What was measured of a case.

    Args:
        case: the case.
        columns: metrics with intervals, epochs, tokens; flat.
        shelf: the case's own project, in which its model lies.
    """

    case: Case
    columns: Mapping[str, Any]
    shelf: Shelf

    @property
    def layout(self) -> Layout:
        """Return where its own project lies."""
        return self.shelf.layout

    @property
    def row(self) -> dict[str, Any]:
        """Return the case's line in a table."""
        return {"case": self.case.name, **self.case.labels, **self.columns}

    def ranks(self) -> dict[str, npt.NDArray[np.float64]]:
        """Return ``float64 [c]`` per protocol: the test targets' ranks."""
        table = pl.read_parquet(self.layout.evaluation / "ranks.parquet")
        return {protocol: table[protocol].to_numpy() for protocol in PROTOCOL_PREFIX}

    def owners(self) -> npt.NDArray[np.int64]:
        """Return ``int64 [c]``: whose target each of :meth:`ranks` is."""
        table = pl.read_parquet(self.layout.evaluation / "ranks.parquet", columns=[USER_INDEX])
        return table[USER_INDEX].cast(pl.Int64).to_numpy()


@dataclass(frozen=True)
class Sections:
    """The resolved sections of a case."""

    train: TrainConfig
    embed: EmbedImagesConfig
    encoders: EncodersConfig
    evaluation: EvaluateConfig


def run_case(context: Context, case: Case, extra: Mapping[str, Any]) -> CaseResult:
    """Train and rank one case, or return what was measured before.

    Args:
        context: the data set; its stages up to ``train-cf`` must have run.
        case: the variant.
        extra: keys of section ``train`` that every case of the study changes.

    Raises:
        ParameterError: when the case names an unknown key or a value that is not allowed.
        MissingArtifactError: when a stage before has not run.
    """
    sections = resolve(context, case, extra)
    digest = _identify(context.shelf, case, sections)
    own = context.layout.studies / "cases" / digest
    layout = Layout(own, context.layout.dataset)
    columns = _read_result(own / RESULT)
    if columns is None:
        _make_project(context.layout, layout, case)
        _make_features(layout, case, sections)
        columns = {**_train_and_rank(Shelf(layout), sections), "run": digest}
        atomic.write_json(own / RESULT, columns)
        shutil.rmtree(layout.checkpoints, ignore_errors=True)
    return CaseResult(case, columns, Shelf(layout))


def resolve(context: Context, case: Case, extra: Mapping[str, Any]) -> Sections:
    """Return the sections of a case; arguments as those of :func:`run_case`.

    Raises:
        ParameterError: when the case names an unknown key or a value that is not allowed, or sets a key of ``extra``.
    """
    if both := sorted(extra.keys() & case.train.keys()):
        hint = "Leave the change out, or the case with --only."
        raise ParameterError(f"case {case.name} sets train.{both[0]} itself, so it cannot be changed.", hint=hint)

    def change(section: SectionType, changes: Mapping[str, Any]) -> SectionType:
        return validate_section(type(section), merge(section.model_dump(), dict(changes)), f"case {case.name}")

    return Sections(
        change(context.section(TrainConfig), {**extra, **case.train}),
        change(context.section(EmbedImagesConfig), case.embed_images),
        change(context.section(EncodersConfig), case.encoders),
        context.section(EvaluateConfig),
    )


def _identify(shelf: Shelf, case: Case, sections: Sections) -> str:
    """Return a digest of all that a case's result depends on: what identifies its training, and how it is judged."""
    identity = {
        "run": identify_run(shelf, sections.train),
        "revision": revision.CASES,
        "judged": [shelf.digest(shelf.layout.split / f"{name}.parquet") for name in ("targets", "negatives")],
        "method": shelf.split_method,
        "evaluation": sections.evaluation.model_dump(mode="json"),
        "embed": sections.embed.model_dump(mode="json") if case.embed_images or case.encoders else None,
        "encoders": sections.encoders.model_dump(mode="json") if case.encoders else None,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _read_result(path: Path) -> dict[str, Any] | None:
    try:
        columns: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return columns if isinstance(columns, dict) else None


def _make_project(shared: Layout, own: Layout, case: Case) -> None:
    """Make a project in which all is linked that the case shares; what it made before is removed."""
    shutil.rmtree(own.root / "artifacts", ignore_errors=True)
    own.features("image").parent.mkdir(parents=True)
    linked = [shared.prepared, shared.split, shared.cf_model, shared.summaries, shared.features("cf")]
    if not case.encoders:
        linked += [shared.encoders, shared.features("text")]
    if not case.encoders and not case.embed_images:
        linked.append(shared.features("image"))
    for place in linked:
        if place.exists():
            (own.root / place.relative_to(shared.root)).symlink_to(place, target_is_directory=True)
    own.feature_cache.parent.mkdir(parents=True, exist_ok=True)
    for place in (shared.root / "data", shared.feature_cache):
        target = own.root / place.relative_to(shared.root)
        if place.exists() and not target.exists():
            target.symlink_to(place, target_is_directory=True)


def _make_features(layout: Layout, case: Case, sections: Sections) -> None:
    """Run the stages before training that the case changes, each on a new shelf: it reads what the one before made."""
    if case.encoders:
        make_encoders(Shelf(layout), sections.encoders)
        embed_text(Shelf(layout), EmbedTextConfig())
    if case.encoders or case.embed_images:
        embed_images(Shelf(layout), sections.embed)


def _train_and_rank(shelf: Shelf, sections: Sections) -> dict[str, Any]:
    start = time.perf_counter()
    trainer = make_trainer(shelf, sections.train, checkpoints=shelf.layout.checkpoints / "case")
    trainer.resume()
    tensors = trainer.run()
    seconds = time.perf_counter() - start
    publish_model(shelf, sections.train, trainer, tensors)
    model = trainer.recommender
    work = count_scoring(model, load_material(shelf).histories)
    return {
        **rank_model(shelf, model, sections.evaluation),
        "validation_ndcg@10": trainer.progress.best_score,
        "best_epoch": round(trainer.progress.best_step / trainer.steps_per_epoch, 2),
        "tokens_per_item": float(model.prompt.items.lengths.mean()),
        "prompt_tokens": work.tokens / max(work.passes, 1) + len(model.prompt.head),
        "gflop_per_user": work.flops / max(work.passes, 1) / 1e9,
        "missing_images": int((~model.features["image"].present).sum()),
        "seconds": seconds,
    }


def rank_model(shelf: Shelf, model: Any, evaluation: EvaluateConfig, *, keep: bool = True) -> dict[str, float]:
    """Rank the test targets by a recommender; see :func:`rank_scorer`."""
    users = model.project_users(model.represent_users(load_material(shelf).histories, evaluation.batch_size))
    return rank_scorer(shelf, DotScorer(users, model.represent_items()), evaluation, keep=keep)


def rank_scorer(shelf: Shelf, scorer: Any, evaluation: EvaluateConfig, *, keep: bool = True) -> dict[str, float]:
    """Rank the test targets by a scorer under both protocols; return metrics with intervals over users.

    Args:
        shelf: where the split lies and, if ``keep``, ranks.parquet is written.
        scorer: a :class:`illmrec.evaluation.protocol.Scorer` of the users that have targets.
        evaluation: confidence, resamples and their seed.
        keep: write ranks.parquet, a row per target.
    """
    material, layout = load_material(shelf), shelf.layout
    cases = material.cases
    pools = {"sampled": shelf.read_candidates().take(cases.users)}
    ranks = rank_cases(scorer, cases, pools, allowed=material.allowed).ranks
    if keep:
        targets = {USER_INDEX: cases.users[cases.owners], ITEM_INDEX: cases.targets.values}
        table = pl.DataFrame(targets | {name: ranks[name] for name in PROTOCOL_PREFIX})
        layout.evaluation.mkdir(parents=True, exist_ok=True)
        written = table.cast({USER_INDEX: pl.Int32, ITEM_INDEX: pl.Int32})
        atomic.write_parquet(layout.evaluation / "ranks.parquet", written)
    columns: dict[str, float] = {}
    for protocol, prefix in PROTOCOL_PREFIX.items():
        summary = summarise([ranks[protocol]], cases.owners, evaluation)
        columns |= {f"{prefix}{name}": value for name, value in summary.items()}
    return columns


def join_seeds(results: Sequence[CaseResult], evaluation: EvaluateConfig) -> dict[str, Any]:
    """Return one row for the trainings of a case with different seeds.

    Metrics are means over seeds. Their intervals are of each user's mean over the seeds: how far a figure depends on
    who the users are. ``.sd``, the standard deviation between seeds, is how far it depends on the seed. ``run`` names
    every training.
    """
    rows, ranks = [each.row for each in results], [each.ranks() for each in results]
    row: dict[str, Any] = dict(rows[0])
    for protocol, prefix in PROTOCOL_PREFIX.items():
        joined = summarise([each[protocol] for each in ranks], results[0].owners(), evaluation)
        row |= {f"{prefix}{name}": value for name, value in joined.items()}
        row |= {
            f"{prefix}{name}.sd": float(np.std([each[f"{prefix}{name}"] for each in rows], ddof=1)) for name in METRICS
        }
    for name in ("validation_ndcg@10", "best_epoch"):
        row[name] = float(np.mean([each[name] for each in rows]))
    row["seconds"] = sum(each["seconds"] for each in rows)
    return row | {"seeds": len(rows), "run": " ".join(each["run"] for each in rows)}


def summarise(
    ranks: Sequence[npt.NDArray[np.float64]],
    owners: npt.NDArray[np.int64],
    evaluation: EvaluateConfig,
    *,
    of_targets: bool = False,
) -> dict[str, float]:
    """Return :data:`METRICS`, means over users and trainings, with the ends of their intervals over users.

    Args:
        ranks: ``float64 [c]`` per training, at least one.
        owners: ``int64 [c]``: whose target each is.
        evaluation: confidence, resamples and their seed.
        of_targets: every target counts once, as in slices; without it every user.
    """
    how = Resampling(evaluation.bootstrap_samples, evaluation.confidence, evaluation.permutations, evaluation.seed)
    metrics = [compute_metrics(each, (5, 10)) for each in ranks]
    _, users = np.unique(owners, return_inverse=True)
    count = np.bincount(users).astype(np.float64)
    weights = count if of_targets else np.ones(len(count))
    means = [np.mean([np.bincount(users, each[name]) for each in metrics], axis=0) / count for name in METRICS]
    estimates = estimate_ratios([mean * weights for mean in means], [weights] * len(METRICS), how)
    columns: dict[str, float] = {}
    for name, estimate in zip(METRICS, estimates, strict=True):
        columns |= estimate.as_columns(str(name))
    return columns
