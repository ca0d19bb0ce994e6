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
from illmrec.evaluation.keys import flatten_estimate
from illmrec.evaluation.metrics import compute_metrics
from illmrec.evaluation.protocol import DotScorer, rank_cases
from illmrec.evaluation.summary import Resampling, estimate_ratios
from illmrec.training.cost import count_scoring
from pipelines.assembly.contest import load_material
from pipelines.assembly.trainer import identify_run, make_trainer, publish_model
from pipelines.parameters.features import EmbedImagesConfig, EmbedTextConfig, EncodersConfig
from pipelines.parameters.reading import SectionType, merge, validate_section
from pipelines.parameters.training import EvaluateConfig, TrainConfig
from pipelines.project.artifacts import read_object
from pipelines.project.context import Context
from pipelines.project.layout import Layout, require
from pipelines.project.shelf import Shelf
from pipelines.stages.embed_images import embed_images
from pipelines.stages.embed_text import embed_text
from pipelines.stages.encoders import make_encoders
from pipelines.studies import revision

METRICS = ("hit@5", "ndcg@5", "hit@10", "ndcg@10", "mrr")
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
class Found:
    """What a case found.

    Args:
        case: the case.
        facts: metrics with intervals, epochs, tokens; flat.
        layout: the case's own project, in which its model lies.
    """

    case: Case
    facts: Mapping[str, Any]
    layout: Layout

    @property
    def row(self) -> dict[str, Any]:
        """Return the case's line in a table."""
        return {"case": self.case.name, **self.case.labels, **self.facts}

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


def run_case(context: Context, case: Case, extra: Mapping[str, Any]) -> Found:
    """Train and rank one case, or return what it found before.

    Args:
        context: the data set; its stages up to ``train-cf`` must have run.
        case: the variant.
        extra: keys of section ``train`` that every case of the study changes.

    Raises:
        ParameterError: when the case names an unknown key or a value that is not allowed.
        MissingArtifactError: when a stage before has not run.
    """
    sections = resolve(context, case, extra)
    digest = _identify(context.layout, case, sections)
    own = context.layout.studies / "cases" / digest
    layout = Layout(own, context.layout.dataset)
    facts = _read_result(own / RESULT)
    if facts is None:
        _make_project(context.layout, layout, case)
        _make_features(layout, case, sections)
        facts = {**_train_and_rank(layout, sections), "run": digest}
        atomic.write_json(own / RESULT, facts)
        shutil.rmtree(layout.checkpoints, ignore_errors=True)
    return Found(case, facts, layout)


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


