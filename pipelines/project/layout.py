"""The only owner of paths below the project's root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from illmrec.errors import MissingArtifactError

ORIGIN = "origin.json"
"""What lies beside a model that came as a package."""


def name_code_folder(root: Path) -> Path:
    """Return where ``illmrec code`` says what code each stage depends on."""
    return root / "artifacts" / "code"


@dataclass(frozen=True)
class Layout:
    """Where everything of one data set lies.

    ``artifacts/`` holds what DVC caches; ``work/`` what survives between runs without being an output (locks,
    checkpoints, the feature cache); ``exports/`` what jobs publish.
    """

    root: Path
    dataset: str

    @property
    def artifacts(self) -> Path:
        """Outputs of this data set's stages."""
        return self.root / "artifacts" / self.dataset

    @property
    def prepared(self) -> Path:
        """Tables of ``prepare`` (interactions, items, images, users, rejected, ...) and summary.json."""
        return self.artifacts / "prepared"

    @property
    def quality(self) -> Path:
        """Result of ``validate``: gate.json, the Data Docs site and profile.json."""
        return self.artifacts / "quality"

    @property
    def feature_quality(self) -> Path:
        """Result of ``validate-features``: gate.json, the Data Docs site, the least similar pairs."""
        return self.artifacts / "feature_quality"

    @property
    def split(self) -> Path:
        """Tables of ``split``: sequences, targets, negatives, popular_negatives; summary.json."""
        return self.artifacts / "split"

    @property
    def encoders(self) -> Path:
        """Encoder descriptions of ``encoders``, and the models trained there."""
        return self.artifacts / "encoders"

    def package_model(self, name: str) -> Path:
        """Return the folder of a model that came as a package of that name; all data sets share it."""
        return self.root / "data" / "encoders" / name

    def package_origin(self, name: str) -> Path:
        """Return the file that says where such a model came from; it is written with the model, so it tells of both."""
        return self.package_model(name) / ORIGIN

    def features(self, kind: str) -> Path:
        """Feature matrix of one type: image, cf or text."""
        return self.artifacts / "features" / kind

    @property
    def summaries(self) -> Path:
        """Result of ``summarize``: summaries.parquet, summary.json."""
        return self.artifacts / "summaries"

    @property
    def cf_model(self) -> Path:
        """The trained SASRec."""
        return self.artifacts / "cf_model"

    @property
    def model(self) -> Path:
        """The trained recommender, without its backbone."""
        return self.artifacts / "model"

    @property
    def curves(self) -> Path:
        """Training curves as CSV."""
        return self.artifacts / "curves"

    @property
    def evaluation(self) -> Path:
        """metrics.parquet, summary.json, ranks.parquet, slices.csv and plot data of ``evaluate``."""
        return self.artifacts / "evaluation"

    @property
    def head(self) -> Path:
        """The exported head: head.onnx, head.json."""
        return self.artifacts / "head"

    @property
    def receipts(self) -> Path:
        """What jobs did, as JSON."""
        return self.root / "work" / "receipts" / self.dataset

    @property
    def alias_log(self) -> Path:
        """Every move of an alias of the registered model, a JSON object a line."""
        return self.root / "work" / "registry" / f"{self.dataset}-aliases.jsonl"

    @property
    def retraining(self) -> Path:
        """What ``retrain`` has finished, and models it compares."""
        return self.root / "work" / "retraining" / self.dataset

    @property
    def serving(self) -> Path:
        """Items and features of the grown catalog: the trained one and what ``catalog add`` added."""
        return self.root / "work" / "serving" / self.dataset

    @property
    def checkpoints(self) -> Path:
        """Checkpoints of ``train``; outside DVC's outputs, which DVC deletes before a stage runs."""
        return self.root / "work" / "checkpoints" / self.dataset

    @property
    def compiled(self) -> Path:
        """What torch compiled here, for all data sets; it can be removed."""
        return self.root / "work" / "compiled"

    @property
    def feature_cache(self) -> Path:
        """Content-addressed features, shared by all data sets."""
        return self.root / "work" / "feature-cache"

    @property
    def summary_cache(self) -> Path:
        """Summaries that language models wrote, by content, shared by all data sets."""
        return self.root / "work" / "summary-cache"

    @property
    def representations(self) -> Path:
        """What ``recommend`` keeps between nights: users as the model read them, the catalog as it projected it."""
        return self.root / "work" / "representations" / self.dataset

    @property
    def exports(self) -> Path:
        """Nightly recommendations."""
        return self.root / "exports" / self.dataset

    @property
    def studies(self) -> Path:
        """What studies work on: their cases, a folder each, named by a digest."""
        return self.root / "work" / "studies" / self.dataset

    def study(self, name: str) -> Path:
        """Result of a study: results.json, results.csv, plot.svg."""
        return self.artifacts / "studies" / name

    @property
    def report(self) -> Path:
        """The HTML report of this data set."""
        return self.root / "work" / "reports" / f"{self.dataset}.html"

    def night_report(self, date: str) -> Path:
        """The HTML page of one night, YYYY-MM-DD."""
        return self.root / "work" / "reports" / f"{self.dataset}-{date}.html"

    @property
    def results(self) -> Path:
        """The HTML page of all studies, of all data sets."""
        return self.root / "work" / "reports" / "studies.html"

    def lock(self, name: str) -> Path:
        """Lock file of a stage or job."""
        return self.root / "work" / "locks" / f"{self.dataset}-{name}.lock"


def require(path: Path, command: str) -> Path:
    """Return ``path`` if it exists.

    Raises:
        MissingArtifactError: otherwise; the message names the command that makes it.
    """
    if not path.exists():
        raise MissingArtifactError("does not exist yet.", path=path, hint=f"Run `illmrec {command}` or `dvc repro`.")
    return path


@dataclass(frozen=True)
class ServingLayout(Layout):
    """A data set whose items and features are those of the grown catalog; all else stays where it is."""

    @property
    def prepared(self) -> Path:
        """Tables of the grown catalog."""
        return self.serving / "prepared"

    def features(self, kind: str) -> Path:
        """Feature matrix of the grown catalog; there is none of type cf."""
        return self.serving / "features" / kind
