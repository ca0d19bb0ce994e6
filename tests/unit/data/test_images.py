from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from illmrec.data.images import MAX_FILE_BYTES, open_rgb, probe_image, probe_images
from illmrec.errors import DataError

LIMIT = 1_000_000


def _save(path: Path, size: tuple[int, int] = (40, 30), color: str = "red", **options) -> Path:
    Image.effect_noise(size, 60).convert("RGB").save(path, **options) if color == "noise" else Image.new(
        "RGB", size, color
    ).save(path, **options)
    return path


def _png_claiming(path: Path, width: int, height: int) -> Path:
    """A PNG whose header declares a size that its few bytes of data do not hold."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 10)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp"])
def test_each_allowed_format_is_ok(tmp_path: Path, suffix: str) -> None:
    path = _save(tmp_path / f"a.{suffix}")
    probe = probe_image(path, LIMIT)
    assert (probe.status, probe.width, probe.height, probe.bytes) == ("ok", 40, 30, path.stat().st_size)
    assert len(probe.sha256) == 64
    assert probe.reason == ""


def test_format_off_the_list_is_undecodable(tmp_path: Path) -> None:
    assert probe_image(_save(tmp_path / "a.tiff"), LIMIT).status == "undecodable"


def test_truncated_jpeg_is_undecodable_although_its_header_is_fine(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.jpg", (200, 200), "noise")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with Image.open(path) as image:
        image.verify()
    probe = probe_image(path, LIMIT)
    assert probe.status == "undecodable"
    assert (probe.width, probe.height) == (200, 200)
    assert "truncated" in probe.reason


def test_text_named_jpg_is_undecodable(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("<html>404</html>")
    probe = probe_image(tmp_path / "a.jpg", LIMIT)
    assert probe.status == "undecodable"
    assert "JPEG" in probe.reason
    assert "0x" not in probe.reason


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_declared_size_is_checked_before_decoding(tmp_path: Path) -> None:
    probe = probe_image(_png_claiming(tmp_path / "a.png", 12_000, 12_000), 50_000_000)
    assert probe.status == "too_large"
    assert (probe.width, probe.height) == (12_000, 12_000)
    assert probe_image(_png_claiming(tmp_path / "b.png", 60_000, 60_000), 50_000_000).status == "too_large"


def test_pixel_limit_is_inclusive(tmp_path: Path) -> None:
    path = _save(tmp_path / "a.png", (10, 10))
    assert probe_image(path, 100).status == "ok"
    assert probe_image(path, 99).status == "too_large"


def test_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    probe = probe_image(path, LIMIT)
    assert (probe.status, probe.sha256, probe.bytes) == ("too_large", "", MAX_FILE_BYTES + 1)


def test_missing_folder_and_pipe_are_told_apart(tmp_path: Path) -> None:
    assert probe_image(tmp_path / "none.jpg", LIMIT).status == "missing"
    (tmp_path / "folder.jpg").mkdir()
    assert probe_image(tmp_path / "folder.jpg", LIMIT).status == "undecodable"
    os.mkfifo(tmp_path / "pipe.jpg")
    assert probe_image(tmp_path / "pipe.jpg", LIMIT).status == "undecodable"


def test_paths_out_of_the_folder_are_unsafe(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    root.mkdir()
    outside = _save(tmp_path / "secret.png")
    (root / "link.png").symlink_to(outside)
    (root / "inside.png").symlink_to(_save(root / "real.png"))
    statuses = [
        p.status
        for p in probe_images(root, ["link.png", "../secret.png", str(outside), "inside.png", "none.png"], LIMIT)
    ]
    assert statuses == ["unsafe_path", "unsafe_path", "unsafe_path", "ok", "missing"]


def test_probes_come_in_the_order_asked_for(tmp_path: Path) -> None:
    names = [f"{n}.png" for n in range(1, 40)]
    for n, name in enumerate(names, start=1):
        _save(tmp_path / name, (n, 2))
    assert [p.width for p in probe_images(tmp_path, names, LIMIT)] == list(range(1, 40))


def test_open_rgb_lays_transparency_over_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "a.png")
    image = open_rgb(tmp_path / "a.png", LIMIT)
    assert image.mode == "RGB"
    assert image.getpixel((1, 1)) == (255, 255, 255)


def test_open_rgb_turns_as_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    _save(tmp_path / "a.jpg", (40, 30), exif=exif)
    assert open_rgb(tmp_path / "a.jpg", LIMIT).size == (30, 40)


def test_open_rgb_takes_the_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert open_rgb(tmp_path / "a.gif", LIMIT).getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "LA"])
def test_open_rgb_converts_other_modes(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    Image.new("RGB", (4, 4), "white").convert(mode).save(path)
    image = open_rgb(path, LIMIT)
    assert image.mode == "RGB"
    assert min(image.getpixel((0, 0))) >= 250


def test_open_rgb_scales_sixteen_bit_grey(tmp_path: Path) -> None:
    Image.new("I;16", (4, 4), 0x8000).save(tmp_path / "a.png")
    assert open_rgb(tmp_path / "a.png", LIMIT).getpixel((0, 0)) == (128, 128, 128)


def test_open_rgb_names_the_file_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"a\.jpg.*undecodable"):
        open_rgb(tmp_path / "a.jpg", LIMIT)
