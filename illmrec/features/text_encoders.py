"""Models that turn descriptions into features, through sentence-transformers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from illmrec.errors import ModelError


class SentenceEncoder:
    """A sentence-transformers model in a local folder.

    Args:
        folder: what ``SentenceTransformer`` reads; texts longer than the model's limit are cut at it.
        device: torch device.

    Raises:
        ModelError: when the folder is not such a model.
    """

    def __init__(self, folder: Path, device: str = "cpu") -> None:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()
        try:
            self._model = SentenceTransformer(
                str(folder), device=device, local_files_only=True, model_kwargs={"use_safetensors": True}
            )
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise ModelError(f"is not a readable sentence-transformers model: {error}", path=folder) from None
        self.width = int(self.encode_texts([""]).shape[1])

    def encode_texts(self, texts: list[str]) -> npt.NDArray[np.float32]:
        """Return ``float32 [n, width]``."""
        vectors = self._model.encode(texts, batch_size=len(texts), show_progress_bar=False, convert_to_numpy=True)
        return np.asarray(vectors, dtype=np.float32)
