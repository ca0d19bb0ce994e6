from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import illmrec
from illmrec.errors import ModelError
from illmrec.features.image_encoders import OpenClipEncoder, TimmEncoder
from illmrec.training.image_text import ImageTextSettings, train_image_text
from illmrec.training.language import train_tokenizer

assert illmrec.__version__  # timm needs what importing the package installs

TEXTS = ["a red square", "blue and green", "small dots", "", "a lamp for the desk", "stripes"]
SETTINGS = ImageTextSettings(
    image_size=32, patch_size=16, width=32, layers=1, context=12, steps=2, batch_size=4, learning_rate=1e-3, seed=0
)
ARCHITECTURE = "test_efficientnet"
"""The smallest of timm's architectures; its weights here are random."""


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = [(32, 32), (40, 25), (7, 90), (200, 100), (33, 31), (64, 64)]
    return [Image.fromarray(rng.integers(0, 256, (high, wide, 3)).astype(np.uint8)) for wide, high in sizes]


@pytest.fixture(scope="module")
def open_clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("open_clip")
    losses = train_image_text(folder, pictures(), TEXTS, train_tokenizer(TEXTS, 300), SETTINGS)
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    return folder


@pytest.fixture(scope="module")
def open_clip(open_clip_folder: Path) -> OpenClipEncoder:
    return OpenClipEncoder(open_clip_folder)


@pytest.fixture(scope="module")
def timm_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import timm

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("timm") / "weights.safetensors"
    save_file(timm.create_model(ARCHITECTURE).state_dict(), path)
    return path


@pytest.fixture(scope="module", params=["open_clip", "timm"])
def encoder(request: pytest.FixtureRequest) -> Iterator[OpenClipEncoder | TimmEncoder]:
    if request.param == "open_clip":
        yield request.getfixturevalue("open_clip")
    else:
        yield TimmEncoder(ARCHITECTURE, request.getfixturevalue("timm_weights"), image_size=64)


def test_a_pictures_vector_does_not_depend_on_its_batch(encoder: OpenClipEncoder | TimmEncoder) -> None:
    together = encoder.encode_images(pictures())
    assert together.dtype == np.float32
    assert together.shape == (6, encoder.width)
    alone = np.concatenate([encoder.encode_images([picture]) for picture in pictures()])
    assert np.abs(together - alone).max() < 1e-5
    backwards = encoder.encode_images(pictures()[::-1])[::-1]
    assert np.abs(together - backwards).max() < 1e-5
    assert np.abs(together[0] - together[1]).max() > 1e-4


def test_open_clip_reads_texts_in_the_space_of_pictures(open_clip: OpenClipEncoder) -> None:
    assert open_clip.has_text_tower
    assert open_clip.width == SETTINGS.width
    together = open_clip.encode_texts(TEXTS)
    assert together.shape == (6, open_clip.width)
    alone = np.concatenate([open_clip.encode_texts([text]) for text in TEXTS])
    assert np.abs(together - alone).max() < 1e-5
    assert np.abs(together[0] - together[1]).max() > 1e-4
    long = open_clip.encode_texts(["word " * 5000])
    assert np.isfinite(long).all()


def test_training_the_small_model_repeats_bit_for_bit(open_clip_folder: Path, tmp_path: Path) -> None:
    train_image_text(tmp_path, pictures(), TEXTS, train_tokenizer(TEXTS, 300), SETTINGS)
    first, second = (load_file(path / "open_clip_model.safetensors") for path in (open_clip_folder, tmp_path))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("damage", ["no folder", "no config", "bad config", "half the weights", "other weights"])
def test_a_folder_that_is_no_open_clip_model_is_refused(damage: str, open_clip_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    weights = folder / "open_clip_model.safetensors"
    if damage != "no folder":
        shutil.copytree(open_clip_folder, folder)
    if damage == "no config":
        (folder / "open_clip_config.json").unlink()
    elif damage == "bad config":
        (folder / "open_clip_config.json").write_text("{")
    elif damage == "half the weights":
        weights.write_bytes(weights.read_bytes()[:5000])
    elif damage == "other weights":
        weights.unlink()
        save_file({"x": torch.zeros(3)}, weights)
    with pytest.raises(ModelError, match=str(folder)):
        OpenClipEncoder(folder)


def test_weights_in_a_format_that_can_run_code_are_refused(open_clip_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(open_clip_folder, folder)
    state = load_file(folder / "open_clip_model.safetensors")
    torch.save(state, folder / "open_clip_pytorch_model.bin")
    OpenClipEncoder(folder)  # safetensors are taken where both are there
    (folder / "open_clip_model.safetensors").rename(folder / "other.safetensors")
    with pytest.raises(ModelError, match="safetensors"):
        OpenClipEncoder(folder)


def test_timm_has_no_text_tower(timm_weights: Path) -> None:
    encoder = TimmEncoder(ARCHITECTURE, timm_weights, image_size=64)
    assert not encoder.has_text_tower
    with pytest.raises(ModelError, match="2 items lack a picture") as caught:
        encoder.encode_texts(["a", "b"])
    assert "embed_images.missing" in caught.value.hint


def test_timm_settings_reach_the_pixels(timm_weights: Path) -> None:
    grey = Image.new("RGB", (10, 10), (128, 128, 128))
    encoder = TimmEncoder(ARCHITECTURE, timm_weights, image_size=48, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 1.0))
    pixels = encoder.preparation.prepare_all([grey])
    assert pixels.shape == (1, 3, 48, 48)
    expected = [(128 / 255 - 0.1) / 0.5, (128 / 255 - 0.2) / 0.25, (128 / 255 - 0.3) / 1.0]
    assert pixels[0].mean(axis=(1, 2)).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("damage", ["missing", "truncated", "of another model", "unknown architecture", "argument"])
def test_weights_that_do_not_fit_are_refused(damage: str, timm_weights: Path, tmp_path: Path) -> None:
    path, architecture, arguments = tmp_path / "weights.safetensors", ARCHITECTURE, {}
    if damage != "missing":
        shutil.copy(timm_weights, path)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-9])
    elif damage == "of another model":
        architecture = "test_resnet"
    elif damage == "unknown architecture":
        architecture = "no_such_net"
    elif damage == "argument":
        arguments = {"no_such_argument": 3}
    with pytest.raises(ModelError) as caught:
        TimmEncoder(architecture, path, arguments=arguments)
    assert str(path) in str(caught.value)
    assert "encoders.image" in caught.value.hint
