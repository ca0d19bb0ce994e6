"""I-LLMRec: a frozen language model that reads image tokens, and the small parts trained around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from illmrec.data.histories import Indices
from illmrec.errors import ModelError
from illmrec.features.matrix import FeatureMatrix
from illmrec.models.adaptor import Preset, balance_parts, build_adaptor
from illmrec.models.backbone import Backbone
from illmrec.models.batch import PromptBatch, build_inference_batch, packing_pays
from illmrec.models.centring import fold_state, set_centre
from illmrec.models.prefix import Prefix
from illmrec.models.projection import ProjectionHeads
from illmrec.models.prompt import PromptTokens


class TrainedParts(nn.Module):
    """Everything that is trained around the language model: adaptor, [REC] vector, projection heads.

    Args:
        llm_width: width of the language model.
        slot_width: width of the features that enter the prompt; None where items are written in words alone, which
            leaves out the adaptor.
        widths: feature type -> width, for retrieval.
        adaptor_hidden: hidden width of the adaptor.
        shared_width: width of the recommendation space per type.
        preset: form of the adaptor.
        image_tokens: tokens that a feature becomes in the prompt.
        type_weights: whether a weight for each feature type's score is ``learned``.
    """

    def __init__(
        self,
        *,
        llm_width: int,
        slot_width: int | None,
        widths: Mapping[str, int],
        adaptor_hidden: int,
        shared_width: int,
        preset: Preset,
        image_tokens: int = 1,
        type_weights: Literal["equal", "learned"] = "equal",
    ) -> None:
        super().__init__()
        self.adaptor: nn.Sequential | None = None
        if slot_width is not None:
            self.adaptor = build_adaptor(slot_width, adaptor_hidden, llm_width * image_tokens, preset)
        self.rec = nn.Parameter(torch.randn(llm_width) * 0.02)
        self.heads = ProjectionHeads(llm_width, widths, shared_width, learned_weights=type_weights == "learned")
        self.dropout = nn.Dropout(0.0)


@dataclass(frozen=True)
class Encoded:
    """What one pass over a batch yields.

    Args:
        users: ``float32 [N, d_llm]``: h_u, the hidden state at [REC], per retrieval branch.
        answer_logits: ``float32 [A, vocabulary]`` at the answer places; None without alignment branches.
    """

    users: Tensor
    answer_logits: Tensor | None


class Recommender:
    """I-LLMRec: a frozen language model, the parts trained around it, and prompt and features of one catalog.

    It turns histories into user vectors and items into item vectors of one space; a score is their dot product.

    Args:
        backbone: the language model.
        parts: what is trained around it.
        prompt: tokenized texts of the catalog.
        features: feature type -> matrix; those of ``slot_kinds`` are needed even where retrieval leaves them out.
        history_limit: most recent items shown.
        slot_kinds: feature types that fill the items' slots, side by side; none for items in words alone.
        token_budget: most tokens of a retrieval prompt: older items are left out; None for no bound.

    Example:
        >>> catalog = illmrec.Catalog(pl.read_parquet("artifacts/shop/prepared/items.parquet"))
        >>> history = catalog.index_items(pl.Series(["lamp", "pan"]))
        >>> hidden = recommender.represent_users([history], batch_size=1)
        >>> scores = recommender.project_users(hidden) @ recommender.represent_items().T
        >>> scores.shape == (1, len(catalog))
        True
    """

    def __init__(
        self,
        backbone: Backbone,
        parts: TrainedParts,
        prompt: PromptTokens,
        features: Mapping[str, FeatureMatrix],
        history_limit: int,
        *,
        slot_kinds: tuple[str, ...] = ("image",),
        token_budget: int | None = None,
    ) -> None:
        self.backbone = backbone
        self.parts = parts.to(backbone.device).eval()
        self.prompt = prompt
        self.features = features
        self.history_limit = history_limit
        self.slot_kinds = slot_kinds
        self.token_budget = token_budget
        # A question with a history of its own begins differently, so there is no beginning that all share.
        self.shares_prefix = backbone.shares_prefix and prompt.question_head is None and len(prompt.head) > 0
        self._prefix: Prefix | None = None

    @property
    def n_items(self) -> int:
        """Number of items in the catalog."""
        return len(self.prompt.items)

    @property
    def token_room(self) -> int | None:
        """Return how many tokens the budget leaves for a history's items; None without a budget."""
        return None if self.token_budget is None else self.token_budget - self.prompt.constant_tokens

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """Return all that is trained, by name: the parts, and adapters and tokens of the backbone."""
        inside = {f"backbone.{name}": value for name, value in self.backbone.trained.items()}
        return dict(self.parts.named_parameters()) | inside

    def state(self) -> dict[str, Tensor]:
        """Return a copy of all that is trained."""
        return {name: value.detach().clone() for name, value in self.named_parameters().items()}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take the values of :meth:`state`.

        Raises:
            ModelError: when names or shapes are others.
        """
        named = self.named_parameters()
        if named.keys() != tensors.keys():
            odd = sorted(named.keys() ^ tensors.keys())
            raise ModelError(f"{len(odd)} trained tensors are absent or unknown, {odd[0]} first.")
        with torch.no_grad():
            for name, value in named.items():
                if value.shape != tensors[name].shape:
                    raise ModelError(f"{name} is {tuple(tensors[name].shape)}, expected {tuple(value.shape)}.")
                value.copy_(tensors[name])
        self._prefix = None

    def prepare_training(self, *, centre_features: bool = False, dropout: float = 0.0) -> None:
        """Set what is at work in training alone; call it before the first step and before a state is loaded.

        Args:
            centre_features: let adaptor and item projectors read features less their mean over the catalog (see
                :mod:`illmrec.models.centring`). Reads every feature once.
            dropout: share of the coordinates of features and user representations that are hidden in training.
        """
        self.parts.dropout.p = dropout
        if not centre_features:
            return
        used = dict.fromkeys((*self.slot_kinds, *self.parts.heads.kinds))
        means = {kind: torch.from_numpy(self.features[kind].mean()).to(self.backbone.device) for kind in used}
        for kind, projector in self.parts.heads.item.items():
            set_centre(projector, means[kind])
        if self.parts.adaptor is not None:
            set_centre(self.parts.adaptor, balance_parts([means[kind] for kind in self.slot_kinds]))

    def fold_state(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return ``tensors`` of :meth:`state` as a model without :meth:`prepare_training` takes them."""
        return fold_state(self.parts, tensors)

    def switch_training(self, *, on: bool) -> None:
        """Switch dropout on or off, that of the language model's adapters too."""
        self.parts.train(on)
        self.backbone.switch_training(on=on)

    def encode(self, batch: PromptBatch) -> Encoded:
        """Run the language model over a batch of prompts (paper, 3.1 to 3.3)."""
        batch = batch.to(self.backbone.device)
        words = self.backbone.embed(batch.token_ids)
        flat = words.reshape(-1, words.shape[-1])
        if self.parts.adaptor is not None:
            slots = self.parts.adaptor(self._slot_rows(batch.slot_items)).to(flat.dtype)
            flat = flat.index_copy(0, batch.slot_places, slots.reshape(-1, flat.shape[-1]))
        recs = self.parts.rec.to(flat.dtype).expand(len(batch.rec_places), -1)
        flat = flat.index_copy(0, batch.rec_places, recs)
        hidden = self.backbone.run(
            flat.view_as(words),
            batch.positions,
            batch.attention_mask(),
            prefix=self._read_prefix() if batch.prefix_length else None,
            queries=batch.queries,
        ).flatten(0, 1)
        answers = hidden[batch.answer_queries]
        logits = self.backbone.predict_tokens(answers) if len(answers) else None
        return Encoded(self.parts.dropout(hidden[batch.rec_queries].float()), logits)

    def item_features(self, items: npt.NDArray[np.integer]) -> dict[str, Tensor]:
        """Return ``float32 [n, d_f]`` per retrieval feature type, for item indices ``[n]``."""
        return {kind: self._feature_rows(kind, items) for kind in self.parts.heads.kinds}

    def project_items_by_type(self, items: Indices) -> Tensor:
        """Return ``float32 [n, F * d]`` of ``int32 [n, F]``: each type's slice from that column's item."""
        heads = self.parts.heads
        slices = []
        for column, kind in enumerate(heads.kinds):
            slices.append(heads.item[kind](self._feature_rows(kind, items[:, column])))
        return torch.cat(slices, dim=-1)

    def cut_history(self, history: Indices) -> Indices:
        """Return the most recent items that the limit and the token budget leave; at least one."""
        recent = history[-self.history_limit :]
        room = self.token_room
        if room is None:
            return recent
        total = np.cumsum(self.prompt.items.lengths[recent[::-1]])
        return recent[-max(int(np.searchsorted(total, room, side="right")), 1) :]

    @torch.inference_mode()
    def represent_users(self, histories: Sequence[Indices], batch_size: int) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, d_llm]``: h_u of each history, independent of batch size and order.

        Histories are sorted by length into batches, so that little is spent on padding; the cost grows with the sum of
        the prompts' tokens.
        """
        self.switch_training(on=False)
        result = np.zeros((len(histories), self.backbone.width), dtype=np.float32)
        for rows in self.plan_batches(histories, batch_size):
            cut = [self.cut_history(histories[row]) for row in rows]
            batch = build_inference_batch(self.prompt, cut, with_head=not self.shares_prefix, width=self.backbone.width)
            result[rows] = self.encode(batch).users.cpu().numpy()
        return result

    def plan_batches(self, histories: Sequence[Indices], batch_size: int) -> Iterator[npt.NDArray[np.int64]]:
        """Yield rows of ``histories`` with prompts of similar length, longest first.

        On a processor whose passes cost less one by one than together, each row is a batch of its own.
        """
        tokens = self.prompt.items.lengths
        fixed = len(self.prompt.instruction) + 1 + (0 if self.shares_prefix else len(self.prompt.head))
        lengths = np.array([tokens[self.cut_history(history)].sum() for history in histories], dtype=np.int64) + fixed
        order = np.argsort(-lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            together = self.backbone.device.type != "cpu" or packing_pays(lengths[rows].tolist(), self.backbone.width)
            yield from (rows,) if together else rows[:, None]

    @torch.inference_mode()
    def represent_items(self, block: int = 4096) -> npt.NDArray[np.float32]:
        """Return ``float32 [n_items, F * d]``: every item in the recommendation space."""
        self.switch_training(on=False)
        blocks = [np.arange(start, min(start + block, self.n_items)) for start in range(0, self.n_items, block)]
        projected = [self.parts.heads.project_items(self.item_features(rows)).cpu().numpy() for rows in blocks]
        return np.concatenate(projected)

    @torch.inference_mode()
    def project_users(self, hidden: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, F * d]``: user representations in the recommendation space."""
        device = self.backbone.device
        return np.asarray(self.parts.heads.project_users(torch.from_numpy(hidden).to(device)).cpu().numpy())

    def _read_prefix(self) -> Prefix:
        """Return the prefix: once for a frozen backbone, anew for each pass of one that is being trained."""
        if self.backbone.trained and torch.is_grad_enabled():
            return self.backbone.read_prefix(self.prompt.head.tolist())
        if self._prefix is None or self.backbone.trained:
            # Kept for passes that record gradients too, so it must not be a tensor of inference mode.
            with torch.inference_mode(mode=False), torch.no_grad():
                self._prefix = self.backbone.read_prefix(self.prompt.head.tolist())
        return self._prefix

    def _feature_rows(self, kind: str, items: npt.NDArray[np.integer]) -> Tensor:
        rows: Tensor = self.parts.dropout(torch.from_numpy(self.features[kind].rows(items)).to(self.backbone.device))
        return rows

    def _slot_rows(self, items: Tensor) -> Tensor:
        if not self.slot_kinds:
            raise ModelError("items are written in words alone, but the model has an adaptor.")
        wanted = items.cpu().numpy()
        rows = [torch.from_numpy(self.features[kind].rows(wanted)) for kind in self.slot_kinds]
        shown: Tensor = self.parts.dropout(balance_parts(rows).to(self.backbone.device))
        return shown