def _identify(layout: Layout, case: Case, sections: Sections) -> str:
    """Return a digest of all that a case's result depends on: what identifies its training, and how it is judged."""
    run, remedy = (
        identify_run(Shelf(layout), sections.train),
        f"split --dataset {layout.dataset}",
    )
    judged = [require(layout.split / f"{name}.parquet", remedy) for name in ("targets", "negatives")]
    facts = {
        "revision": revision.CASES,
        "method": read_object(layout.split / "summary.json", remedy, ("method",))["method"],
        "judged": [atomic.digest_file(path) for path in judged],
        "run": run,
        "evaluation": sections.evaluation.model_dump(mode="json"),
        "embed": sections.embed.model_dump(mode="json") if case.embed_images or case.encoders else None,
        "encoders": sections.encoders.model_dump(mode="json") if case.encoders else None,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _read_result(path: Path) -> dict[str, Any] | None:
    try:
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


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
    """Run the stages before training that the case changes."""
    if case.encoders:
        make_encoders(Shelf(layout), sections.encoders)
        embed_text(Shelf(layout), EmbedTextConfig())
    if case.encoders or case.embed_images:
        embed_images(Shelf(layout), sections.embed)


def _train_and_rank(layout: Layout, sections: Sections) -> dict[str, Any]:
    start = time.perf_counter()
    trainer = make_trainer(Shelf(layout), sections.train, checkpoints=layout.checkpoints / "case")
    trainer.resume()
    tensors = trainer.run()
    seconds = time.perf_counter() - start
    publish_model(Shelf(layout), sections.train, trainer, tensors)
    model = trainer.recommender
    work = count_scoring(model, load_material(Shelf(layout)).histories)
    return {
        **rank_model(layout, model, sections.evaluation),
        "validation_ndcg@10": trainer.progress.best_score,
        "best_epoch": round(trainer.progress.best_step / trainer.steps_per_epoch, 2),
        "tokens_per_item": float(model.prompt.items.lengths.mean()),
        "prompt_tokens": work.tokens / max(work.passes, 1) + len(model.prompt.head),
        "gflop_per_user": work.flops / max(work.passes, 1) / 1e9,
        "missing_images": int((~model.features["image"].present).sum()),
        "seconds": seconds,
    }


def rank_model(layout: Layout, model: Any, evaluation: EvaluateConfig, *, keep: bool = True) -> dict[str, float]:
    """Rank the test targets by a recommender; see :func:`rank_scorer`."""
    users = model.project_users(model.represent_users(load_material(Shelf(layout)).histories, evaluation.batch_size))
    return rank_scorer(layout, DotScorer(users, model.represent_items()), evaluation, keep=keep)


def rank_scorer(layout: Layout, scorer: Any, evaluation: EvaluateConfig, *, keep: bool = True) -> dict[str, float]:
    """Rank the test targets by a scorer under both protocols; return metrics with intervals over users.

    Args:
        layout: where split and, if ``keep``, ranks.parquet lie.
        scorer: a :class:`illmrec.evaluation.protocol.Scorer` of the users that have targets.
        evaluation: confidence, resamples and their seed.
        keep: write ranks.parquet, a row per target.
    """
    material = load_material(Shelf(layout))
    cases = material.cases
    pools = {"sampled": Shelf(layout).read_candidates().take(cases.users)}
    ranks = rank_cases(scorer, cases, pools, allowed=material.allowed).ranks
    if keep:
        columns = {USER_INDEX: cases.users[cases.owners], ITEM_INDEX: cases.targets.values}
        table = pl.DataFrame(columns | {name: ranks[name] for name in PROTOCOL_PREFIX})
        layout.evaluation.mkdir(parents=True, exist_ok=True)
        written = table.cast({USER_INDEX: pl.Int32, ITEM_INDEX: pl.Int32})
        atomic.write_parquet(layout.evaluation / "ranks.parquet", written)
    facts: dict[str, float] = {}
    for protocol, prefix in PROTOCOL_PREFIX.items():
        found = summarise([ranks[protocol]], cases.owners, evaluation)
        facts |= {f"{prefix}{name}": value for name, value in found.items()}
    return facts


def join_seeds(found: Sequence[Found], evaluation: EvaluateConfig) -> dict[str, Any]:
    """Return one row for the trainings of a case with different seeds.

    Metrics are means over seeds. Their intervals are of each user's mean over the seeds: how far a figure depends on
    who the users are. ``.sd``, the standard deviation between seeds, is how far it depends on the seed. ``run`` names
    every training.
    """
    rows, ranks = [each.row for each in found], [each.ranks() for each in found]
    row: dict[str, Any] = dict(rows[0])
    for protocol, prefix in PROTOCOL_PREFIX.items():
        joined = summarise([each[protocol] for each in ranks], found[0].owners(), evaluation)
        row |= {f"{prefix}{name}": value for name, value in joined.items()}
        row |= {f"{prefix}{name}.sd": float(np.std([each[prefix + name] for each in rows], ddof=1)) for name in METRICS}
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
    facts: dict[str, float] = {}
    for name, estimate in zip(METRICS, estimates, strict=True):
        facts |= flatten_estimate(name, estimate)
    return facts
