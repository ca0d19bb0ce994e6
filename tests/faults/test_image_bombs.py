"""Pictures made to hurt: each ends as a recorded status, in bounded time and memory; none stops a run."""

from __future__ import annotations

import gzip
import io
import json
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from illmrec.data.images import probe_image, read_rgb
from illmrec.features.decoding import DecodeLimits, DecodingPool, PictureFile
from illmrec.features.preparation import Preparation

LIMIT = 1_000_000
"""Pixels allowed."""

MAX_SECONDS = 10.0
"""For one bomb on a busy machine; most take milliseconds."""

MAX_MB = 100.0
"""What all bombs together may add to the process at its peak."""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *extra: bytes, data: bytes | None = None, depth: int = 8, color: int = 2) -> bytes:
    """A PNG by hand: its header may promise what its data do not hold."""
    row = 1 + width * {0: 1, 2: 3, 6: 4}[color] * depth // 8
    data = zlib.compress(b"\0" * (row * height if width * height <= LIMIT else 100)) if data is None else data
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def saved(form: str, size: tuple[int, int] = (60, 40), mode: str = "RGB", **options: object) -> bytes:
    file = io.BytesIO()
    values = np.random.default_rng(0).integers(0, 256, (size[1], size[0], len(Image.new(mode, (1, 1)).getbands())))
    picture = Image.fromarray(values.astype(np.uint8).squeeze(), mode if mode == "CMYK" else None)
    picture.save(file, form, **options)
    return file.getvalue()


def gif(width: int, height: int, frames: int) -> bytes:
    frame = b"\x21\xf9\x04\0\x01\0\0\0" + b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff" + frame * frames + b";"


def webp_claiming(width: int, height: int) -> bytes:
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + b"\0" * 4
    body += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body)) + body


def bmp_claiming(width: int, height: int) -> bytes:
    information = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + information + b"\0" * 64


def jpeg_claiming(width: int, height: int) -> bytes:
    content = saved("JPEG")
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + struct.pack(">HH", height, width) + content[place + 4 :]


def jpeg_of_many_scans(scans: int) -> bytes:
    """A progressive JPEG whose last scan, cheap to write and dear to decode, comes again and again."""
    file = io.BytesIO()
    Image.new("RGB", (900, 900), "teal").save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * scans + content[-2:]


def jpeg_with_exif(exif: bytes) -> bytes:
    content = saved("JPEG")
    body = b"Exif\0\0" + exif
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + content[2:]


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", b"\0" * 10_000_000)
    return file.getvalue()


ZEROS = 150_000_000
LOOPING_EXIF = b"MM\0*\0\0\0\x08" + b"\0\x02" + (b"\x87\x69\0\x04\0\0\0\x01\0\0\0\x08" * 2) + b"\0\0\0\x08"
COUNTING_EXIF = b"MM\0*\0\0\0\x08" + b"\xff\xff" + b"\x01\x12\0\x07\xff\xff\xff\xff\0\0\0\x08" * 5000
TEXT = b"key\0\0"

BOMBS: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "PNG that promises 60,000 x 60,000": (lambda: png(60_000, 60_000), {"too_large"}),
    "PNG that promises 2^31 - 1 each way": (lambda: png(2**31 - 1, 2**31 - 1), {"too_large"}),
    "PNG one pixel high and 2^31 - 1 wide": (lambda: png(2**31 - 1, 1), {"too_large"}),
    "PNG without pixels": (lambda: png(0, 0), {"undecodable"}),
    "PNG with far too much data": (lambda: png(10, 10, data=zlib.compress(b"\0" * ZEROS)), {"ok", "undecodable"}),
    "PNG with far too little data": (lambda: png(900, 900, data=zlib.compress(b"\0" * 10)), {"undecodable"}),
    "PNG with a text of 150 MB": (
        lambda: png(9, 9, chunk(b"zTXt", TEXT + zlib.compress(b"a" * ZEROS))),
        {"ok", "undecodable"},
    ),
    "PNG with an international text of 150 MB": (
        lambda: png(9, 9, chunk(b"iTXt", b"key\0\x01\0\0\0" + zlib.compress(b"a" * ZEROS))),
        {"ok", "undecodable"},
    ),
    "PNG with a colour profile of 150 MB": (
        lambda: png(9, 9, chunk(b"iCCP", TEXT + zlib.compress(b"a" * ZEROS))),
        {"ok", "undecodable"},
    ),
    "PNG with 200,000 texts": (lambda: png(9, 9, chunk(b"tEXt", b"k\0" + b"v" * 100) * 200_000), {"ok", "undecodable"}),
    "PNG of 16 bits": (lambda: png(30, 20, depth=16, color=0), {"ok"}),
    "GIF that promises 65,535 x 65,535": (lambda: gif(65_535, 65_535, 1), {"too_large"}),
    "GIF of 100,000 frames": (lambda: gif(1, 1, 100_000), {"ok"}),
    "WebP that promises 16,777,216 each way": (lambda: webp_claiming(1 << 24, 1 << 24), {"too_large", "undecodable"}),
    "BMP that promises 2^31 - 1 each way": (lambda: bmp_claiming(2**31 - 1, 2**31 - 1), {"too_large"}),
    "BMP of negative size": (lambda: bmp_claiming(-9, -(2**31)), {"too_large", "undecodable"}),
    "JPEG that promises 65,500 x 65,500": (lambda: jpeg_claiming(65_500, 65_500), {"too_large"}),
    "JPEG of 5,000 scans": (lambda: jpeg_of_many_scans(5000), {"undecodable"}),
    "JPEG whose EXIF leads back to itself": (lambda: jpeg_with_exif(LOOPING_EXIF), {"ok", "undecodable"}),
    "JPEG whose EXIF counts to 2^32": (lambda: jpeg_with_exif(COUNTING_EXIF), {"ok", "undecodable"}),
    "JPEG in CMYK with a broken profile": (
        lambda: saved("JPEG", mode="CMYK", icc_profile=b"\xff" * 3000),
        {"ok", "undecodable"},
    ),
    "JPEG cut in the middle": (lambda: saved("JPEG", (300, 300))[:9000], {"undecodable"}),
    "JPEG that is an archive too": (lambda: saved("JPEG") + zipped(), {"ok"}),
    "GIF header before a page": (lambda: b"GIF89a/*<script>alert(1)</script>*/=1;", {"undecodable", "too_large"}),
    "SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>', {"undecodable"}),
    "page": (lambda: b"<!doctype html><html><body>404</body></html>", {"undecodable"}),
    "archive": (zipped, {"undecodable"}),
    "compressed zeros": (lambda: gzip.compress(b"\0" * 10_000_000), {"undecodable"}),
    "PostScript": (lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", {"undecodable"}),
    "TIFF": (lambda: saved("TIFF"), {"undecodable"}),
    "nothing": (lambda: b"", {"undecodable"}),
}

