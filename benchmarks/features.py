r"""Pictures to features: the whole path beside the encoder's bare forward pass, and runs in which little has changed.

"Encode" takes pictures from shards through decoding, the encoder and the cache; its reference is the forward pass alone
on batches of the same pictures, decoded beforehand. The speedup is the share of the encoder's own rate that is kept.
"Nothing changed" and "one picture added" time the whole stage; their references are one query and one array per item,
and encoding everything. The encoder has RANDOM weights and one thread; decoders run beside it. Times are wall time:
what is hidden behind the encoder costs processor time but no waiting. Beside other busy processes wall time says
little: a second row gives the encoding process's own processor time, and the settings that of the decoder per picture,
which hides as long as it is less than the encoder's. Peak memory is the encoding process's own.

\b
Example:
  python -m benchmarks.features --quick --json
"""

from __future__ import annotations

import hashlib
import io
import json
import resource
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl

from benchmarks import measure
from pipelines.project.shelf import Shelf

ARCHITECTURE = "resnet18"
SIDE = 64
BATCH_SIZE = 64
PAIRS = 5
BARE_BATCHES = 8
"""Batches of each slice that the bare forward pass is timed on."""


@dataclass(frozen=True)
class Project:
    """A prepared catalog with pictures in shards and an encoder, in a temporary folder."""

    root: Path
    references: list[str]
    digests: list[str]

    @property
    def layout(self) -> Any:
        """Where its files lie."""
        from pipelines.project.layout import Layout

        return Layout(self.root, "bench")


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="800 pictures; ends within 50 seconds.")
@click.option("--pictures", type=int, default=None, help="Number of pictures; default 100,000.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
def main(quick: bool, pictures: int | None, as_json: bool) -> None:
    """Measure and print."""
    import torch

    torch.set_num_threads(1)
    count = pictures or (800 if quick else 100_000)
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder), count)
        encode, processor, start_seconds = _measure_encoding(project)
        decoding = resource.getrusage(resource.RUSAGE_CHILDREN)
        everything = encode.ours_s * count
        rows = [encode, processor, _measure_no_change(project), _measure_one_added(project, everything)]
    settings: dict[str, Any] = {
        "pictures": count,
        "encoder": f"{ARCHITECTURE}, random weights, {SIDE} px, one thread",
        "images per second, bare forward": round(1 / rows[0].reference_s, 1),
        "images per second, whole path": round(1 / rows[0].ours_s, 1),
        "start of a decoder, not counted in the first row": f"{start_seconds:.2f} s",
        "decoder, processor seconds per picture, its start included": round(decoding.ru_utime / count, 5),
        "pairs": PAIRS,
        "time": "wall seconds; per picture in the first row",
    }
    measure.show("features", settings, rows, as_json)


def make_project(root: Path, count: int) -> Project:
    """Write ``count`` small pictures into shards, the tables that ``prepare`` would write, and the encoder."""
    from safetensors.torch import save_file

    import illmrec  # timm needs what importing the package installs
    from illmrec import atomic

    assert illmrec.__version__  # noqa: S101 - keeps the import
    import timm
    import torch

    torch.manual_seed(0)
    weights = root / "weights.safetensors"
    save_file(timm.create_model(ARCHITECTURE).state_dict(), weights)
    references, digests = zip(*_write_shards(root / "raw" / "images", count), strict=True)
    ids = [f"i{number:07d}" for number in range(count)]
    prepared = root / "artifacts" / "bench" / "prepared"
    texts = {name: [""] * count for name in ("title", "brand", "description", "image_ref", "image_status")}
    atomic.write_parquet(prepared / "items.parquet", pl.DataFrame({"item_id": ids, "category": [[""]] * count} | texts))
    images = {"item_id": ids, "image_ref": references, "sha256": digests, "status": ["ok"] * count}
    atomic.write_parquet(prepared / "images.parquet", pl.DataFrame(images))
    atomic.write_json(prepared / "source.json", {"folder": "raw", "max_pixels": 1_000_000})
    record = {"source": "timm", "name": "weights.safetensors", "folder": None, "architecture": ARCHITECTURE}
    record |= {"revision": f"sha256:{atomic.digest_file(weights)}", "image_size": SIDE}
    record |= {"mean": None, "std": None, "arguments": {}}
    atomic.write_json(root / "artifacts" / "bench" / "encoders" / "encoders.json", {"image": record})
    return Project(root, list(references), list(digests))


