from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from illmrec.errors import ModelError, ParameterError
from illmrec.models.backbone import Backbone
from illmrec.models.prefix import PrefixCache
from illmrec.training.language import LanguageSettings, train_language, train_tokenizer, write_documents


def test_it_runs_as_transformers_does(tiny_backbone: Backbone, tiny_model_folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder).eval()
    tokens = torch.arange(3, 40)[None]
    with torch.inference_mode():
        expected = model(tokens, output_hidden_states=True)
        causal = torch.ones(1, 1, 37, 37, dtype=torch.bool).tril()
        states = tiny_backbone.run(tiny_backbone.embed(tokens), torch.arange(37)[None], causal)
    assert torch.allclose(states, expected.hidden_states[-1], atol=1e-6)
    assert torch.allclose(tiny_backbone.predict_tokens(states[0]), expected.logits[0], atol=1e-5)
    assert tiny_backbone.width == 32


def test_tokens_come_without_special_ones(tiny_backbone: Backbone) -> None:
    assert tiny_backbone.tokenize([]) == []
    first, empty = tiny_backbone.tokenize(["Title: lamp", ""])
    assert empty == []
    assert tiny_backbone.tokenizer.decode(first) == "Title: lamp"
    special = {*tiny_backbone.begin_tokens, *tiny_backbone.end_tokens}
    assert len(special) == 2
    assert not special & set(first)


def copy(folder: Path, target: Path) -> Path:
    shutil.copytree(folder, target)
    return target


def test_weights_in_a_format_that_can_run_code_are_refused(tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = copy(tiny_model_folder, tmp_path / "model")
    state = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    torch.save(state, folder / "pytorch_model.bin")
    Backbone(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=str(folder)):
        Backbone(folder)


def test_code_that_comes_with_a_model_is_not_run(tiny_model_folder: Path, tmp_path: Path) -> None:
    folder, trace = copy(tiny_model_folder, tmp_path / "model"), tmp_path / "ran"
    (folder / "theirs.py").write_text(f"open({str(trace)!r}, 'w')\n")
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "theirs.Config", "AutoModelForCausalLM": "theirs.Model"}
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": classes, "model_type": "theirs"}))
    with pytest.raises(ModelError):
        Backbone(folder)
    assert not trace.exists()


@pytest.mark.parametrize("damage", ["no folder", "no config", "bad config", "half the weights", "no tokenizer"])
def test_a_folder_that_is_no_model_is_refused(damage: str, tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    if damage != "no folder":
        copy(tiny_model_folder, folder)
    if damage == "no config":
        (folder / "config.json").unlink()
    elif damage == "bad config":
        (folder / "config.json").write_text("{")
    elif damage == "half the weights":
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:5000])
    elif damage == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=str(folder)):
        Backbone(folder)


def test_weights_that_are_not_there_are_not_made_up(tiny_model_folder: Path, tmp_path: Path) -> None:
    folder = copy(tiny_model_folder, tmp_path / "model")
    state = load_file(folder / "model.safetensors")
    del state["model.layers.1.mlp.up_proj.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights are absent.*layers\.1\.mlp\.up_proj"):
        Backbone(folder)


SETTINGS = LanguageSettings(
    vocabulary=320, width=16, layers=1, heads=2, context=32, steps=2, batch_size=2, learning_rate=1e-3, seed=0
)


def test_a_model_trained_on_the_spot_is_one_that_can_be_loaded(tmp_path: Path, tiny_items: pl.DataFrame) -> None:
    tokenizer = train_tokenizer(tiny_items["title"], SETTINGS.vocabulary)
    losses = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        losses.append(train_language(tmp_path / name, tiny_items, tokenizer, SETTINGS))
    assert len(losses[0]) == 2
    assert losses[0] == losses[1]
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("first", "second")]
    assert weights[0] == weights[1]
    backbone = Backbone(tmp_path / "first")
    assert backbone.width == 16
    assert len(backbone.tokenizer) <= SETTINGS.vocabulary
    assert not list((tmp_path / "first").glob("*.bin"))


def test_a_tokenizer_loses_no_character(tiny_items: pl.DataFrame) -> None:
    tokenizer = train_tokenizer(tiny_items["title"], 320)
    for text in ("plain words", "Größe 42 — 日本 🙂", "  two  spaces ", "'quoted'\n"):
        assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text


def test_documents_hold_catalog_texts_and_repeat(tiny_items: pl.DataFrame) -> None:
    documents = write_documents(tiny_items, 50, seed=1)
    assert len(documents) == 50
    assert documents == write_documents(tiny_items, 50, seed=1)
    assert documents != write_documents(tiny_items, 50, seed=2)
    titles = [title for title in tiny_items["title"] if title]
    assert all(any(title in document for title in titles) or "without a title" in document for document in documents)


FAMILIES = {
    "Mistral": {},
    "Qwen2": {},
    "Qwen3": {},
    "Gemma": {},
    "Gemma2": {},
    "Gemma3": {"config": "Gemma3TextConfig"},
    "Phi3": {},
    "SmolLM3": {},
    "Olmo2": {"narrows": False},
}
"""Families of models that a backbone may be of; in OLMo 2 the order inside a layer leaves no room for narrowing."""


