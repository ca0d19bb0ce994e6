from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from pipelines.parameters.data import PrepareConfig, ValidateConfig
from pipelines.quality.facts import gather_facts
from pipelines.quality.verdict import CheckResult, describe_gate

Tables = dict[str, pl.DataFrame]
NOW = 2_000_000_000


def run(
    tables: Tables, docs: Path, bounds: ValidateConfig, prepared: PrepareConfig, only: str = ""
) -> list[CheckResult]:
    from pipelines.quality.gate import run_checks
    from pipelines.quality.suites import build_checks, choose_runnable

    facts = gather_facts(tables, bounds, repeats=prepared.repeats, now=NOW)
    checks = [check for check in build_checks(bounds, prepared) if only in f"{check.suite}.{check.name}"]
    return run_checks(choose_runnable(checks, facts.absent)[0], facts.frames, docs)


def change(table: str, **columns: object) -> Callable[[Tables], Tables]:
    """Return a change that overwrites columns of one table."""
    return lambda tables: {table: tables[table].with_columns(**columns)}


def fill(column: str, rows: int, value: object) -> pl.Expr:
    """Return ``column`` with its first ``rows`` values replaced."""
    literal = pl.lit(value, pl.String) if isinstance(value, str) else pl.lit(value)
    return pl.when(pl.int_range(pl.len()) < rows).then(literal).otherwise(pl.col(column)).alias(column)


def drop(table: str, column: str) -> Callable[[Tables], Tables]:
    return lambda tables: {table: tables[table].drop(column)}


def clear(table: str) -> Callable[[Tables], Tables]:
    return lambda tables: {table: tables[table].clear()}


def head(table: str, rows: int) -> Callable[[Tables], Tables]:
    return lambda tables: {table: tables[table].head(rows)}


def double_first(table: str) -> Callable[[Tables], Tables]:
    return lambda tables: {table: pl.concat([tables[table], tables[table].head(1)])}


def flood(column: str) -> Callable[[Tables], Tables]:
    """Return a change that adds 500 interactions of one user (or one item) with as many new others, a day apart."""
    other = {"user_id": "item_id", "item_id": "user_id"}[column]

    def change_tables(tables: Tables) -> Tables:
        more = pl.DataFrame({column: tables["interactions"][column][0], other: [f"n{n}" for n in range(500)]})
        more = more.with_columns(timestamp=1_200_000_000 + 86_400 * pl.int_range(500))
        return {"interactions": pl.concat([tables["interactions"], more.select(tables["interactions"].columns)])}

    return change_tables


