"""GGUF files, turned once into an ordinary folder of config, safetensors and tokenizer.

transformers reads the file (extra ``gguf``): quantised weights become float32, which later stages read like those of
any other model, memory-mapped and without the file. A GGUF file holds numbers and texts, no code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from illmrec.errors import ModelError
from illmrec.features.language_models import refuse_absent_weights

_MAGIC = b"GGUF"
_UNSTABLE = ("_name_or_path", "transformers_version")
"""What the same weights would have otherwise from one release of transformers to the next."""


def convert_gguf(file: Path, folder: Path) -> dict[str, str]:
    """Fill an existing folder with what ``from_pretrained`` reads, weights as float32.

    Args:
        file: the GGUF file.
        folder: gets config.json, model.safetensors and the tokenizer's files; equal files give equal bytes.

    Returns:
        What the file says of itself: ``name``, ``architecture``, ``licence``, ``quantisation``; empty where it says
        nothing.

    Raises:
        ModelError: when it is no whole GGUF file, or of an architecture or a tokenizer that transformers does not
            read; when the extra ``gguf`` is not installed.
    """
    about = describe_gguf(file)
    model, tokenizer = _load(file, about["architecture"])
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    # Weights of a quantised file cannot be saved as such; a plain model of the same shape takes them.
    plain = type(model)(config)
    plain.load_state_dict(model.state_dict())
    plain.tie_weights()
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name in ("config.json", "generation_config.json"):
        _drop_unstable(folder / name)
    return about


def describe_gguf(file: Path) -> dict[str, str]:
    """Return what a GGUF file says of itself, after checking that it is whole.

    Raises:
        ModelError: when it is not, or the extra ``gguf`` is not installed.
    """
    with file.open("rb") as opened:
        if opened.read(4) != _MAGIC:
            raise ModelError("is no GGUF file.", path=file)
    try:
        from gguf import GGUFReader
    except ImportError:
        hint = "Install it: pip install 'illmrec[gguf]'"
        raise ModelError("reading GGUF files needs the package gguf.", path=file, hint=hint) from None
    try:
        # The reader maps every tensor that the header names, so a file that ends early fails here.
        reader = GGUFReader(file)
        fields = {name: reader.get_field(f"general.{name}") for name in ("name", "architecture", "license")}
        said = {name: str(field.contents()) if field else "" for name, field in fields.items()}
        kinds = [tensor.tensor_type.name for tensor in reader.tensors]
    except (ValueError, KeyError, IndexError, TypeError, OverflowError, UnicodeDecodeError, MemoryError) as error:
        hint = "Fetch it again; it is damaged or ends early."
        raise ModelError(f"is no whole GGUF file: {error}", path=file, hint=hint) from None
    if not kinds:
        raise ModelError("holds no weights.", path=file)
    quantisation = max(sorted(set(kinds)), key=kinds.count)
    return {
        "name": said["name"],
        "architecture": said["architecture"],
        "licence": said["license"],
        "quantisation": quantisation,
    }


def _load(file: Path, architecture: str) -> tuple[Any, Any]:
    """Return model and tokenizer, weights as float32; raise ModelError where transformers does not read them."""
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    loader: Any = AutoModelForCausalLM
    local = {"gguf_file": file.name, "local_files_only": True, "trust_remote_code": False}
    try:
        model, report = loader.from_pretrained(file.parent, output_loading_info=True, **local)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **local)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, NotImplementedError) as error:
        message = f"is a model that cannot be read (architecture {architecture!r}): {error}"
        raise ModelError(message, path=file, hint="Choose a package of another model.") from None
    refuse_absent_weights(report, file, "Choose a package of another model.")
    return model, tokenizer


def _drop_unstable(path: Path) -> None:
    if path.is_file():
        saved = json.loads(path.read_text(encoding="utf-8"))
        kept = {key: value for key, value in saved.items() if not key.endswith(_UNSTABLE)}
        path.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")
