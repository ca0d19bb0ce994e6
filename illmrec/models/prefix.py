"""Work in a decoder that need not be done twice: the constant beginning of all prompts, and the last layer's outputs.

Every prompt begins with the same tokens. Their keys and values are computed once and put before those of each row, so
that no row holds these tokens (:class:`Prefix`). And of the last layer's outputs only a few are looked at, [REC]'s and
the answers': keys and values are needed everywhere, but queries, the output projection and the feed-forward part only
there (:class:`LastLayer`). Both work through the cache interface of transformers, so no layer is written anew; whether
a family of models plays along is tried out when a backbone is loaded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Prefix:
    """Keys and values of the tokens that begin every prompt.

    Args:
        length: number of tokens H.
        keys: per layer ``dtype [1, heads, H, d_head]``.
        values: per layer ``dtype [1, heads, H, d_head]``.
    """

    length: int
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]


class _Cache:
    """What transformers' attention asks of a cache: keys and values in, keys and values to attend to out."""

    is_sliding: tuple[bool, ...] = ()

    def get_seq_length(self, *_: Any) -> int:
        """Return 0: positions are always given, so nobody counts from here."""
        return 0


class PrefixCache(_Cache):
    """Puts a prefix before each layer's own keys and values, and keeps nothing."""

    def __init__(self, prefix: Prefix | None) -> None:
        self._prefix = prefix

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Return ``[R, heads, H + T, d_head]`` of ``[R, heads, T, d_head]``."""
        if self._prefix is None:
            return keys, values
        rows = (keys.shape[0], -1, -1, -1)
        before = self._prefix.keys[layer].expand(*rows), self._prefix.values[layer].expand(*rows)
        return torch.cat([before[0], keys], dim=2), torch.cat([before[1], values], dim=2)


class _Captured(Exception):  # noqa: N818 - carries a result, no error
    """Leaves an attention module as soon as its keys and values are known."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()
        self.keys, self.values = keys, values


class _Capture(_Cache):
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        raise _Captured(*self._inner.update(keys, values, layer))


class _Given(_Cache):
    """Answers with keys and values computed before, whatever comes in."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self._keys, self._values = keys, values

    def update(self, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        return self._keys, self._values


class LastLayer:
    """The last layer of a decoder, which can be told to work only where its output is needed.

    Args:
        layer: takes hidden states first, and ``attention_mask``, ``position_ids``, ``position_embeddings`` and
            ``past_key_values`` by name; has ``input_layernorm`` and ``self_attn``, as transformers' decoders do.
    """

    def __init__(self, layer: nn.Module) -> None:
        self._queries: Tensor | None = None
        layer.register_forward_pre_hook(self._narrow, with_kwargs=True)

    @contextlib.contextmanager
    def narrowed(self, queries: Tensor) -> Iterator[None]:
        """Let the layer return ``[R, Q, d]``: its outputs at columns ``int64 [R, Q]`` of each row."""
        self._queries = queries
        try:
            yield
        finally:
            self._queries = None

    def _narrow(self, layer: Any, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        queries = self._queries
        if queries is None:
            return None
        hidden: Tensor = args[0] if args else named["hidden_states"]
        keys, values = self._compute_keys(layer, hidden, named)
        narrowed = named | {"past_key_values": _Given(keys, values), "hidden_states": _take(hidden, queries)}
        narrowed["position_embeddings"] = tuple(_take(part, queries) for part in named["position_embeddings"])
        narrowed["attention_mask"] = _take(named["attention_mask"].squeeze(1), queries)[:, None]
        if named.get("position_ids") is not None:
            narrowed["position_ids"] = _take(named["position_ids"], queries)
        return (), narrowed

    @staticmethod
    def _compute_keys(layer: Any, hidden: Tensor, named: dict[str, Any]) -> tuple[Tensor, Tensor]:
        inner = named.get("past_key_values") or PrefixCache(None)
        try:
            layer.self_attn(hidden_states=layer.input_layernorm(hidden), **named | {"past_key_values": _Capture(inner)})
        except _Captured as captured:
            return captured.keys, captured.values
        raise TypeError(f"{type(layer).__name__} hands its keys and values to no cache")


def _take(values: Tensor, columns: Tensor) -> Tensor:
    """Return the values at ``int64 [R, Q]`` of ``[R or 1, T, ...]``."""
    rows = torch.arange(len(columns), device=columns.device)[:, None] if len(values) > 1 else 0
    return values[rows, columns]