def _write_shards(folder: Path, count: int) -> Iterator[tuple[str, str]]:
    """Write pictures into tar files of 4,096; yield where each lies and its digest."""
    from illmrec.data.shards import write_reference

    (folder / "shards").mkdir(parents=True)
    for first in range(0, count, 4096):
        name = f"{first // 4096:05d}.tar"
        with tarfile.open(folder / "shards" / name, "w", format=tarfile.USTAR_FORMAT) as shard:
            for number in range(first, min(first + 4096, count)):
                content = _draw(number)
                member = tarfile.TarInfo(f"{number:07d}.jpg")
                member.size = len(content)
                offset = shard.offset + tarfile.BLOCKSIZE
                shard.addfile(member, io.BytesIO(content))
                reference = write_reference(name, offset, len(content))
                yield f"images/{reference}", hashlib.sha256(content).hexdigest()


def _draw(number: int) -> bytes:
    from PIL import Image

    rough = np.random.default_rng(number).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(rough).resize((96, 96), Image.Resampling.BICUBIC).save(file, "JPEG", quality=80)
    return file.getvalue()


def _measure_encoding(project: Project) -> tuple[measure.Row, measure.Row, float]:
    """Time the whole path and the bare forward pass on slices of the pictures, in turn; fill the cache with both."""
    from illmrec.features.cache import FeatureCache
    from illmrec.features.decoding import DecodeLimits, DecodingPool
    from illmrec.features.encode import encode_missing, encode_pictures
    from pipelines.assembly.loading import load_image_encoder

    encoder, record = load_image_encoder(Shelf(project.layout))
    limits = DecodeLimits(1_000_000)
    start = time.perf_counter()
    with (
        DecodingPool(encoder.preparation, limits, batch_size=BATCH_SIZE, workers=1) as pool,
        FeatureCache(project.layout.feature_cache, _name(record), record["revision"], encoder.width) as cache,
    ):
        files = dict(zip(project.digests, _list_files(project), strict=True))
        # One batch outside the count: the decoder starts, the encoder makes its buffers.
        pixels = [batch.pixels.copy() for batch in pool.decode([list(files.values())[:BATCH_SIZE]])]
        start_seconds = time.perf_counter() - start
        encoder.encode_pixels(pixels[0])

        def encode_slice(digests: list[str]) -> None:
            encode_missing(
                cache, digests, files.__getitem__, lambda batches: encode_pictures(encoder, pool, batches),
                batch_size=BATCH_SIZE, label="encode", unit="picture",
            )  # fmt: skip

        times, processor, difference = [], [], 0.0
        for digests in np.array_split(np.array(project.digests), PAIRS):
            few = digests[: BARE_BATCHES * BATCH_SIZE].tolist()
            groups = [[files[d] for d in few[at : at + BATCH_SIZE]] for at in range(0, len(few), BATCH_SIZE)]
            decoded = [batch.pixels.copy() for batch in pool.decode(groups)]
            vectors: list[Any] = []
            bare = _both_seconds(
                lambda decoded=decoded, vectors=vectors: vectors.extend(map(encoder.encode_pixels, decoded))
            )
            whole = _both_seconds(lambda digests=digests: encode_slice(digests.tolist()))
            times.append((bare[0] / len(few), whole[0] / len(digests)))
            processor.append((bare[1] / len(few), whole[1] / len(digests)))
            difference = max(difference, float(np.abs(np.concatenate(vectors) - cache.load(few)).max()))
        bare_peak = measure.measure_peak_mb(lambda: [encoder.encode_pixels(batch) for batch in decoded])
        with FeatureCache(project.root / "again", "peak", "0", encoder.width) as cache:
            peaks = (bare_peak, measure.measure_peak_mb(lambda: encode_slice(few)))
    wall = measure.make_row("encode, per picture", times, peaks, difference)
    return (
        wall,
        measure.make_row("encode, processor time per picture", processor, max_abs_diff=difference),
        start_seconds,
    )