PROBE_ALL = """
import json, sys, time
from pathlib import Path
from illmrec.data.images import probe_image, read_rgb
limit = int(sys.argv[1])
def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(dict(line.split(":", 1) for line in lines)["VmHWM"].split()[0]) / 1000
before, results = peak(), {}
for path in sorted(Path(sys.argv[2]).iterdir()):
    start = time.monotonic()
    probe = probe_image(path, limit)
    picture, again = read_rgb(path, limit)
    results[path.stem] = [probe.status, again.status, picture is not None, time.monotonic() - start]
print(json.dumps({"results": results, "added_mb": peak() - before}))
"""


@pytest.fixture(scope="module")
def bombs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Write every bomb to a file named .jpg."""
    folder = tmp_path_factory.mktemp("bombs")
    paths = {}
    for number, (name, (make, _)) in enumerate(BOMBS.items()):
        paths[name] = folder / f"{number:03d}.jpg"
        paths[name].write_bytes(make())
    return paths


def test_every_bomb_ends_as_a_status_in_bounded_time_and_memory(bombs: dict[str, Path]) -> None:
    folder = next(iter(bombs.values())).parent
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE_ALL, str(LIMIT), str(folder)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    for name, path in bombs.items():
        status, again, opened, seconds = found["results"][path.stem]
        assert status in BOMBS[name][1], (name, status)
        assert opened == (again == "ok"), name
        assert again in {status, "undecodable"}, name
        assert seconds < MAX_SECONDS, (name, seconds)
    assert found["added_mb"] < MAX_MB


def test_few_scans_and_a_large_attachment_are_no_bomb(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg_of_many_scans(20))
    assert probe_image(path, LIMIT).status == "ok"
    path.write_bytes(saved("JPEG", progressive=True) + b"\xff\xda" * 5000)  # such as a film behind the picture
    assert probe_image(path, LIMIT).status == "ok"


def test_no_bomb_stops_the_decoders(bombs: dict[str, Path]) -> None:
    import hashlib

    files = [PictureFile(path, hashlib.sha256(path.read_bytes()).hexdigest()) for path in bombs.values()]
    limits = DecodeLimits(max_pixels=LIMIT, memory_mb=400, seconds=MAX_SECONDS)
    with DecodingPool(Preparation(32, 32, (0.0,) * 3, (1.0,) * 3), limits, batch_size=8, workers=1) as pool:
        decoded = list(pool.decode([files[start : start + 8] for start in range(0, len(files), 8)]))
    refused = {name for number, name in enumerate(bombs) if number % 8 in decoded[number // 8].refused}
    expected = {name for name, (_, statuses) in BOMBS.items() if "ok" not in statuses}
    assert expected <= refused
    assert not refused & {name for name, (_, statuses) in BOMBS.items() if statuses == {"ok"}}


def assert_no_half_picture(content: bytes, points: list[int], path: Path) -> int:
    """Cut ``content`` at every point; return how many pieces still count as a picture: whole ones only."""
    path.write_bytes(content)
    whole = read_rgb(path, LIMIT)[0]
    assert whole is not None
    accepted = 0
    for point in points:
        path.write_bytes(content[:point])
        status = probe_image(path, LIMIT).status
        picture, probe = read_rgb(path, LIMIT)
        assert status in ("ok", "undecodable"), point
        assert probe.status == status, point
        if picture is not None:
            assert picture.tobytes() == whole.tobytes(), f"cut at {point} of {len(content)}"
            accepted += 1
    return accepted


def test_a_jpeg_cut_at_a_thousand_points_is_never_half_accepted(tmp_path: Path) -> None:
    content = saved("JPEG", (64, 64), quality=60)
    points = np.unique(np.linspace(0, len(content) - 1, 1000).astype(int)).tolist()
    assert len(points) == 1000
    assert assert_no_half_picture(content, points, tmp_path / "a.jpg") <= 2


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("BMP", {}),
    ],
)
def test_other_pictures_cut_short_are_never_half_accepted(form: str, options: dict[str, bool], tmp_path: Path) -> None:
    content = saved(form, (48, 48), **options)
    points = sorted(set(np.linspace(0, len(content) - 1, 150).astype(int).tolist()))
    assert assert_no_half_picture(content, points, tmp_path / "a.jpg") < 10
