"""GGUF files become folders that load like any other model's."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from illmrec.atomic import digest_folder
from illmrec.errors import ModelError
from illmrec.features.gguf import convert_gguf
from illmrec.features.language_models import load_language_model
from tests.gguf_file import write_gguf

QUANTISED = gguf.GGMLQuantizationType.Q8_0


@pytest.fixture(scope="module")
def tiny_gguf(tiny_model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tiny_model_folder, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


def test_weights_and_tokens_are_those_of_the_model_that_was_written(
    tiny_gguf: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    about = convert_gguf(tiny_gguf, tmp_path)
    assert about == {"name": "Tiny", "architecture": "llama", "licence": "apache-2.0", "quantisation": "F32"}
    model, tokenizer = load_language_model(tmp_path, torch.float32)
    original = AutoModelForCausalLM.from_pretrained(tiny_model_folder).state_dict()
    state = model.state_dict()
    assert state.keys() == original.keys()
    assert all(torch.equal(state[name], original[name]) for name in state)
    text = "Title: steel lamp 7, blue Wolt"
    theirs = AutoTokenizer.from_pretrained(tiny_model_folder)
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == theirs(text, add_special_tokens=False)["input_ids"]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (theirs.bos_token_id, theirs.eos_token_id)


def test_quantised_weights_are_taken_at_their_value(tiny_model_folder: Path, tmp_path: Path) -> None:
    file = write_gguf(tiny_model_folder, tmp_path / "tiny.gguf", quantise=QUANTISED)
    about = convert_gguf(file, make_folder(tmp_path / "model"))
    assert about["quantisation"] == "Q8_0"
    name = "model.layers.1.mlp.up_proj.weight"
    original = AutoModelForCausalLM.from_pretrained(tiny_model_folder).state_dict()[name].float().numpy()
    expected = gguf.quants.dequantize(gguf.quants.quantize(original, QUANTISED), QUANTISED)
    found = load_language_model(tmp_path / "model", torch.float32)[0].state_dict()[name]
    assert torch.equal(found, torch.from_numpy(expected))
    assert not torch.equal(found, torch.from_numpy(original))


def test_the_same_file_gives_the_same_bytes_wherever_it_lies(tiny_gguf: Path, tmp_path: Path) -> None:
    elsewhere = make_folder(tmp_path / "elsewhere") / "other-name.gguf"
    elsewhere.write_bytes(tiny_gguf.read_bytes())
    convert_gguf(tiny_gguf, make_folder(tmp_path / "one"))
    convert_gguf(elsewhere, make_folder(tmp_path / "two"))
    assert digest_folder(tmp_path / "one") == digest_folder(tmp_path / "two")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[: len(data) // 2], "is no whole GGUF file"),
        (lambda data: data[:-1], "is no whole GGUF file"),
        (lambda data: data[:20], "is no whole GGUF file"),
        (lambda data: b"\x80\x04" + data, "is no GGUF file"),
        (lambda _: b"", "is no GGUF file"),
    ],
)
def test_a_damaged_file_is_refused(damage: Any, message: str, tiny_gguf: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(damage(tiny_gguf.read_bytes()))
    with pytest.raises(ModelError, match=message):
        convert_gguf(file, make_folder(tmp_path / "model"))


def test_an_architecture_that_is_not_read_is_named(tiny_model_folder: Path, tmp_path: Path) -> None:
    file = write_gguf(tiny_model_folder, tmp_path / "model.gguf", architecture="abacus")
    with pytest.raises(ModelError, match="architecture 'abacus'"):
        convert_gguf(file, make_folder(tmp_path / "model"))


def test_the_extra_that_is_missing_is_named(tiny_gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary = builtins.__import__

    def refuse(name: str, *arguments: Any, **named: Any) -> Any:
        if name == "gguf":
            raise ImportError(name)
        return ordinary(name, *arguments, **named)

    monkeypatch.delitem(sys.modules, "gguf", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ModelError, match="needs the package gguf") as caught:
        convert_gguf(tiny_gguf, tmp_path)
    assert "illmrec[gguf]" in caught.value.hint