def _measure_no_change(project: Project) -> measure.Row:
    """Time the stage when every picture is in the cache."""
    from illmrec.features.matrix import open_matrix

    def ours() -> None:
        facts = _run_stage(project)
        if facts["encoded"]:
            raise RuntimeError(f"{facts['encoded']} pictures were encoded, expected none.")

    plain: list[Any] = []

    def reference() -> None:
        plain[:] = [_assemble_plainly(project)]

    peaks = (measure.measure_peak_mb(reference), measure.measure_peak_mb(ours))
    times = [(_seconds(reference), _seconds(ours)) for _ in range(PAIRS)]
    matrix = open_matrix(project.layout.features("image"), Shelf(project.layout).catalog.digest)
    difference = float(np.abs(matrix.values.astype(np.float32) - plain[0].astype(np.float32)).max())
    return measure.make_row("nothing changed, whole stage", times, peaks, difference)


def _measure_one_added(project: Project, everything: float) -> measure.Row:
    """Time the stage when one picture is not in the cache: it loads the encoder and starts a decoder."""
    (path,) = project.layout.feature_cache.glob("*.sqlite")
    times = []
    for number in range(PAIRS):
        connection = sqlite3.connect(path)
        with connection:
            connection.execute("DELETE FROM vectors WHERE content = ?", (project.digests[number],))
        connection.close()
        facts: dict[str, Any] = {}
        times.append((everything, _seconds(lambda facts=facts: facts.update(_run_stage(project)))))
        if facts["encoded"] != 1:
            raise RuntimeError(f"{facts['encoded']} pictures were encoded, expected 1.")
    return measure.make_row("one picture added, whole stage", times)


def _assemble_plainly(project: Project) -> np.ndarray:
    """Read the tables, ask the cache for each item and write the matrix: the plain way."""
    prepared = project.layout.prepared
    images = pl.read_parquet(prepared / "images.parquet")
    (path,) = project.layout.feature_cache.glob("*.sqlite")
    connection, vectors = sqlite3.connect(path), []
    for row in images.iter_rows(named=True):
        Path(project.root / "raw" / row["image_ref"])
        found = connection.execute("SELECT vector FROM vectors WHERE content = ?", (row["sha256"],)).fetchone()
        vector = np.frombuffer(found[0], dtype=np.float32)
        vectors.append((vector / np.sqrt(np.mean(vector**2))).astype(np.float16))
    connection.close()
    values = np.stack(vectors)
    np.save(project.root / "plain.npy", values)
    return values


def _run_stage(project: Project) -> dict[str, Any]:
    from pipelines.parameters.features import EmbedImagesConfig
    from pipelines.stages.embed_images import embed_images

    return embed_images(project.layout, EmbedImagesConfig(batch_size=BATCH_SIZE, missing="mean"))


def _list_files(project: Project) -> list[Any]:
    from illmrec.features.decoding import PictureFile

    rows = zip(project.references, project.digests, strict=True)
    return [PictureFile(project.root / "raw" / reference, digest) for reference, digest in rows]


def _name(record: dict[str, Any]) -> str:
    """Return the name under which the stage keeps this encoder's features."""
    return f"image {json.dumps(record, sort_keys=True)}"


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _both_seconds(run: Callable[[], object]) -> tuple[float, float]:
    """Return wall seconds and the process's own processor seconds."""
    start = time.process_time()
    wall = _seconds(run)
    return wall, time.process_time() - start


if __name__ == "__main__":
    main()
