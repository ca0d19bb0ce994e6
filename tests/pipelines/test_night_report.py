"""``illmrec report --night``: one safe page of a night whose numbers are those of its rows."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image

from illmrec import atomic, columns
from illmrec.errors import DataError, MissingArtifactError
from illmrec.scoring.output import RECOMMENDATIONS, move_pointer, write_run
from pipelines.cli import cli
from pipelines.parameters.reading import STAGES
from pipelines.report.charts import draw_columns
from pipelines.report.night.figures import compare_nights, measure_night
from tests.html_page import Page

PAYLOADS = [
    "<script>alert(1)</script>", "</title><script>alert(2)</script>", "</style><script>alert(3)</script>",
    "<img src=x onerror=alert(4)>", "<svg onload=alert(5)>", "<svg><script>alert(6)</script></svg>",
    '"><script>alert(7)</script>', "' onmouseover='alert(8)", '" autofocus onfocus="alert(9)',
    "<iframe src=javascript:alert(10)></iframe>", "<a href=javascript:alert(11)>a</a>", "<body onload=alert(12)>",
    "<details open ontoggle=alert(13)>", "{{ 7 * 7 }}{% for x in y %}{% endfor %}",
    "--><script>alert(15)</script><!--",
    "<![CDATA[<script>alert(16)</script>]]>", "<math><mi xlink:href=https://evil.example/17>x</mi></math>",
    "<link rel=stylesheet href=https://evil.example/18.css>", "<base href=https://evil.example/19/>",
    "<meta http-equiv=refresh content=0;url=https://evil.example/20>", "<input autofocus onfocus=alert(21)>",
    "<video><source onerror=alert(22)></video>", "<object data=javascript:alert(23)></object>",
    "<embed src=javascript:alert(24)>", "<form action=javascript:alert(25)><button>b</button></form>",
    "<style>@import url(https://evil.example/26.css);</style>", "<marquee onstart=alert(27)>m</marquee>",
    "<template><script>alert(28)</script></template>", "<noscript><img src=x onerror=alert(29)></noscript>",
    "<svg><animate onbegin=alert(30) attributeName=x></svg>",
]  # fmt: skip
ITEMS = sorted([*PAYLOADS, *(f"i{number}" for number in range(10))])
TODAY, YESTERDAY = "2026-02-01", "2026-01-31"
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "footer"),
    *("h1", "h2", "h3", "h4", "p", "strong", "small", "span", "bdi", "code", "a", "img", "dl", "div", "dt", "dd"),
    *("ol", "li", "details", "summary", "figure", "figcaption", "table", "thead", "tbody", "tr", "th", "td"),
    *("svg", "rect", "line", "text"),
}


def make_rows(lists: dict[str, list[str]], reason: str = "model", model: str = "m/2") -> pl.DataFrame:
    rows = [
        {
            "user_id": user, "rank": rank, "item_id": item, "score": 1.0, "share_image": 1.0, "reason": reason,
            "image_fallback": rank == 1, "new_item": rank <= 2, "model_version": model,
        }
        for user, items in sorted(lists.items())
        for rank, item in enumerate(items, 1)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=RECOMMENDATIONS)


def write_night(
    root: Path, day: str, table: pl.DataFrame, run: str = "abc", *, publish: bool = False, **more: Any
) -> Path:
    folder = root / "exports/shop" / f"dt={day}" / f"run={run}"
    folder.mkdir(parents=True)
    about = {"date": day, "model": "m", "model_version": table["model_version"][0][2:], "onnx_sha256": "0" * 64}
    write_run(folder, table, 2, about | more)
    if publish:
        move_pointer(root / "exports/shop", folder)
    return folder


def write_audit(root: Path, day: str, run: str, *, passed: bool) -> None:
    check = {"name": "overlap", "value": 0.25, "low": 0.5, "high": None, "told": PAYLOADS[0], "passed": passed}
    first = {"name": "catalog_age_days", "value": None, "low": None, "high": None, "told": "?", "passed": True}
    atomic.write_json(
        root / f"work/receipts/shop/20260201T010000Z-{day}-audit.json",
        {"date": day, "run": run, "passed": passed, "checks": [check, first]},
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("night")
    raw, prepared = root / "data/shop", root / "artifacts/shop/prepared"
    raw.mkdir(parents=True)
    prepared.mkdir(parents=True)
    for index in range(len(ITEMS)):
        Image.new("RGB", (90, 60), (6 * index, 90, 120)).save(raw / f"{index}.png")
    images = [(item, 0, f"{i}.png", "ok", "0" * 64, 90, 60, 100, "") for i, item in enumerate(ITEMS) if i % 7]
    items = [(item, PAYLOADS[i % len(PAYLOADS)], "b", [], "", "", "ok") for i, item in enumerate(ITEMS)]
    times = [("u0", "i0", 1_769_000_000), ("u0", "i1", 1_800_000_000)]
    for name, rows, schema in (
        ("items", items, columns.ITEMS),
        ("images", images, columns.IMAGES),
        ("interactions", times, columns.INTERACTIONS),
    ):
        pl.DataFrame(rows, schema=schema, orient="row").write_parquet(prepared / f"{name}.parquet")
    source = {"format": "own", "folder": "data/shop", "max_pixels": 10_000}
    (prepared / "source.json").write_text(json.dumps(source))
    sections: dict[str, Any] = {stage: {} for stage in STAGES} | {"prepare": {"format": "own", "folder": "data/shop"}}
    params = {"report": {"users": 4, "thumbnail_pixels": 40}, "datasets": {"shop": sections}}
    (root / "params.yaml").write_text(json.dumps(params))
    users = {PAYLOADS[0]: ITEMS[:10], "u1": ITEMS[10:20], "u2": ITEMS[20:30], "new": ITEMS[30:40]}
    write_night(root, TODAY, make_rows(users), publish=True)
    write_audit(root, TODAY, "abc", passed=True)
    before = {PAYLOADS[0]: [*ITEMS[:9], ITEMS[39]], "u1": ITEMS[15:25], "u2": ITEMS[20:30], "gone": ["vanished"]}
    write_night(root, YESTERDAY, make_rows(before, model="m/1"))
    return root


@pytest.fixture
def root(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "project"))


def run(root: Path, day: str = TODAY) -> tuple[dict[str, Any], Page]:
    arguments = ["--root", str(root), "report", "--dataset", "shop", "--night", day, "--json"]
    facts = json.loads(CliRunner().invoke(cli, arguments, catch_exceptions=False).stdout)
    page = (root / f"work/reports/shop-{day}.html").read_text(encoding="utf-8")
    assert facts["bytes"] == len(page.encode())
    return facts, Page(page)


def cut(page: Page, start: str) -> str:
    return Page(page.source.split(f'id="{start}"')[1].split("</section>")[0]).words


def test_thirty_payloads_none_live(root: Path) -> None:
    _, page = run(root)
    assert len(PAYLOADS) == 30
    assert {tag for tag, _ in page.elements} <= ALLOWED
    names = {name for _, attributes in page.elements for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in {"style", "srcdoc", "action", "autofocus"}]
    for tag, attributes in page.elements:
        assert attributes.get("src", "data:image/jpeg;base64,").startswith("data:image/jpeg;base64,"), tag
        assert attributes.get("href", "#").startswith("#"), tag
    assert [payload for payload in PAYLOADS if payload in page.words] == PAYLOADS
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in page.source.split("<title>")[0].replace(
        "&#39;", "'"
    )


def test_figures_are_those_of_the_rows(root: Path) -> None:
    facts, page = run(root)
    assert facts["compared_with"] == YESTERDAY
    assert facts["published"] is True
    shown = cut(page, "figures")
    assert "Users served 4 4" in shown
    assert "Rows 40 31" in shown
    assert "Items in the lists different ones 40 26" in shown
    assert "stands in anyone's list 100.0% 65.0%" in shown
    assert "text stood in 10.0% 12.9%" in shown
    assert "model 100.0% 100.0%" in shown


def test_withdrawn_items_are_told_of_and_are_none_that_could_have_been_recommended(root: Path) -> None:
    assert "Items withdrawn 0" in cut(run(root)[1], "night"), "nights of earlier releases know of none"
    write_night(root, "2026-02-02", make_rows({"u1": ITEMS[:10]}), publish=True, items_withdrawn=20)
    _, page = run(root, "2026-02-02")
    assert "Items withdrawn 20" in cut(page, "night")
    assert "stands in anyone's list 50.0% 100.0%" in cut(page, "figures")


def test_what_changed_is_counted(root: Path) -> None:
    _, page = run(root)
    shown = cut(page, "change")
    assert "Another model wrote it (m/1)" in shown
    # 9 of 10, 5 of 10 and 10 of 10 items stayed.
    assert "A user's items that stayed, on average 80.0%" in shown
    assert "Users new 1 Users gone 1" in shown
    assert "Items new in the lists 15 Items in no list any more 1" in shown
    items = cut(page, "items")
    assert "In no list any more" in items
    assert "(no title) vanished 1 user" in items


def test_lists_of_both_nights_mark_what_differs(root: Path) -> None:
    _, page = run(root)
    readers = re.findall(r"<details class=\"user\".*?</details>", page.source, re.DOTALL)
    marks = {
        re.search(r"<bdi>(.*?)</bdi>", reader)[1]: (reader.count(">new<"), reader.count(">gone<")) for reader in readers
    }  # type: ignore[index]
    assert marks == {"&lt;script&gt;alert(1)&lt;/script&gt;": (1, 1), "u1": (5, 5), "u2": (0, 0)}


def test_freshness_counts_from_the_night_and_knows_only_what_was_before(root: Path) -> None:
    _, page = run(root)
    assert "2026-01-21, 11 days before the night" in cut(page, "night")
    assert "Model promoted no receipt here" in cut(page, "night")
    atomic.write_json(root / "work/receipts/shop/20260131T010203Z-promote.json", {"promoted": True, "version": "2"})
    assert "Model promoted 2026-01-31 01:02 UTC" in cut(run(root)[1], "night")


@pytest.mark.parametrize(
    ("passed", "word"), [(True, "Passed : 2 checks, 0 failed"), (False, "Refused : 2 checks, 1 failed")]
)
def test_the_audit_is_the_one_of_this_run(root: Path, passed: bool, word: str) -> None:
    write_audit(root, TODAY, "abc", passed=passed)
    write_audit(root, YESTERDAY, "other", passed=not passed)
    facts, page = run(root)
    shown = cut(page, "audit")
    assert word in shown
    assert "not compared" in shown
    assert facts["audit_failures"] == (not passed)
    shutil.rmtree(root / "work/receipts")
    assert "No receipt of this run's audit is left" in cut(run(root)[1], "audit")


def test_the_first_night_is_compared_with_nothing(root: Path) -> None:
    facts, page = run(root, YESTERDAY)
    assert facts["compared_with"] is None
    assert facts["published"] is False
    assert "Readers are not pointed to this run" in page.words
    assert "There is no earlier night to compare with" in cut(page, "change")


def test_the_published_run_goes_before_a_later_one(root: Path) -> None:
    write_night(root, TODAY, make_rows({"other": ITEMS[:10]}), "later")
    assert "Run abc" in cut(run(root)[1], "night")
    shutil.rmtree(root / f"exports/shop/dt={TODAY}/run=abc")
    (root / "exports/shop/latest.json").unlink()
    assert "Run later" in cut(run(root)[1], "night")


def test_a_night_that_is_not_there_and_a_damaged_one(root: Path) -> None:
    command = ["--root", str(root), "report", "--dataset", "shop", "--night"]
    absent = CliRunner().invoke(cli, [*command, "2026-03-01"]).exception
    assert isinstance(absent, MissingArtifactError)
    assert f"{YESTERDAY}, {TODAY}" in absent.hint
    (part, *_) = (root / f"exports/shop/dt={YESTERDAY}").rglob("part-*.parquet")
    part.write_bytes(b"junk")
    assert isinstance(CliRunner().invoke(cli, [*command, TODAY]).exception, DataError)


def test_measures_of_fallbacks_and_of_no_common_user() -> None:
    cold = make_rows({"a": ["x"], "b": ["x"]}, reason="cold_user_popularity")
    figures = measure_night(cold, 10)
    assert (figures.fallback, figures.top_share, figures.coverage, figures.new_items) == (1.0, 0.0, 0.1, 1.0)
    change = compare_nights(cold, make_rows({"c": ["y"]}))
    assert (change.users_new, change.users_gone, change.overlap, change.kept) == (2, 1, None, ())
    assert (change.entered, change.left) == ((("x", 2),), (("y", 1),))


def test_columns_stand_on_named_axes() -> None:
    drawn = str(draw_columns((0, 3, 1), "what <it> shows", "kept", "users"))
    assert drawn.count("<rect") == 3
    assert ">kept<" in drawn
    assert ">users<" in drawn
    assert "what &lt;it&gt; shows" in drawn
