"""What each stage depends on in the code: edits make the right stages outdated, and no others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipelines.cli import cli
from pipelines.project.code import EXCUSED, Code, list_verbs, write_code
from pipelines.studies.catalogue import list_study_verbs

ROOT = Path(__file__).parents[2]
Outdated = Callable[[str, str, str], set[str]]


@pytest.fixture(scope="module")
def before() -> dict[str, dict[str, str]]:
    code = Code(ROOT)
    return {name: code.digest(verbs) for name, verbs in list_verbs().items()}


@pytest.fixture
def outdated(tmp_path: Path, before: dict[str, dict[str, str]]) -> Outdated:
    """Return a function that edits a copy of the code and says whose digests are others then."""
    for package in ("illmrec", "pipelines"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))

    def edit(file: str, old: str, new: str) -> set[str]:
        path = tmp_path / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        code = Code(tmp_path)
        return {name for name, verbs in list_verbs().items() if code.digest(verbs) != before[name]}

    return edit


MODEL = {"train", "evaluate", "export"}
PREPARE = {"prepare-amazon", "prepare-goodbooks", "prepare-hm", "prepare-microlens", "prepare-own"}
DRAW = {"encoders", "train_cf", "train", "evaluate", "export"}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("illmrec/data/readers/goodbooks.py", "from __future__", "# a comment\nfrom __future__"),
        ("illmrec/models/adaptor.py", '"""', '"""Another docstring. '),
        ("pipelines/commands/train.py", "Train the adaptor", "Train the small adaptor"),
        ("pipelines/report/report.html", "<", "<!-- a template --><"),
        ("illmrec/progress.py", "leave=False", "leave=True"),
        ("illmrec/models/adaptor.py", "from __future__", "UNUSED = 1\nfrom __future__"),
        ("pipelines/registry/promote.py", "def promote(", "def unused(): ...\n\n\ndef promote("),
        ("pipelines/parameters/operation.py", "coarse_factor: Count = 2", "coarse_factor: Count = 3"),
    ],
)
def test_what_no_result_depends_on_makes_no_stage_outdated(outdated: Outdated, file: str, old: str, new: str) -> None:
    assert outdated(file, old, new) == set()


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("pipelines/parameters/training.py", "samples: Count = 1000", "samples: Count = 999", {"evaluate"}),
        ("pipelines/parameters/data.py", "user_core: Count = 5", "user_core: Count = 6", PREPARE | {"validate"}),
        ("illmrec/seeds.py", "PCG64(", "Philox(", DRAW),
        ("illmrec/seeds.py", "padded[:, :length] =", "padded[:, -length:] =", PREPARE | {"split", "embed_images"}),
        ("illmrec/data/readers/goodbooks.py", "options.missing_items", "'warn'", {"prepare-goodbooks"}),
        ("illmrec/data/readers/own.py", "options.missing_items", "'warn'", {"prepare-own"}),
        ("illmrec/evaluation/metrics.py", "log2(ranks + 1.0)", "log2(ranks + 2.0)", {"train_cf", "train", "evaluate"}),
        ("illmrec/evaluation/significance.py", "/ 2**n", "/ 3**n", {"evaluate"}),
        ("illmrec/models/adaptor.py", "FirstLayer(image_width, hidden)", "FirstLayer(image_width, 2 * hidden)", MODEL),
    ],
)  # fmt: skip
def test_a_change_makes_those_outdated_that_it_reaches(
    outdated: Outdated, file: str, old: str, new: str, expected: set[str]
) -> None:
    assert outdated(file, old, new) == expected


def test_a_stage_depends_on_what_its_verb_names(before: dict[str, dict[str, str]]) -> None:
    for definition in (
        *("pipelines.assembly.recommender:build_recommender", "pipelines.parameters.training:TrainConfig"),
        *("illmrec.seeds:generator", "illmrec.models.projection:ProjectionHeads", "illmrec:"),
    ):
        assert definition in before["train"], definition
    assert "pipelines.assembly.pictures:hide_pictures" in before["embed_images"]
    assert "illmrec.columns:ITEMS" in before["split"]
    assert not [name for name in before["train"] if name.startswith("pipelines.parameters.data:")]


def test_what_is_excused_exists_and_says_why() -> None:
    code = Code(ROOT)
    for module, reason in EXCUSED.items():
        assert code.find(module), module
        assert len(reason.split()) > 1, module


def test_a_name_that_nobody_uses_is_not_reached_and_a_module_as_a_value_is_reached_whole(tmp_path: Path) -> None:
    folder = tmp_path / "illmrec"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "a.py").write_text("from illmrec import b, c\n\ndef run():\n    return b.used(), vars(c)\n")
    (folder / "b.py").write_text("def used(): ...\ndef unused(): ...\n")
    (folder / "c.py").write_text("def one(): ...\nTWO = 2\n")
    assert set(Code(tmp_path).digest(["illmrec.a:run"])) == {
        *("illmrec:", "illmrec.a:", "illmrec.a:run", "illmrec.b:", "illmrec.b:used"),
        *("illmrec.c:", "illmrec.c:one", "illmrec.c:TWO"),
    }


def test_a_class_counts_whole_with_what_only_another_library_calls(tmp_path: Path) -> None:
    folder = tmp_path / "illmrec"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    text = "class Plain:\n    def called_by_a_library(self): return 1\ndef run(thing: Plain): ...\n"
    (folder / "a.py").write_text(text)
    before = Code(tmp_path).digest(["illmrec.a:run"])
    (folder / "a.py").write_text(text.replace("return 1", "return 2"))
    assert Code(tmp_path).digest(["illmrec.a:run"]) != before


def test_what_transformers_asks_of_our_cache_is_watched(outdated: Outdated) -> None:
    assert outdated("illmrec/models/prefix.py", "        return 0\n", "        return 1\n") >= MODEL


def test_an_accessor_concerns_those_who_ask_it(before: dict[str, dict[str, str]]) -> None:
    assert "pipelines.project.shelf:Shelf.sequences" in before["train"]
    assert "pipelines.project.shelf:Shelf.read_metrics" not in before["train"]
    assert "pipelines.project.layout:Layout.exports" not in before["train"]


def test_what_changes_a_value_later_counts(tmp_path: Path) -> None:
    folder = tmp_path / "illmrec"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    text = "import os\nTABLE = {}\nTABLE['a'] = 1\nos.environ['A'] = '5'\ndef run(): return TABLE\n"
    (folder / "a.py").write_text(text)
    before = Code(tmp_path).digest(["illmrec.a:run"])
    for old, new in (("{}", "{'b': 2}"), ("= 1", "= 3"), ("'5'", "'6'")):
        (folder / "a.py").write_text(text.replace(old, new))
        assert Code(tmp_path).digest(["illmrec.a:run"]) != before


def test_files_are_the_same_wherever_and_whenever_they_are_written(tmp_path: Path) -> None:
    counts = write_code(tmp_path / "first", list_verbs())
    assert counts == write_code(tmp_path / "second", list_verbs())
    assert set(counts) == {path.stem for path in (tmp_path / "first").iterdir()}
    for path in (tmp_path / "first").iterdir():
        assert path.read_bytes() == (tmp_path / "second" / path.name).read_bytes()


def test_another_name_of_the_library_s_face_makes_nothing_outdated(outdated: Outdated) -> None:
    assert outdated("illmrec/__init__.py", "_HOMES = {", '_HOMES = {\n    "draw": "illmrec.seeds",') == set()


def test_the_command_says_how_much_each_stage_and_study_reaches(tmp_path: Path) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    result = CliRunner().invoke(cli, ["--root", str(tmp_path), "code", "--json"])
    assert result.exit_code == 0, result.output
    counts = json.loads(result.stdout)
    assert set(counts) == {path.stem for path in (tmp_path / "artifacts" / "code").iterdir()}
    assert set(counts) == set(list_verbs() | list_study_verbs())
    assert counts["train"] == len(json.loads((tmp_path / "artifacts" / "code" / "train.json").read_text()))
