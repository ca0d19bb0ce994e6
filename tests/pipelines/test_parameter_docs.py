"""docs/parameters.md says what the sections are."""

from pathlib import Path

from pipelines.parameters.reading import SECTIONS
from pipelines.parameters.reference import write_reference
from pipelines.parameters.training import TrainConfig

PAGE = Path(__file__).parents[2] / "docs" / "parameters.md"


def test_the_committed_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == write_reference(), (
        "run: python -m pipelines.parameters.reference > docs/parameters.md"
    )


def test_every_section_and_every_key_of_train_is_described() -> None:
    page = write_reference()
    assert all(f"\n### {name}\n" in page for name in SECTIONS)
    rows = [line for line in page.split("### train\n")[1].split("###")[0].splitlines() if line.startswith("| `")]
    outer = dict.fromkeys(row.split("`")[1].split(".")[0] for row in rows)
    assert list(outer) == list(TrainConfig.model_fields)
    assert not [row for row in rows if row.rstrip(" |").endswith("|  ")]


def test_types_bounds_and_defaults_are_spelled_out() -> None:
    page = write_reference()
    assert '| `window` | `random` or `last` | `"random"` |' in page
    assert "| `format` | `amazon` or `goodbooks` or `hm` or `microlens` or `own` | none: must be given |" in page
    assert "| `image.small.width` | whole number, >= 1 | `128` |" in page
    assert "| `confidence` | number, > 0.0, < 1.0 | `0.95` |" in page
    assert "| `image.mean` | list of number or null | `null` |" in page
