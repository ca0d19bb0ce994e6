"""The graph of stages, declared once: what each is called, what it reads, what it makes, and which code does it.

The command line, the reader of parameters, ``retrain``, ``doctor`` and the messages about missing files ask this list;
``dvc.yaml`` is compared with it by a test. It imports nothing of the project, so that anybody may ask.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """One stage of ``dvc.yaml`` for every data set.

    Args:
        name: its key in ``dvc.yaml`` and in the parameters file.
        summary: one line of help.
        inputs: what it reads, below ``artifacts/<data set>``.
        outputs: what it makes, there too.
        sections: sections of parameters it reads beside the one of its name.
        readers: package whose module, named by ``format`` in the stage's section, is part of the work.
        formats: those modules.
    """

    name: str
    summary: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sections: tuple[str, ...] = ()
    readers: str = ""
    formats: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """Return the subcommand of ``illmrec`` that runs it."""
        return self.name.replace("_", "-")

    @property
    def verbs(self) -> dict[str, tuple[str, ...]]:
        """Return what does the work, ``module:function``, by the name of the file that says what code it reaches."""
        work = f"pipelines.stages.{self.name}:run"
        if not self.readers:
            return {self.name: (work,)}
        return {f"{self.name}-{form}": (work, f"{self.readers}.{form}:read") for form in self.formats}

    def makes(self, place: str) -> bool:
        """Return whether a path below ``artifacts/<data set>`` is one of its outputs, lies in one, or holds one."""
        return any(f"{place}/".startswith(f"{output}/") or output.startswith(f"{place}/") for output in self.outputs)


STAGES = (
    Stage(
        "prepare",
        "Read a raw catalog into tables; probe pictures; apply the k-core.",
        inputs=(),
        outputs=("prepared",),
        readers="illmrec.data.readers",
        formats=("amazon", "goodbooks", "hm", "microlens", "own"),
    ),
    Stage(
        "validate",
        "Check the tables with Great Expectations; stop on critical failures.",
        inputs=("prepared",),
        outputs=("quality",),
        sections=("prepare",),
    ),
    Stage(
        "split",
        "Split histories leave-one-out and draw sampled candidates.",
        inputs=("prepared", "quality/gate.json"),
        outputs=("split",),
    ),
    Stage(
        "encoders",
        "Resolve pretrained encoders, or train small ones on the catalog.",
        inputs=("prepared", "quality/gate.json"),
        outputs=("encoders",),
    ),
    Stage(
        "embed_images",
        "Encode pictures into the image feature matrix.",
        inputs=("prepared", "encoders"),
        outputs=("features/image",),
    ),
    Stage(
        "embed_text",
        "Encode descriptions into the text feature matrix.",
        inputs=("prepared/items.parquet", "encoders"),
        outputs=("features/text",),
    ),
    Stage(
        "summarize",
        "Shorten descriptions: by choosing sentences, by a model or a file.",
        inputs=("prepared/items.parquet",),
        outputs=("summaries",),
    ),
    Stage(
        "validate_features",
        "Check the feature matrices, and that pictures and texts of items belong together.",
        inputs=("prepared/items.parquet", "encoders", "features/image", "features/text"),
        outputs=("feature_quality",),
    ),
    Stage(
        "train_cf",
        "Train SASRec; its item embeddings are the CF features.",
        inputs=("prepared/items.parquet", "split"),
        outputs=("cf_model", "features/cf"),
    ),
    Stage(
        "train",
        "Train I-LLMRec and log it to MLflow.",
        inputs=(
            *("prepared/items.parquet", "split/sequences.parquet", "encoders"),
            *("features/image", "features/text", "features/cf", "summaries"),
        ),
        outputs=("model", "curves/train.csv", "curves/validation.csv"),
    ),
    Stage(
        "evaluate",
        "Rank test targets: full catalog and sampled, with intervals.",
        inputs=("prepared/items.parquet", "split", "encoders", "features", "cf_model", "model"),
        outputs=(
            *("evaluation/metrics.parquet", "evaluation/ranks.parquet", "evaluation/slices.csv"),
            "evaluation/summary.json",
            *("evaluation/full.csv", "evaluation/sampled.csv", "evaluation/popular.csv"),
        ),
    ),
    Stage(
        "export",
        "Export the projection heads to ONNX and compare them with torch.",
        inputs=(
            *("prepared/items.parquet", "split/sequences.parquet", "encoders", "features", "model"),
            "feature_quality/gate.json",
        ),
        outputs=("head",),
    ),
)
"""Every stage, in the order of the data."""


def list_shared_targets(root: Path) -> list[str]:
    """Return what DVC calls that on which the stages of all data sets wait: the raw data and what code stages reach."""
    return [*(["data.dvc"] if (root / "data.dvc").is_file() else []), "code"]


def list_stage_targets(dataset: str) -> list[str]:
    """Return what DVC calls the stages of one data set, in order."""
    return [f"{stage.name}@{dataset}" for stage in STAGES]


def find_maker(place: str) -> Stage | None:
    """Return the stage that makes a path below ``artifacts/<data set>``; None where none does."""
    return next((stage for stage in STAGES if stage.makes(place)), None)
