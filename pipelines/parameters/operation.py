"""Sections of operation: register, promote, retrain, recommend, report."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipelines.parameters.section import Count, EngineName, Section, Share


class RegisterConfig(Section):
    """Registration of the exported head in the model registry. See docs/registry.md."""

    key = "register"

    name_prefix: str = "illmrec-"
    """The registered model is called prefix + data set."""
    probe_users: int = Field(default=64, ge=0)
    """Users served once when a version is registered, to record what a user costs; 0 leaves that out."""


PromotionCheck = Literal["quality", "popularity", "cold_items", "coverage", "latency", "memory", "fallback"]


class PromoteConfig(Section):
    """What a challenger must show before it becomes champion. See docs/registry.md."""

    key = "promote"

    metric: str = Field(default="full/ndcg@10", pattern=r"^full/((hit|ndcg|mrr)@[1-9]\d*|mrr)$")
    """Metric of ``quality``, ``popularity`` and ``cold_items``, from the ranks in the full catalog."""
    margin: Share = 0.1
    """Loss against the champion that would still be accepted: the interval must lie above it."""
    margin_kind: Literal["relative", "absolute"] = "relative"
    """Whether margins are shares of the champion's metric, or differences of the metric itself."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """One-sided: a challenger that loses exactly the margin passes with the chance of 1 - confidence."""
    bootstrap_samples: Count = 2000
    """Resamples of users behind the interval."""
    min_shared: Share = 0.9
    """Share of the challenger's test targets that the champion must have ranked too for a paired comparison."""
    unpaired: Literal["allow", "refuse"] = "allow"
    """What to do where no paired comparison is possible: compare two groups of users, or count it as not checked."""
    min_metric: float = Field(default=0.0, ge=0.0, le=1.0)
    """Lowest value of the metric, for the first version too."""
    popularity_margin: float | None = Field(default=0.0, ge=0.0)
    """``popularity``: how far above a list of popular items the interval must lie, for the first version too; a share
    of that list's metric or a difference, as ``margin_kind`` says. null: not asked, for trials on a few users."""
    cold_margin: Share = 0.2
    """``cold_items``: the same as ``margin`` on targets without a training interaction; here the challenger is refused
    when it is clearly worse, because there are few of them."""
    min_cold_targets: Count = 30
    """``cold_items`` is not checked with fewer such targets."""
    min_coverage: Share = 0.0
    """``coverage``: lowest share of the catalog in all users' ten best items, for the first version too."""
    max_coverage_loss: Share = 0.3
    """``coverage``: largest relative loss against the champion."""
    max_latency_ms: float | None = Field(default=None, gt=0.0)
    """``latency``: most milliseconds a user, for the first version too; null for no such bound."""
    max_latency_ratio: float = Field(default=2.0, gt=0.0)
    """``latency``: most times the champion's, where both were registered on the same kind of machine."""
    max_memory_mb: float | None = Field(default=None, gt=0.0)
    """``memory``: most megabytes of weights, features and projected items, for the first version too."""
    max_memory_ratio: float = Field(default=1.5, gt=0.0)
    """``memory``: most times the champion's."""
    max_fallback_share: Share = 0.5
    """``fallback``: largest share of items whose picture is missing, for the first version too."""
    require: tuple[PromotionCheck, ...] = ("quality", "popularity", "coverage", "latency", "memory", "fallback")
    """Checks that must have been possible; others that were not are named, and do not refuse."""
    seed: int = 0
    """Draws the resamples."""

    @property
    def required(self) -> tuple[PromotionCheck, ...]:
        """``require``, without what another parameter turns off."""
        return tuple(name for name in self.require if name != "popularity" or self.popularity_margin is not None)


class RetrainConfig(Section):
    """How `illmrec retrain` trains. See docs/retraining.md."""

    key = "retrain"

    start: Literal["scratch", "warm", "compare"] = "scratch"
    """Train from nothing; from the champion's tensors where their shapes fit; or both, and keep what ranks the
    validation targets better."""


