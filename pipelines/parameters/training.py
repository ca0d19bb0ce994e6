"""Sections of training, evaluation and export."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipelines.parameters.section import Count, FeatureType, Section, Share


class TrainCfConfig(Section):
    """SASRec, whose item embeddings are the CF features. Sees training interactions only."""

    key = "train_cf"

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

    key = "train"

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
    titles: Literal["own", "shuffled"] = "own"
    """``shuffled`` gives every item of a history another item's title. There to be compared with: what the language
    model makes of their meaning is gone, and all else stays."""
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
    compiled: bool = False
    """Compile the language model's norms and gates. Needs a C++ compiler and time at the start; what a step on a
    processor gains depends on its tokens (`python -m benchmarks.training --compiled`). The last bits of results
    differ."""
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


class EvaluateConfig(Section):
    """Ranking metrics on the test targets. See docs/evaluation.md."""

    key = "evaluate"

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
    """Users for whom pictures, and titles, are replaced by wrong ones, to see whether they are used: a fixed random
    sample where there are more. Each is encoded five times more. 0 leaves that out."""
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

    key = "export"

    max_difference: float = Field(default=1e-4, gt=0.0)
    """Largest absolute difference of a projected coordinate."""
    min_same_top10_share: Share = 0.999
    """Smallest share of users whose ten best items agree."""
    compared_users: Count = 2000
    """Users that both are compared for, a fixed random sample where there are more. Items are compared all."""
