"""I-LLMRec: a frozen language model that reads image tokens, and the small parts trained around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from illmrec.data.histories import Indices
from illmrec.features.matrix import FeatureMatrix
from illmrec.models.adaptor import Preset, build_adaptor
from illmrec.models.backbone import Backbone
from illmrec.models.batch import PromptBatch, build_inference_batch
from illmrec.models.projection import ProjectionHeads
from illmrec.models.prompt import PromptTokens


class TrainedParts(nn.Module):
    """Everything that is trained and saved: adaptor, [REC] vector, projection heads.

    Args:
        llm_width: width of the language model.
        image_width: width of the image features that enter the prompt.
        widths: feature type -> width, for retrieval.
        adaptor_hidden: hidden width of the adaptor.
        shared_width: width of the recommendation space per type.
        preset: form of the adaptor.
    """

    def __init__(
        self,
        *,
        llm_width: int,
        image_width: int,
        widths: Mapping[str, int],
        adaptor_hidden: int,
        shared_width: int,
        preset: Preset,
    ) -> None:
        super().__init__()
        self.adaptor = build_adaptor(image_width, adaptor_hidden, llm_width, preset)
        self.rec = nn.Parameter(torch.randn(llm_width) * 0.02)
        self.heads = ProjectionHeads(llm_width, widths, shared_width)


@dataclass(frozen=True)
class Encoded:
    """What one pass over a batch yields.

    Args:
        users: ``float32 [Q, d_llm]``: h_u, the hidden state at [REC], per retrieval branch.
        answer_logits: ``float32 [A, vocabulary]`` at the answer places; None without alignment branches.
    """

    users: Tensor
    answer_logits: Tensor | None


class Recommender:
    """The model: backbone, trained parts, prompt and item features of one catalog.

    Args:
        backbone: the frozen language model.
        parts: what is trained.
        prompt: tokenized texts of the catalog.
        features: feature type -> matrix; ``image`` is needed for the prompt even where retrieval leaves it out.
        history_limit: most recent items shown.
    """

    def __init__(
        self,
        backbone: Backbone,
        parts: TrainedParts,
        prompt: PromptTokens,
        features: Mapping[str, FeatureMatrix],
        history_limit: int,
    ) -> None:
        self.backbone = backbone
        self.parts = parts.to(backbone.device)
        self.prompt = prompt
        self.features = features
        self.history_limit = history_limit

    @property
    def n_items(self) -> int:
        """Number of items in the catalog."""
        return len(self.prompt.items)

    def encode(self, batch: PromptBatch) -> Encoded:
        """Run the language model over a batch of prompts (paper, 3.1 to 3.3)."""
        batch = batch.to(self.backbone.device)
        words = self.backbone.embed(batch.token_ids)
        flat = words.reshape(-1, words.shape[-1])
        images = self.parts.adaptor(self._image_rows(batch.image_items)).to(flat.dtype)
        flat = flat.index_copy(0, batch.image_places, images)
        recs = self.parts.rec.to(flat.dtype).expand(len(batch.rec_places), -1)
        flat = flat.index_copy(0, batch.rec_places, recs)
        # Rows are padded on the right and attention is causal, so one user and one branch a row need no mask.
        mask = batch.attention_mask() if batch.needs_mask else None
        hidden = self.backbone.run(flat.view_as(words), batch.positions, mask).reshape(flat.shape)
        logits = self.backbone.predict_tokens(hidden[batch.answer_places]) if len(batch.answer_places) else None
        return Encoded(hidden[batch.rec_places].float(), logits)

    def item_features(self, items: npt.NDArray[np.integer]) -> dict[str, Tensor]:
        """Return ``float32 [n, d_f]`` per retrieval feature type, for item indices ``[n]``."""
        kinds = self.parts.heads.kinds
        return {kind: torch.from_numpy(self.features[kind].rows(items)).to(self.backbone.device) for kind in kinds}

    def project_items_by_type(self, items: Indices) -> Tensor:
        """Return ``float32 [n, F * d]`` of ``int32 [n, F]``: each type's slice from that column's item."""
        heads = self.parts.heads
        slices = []
        for column, kind in enumerate(heads.kinds):
            rows = torch.from_numpy(self.features[kind].rows(items[:, column])).to(self.backbone.device)
            slices.append(heads.item[kind](rows))
        return torch.cat(slices, dim=-1)

    @torch.inference_mode()
    def represent_users(self, histories: Sequence[Indices], batch_size: int) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, d_llm]``: h_u of each history, independent of batch size and order.

        Histories are sorted by length into batches, so that little is spent on padding; the cost grows with the sum of
        the prompts' tokens.
        """
        result = np.zeros((len(histories), self.backbone.width), dtype=np.float32)
        for rows in self.plan_batches(histories, batch_size):
            recent = [histories[row][-self.history_limit :] for row in rows]
            result[rows] = self.encode(build_inference_batch(self.prompt, recent)).users.cpu().numpy()
        return result

    def plan_batches(self, histories: Sequence[Indices], batch_size: int) -> Iterator[npt.NDArray[np.int64]]:
        """Yield rows of ``histories`` with prompts of similar length, longest first."""
        tokens = self.prompt.items.lengths
        lengths = np.array([tokens[history[-self.history_limit :]].sum() for history in histories], dtype=np.int64)
        order = np.argsort(-lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            yield order[start : start + batch_size]

    @torch.inference_mode()
    def represent_items(self, block: int = 4096) -> npt.NDArray[np.float32]:
        """Return ``float32 [n_items, F * d]``: every item in the recommendation space."""
        blocks = [np.arange(start, min(start + block, self.n_items)) for start in range(0, self.n_items, block)]
        projected = [self.parts.heads.project_items(self.item_features(rows)).cpu().numpy() for rows in blocks]
        return np.concatenate(projected)

    @torch.inference_mode()
    def project_users(self, hidden: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, F * d]``: user representations in the recommendation space."""
        device = self.backbone.device
        return np.asarray(self.parts.heads.project_users(torch.from_numpy(hidden).to(device)).cpu().numpy())

    def _image_rows(self, items: Tensor) -> Tensor:
        rows = self.features["image"].rows(items.cpu().numpy())
        return torch.from_numpy(rows).to(self.backbone.device)