LAST_SENTENCE = pl.col("description").str.replace(r"Wash.*", "Free shipping on all orders.")
FAILING: dict[str, tuple[Callable[[Tables], Tables], float | None]] = {
    "image_availability.required_columns_present": (drop("images", "status"), 1),
    "image_availability.required_columns_not_null": (change("items", image_status=fill("image_status", 1, None)), 1),
    "image_availability.has_items": (clear("items"), 0),
    "image_availability.image_statuses_known": (change("images", status=fill("status", 2, "fine")), 2),
    "image_availability.images_listed": (head("images", 9), 3),
    "image_availability.images_decodable": (change("images", status=fill("status", 7, "missing")), 5 / 12),
    "image_availability.images_mostly_decodable": (change("images", status=fill("status", 3, "too_large")), 9 / 12),
    "image_availability.pictures_not_placeholders": (change("images", sha256=fill("sha256", 10, "00")), 10 / 12),
    "image_availability.pictures_not_flat": (change("images", bytes=fill("bytes", 1, 2_000)), 1 / 12),
    "image_availability.pictures_not_duplicated": (change("images", sha256=fill("sha256", 9, "00")), 9 / 12),
    "image_availability.pictures_not_tiny": (change("images", width=fill("width", 2, 31)), 2 / 12),
    "image_availability.pictures_not_stretched": (change("images", height=fill("height", 3, 1201)), 3 / 12),
    "k_core.required_columns_present": (drop("users", "status"), 1),
    "k_core.required_columns_not_null": (change("interactions", item_id=fill("item_id", 1, None)), 1),
    "k_core.enough_users": (head("users", 9), 9),
    "k_core.enough_items": (head("items", 9), 9),
    "k_core.users_reach_core": (lambda tables: {"interactions": tables["interactions"][3:]}, 1),
    "k_core.items_reach_core": (lambda tables: {"interactions": tables["interactions"][3:]}, 3),
    "k_core.users_known": (change("users", status=fill("status", 1, "below_core")), 4),
    "k_core.items_known": (lambda tables: {"items": tables["items"][1:]}, 4),
    "interactions.required_columns_present": (drop("interactions", "timestamp"), 1),
    "interactions.required_columns_not_null": (change("interactions", user_id=fill("user_id", 1, None)), 1),
    "interactions.has_interactions": (clear("interactions"), 0),
    "interactions.interactions_unique": (double_first("interactions"), 2),
    "interactions.timestamps_not_null": (change("interactions", timestamp=fill("timestamp", 2, None)), 2),
    "interactions.timestamps_not_negative": (change("interactions", timestamp=fill("timestamp", 2, -1)), 2),
    "interactions.timestamps_in_seconds": (change("interactions", timestamp=pl.col("timestamp") * 1000), 48),
    "interactions.timestamps_not_in_future": (change("interactions", timestamp=pl.col("timestamp") * 2), 48),
    "interactions.timestamps_not_too_early": (change("interactions", timestamp=fill("timestamp", 3, 7)), 3 / 48),
    "interactions.timestamps_not_tied": (
        change("interactions", timestamp=fill("timestamp", 28, 1_500_000_000)), 28 / 48,
    ),
    "interactions.users_human": (flood("user_id"), 1 / 12),
    "interactions.items_not_dominating": (flood("item_id"), 1 / 12),
    "interactions.categories_vary": (change("items", category=pl.lit(["Clothing"])), 1),
    "description_noise.required_columns_present": (drop("items", "title"), 1),
    "description_noise.required_columns_not_null": (change("items", description=fill("description", 1, None)), 1),
    "description_noise.has_items": (clear("items"), 0),
    "description_noise.item_ids_unique": (double_first("items"), 2),
    "description_noise.titles_not_empty": (change("items", title=fill("title", 7, " ")), 7 / 12),
    "description_noise.titles_mostly_not_empty": (change("items", title=fill("title", 2, " ")), 2 / 12),
    "description_noise.descriptions_not_empty": (change("items", description=fill("description", 7, " - ")), 7 / 12),
    "description_noise.descriptions_not_short": (change("items", description=fill("description", 7, "ok")), 7 / 12),
    "description_noise.descriptions_not_long": (
        change("items", description=fill("description", 2, "word " * 1001)), 2 / 12,
    ),
    "description_noise.descriptions_without_html": (
        change("items", description=pl.col("description") + fill("title", 1, "<p>")), 1 / 12,
    ),
    "description_noise.descriptions_without_boilerplate": (change("items", description=LAST_SENTENCE), 1),
    "description_noise.descriptions_not_duplicated": (
        change("items", description=fill("description", 4, "Word for word the same.")), 4 / 12,
    ),
    "description_noise.descriptions_in_expected_language": (
        change("items", description=fill("description", 3, "Das Hemd ist nicht von hier und auch nicht rot.")),
        3 / 12,
    ),
    "description_noise.raw_descriptions_without_html": (
        change("raw_texts", description=fill("description", 7, "<b>Red</b>")), 7 / 12,
    ),
    "description_noise.raw_descriptions_without_boilerplate": (change("raw_texts", description=LAST_SENTENCE), 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def great_expectations():
    """Import the slow library once, outside the tests' own times."""
    import great_expectations

    return great_expectations


def test_every_check_has_a_failing_table_here(great_expectations, bounds, prepared) -> None:
    from pipelines.quality.suites import build_checks

    checks = build_checks(bounds, prepared)
    assert [f"{check.suite}.{check.name}" for check in checks] == list(FAILING)


def test_clean_tables_pass_every_check(great_expectations, tables, bounds, prepared) -> None:
    results = run(tables, None, bounds, prepared)
    assert [result.name for result in results if not result.passed] == []
    # Some category is always the commonest.
    quiet = [result for result in results if result.name != "categories_vary"]
    assert all(result.offending == [] and result.offending_count == 0 for result in quiet)
    assert len(results) == len(FAILING)


@pytest.mark.parametrize("name", FAILING)
def test_each_check_fails_on_its_table(great_expectations, tables, bounds, prepared, name: str) -> None:
    damage, observed = FAILING[name]
    (result,) = run(tables | damage(tables), None, bounds, prepared, only=name)
    assert not result.passed
    assert result.observed == pytest.approx(observed, abs=1e-6)
    assert len(result.offending) == min(result.offending_count, 10)


@pytest.mark.parametrize(
    ("name", "parameter", "bound"),
    [
        ("images_decodable", "min_decodable_share", 5 / 12),
        ("images_mostly_decodable", "warn_decodable_share", 9 / 12),
        ("titles_not_empty", "max_empty_title_share", 7 / 12),
        ("descriptions_not_duplicated", "max_duplicate_share", 4 / 12),
        ("timestamps_not_tied", "max_tie_share", 28 / 48),
        ("enough_users", "min_users", 9),
    ],
)
def test_a_bound_just_met_passes(great_expectations, tables, bounds, prepared, name, parameter, bound) -> None:
    damage, _ = FAILING[next(full for full in FAILING if full.endswith(f".{name}"))]
    exact = bounds.model_copy(update={parameter: bound})
    (result,) = run(tables | damage(tables), None, exact, prepared, only=f".{name}")
    assert result.passed


def test_offending_rows_are_named_by_row_and_id(great_expectations, tables, bounds, prepared) -> None:
    fewer = tables | {"interactions": tables["interactions"][3:]}
    (users,) = run(fewer, None, bounds, prepared, only="users_reach_core")
    assert users.offending == [{"row": 1, "user_id": "u00", "interactions": 1}]
    negative = tables | change("interactions", timestamp=fill("timestamp", 1, -7))(tables)
    (times,) = run(negative, None, bounds, prepared, only="not_negative")
    assert times.offending == [{"row": 1, "user_id": "u00", "item_id": "i00", "timestamp": -7}]


@pytest.mark.parametrize("empty", [True, False], ids=["empty", "all-null"])
def test_nothing_passes_where_there_is_nothing(great_expectations, tables, bounds, prepared, empty) -> None:
    hollow = {
        name: table.clear()
        if empty
        else table.select(pl.lit(None, dtype).alias(key) for key, dtype in table.schema.items())
        for name, table in tables.items()
    }
    if not empty:
        hollow = {name: pl.concat([table] * 20) for name, table in hollow.items()}
    results = run(hollow, None, bounds, prepared)
    verdict = describe_gate(results, {})
    failed = {f"{result.suite}.{result.name}" for result in results if result.is_critical_failure}
    assert not verdict["passed"]
    assert {
        f"{suite}.required_columns_not_null"
        for suite in ("image_availability", "k_core", "interactions", "description_noise")
    } <= failed
    assert {"image_availability.images_decodable", "description_noise.titles_not_empty"} <= failed


@pytest.mark.parametrize(("flags", "passes"), [([0, 0], True), ([0, 1], False), ([0, None], False), ([], False)])
def test_a_flag_must_be_known_for_every_row(great_expectations, flags: list[int | None], passes: bool) -> None:
    from pipelines.quality.checks import Subject
    from pipelines.quality.gate import run_checks

    frame = (
        pl.DataFrame({"flag": flags}, schema={"flag": pl.Int8})
        .with_columns(item_id=pl.lit("a"))
        .with_row_index("row", 1)
    )
    subject = Subject("suite", "items")
    checks = [subject.none("bad", "flag", "bad", ""), subject.at_least("good", "flag", 0.0, "good", "")]
    bad, good = run_checks(checks, {"items": frame})
    assert bad.passed is passes
    assert good.passed is (None not in flags and bool(flags))


def test_expectations_are_about_numbers_only(great_expectations, tables, bounds, prepared) -> None:
    from pipelines.quality.suites import build_checks

    facts = gather_facts(tables, bounds, repeats="first", now=NOW).frames
    judged = [(check.frame, check.column) for check in build_checks(bounds, prepared) if check.column]
    assert len(judged) > 30
    assert all(facts[frame].schema[column].is_numeric() for frame, column in judged)


PAYLOADS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "'><svg onload=alert(3)>",
    "$name ${column} {{ 7*7 }} {% raw %}",
    "</td></table><iframe src=javascript:alert(4)>",
]


@pytest.fixture(scope="module")
def hostile_site(tmp_path_factory, great_expectations) -> str:
    """All pages over tables whose every text is an attack and whose every check fails, as one string."""
    from pipelines.quality.data_docs import write_index

    rows = len(PAYLOADS)
    text = pl.Series(PAYLOADS)
    tables = {
        "items": pl.DataFrame(
            {"item_id": text, "title": text, "brand": text, "description": text, "image_status": text}
        ).with_columns(category=pl.lit(PAYLOADS)),
        "images": pl.DataFrame(
            {"item_id": text, "status": "ok", "sha256": "00", "width": 1, "height": 500, "bytes": 1}
        ),
        "raw_texts": pl.DataFrame({"item_id": text, "description": text + " and more text of the same kind for you"}),
        "users": pl.DataFrame({"user_id": text, "status": text}),
        "interactions": pl.DataFrame({"user_id": text, "item_id": text, "timestamp": [-1] * rows}),
    }
    docs = tmp_path_factory.mktemp("hostile") / "docs"
    bounds, prepared = (
        ValidateConfig(max_tie_share=0.0, placeholder_items=2, max_raw_html_share=0.0),
        PrepareConfig(format="own", folder="x"),
    )
    results = run(tables, docs, bounds, prepared)
    failed = {result.name for result in results if not result.passed}
    assert {
        "pictures_not_placeholders",
        "pictures_not_tiny",
        "raw_descriptions_without_html",
        "categories_vary",
    } <= failed
    assert {row["item_id"] for result in results for row in result.offending if "item_id" in row} == set(PAYLOADS)
    write_index(docs, describe_gate(results, {name: table.height for name, table in tables.items()}))
    pages = sorted(docs.rglob("*.html"))
    assert len(pages) > 10
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def test_hostile_text_stays_text(hostile_site: str) -> None:
    lower = hostile_site.lower()
    for tag in ("<script", "<img", "<svg", "<iframe"):
        assert tag not in lower
    assert not re.search(r"<[^>]*\son\w+\s*=", lower)
    assert "&lt;script&gt;alert(1)" in hostile_site
    assert "{{ 7*7 }}" in hostile_site


def test_pages_ask_nothing_of_a_network(hostile_site: str) -> None:
    assert not re.search(r"""(?:src|href|url)\s*[=(]\s*["']?(?:https?:)?//""", hostile_site, re.IGNORECASE)
    assert hostile_site.count("default-src 'none'") == hostile_site.count("<head>")


def test_links_between_pages_lead_somewhere(great_expectations, tmp_path, tables, bounds, prepared) -> None:
    from pipelines.quality.data_docs import write_index

    results = run(tables, tmp_path, bounds, prepared)
    write_index(tmp_path, describe_gate(results, {}))
    targets = [
        (page, target)
        for page in tmp_path.rglob("*.html")
        for target in re.findall(r'<a\b[^>]*href="([^"#]+)"', page.read_text(encoding="utf-8"))
    ]
    assert len(targets) > 20
    assert [target for page, target in targets if not (page.parent / target).is_file()] == []