class AuditConfig(Section):
    """What a night must hold before it is published. A failure leaves the last night in place; see docs/nightly.md."""

    min_coverage: Share = 0.999
    """Smallest share of known users with recommendations."""
    min_users_left: Share = 0.8
    """Smallest share of the users of the night published last who are still known: fewer, and a feed is cut short."""
    min_items_left: Share = 0.5
    """Smallest share of the items recommended in the night published last that are still in the catalog; withdrawn ones
    do not count."""
    max_fallback_share: Share = 0.95
    """Largest share of users who get popular items because none of theirs is in the catalog."""
    max_fallback_rise: Share = 0.05
    """The share above may be this much larger than in the night published last."""
    min_overlap: Share = 0.5
    """Smallest mean share of a user's items that stand in the night published last too, of the shorter list and without
    withdrawn items."""
    max_overlap: Share = 1.0
    """Largest such share; below 1, a night that repeats the last one is refused."""
    overlap_across_models: bool = False
    """Compare with the last night even when another model wrote it."""
    max_top_items_share: Share = 0.5
    """Largest share of the model's rows that the one percent of items recommended most may take (one item at least)."""
    max_catalog_age_days: Count | None = None
    """Largest number of days between the newest known interaction and the night; nothing: it is only reported, because
    published data sets end years ago. A shop with a daily feed sets 2 or 3."""


class RecommendConfig(Section):
    """The nightly export."""

    key = "recommend"

    k: Count = 20
    """Items per user."""
    partitions: Count = 4
    """Part files; a user's part is a stable hash of the user_id."""
    formats: tuple[Literal["parquet", "csv", "jsonl"], ...] = ("parquet",)
    """Files of each part. Parquet is always among them, because the next night and the report read it."""
    engine: EngineName = "local"
    """Where users are read and scored: in this process, or on Ray Data (extra `ray`) with equal rows."""
    ray_actors: Count = 1
    """Ray only: copies of the model at work at the same time."""
    pass_tokens: Count | None = None
    """Tokens of one forward pass; by default 256 on a processor and 16384 on a GPU. With 1, every user is
    a pass of their own."""
    backbone_precision: Literal["trained", "fp32", "bf16", "int8"] = "trained"
    """Number format of the language model: as in training, or another, whose loss is measured and written to the
    receipt. int8 quantises the linear layers when the model is loaded, on a processor only."""
    precision_sample: Count = 64
    """Users on whom the loss of another number format is measured."""
    withdrawn: str | None = None
    """Text file, relative to the project's folder, with the ids of items that must not be recommended, one a line. None
    where everything may be."""
    candidates: Literal["all", "sasrec", "popularity"] = "all"
    """Score the whole catalog, or let a fast model propose ``rerank`` items that I-LLMRec puts in order."""
    rerank: Count = 100
    """Items proposed, where a fast model proposes."""
    search: Literal["auto", "exact", "coarse", "faiss"] = "auto"
    """How the whole catalog is searched. ``coarse``: int8 products first, the best again in full precision; ``faiss``:
    an inner-product index (extra `faiss`); ``auto``: exact below ``coarse_from_items`` or where the processor has no
    instructions for int8 products, else coarse."""
    coarse_from_items: Count = 200_000
    """Catalog size from which ``auto`` takes the coarse search."""
    coarse_factor: Count = 2
    """The coarse pass keeps this many times k."""
    score_block_users: Count = 1024
    """Users per block of the search."""
    score_block_items: Count = 10_000
    """Items per block of the search."""
    keep_nights: int = Field(default=30, ge=2)
    """Dates kept in the exports folder, newest first; what readers are pointed to is never removed. At least two, so
    that whoever is still reading the night before can finish."""
    keep_models: Count = 2
    """Models whose users' representations are kept, the one in use included."""
    keep_representations_days: Count = 7
    """A representation that no night of the last so many days used is dropped."""
    audit: AuditConfig = AuditConfig()

    @model_validator(mode="after")
    def _check_recommend(self) -> RecommendConfig:
        """Refuse settings that contradict each other."""
        if "parquet" not in self.formats or len(set(self.formats)) != len(self.formats):
            raise ValueError(f"formats is {list(self.formats)}, expected parquet and any of csv, jsonl, each once")
        if self.candidates != "all" and self.rerank < self.k:
            raise ValueError(f"rerank is {self.rerank}, expected at least k, which is {self.k}")
        if self.audit.min_overlap > self.audit.max_overlap:
            raise ValueError("audit.min_overlap is above audit.max_overlap")
        return self


class ReportConfig(Section):
    """The HTML report."""

    key = "report"

    users: Count = 12
    """Users shown in the gallery."""
    thumbnail_pixels: Count = 96
    """Longest side of a picture."""
