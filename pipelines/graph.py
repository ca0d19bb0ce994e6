"""The graph of stages, declared once: what each is called, what it reads, what it makes, and which code does it.

The command line, the reader of parameters, ``retrain``, ``doctor`` and the messages about missing files ask this list;
``dvc.yaml`` is compared with it by a test. It imports nothing, so that anybody may ask.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One stage of ``dvc.yaml`` for every data set.

    Args:
        name: its key in ``dvc.yaml`` and in the parameters file.
        summary: one line of help.
        work: module and function that do it, without a command line.
        inputs: what it reads, below ``artifacts/<data set>``.
        outputs: what it makes, there too.
        sections: sections of parameters it reads beside the one of its name.
    """

    name: str
    summary: str
    work: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sections: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """Return the subcommand of ``illmrec`` that runs it."""
        return self.name.replace("_", "-")

    def makes(self, place: str) -> bool:
        """Return whether a path below ``artifacts/<data set>`` is one of its outputs, lies in one, or holds one."""
        return any(f"{place}/".startswith(f"{output}/") or output.startswith(f"{place}/") for output in self.outputs)


STAGES = (
    Stage(
        "prepare",
        "Read a raw catalog into tables; probe pictures; apply the k-core.",
        "pipelines.stages.prepare:prepare",
        inputs=(),
        outputs=("prepared",),
    ),
    Stage(
        "validate",
        "Check the tables with Great Expectations; stop on critical failures.",
        "pipelines.stages.validate:run_gate",
        inputs=("prepared",),
        outputs=("quality",),
        sections=("prepare",),
    ),
    Stage(
        "split",
        "Split histories leave-one-out and draw sampled candidates.",
        "pipelines.stages.split:make_split",
        inputs=("prepared", "quality/gate.json"),
        outputs=("split",),
    ),
    Stage(
        "encoders",
        "Resolve pretrained encoders, or train small ones on the catalog.",
        "pipelines.stages.encoders:make_encoders",
        inputs=("prepared", "quality/gate.json"),
        outputs=("encoders",),
    ),
    Stage(
        "embed_images",
        "Encode pictures into the image feature matrix.",
        "pipelines.stages.embed_images:embed_images",
        inputs=("prepared", "encoders"),
        outputs=("features/image",),
    ),
    Stage(
        "embed_text",
        "Encode descriptions into the text feature matrix.",
        "pipelines.stages.embed_text:embed_text",
        inputs=("prepared/items.parquet", "encoders"),
        outputs=("features/text",),
    ),
    Stage(
        "summarize",
        "Shorten descriptions: by choosing sentences, by a model or a file.",
        "pipelines.stages.summarize:summarize",
        inputs=("prepared/items.parquet",),
        outputs=("summaries",),
    ),
    Stage(
        "validate_features",
        "Check the feature matrices, and that pictures and texts of items belong together.",
        "pipelines.stages.validate_features:run_feature_gate",
        inputs=("prepared/items.parquet", "encoders", "features/image", "features/text"),
        outputs=("feature_quality",),
    ),
    Stage(
        "train_cf",
        "Train SASRec; its item embeddings are the CF features.",
        "pipelines.stages.train_cf:train_cf",
        inputs=("prepared/items.parquet", "split"),
        outputs=("cf_model", "features/cf"),
    ),
    Stage(
        "train",
        "Train I-LLMRec and log it to MLflow.",
        "pipelines.stages.train:train",
        inputs=(
            *("prepared/items.parquet", "split/sequences.parquet", "encoders"),
            *("features/image", "features/text", "features/cf", "summaries"),
        ),
        outputs=("model", "curves/train.csv", "curves/validation.csv"),
    ),
    Stage(
        "evaluate",
        "Rank test targets: full catalog and sampled, with intervals.",
        "pipelines.stages.evaluate:evaluate",
        inputs=("prepared/items.parquet", "split", "encoders", "features", "cf_model", "model"),
        outputs=(
            *("evaluation/ranks.parquet", "evaluation/slices.csv", "evaluation/metrics.json"),
            *("evaluation/full.csv", "evaluation/sampled.csv", "evaluation/popular.csv"),
        ),
    ),
    Stage(
        "export",
        "Export the projection heads to ONNX and compare them with torch.",
        "pipelines.stages.export:export_head",
        inputs=(
            *("prepared/items.parquet", "split/sequences.parquet", "encoders", "features", "model"),
            "feature_quality/gate.json",
        ),
        outputs=("head",),
    ),
)
"""Every stage, in the order of the data."""


def find_maker(place: str) -> Stage | None:
    """Return the stage that makes a path below ``artifacts/<data set>``; None where none does."""
    return next((stage for stage in STAGES if stage.makes(place)), None)