def save_family(family: str, tiny_model_folder: Path, folder: Path) -> Any:
    """Save a model of a family with RANDOM weights and two layers; return it."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_folder)
    config = getattr(transformers, FAMILIES.get(family, {}).get("config", f"{family}Config"))(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=256, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


@pytest.mark.parametrize("family", FAMILIES)
def test_other_families_take_the_shortcuts_too(family: str, tiny_model_folder: Path, tmp_path: Path) -> None:
    model = save_family(family, tiny_model_folder, tmp_path)
    backbone = Backbone(tmp_path)
    assert backbone.shares_prefix
    assert backbone.narrows is FAMILIES[family].get("narrows", True)
    tokens, queries = torch.arange(3, 43).reshape(2, 20), torch.tensor([[9, 2], [13, 5]])
    positions = torch.arange(6, 20).expand(2, -1)
    mask = torch.ones(14, 20, dtype=torch.bool).tril(6).expand(2, 1, -1, -1)
    with torch.inference_mode():
        expected = model(tokens, output_hidden_states=True).hidden_states[-1][:, 6:]
        tokens[1, :6] = tokens[0, :6]
        whole = model(tokens, output_hidden_states=True).hidden_states[-1][:, 6:]
        prefix = backbone.read_prefix(tokens[0, :6].tolist())
        found = backbone.run(backbone.embed(tokens[:, 6:]), positions, mask, prefix=prefix, queries=queries)
    rows = torch.arange(2)[:, None]
    assert torch.allclose(found, whole[rows, queries], atol=2e-5)
    assert not torch.allclose(found[1], expected[1, queries[1]], atol=1e-3), "the beginning must matter"


def test_a_shortcut_that_gives_something_else_is_not_taken(
    tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget(self: PrefixCache, keys: torch.Tensor, values: torch.Tensor, *_: object, **__: object) -> object:
        return keys.repeat(1, 1, 2, 1)[:, :, : keys.shape[2] + 4], values.repeat(1, 1, 2, 1)[:, :, : keys.shape[2] + 4]

    monkeypatch.setattr(PrefixCache, "update", forget)
    assert not Backbone(tiny_model_folder).shares_prefix
    monkeypatch.undo()
    monkeypatch.setattr("illmrec.models.prefix._take", lambda values, columns: values[:, : columns.shape[1]])
    assert not Backbone(tiny_model_folder).narrows


@pytest.mark.parametrize("family", ["Llama", *FAMILIES])
def test_the_first_layers_are_those_of_the_whole_model(family: str, tiny_model_folder: Path, tmp_path: Path) -> None:
    model = save_family(family, tiny_model_folder, tmp_path)
    shallow, whole = Backbone(tmp_path, layers=1), Backbone(tmp_path)
    assert (shallow.layers, whole.layers) == (1, 2)
    assert (shallow.shares_prefix, shallow.narrows) == (whole.shares_prefix, whole.narrows)
    assert shallow.parameters_per_token < whole.parameters_per_token
    tokens, queries = torch.arange(3, 23)[None], torch.tensor([[19, 7]])
    causal = torch.ones(1, 1, 20, 20, dtype=torch.bool).tril()
    with torch.inference_mode():
        after_first = model(tokens, output_hidden_states=True).hidden_states[1]
        expected = model.get_decoder().norm(after_first)
        found = shallow.run(shallow.embed(tokens), torch.arange(20)[None], causal)
        narrowed = shallow.run(shallow.embed(tokens), torch.arange(20)[None], causal, queries=queries)
        deep = whole.run(whole.embed(tokens), torch.arange(20)[None], causal)
    assert torch.allclose(found, expected, atol=1e-5)
    assert torch.allclose(narrowed[0], expected[0, queries[0]], atol=1e-5)
    assert not torch.allclose(found, deep, atol=1e-3), "the second layer must matter"


def test_more_layers_than_there_are_cannot_be_read(tiny_model_folder: Path) -> None:
    with pytest.raises(ParameterError, match="is 4, expected at most 3"):
        Backbone(tiny_model_folder, layers=4)


def test_weights_drawn_anew_repeat_and_leave_other_numbers_alone(tiny_model_folder: Path) -> None:
    tokens, causal = torch.arange(3, 23)[None], torch.ones(1, 1, 20, 20, dtype=torch.bool).tril()

    def read(**options: Any) -> torch.Tensor:
        backbone = Backbone(tiny_model_folder, layers=2, **options)
        assert not backbone.trained
        with torch.inference_mode():
            return backbone.run(backbone.embed(tokens), torch.arange(20)[None], causal)

    torch.manual_seed(5)
    first = torch.rand(1)
    torch.manual_seed(5)
    drawn = read(random_seed=0)
    assert torch.equal(torch.rand(1), first)
    assert torch.equal(drawn, read(random_seed=0))
    assert not torch.allclose(drawn, read(random_seed=1), atol=1e-3)
    assert not torch.allclose(drawn, read(), atol=1e-3)
