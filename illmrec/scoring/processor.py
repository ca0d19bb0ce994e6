"""Which short number formats the processor multiplies by itself; the others are slower than float32, not faster."""

from __future__ import annotations

import functools
from pathlib import Path

INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "avx_vnni_int8", "amx_int8", "asimddp", "i8mm"})
BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""As Linux names them, on x86 and ARM."""


@functools.cache
def read_flags(path: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """Return the processor's features by Linux's names; none where the system does not tell."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, values = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(values.split())
    return frozenset()


def multiplies_int8(flags: frozenset[str] | None = None) -> bool:
    """Return whether products of 8-bit numbers have instructions of their own."""
    return bool((read_flags() if flags is None else flags) & INT8_FLAGS)


def multiplies_bf16(flags: frozenset[str] | None = None) -> bool:
    """Return whether products of bfloat16 numbers have instructions of their own."""
    return bool((read_flags() if flags is None else flags) & BF16_FLAGS)
