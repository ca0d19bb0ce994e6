"""The frozen language model and its tokenizer, loaded from a local folder through transformers."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from illmrec.errors import ModelError
from illmrec.features.language_models import load_language_model
from illmrec.models.attention import use_attention
from illmrec.models.fused import fuse
from illmrec.models.prefix import LastLayer, Prefix, PrefixCache

_BUSY_TOKENS = 512
_LAYER_START = 80_000_000_000
"""Multiplications that a GPU could do, forward and backward, while the small kernels of one layer are started. An
estimate, not a measurement: it need only tell small models from large ones."""
_PROBE_TOKENS = 8
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 2e-2}
"""Largest difference, relative to the largest number, by which two ways to run the model may differ when tried out."""


@dataclass(frozen=True)
class Lora:
    """Low-rank adapters beside the frozen attention projections (paper, LoRA variant: rank 64, alpha 16)."""

    rank: int
    alpha: int
    dropout: float
    modules: tuple[str, ...]
    """Names of the linear layers that get one, such as ``q_proj``."""


class Backbone:
    """A causal language model. Its own weights are read, never trained; adapters and the token table can be.

    Args:
        folder: what ``from_pretrained`` reads, tokenizer included.
        dtype: number format of its weights and arithmetic.
        device: torch device.
        layers: how many of its first layers are read; None for all. A state is what the final normalisation makes of
            the last one's output.
        random_seed: seed of weights drawn in place of the folder's own; None for its own.
        lora: adapters to train beside it; None for none.
        word_embeddings: whether a copy of the table of input embeddings is ``trained`` (the authors' code does).
            Answers are still predicted with the model's own output table.
        checkpointing: compute activations again in the backward pass instead of keeping them.

    Attributes:
        trained: parameters of the adapters and the token table, by name; empty when all is frozen.
        decoder: the stack of layers and the final normalisation, without the output table.
        shares_prefix: whether the model runs on a prefix's keys and values; tried out when it is loaded.
        narrows: whether its last layer can work in some places only; tried out as well.

    Raises:
        ModelError: when the folder is not such a model, lacks some of its weights, or holds them in a format that can
            run code; when no layer has the name of a module that LoRA asks for.
    """

    def __init__(
        self,
        folder: Path,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        *,
        layers: int | None = None,
        random_seed: int | None = None,
        lora: Lora | None = None,
        word_embeddings: Literal["frozen", "trained"] = "frozen",
        checkpointing: bool = False,
    ) -> None:
        model, self.tokenizer = load_language_model(folder, dtype, layers=layers, random_seed=random_seed)
        self._model: Any = model.eval().requires_grad_(requires_grad=False).to(device)
        use_attention(self._model)
        self.device = torch.device(device)
        self.dtype = dtype
        self.width = int(self._model.config.hidden_size)
        self.trained: dict[str, nn.Parameter] = {}
        if lora is not None:
            self.trained |= _add_adapters(self._model, lora, folder)
        self.decoder = self._model.get_decoder()
        self._unembed = self._model.get_output_embeddings()
        self._table = self._model.get_input_embeddings()
        self._additive_mask = self._model.config._attn_implementation == "eager"
        if word_embeddings == "trained":
            self.trained["tokens"] = nn.Parameter(self._table.weight.detach().float().clone())
        layers = getattr(self.decoder, "layers", None)
        self._last = LastLayer(layers[-1]) if layers is not None else None
        self.narrows = False
        self.shares_prefix = self._try(self._probe_prefix)
        self.narrows = self._last is not None and self._try(self._probe_narrowing)
        self._keeps_activations = False
        if checkpointing and layers is not None:
            for layer in layers[:-1]:
                layer.forward = functools.partial(self._compute_again, layer.forward)

    def _compute_again(self, forward: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Run a layer whose activations are computed again in the backward pass."""
        if self._keeps_activations:
            return forward(*arguments, **named)
        return checkpoint(forward, *arguments, use_reentrant=False, **named)

    def shard(self) -> None:
        """Spread the weights of all layers but the last over the processes of the group (FSDP).

        Each layer is put together for as long as it is at work. The last layer stays whole, because its parts are used
        one by one. Call it once, after the group has been formed.
        """
        from torch.distributed.fsdp import fully_shard

        for layer in self.decoder.layers[:-1]:
            fully_shard(layer)

    def compile(self) -> int:
        """Compile the layers' norms and gates for a long run; return how many; see :mod:`illmrec.models.fused`.

        Raises:
            MachineError: when this machine has no C++ compiler.
        """
        return fuse(self.decoder)

    @property
    def layers(self) -> int:
        """Return the number of layers."""
        return int(self._model.config.num_hidden_layers)

    @property
    def parameters_per_token(self) -> int:
        """Return how many weights a token is multiplied with on its way through the layers."""
        tables = {id(self._table.weight), id(getattr(self._unembed, "weight", None))}
        return sum(value.numel() for value in self._model.parameters() if id(value) not in tables)

    @property
    def busy_tokens(self) -> int:
        """Return from how many tokens on a pass costs more in arithmetic than in being started."""
        if self.device.type == "cpu":
            return _BUSY_TOKENS
        return max(_BUSY_TOKENS, _LAYER_START * self.layers // self.parameters_per_token)

    @property
    def weight_bytes(self) -> int:
        """Return the memory of the model's weights."""
        return sum(value.numel() * value.element_size() for value in self.weights())

    def weights(self) -> list[Tensor]:
        """Return the model's weights, those of adapters included."""
        return list(self._model.parameters())

    def switch_training(self, *, on: bool) -> None:
        """Switch the adapters' dropout on or off; the model itself has none at work."""
        for name, module in self._model.named_modules():
            if "lora_dropout" in name:
                module.train(on)

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Return the token ids of each text, without special tokens."""
        ids: list[list[int]] = self.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        return ids

    @property
    def begin_tokens(self) -> list[int]:
        """Return what begins a text: the tokenizer's beginning-of-sequence token, or nothing."""
        token = self.tokenizer.bos_token_id
        return [] if token is None else [int(token)]

    @property
    def end_tokens(self) -> list[int]:
        """Return what ends a text: the tokenizer's end-of-sequence token, or nothing."""
        token = self.tokenizer.eos_token_id
        return [] if token is None else [int(token)]

    def embed(self, token_ids: Tensor) -> Tensor:
        """Return ``dtype [B, T, d_llm]``: word embeddings of ``int64 [B, T]``."""
        if "tokens" in self.trained:
            weights = {"weight": self.trained["tokens"].to(self.dtype)}
            trained: Tensor = functional_call(self._table, weights, (token_ids,))
            return trained
        embeddings: Tensor = self._table(token_ids)
        return embeddings

    def read_prefix(self, tokens: Sequence[int]) -> Prefix:
        """Return the keys and values of tokens that every prompt begins with; there must be at least one."""
        from transformers import DynamicCache

        ids = torch.tensor([list(tokens)], device=self.device)
        cache = DynamicCache()
        positions = torch.arange(len(tokens), device=self.device)[None]
        causal = torch.ones(1, 1, len(tokens), len(tokens), device=self.device).tril().bool()
        # The cache grows with every layer that is run, so none may be run again. It is one short row.
        self._keeps_activations = True
        try:
            self.decoder(
                inputs_embeds=self.embed(ids),
                position_ids=positions,
                attention_mask=self._prepare(causal),
                past_key_values=cache,
                use_cache=True,
            )
        finally:
            self._keeps_activations = False
        layers: Any = cache.layers
        return Prefix(len(tokens), tuple(layer.keys for layer in layers), tuple(layer.values for layer in layers))

    def run(
        self,
        embeddings: Tensor,
        positions: Tensor,
        mask: Tensor,
        *,
        prefix: Prefix | None = None,
        queries: Tensor | None = None,
    ) -> Tensor:
        """Return last hidden states, after the final normalisation.

        Args:
            embeddings: ``dtype [R, T, d_llm]``.
            positions: ``int64 [R, T]``, counted from the prefix's first token.
            mask: ``bool [R, 1, T, H + T]``, True where attention is allowed, the prefix's H tokens first.
            prefix: keys and values before every row; None where rows hold the whole prompt.
            queries: ``int64 [R, Q]``: columns of each row whose states are wanted; None for all.

        Returns:
            ``dtype [R, T, d_llm]``, or ``dtype [R, Q, d_llm]`` where queries are given.
        """
        narrowed = self._last.narrowed(queries) if self._last and self.narrows and queries is not None else None
        with narrowed or contextlib.nullcontext():
            states: Tensor = self.decoder(
                inputs_embeds=embeddings,
                position_ids=positions,
                attention_mask=self._prepare(mask),
                past_key_values=None if prefix is None else PrefixCache(prefix),
                use_cache=False,
            ).last_hidden_state
        if queries is None or narrowed:
            return states
        return states[torch.arange(len(states), device=states.device)[:, None], queries]

    def predict_tokens(self, hidden: Tensor) -> Tensor:
        """Return ``float32 [A, vocabulary]``: next-token logits of hidden states ``dtype [A, d_llm]``."""
        logits: Tensor = self._unembed(hidden).float()
        return logits

    def _prepare(self, mask: Tensor) -> Tensor:
        """Return the mask in the form that the model's attention takes; eager attention adds it to the scores."""
        if not self._additive_mask:
            return mask
        return torch.zeros(mask.shape, dtype=self.dtype, device=mask.device).masked_fill(
            ~mask, torch.finfo(self.dtype).min
        )

    def _try(self, probe: Any) -> bool:
        """Return whether a shortcut gives what the whole way gives."""
        try:
            with torch.inference_mode():
                whole, short = probe()
        except (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError, NotImplementedError):
            return False
        difference, scale = float((whole - short).abs().max()), float(whole.abs().max())
        return difference <= _TOLERANCE[self.dtype] * scale

    def _probe_prefix(self) -> tuple[Tensor, Tensor]:
        half, tokens, positions, mask = self._write_probe()
        whole = self.run(self.embed(tokens), positions, mask)
        prefix = self.read_prefix(tokens[0, :half].tolist())
        short = self.run(self.embed(tokens[:, half:]), positions[:, half:], mask[:, :, half:], prefix=prefix)
        return whole[:, half:], short

    def _probe_narrowing(self) -> tuple[Tensor, Tensor]:
        _, tokens, positions, mask = self._write_probe()
        queries = torch.tensor([[1, _PROBE_TOKENS - 1]], device=self.device)
        self.narrows = True
        whole = self.run(self.embed(tokens), positions, mask)
        return whole[:, queries[0]], self.run(self.embed(tokens), positions, mask, queries=queries)

    def _write_probe(self) -> tuple[int, Tensor, Tensor, Tensor]:
        tokens = torch.arange(_PROBE_TOKENS, device=self.device)[None] % self._model.config.vocab_size
        mask = torch.ones(_PROBE_TOKENS, _PROBE_TOKENS, dtype=torch.bool, device=self.device).tril()
        return _PROBE_TOKENS // 2, tokens, torch.arange(_PROBE_TOKENS, device=self.device)[None], mask[None, None]


def _add_adapters(model: Any, lora: Lora, folder: Path) -> dict[str, nn.Parameter]:
    """Put adapters into the model and return their parameters, in single precision whatever the model has."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=[*lora.modules])
    try:
        inject_adapter_in_model(config, model)
    except ValueError as error:
        hint = "Set train.lora.modules to names of linear layers that this model has."
        raise ModelError(f"takes no LoRA adapters: {error}", path=folder, hint=hint) from None
    model.eval()
    found = {name: value for name, value in model.named_parameters() if "lora_" in name}
    for value in found.values():
        value.data = value.data.float()
        value.requires_grad_(requires_grad=True)
    return {name.replace(".default", ""): value for name, value in found.items()}
