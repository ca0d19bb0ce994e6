"""``illmrec report``: one safe page whose numbers are those of the artifacts, with whatever has been made so far."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from PIL import Image

from illmrec import columns
from illmrec.data.catalog import Catalog
from illmrec.errors import DataError, LockedError, MissingArtifactError, ParameterError
from illmrec.evaluation.metrics import MRR, NDCG_10, Metric
from illmrec.evaluation.summary import Difference, Estimate
from illmrec.evaluation.table import (
    CASES,
    INTACT,
    LISTS,
    Measurement,
    MetricsTable,
    Where,
    measure_difference,
    measure_mean,
    measure_single,
    write_metrics,
)
from illmrec.scoring.output import RECOMMENDATIONS, write_run
from pipelines.cli import cli
from pipelines.parameters.reading import STAGES
from pipelines.project.lock import hold_lock
from tests.html_page import Page

USERS, ITEMS, LOST, WITHOUT_PICTURE = 8, 40, 3, 5
PAYLOADS = [
    "<script>alert(1)</script>",
    "</title><script>alert(2)</script>",
    "</style><script>alert(3)</script>",
    "<img src=x onerror=alert(4)>",
    "<svg onload=alert(5)>",
    "<svg><script>alert(6)</script></svg>",
    '"><script>alert(7)</script>',
    "' onmouseover='alert(8)",
    '" autofocus onfocus="alert(9)',
    "<iframe src=javascript:alert(10)></iframe>",
    "<a href=javascript:alert(11)>a</a>",
    "<body onload=alert(12)>",
    "<details open ontoggle=alert(13)>",
    "{{ 7 * 7 }}{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}",
    "--><script>alert(15)</script><!--",
    "<![CDATA[<script>alert(16)</script>]]>",
    "<math><mi xlink:href=https://evil.example/17>x</mi></math>",
    "<link rel=stylesheet href=https://evil.example/18.css>",
    "<meta http-equiv=refresh content=0;url=https://evil.example/19>",
    "<base href=https://evil.example/20/>",
    "<scr<script>ipt>alert(21)</scr</script>ipt>",
    "</textarea><script>alert(22)</script>",
    "</svg><script>alert(23)</script>",
    "<object data=javascript:alert(24)></object>",
    "<embed src=javascript:alert(25)>",
    "<form action=javascript:alert(26)><button autofocus>b</button></form>",
    "<video><source onerror=alert(27)></video>",
    "<a href='data:text/html,<script>alert(28)</script>'>d</a>",
    "\u202e<script>alert(29)</script>\u2066",
    "&lt;script&gt;alert(30)&lt;/script&gt;",
]
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section", "footer"),
    *("h1", "h2", "h3", "h4", "p", "strong", "small", "span", "i", "bdi", "code", "a", "img", "div"),
    *("dl", "dt", "dd", "ol", "li", "details", "summary", "figure", "figcaption"),
    *("table", "thead", "tbody", "tr", "th", "td", "svg", "rect", "line", "text", "polyline", "circle"),
}
ITEM_IDS = sorted([*(f"i{number:02d}" for number in range(ITEMS - len(PAYLOADS))), *PAYLOADS])
USER_IDS = [f"u{number}" for number in range(USERS)]
MINUS = "\N{MINUS SIGN}"
PAIRS = [("illmrec", "sasrec"), ("illmrec", "popularity"), ("sasrec", "popularity")]
METRICS = [*(Metric(name, k) for name in ("hit", "ndcg") for k in (5, 10, 20)), MRR]


@pytest.fixture
def project(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "project"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    write_prepared(root)
    write_split(root)
    write_model(root)
    write_evaluation(root)
    parity = {"users": USERS, "max_user_difference": 2.5e-7, "max_item_difference": 4e-7, "same_top10_share": 0.875}
    write_json(root, "head/head.json", {"parity": parity})
    check = {
        "suite": PAYLOADS[0],
        "name": PAYLOADS[3],
        "severity": "warning",
        "observed": 0.25,
        "expected": PAYLOADS[6],
    }
    passed = {"suite": "k_core", "name": "has_items", "severity": "critical", "observed": None, "expected": "1 or more"}
    checks = [check | {"passed": False}, passed | {"passed": True}]
    write_json(root, "quality/gate.json", {"passed": True, "checks": checks})
    write_json(root, "quality/docs/index.html", "")
    skipped = [{"suite": "pairs", "name": name, "reason": PAYLOADS[8]} for name in ("pairs_alike", PAYLOADS[11])]
    feature_check = passed | {"suite": "image_rows", "name": "is_finite", "passed": False}
    write_json(root, "feature_quality/gate.json", {"passed": False, "checks": [feature_check], "not_checked": skipped})
    write_night(root)
    sections: dict[str, Any] = {stage: {} for stage in STAGES} | {"prepare": {"format": "own", "folder": "data/shop"}}
    params = {"report": {"users": 6, "thumbnail_pixels": 40}, "datasets": {"shop": sections}}
    (root / "params.yaml").write_text(json.dumps(params))
    return root


def write_json(root: Path, name: str, value: object) -> None:
    path = root / "artifacts" / "shop" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def write_table(root: Path, name: str, rows: list[Any], schema: dict[str, Any]) -> None:
    path = root / "artifacts" / "shop" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows, schema=schema, orient="row").write_parquet(path)


def write_prepared(root: Path) -> None:
    raw = root / "data" / "shop"
    raw.mkdir(parents=True)
    (raw / "SYNTHETIC.md").write_text("made up")
    images = []
    for index, item in enumerate(ITEM_IDS):
        if index != WITHOUT_PICTURE:
            Image.new("RGB", (90, 60), (6 * index, 90, 120)).save(raw / f"{index}.png")
            images.append((item, 0, f"{index}.png", "ok", "0" * 64, 90, 60, 100, ""))
    (raw / f"{LOST}.png").write_bytes(b"no picture any more")
    items = [(item, PAYLOADS[i % len(PAYLOADS)], "brand", [], PAYLOADS[0], "", "ok") for i, item in enumerate(ITEM_IDS)]
    write_table(root, "prepared/items.parquet", items, columns.ITEMS)
    write_table(root, "prepared/images.parquet", images, columns.IMAGES)
    write_json(root, "prepared/source.json", {"format": "own", "folder": "data/shop", "max_pixels": 10_000})
    summary = {
        "raw_interaction_rows": 100,
        "duplicate_interactions_dropped": 4,
        "repeated_interactions_dropped": 5,
        "interactions_before_core": 88,
        "interactions_below_core": 8,
        "interactions": 80,
        "users_with_interactions": 9,
        "users": USERS,
        "items_with_interactions": ITEMS,
        "items": ITEMS,
        "items_without_row": 0,
        "items_without_image": 1,
        "empty_titles": 0,
        "empty_descriptions": 2,
    }
    write_json(root, "prepared/summary.json", summary)


def write_split(root: Path) -> None:
    sequences = [
        (user, USER_IDS[user], [(4 * user + step) % ITEMS for step in range(7)], (4 * user + 7) % ITEMS, target(user))
        for user in range(USERS)
    ]
    write_table(root, "split/sequences.parquet", sequences, columns.SEQUENCES)
    counts = {"users": USERS, "items": ITEMS, "train_interactions": 56, "users_put_aside": 3, "negatives_per_user": 77}
    counts["test_targets"] = USERS
    write_json(root, "split/summary.json", counts)


def target(user: int) -> int:
    return (4 * user + 8) % ITEMS


def write_model(root: Path) -> None:
    encoder = {"name": PAYLOADS[1], "revision": "r1"}
    items = pl.read_parquet(root / "artifacts" / "shop" / "prepared" / "items.parquet")
    state = {
        "best_step": 20,
        "validation_ndcg@10": 0.125,
        "image_encoder": encoder,
        "text_encoder": None,
        "backbone": encoder,
        "settings": {"features": ["image", "cf"], "preset": PAYLOADS[4]},
        "item_digest": Catalog(items).digest,
    }
    write_json(root, "model/state.json", {"state": state})
    curves = root / "artifacts" / "shop" / "curves" / "train.csv"
    curves.parent.mkdir()
    lines = [
        f"{step},{100 / step},{1 + step},{2 / step},3,1," + ("0.1" if step % 10 == 0 else "") for step in range(1, 31)
    ]
    curves.write_text("step,loss,image,cf,text,alignment,validation\n" + "\n".join(lines) + "\n")


def make_metrics(gap: float) -> list[Measurement]:
    """Return metrics of which no two are alike; I-LLMRec is ahead of SASRec by ``gap``, give or take 0.01."""
    rows: list[Measurement] = []
    for p, protocol in enumerate(["full", "sampled"]):
        for m, metric in enumerate(METRICS):
            base = 0.3 + 0.1 * p + 0.01234 * m
            rows += [
                measure_mean(metric, spread(mean), model=model, protocol=protocol)
                for model, mean in (("illmrec", base + gap), ("sasrec", base), ("popularity", base / 3))
            ]
            difference = spread(gap + 0.0001 * m + 0.003 * p)
            rows.append(measure_mean(metric, difference, model="illmrec", against="sasrec", protocol=protocol))
    return rows


def spread(mean: float, reach: float = 0.01) -> Estimate:
    """Return a mean with an interval around it."""
    return Estimate(mean, mean - reach, mean + reach)


def make_more_metrics() -> list[Measurement]:
    """Return tests of all pairs, metrics of lists and a third protocol, no two alike."""
    rows: list[Measurement] = []
    for p, (first, second) in enumerate(PAIRS):
        for m, metric in enumerate(METRICS):
            difference = Difference(spread(0.1 * p + 0.001 * m), 0.01 * (p + 1), 0.1 * (p + 1))
            rows.append(measure_difference(metric, difference, model=first, against=second))
    for m, model in enumerate(["illmrec", "sasrec", "popularity"]):
        lists: Where = {"model": model, "protocol": LISTS}
        for k in (5, 10):
            rows.append(measure_single(Metric("coverage", k), 0.5 + 0.1 * m + 0.001 * k, **lists))
            rows.append(measure_single(Metric("gini", k), 0.3 + 0.1 * m + 0.001 * k, **lists))
        rows.append(measure_mean(Metric("novelty", 10), spread(7.0 + m), **lists))
        rows.append(measure_mean(Metric("miscalibration", 10), spread(1.0 + m), **lists))
        rows += [measure_mean(metric, spread(0.2 + 0.1 * m), model=model, protocol="popular") for metric in METRICS]
    return rows + [
        measure_mean(metric, spread(-0.1), model="illmrec", against="sasrec", protocol="popular") for metric in METRICS
    ]


def make_knockouts(gap: float, holm: float) -> list[Measurement]:
    """Return I-LLMRec's metrics with shuffled pictures and noise in the prompt."""
    rows = [measure_single(Metric("knockout_users"), 1234, protocol=CASES)]
    rows.append(measure_mean(NDCG_10, spread(0.4), model="illmrec", variant=INTACT))
    for wrong, change in (("shuffled", gap), ("noise", 2 * gap)):
        where: Where = {"model": "illmrec", "variant": wrong, "place": "prompt"}
        rows.append(measure_mean(NDCG_10, spread(0.4 + change), **where))
        rows.append(measure_difference(NDCG_10, Difference(spread(change), holm / 2, holm), against=INTACT, **where))
    return rows


def write_measurements(root: Path, *groups: list[Measurement]) -> None:
    """Write metrics.parquet; a row takes the place of an earlier one of the same thing."""
    rows = {row.label: row for group in groups for row in group}
    write_metrics(root / "artifacts" / "shop" / "evaluation" / "metrics.parquet", MetricsTable(rows.values()))


def write_slices(root: Path) -> None:
    lines = ["group,slice,model,targets,hit@10,ndcg@10,ndcg@10.low,ndcg@10.high"]
    for group, names in (("history length", ("0 to 4", "5 or more")), ("target's picture", ("present",))):
        for n, name in enumerate(names):
            for m, model in enumerate(("illmrec", "sasrec", "popularity")):
                value = 0.1 * (m + 1) + 0.01 * n
                lines.append(f"{group},{name},{model},{1000 + n},0.5,{value},{value - 0.05},{value + 0.05}")
    (root / "artifacts" / "shop" / "evaluation" / "slices.csv").write_text("\n".join(lines) + "\n")


def write_evaluation(root: Path, gap: float = -0.05) -> None:
    write_measurements(root, make_metrics(gap))
    names = [f"{model}_{protocol}" for model in ("illmrec", "sasrec", "popularity") for protocol in ("full", "sampled")]
    rows = [(user, *[1 + 4.5 * user] * len(names)) for user in range(USERS)]
    schema = {columns.USER_INDEX: pl.Int32} | dict.fromkeys(names, pl.Float64)
    write_table(root, "evaluation/ranks.parquet", rows, schema)


def write_night(root: Path) -> None:
    run = root / "exports" / "shop" / "dt=2026-01-31" / "run=abc"
    run.mkdir(parents=True)
    rows = []
    for user in range(USERS - 1):
        others = [item for item in ITEM_IDS if item != ITEM_IDS[target(user)]]
        for rank in range(1, 13):
            item = ITEM_IDS[target(user)] if rank == 2 else others[(7 * user + rank) % len(others)]
            reason, shares = ("cold_user_popularity", (None,) * 3) if user == 1 else ("model", (2.5, -0.75, 0.25))
            image, cf, text = shares
            line = {"user_id": USER_IDS[user], "rank": rank, "item_id": item, "score": 2.0, "reason": reason}
            line |= {"share_image": image, "share_cf": cf, "share_text": text}
            rows.append(line | {"image_fallback": rank == 3, "model_version": "m/1"})
    write_run(run, pl.DataFrame(rows, schema=RECOMMENDATIONS), 2, {})
    (root / "exports" / "shop" / "latest.json").write_text('{"run": "dt=2026-01-31/run=abc"}')


def run(root: Path) -> tuple[dict[str, Any], Page]:
    arguments = ["--root", str(root), "report", "--dataset", "shop", "--json"]
    facts = json.loads(CliRunner().invoke(cli, arguments, catch_exceptions=False).stdout)
    page = (root / "work" / "reports" / "shop.html").read_text(encoding="utf-8")
    assert facts["bytes"] == len(page.encode())
    return facts, Page(page)


def remove(root: Path, *names: str) -> None:
    for name in names:
        shutil.rmtree(root / name)


def test_nothing_from_the_data_is_live(project: Path) -> None:
    _, page = run(project)
    assert {tag for tag, _ in page.elements} <= TAGS
    names = {name for _, attributes in page.elements for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in {"style", "srcdoc", "action", "xlink:href"}]
    assert len(PAYLOADS) == 30
    assert [payload for payload in PAYLOADS if payload not in page.text] == []


def test_the_page_loads_nothing(project: Path) -> None:
    _, page = run(project)
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            assert "//" not in value or tag == "meta" or value.startswith("data:image/jpeg;base64,"), (tag, name, value)
        assert attributes.get("src", "data:image/jpeg").startswith("data:image/jpeg")
        assert attributes.get("href", "#").startswith(("#", "../../artifacts/shop/quality/docs/index.html"))
    style = page.source.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_allows_this_style_and_pictures_alone(project: Path) -> None:
    _, page = run(project)
    style = page.source.split("<style>")[1].split("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    metas = [attributes for tag, attributes in page.elements if tag == "meta"]
    assert [meta["content"] for meta in metas if meta.get("http-equiv") == "Content-Security-Policy"] == [
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    ]
    # The policy binds only what follows it.
    assert page.source.index("Content-Security-Policy") < page.source.index("<title>")


def test_numbers_are_those_of_the_evaluation(project: Path) -> None:
    _, page = run(project)
    metrics = MetricsTable(make_metrics(-0.05))
    rows = re.findall(r"<tr>\s*<th scope=\"row\">((?:Hit|NDCG|MRR)[@\d]*)</th>(.*?)</tr>", page.source, re.DOTALL)
    assert [label.lower() for label, _ in rows] == [str(metric) for metric in METRICS] * 2
    for place, (label, cells) in enumerate(rows):
        shown = [float(text) for text in re.findall(r"(?<![@\d.])[+-]?\d\.\d{4}", cells.replace(MINUS, "-"))]
        expected = []
        protocol = "full" if place < len(METRICS) else "sampled"
        for model, other in (("illmrec", None), ("sasrec", None), ("popularity", None), PAIRS[0]):
            where: Where = {"model": model, "against": other, "protocol": protocol}
            estimate = metrics.interval(Metric.parse(label.lower()), **where)
            expected += [estimate.value, estimate.low, estimate.high]
        assert shown == [pytest.approx(value, abs=5.1e-5) for value in expected]
        # SASRec, the second of three models, is ahead everywhere.
        assert ["best" in cell for cell in re.findall(r"<strong.*?>", cells)] == [False, True, False, False]
    assert "77 sampled negatives" in page.text
    assert "step 20, validation NDCG@10 0.1250" in page.text
    assert "2.5e-07" in page.text
    assert "87.50%" in page.text


@pytest.mark.parametrize(
    ("gap", "sentence"),
    [
        (-0.05, "I-LLMRec ranks worse than SASRec on this data set: NDCG@10 is 0.2994 against 0.3494"),
        (0.0, "I-LLMRec and SASRec cannot be told apart on this data set: NDCG@10 is 0.3494 against 0.3494"),
        (0.05, "I-LLMRec ranks better than SASRec on this data set: NDCG@10 is 0.3994 against 0.3494"),
    ],
)
def test_the_verdict_follows_from_the_numbers(project: Path, gap: float, sentence: str) -> None:
    write_evaluation(project, gap)
    _, page = run(project)
    assert sentence in page.text


def cut_section(page: Page, start: str, end: str) -> str:
    """Return the text between two ids."""
    return Page(page.source[page.source.index(f'id="{start}"') : page.source.index(f'id="{end}"')]).text


def test_all_pairs_lists_and_slices_are_shown(project: Path) -> None:
    write_measurements(project, make_metrics(-0.05), make_more_metrics())
    write_slices(project)
    shown = cut_section(run(project)[1], "results", "pictures").replace(MINUS, "-")
    assert "77 popular negatives" in shown
    assert "all 21 differences" in shown
    for p, pair in enumerate(("I-LLMRec minus SASRec", "I-LLMRec minus Popularity", "SASRec minus Popularity")):
        assert pair in shown
        assert f"+{0.1 * p + 0.006:.4f} {0.1 * p - 0.004:+.4f} to {0.1 * p + 0.016:+.4f}" in shown
        assert f"p {0.01 * (p + 1):.2g} corrected {0.1 * (p + 1):.2f}" in shown
    assert "Coverage@10" in shown
    assert "0.510 0.610 0.710" in shown.replace("\n", " ")
    assert "Novelty@10" in shown
    assert "7.000 6.990 to 7.010" in shown
    assert "By history length" in shown
    assert "5 or more 1,001 0.1100 0.0600 to 0.1600 0.2100 0.1600 to 0.2600 0.3100 0.2600 to 0.3600" in shown
    # A group of one tells nothing apart.
    assert "By target's picture" not in shown


@pytest.mark.parametrize(
    ("gap", "holm", "sentence"),
    [
        (-0.05, 0.002, "changes by -0.0500 (-0.0600 to -0.0400, corrected p 0.002): the pictures there are used."),
        (-0.05, 0.2, "changes by -0.0500 (-0.0600 to -0.0400, corrected p 0.20): no sign that the pictures there are"),
        (-0.005, 0.01, "changes by -0.0050 (-0.0150 to +0.0050, corrected p 0.01): no sign that the pictures there"),
        (0.05, 0.01, "changes by +0.0500 (+0.0400 to +0.0600, corrected p 0.01): the pictures there do harm."),
    ],
)
def test_whether_pictures_are_used_follows_from_the_numbers(
    project: Path, gap: float, holm: float, sentence: str
) -> None:
    write_measurements(project, make_metrics(0.0), make_knockouts(gap, holm))
    shown = cut_section(run(project)[1], "pictures", "export").replace(MINUS, "-")
    assert "1,234 users" in shown
    assert "With another item's picture in the prompt, NDCG@10 " + sentence in shown
    assert f"in the prompt: noise {0.4 + 2 * gap:.4f}" in shown
    assert "in the retrieval head" not in shown


@pytest.mark.parametrize(
    ("gap", "sentence"), [(-0.05, "the titles there are used."), (0.05, "the titles there do harm.")]
)
def test_titles_are_judged_beside_the_pictures(project: Path, gap: float, sentence: str) -> None:
    rows = make_knockouts(-0.01, 0.5)
    for wrong in ("shuffled", "left out"):
        where: Where = {"model": "illmrec", "variant": wrong, "place": "titles"}
        rows.append(measure_mean(NDCG_10, spread(0.4 + gap), **where))
        rows.append(measure_difference(NDCG_10, Difference(spread(gap), 0.001, 0.002), against=INTACT, **where))
    write_measurements(project, make_metrics(0.0), rows)
    shown = cut_section(run(project)[1], "pictures", "export").replace(MINUS, "-")
    assert f"With another item's title in the prompt, NDCG@10 changes by {gap:+.4f}" in shown
    assert sentence in shown
    assert f"in the prompt: no titles {0.4 + gap:.4f}" in shown


def test_pictures_that_nobody_took_away_are_said_not_to_be_measured(project: Path) -> None:
    shown = cut_section(run(project)[1], "pictures", "export")
    assert "Not measured: evaluate.knockout_users is 0" in shown


def test_a_page_without_an_export_says_how_to_make_one(project: Path) -> None:
    remove(project, "exports")
    facts, page = run(project)
    command = "illmrec recommend --dataset shop --date YYYY-MM-DD"
    assert facts["left_out"] == f"Nightly recommendations (run `{command}`)"
    assert command in page.text
    assert "held-out test item" in page.text
    assert "Nightly top" not in page.text


def test_only_prepared_tables_are_needed(project: Path) -> None:
    shop = "artifacts/shop/"
    remove(
        project,
        "exports",
        *(shop + name for name in ("split", "model", "curves", "quality", "feature_quality", "evaluation", "head")),
    )
    facts, page = run(project)
    for command in ("split", "train", "validate", "validate-features", "evaluate", "export"):
        assert f"illmrec {command} --dataset shop" in page.text
        assert f"illmrec {command} --dataset shop" in facts["left_out"]
    assert (facts["users"], facts["pictures"]) == (0, 0)


def test_without_prepared_tables_there_is_no_page(project: Path) -> None:
    remove(project, "artifacts/shop/prepared")
    with pytest.raises(MissingArtifactError) as caught:
        run(project)
    assert "illmrec prepare --dataset shop" in caught.value.hint
    assert not (project / "work" / "reports").exists()


def test_every_part_is_there_when_all_has_run(project: Path) -> None:
    facts, page = run(project)
    assert facts["left_out"] == "nothing"
    assert "Not made yet" not in page.text
    titles = ["Lineage and model", "Data funnel", "Quality gates", "Training", "Results"]
    titles += ["Are pictures and titles used?", "Export check", "Gallery"]
    found = re.findall(r"<h2>(.*?)</h2>", page.source)
    assert found == titles


def test_the_feature_gate_and_what_it_did_not_check_are_shown(project: Path) -> None:
    _, page = run(project)
    section = Page(page.source[page.source.index('id="gate"') : page.source.index('id="curves"')]).text
    tables, features = section.split("Image and text features")
    assert "let the data pass" in tables
    assert "Not checked" not in tables
    assert "refused the features" in features
    assert f"pairs: pairs alike, {PAYLOADS[11]}): {PAYLOADS[8]}." in features


def test_synthetic_data_are_named_so(project: Path) -> None:
    assert "Synthetic data set." in run(project)[1].text
    (project / "data" / "shop" / "SYNTHETIC.md").unlink()
    assert "Synthetic data set." not in run(project)[1].text


def test_a_model_of_another_catalog_is_called_stale(project: Path) -> None:
    assert "Stale model." not in run(project)[1].text
    path = project / "artifacts" / "shop" / "model" / "state.json"
    state = json.loads(path.read_text())
    state["state"]["item_digest"] = "0" * 64
    path.write_text(json.dumps(state))
    assert "Stale model." in run(project)[1].text


def test_pictures_are_small_jpegs_and_lost_ones_are_counted(project: Path) -> None:
    facts, page = run(project)
    sources = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    assert facts["pictures"] == len(set(sources))
    assert facts["pictures_lost"] == 1
    for source in sources:
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as image:
            assert (image.format, image.size) == ("JPEG", (40, 27))
    assert '<span class="no-picture">' in page.source


def test_recommendations_say_what_they_are(project: Path) -> None:
    _, page = run(project)
    users = re.split(r"<details class=\"user\" open>", page.source)[1:]
    shown = {re.search(r"<bdi>(u\d)</bdi>", user)[1]: user for user in users}
    assert len(shown) == 6
    with_list = [name for name in shown if name != USER_IDS[-1]]
    for name in with_list:
        cards = re.findall(r"<li.*?</li>", shown[name].split('<ol class="cards">')[1], re.DOTALL)
        assert len(cards) == 10
        assert ["held-out test item" in card for card in cards] == [rank == 2 for rank in range(1, 11)]
        assert ["text stands in for the picture" in card for card in cards] == [rank == 3 for rank in range(1, 11)]
        if name == "u1":
            assert all("no shares: cold user popularity" in card for card in cards)
        else:
            card = cards[0].replace(MINUS, "-")
            values = [float(value) for value in re.findall(r"(?:image|CF|text) ([+-]\d\.\d\d)</span>", card)]
            assert values == [2.5, -0.75, 0.25]
            assert "+2.00" in cards[0]
    # Ranks are 1, 5.5, 10 (hits), 14.5, ... (misses).
    assert all((">hit<" in user) == (name in {"u0", "u1", "u2"}) for name, user in shown.items())
    assert {"u0", "u1", "u2"} <= set(shown)


def test_a_user_whom_the_night_does_not_know_is_named_so(project: Path) -> None:
    params = json.loads((project / "params.yaml").read_text())
    params["report"]["users"] = 100
    (project / "params.yaml").write_text(json.dumps(params))
    facts, page = run(project)
    assert facts["users"] == USERS
    assert page.text.count("The export holds no list for this user.") == 1


def test_equal_artifacts_give_equal_pages(project: Path) -> None:
    first, second = (re.sub(r"Made .{16} UTC", "", run(project)[1].source) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("name", "content", "command"),
    [
        ("prepared/summary.json", "[]", "prepare"),
        ("prepared/summary.json", '{"raw_interaction_rows": "many"}', "prepare"),
        ("evaluation/metrics.parquet", "not Parquet", "evaluate"),
        ("evaluation/ranks.parquet", "not Parquet", "evaluate"),
        ("evaluation/slices.csv", "group,slice\na,b\n", "evaluate"),
        (
            "evaluation/slices.csv",
            "group,slice,model,targets,ndcg@10,ndcg@10.low,ndcg@10.high\na,b,illmrec,3,1,1,1\n",
            "evaluate",
        ),
        ("split/sequences.parquet", "", "split"),
        ("quality/gate.json", '{"passed": true, "checks": [1]}', "validate"),
        ("feature_quality/gate.json", '{"passed": true, "checks": [], "not_checked": [1]}', "validate-features"),
        ("model/state.json", "{}", "train"),
        ("curves/train.csv", "step,loss\n1,x\n", "train"),
        ("curves/train.csv", "a,b\n1,2\n", "train"),
        ("head/head.json", '{"parity": {"users": 1}}', "export"),
    ],
)
def test_damaged_artifacts_name_file_and_remedy(project: Path, name: str, content: str, command: str) -> None:
    path = project / "artifacts" / "shop" / name
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        run(project)
    assert str(path) in str(caught.value)
    assert f"illmrec {command} --dataset shop" in caught.value.hint


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "there is no metric of illmrec for the protocol 'full'"),
        ([row for row in make_metrics(0.0) if row.protocol == "full"], "for the protocol 'sampled'"),
        ([row for row in make_metrics(0.0) if row.model != "popularity"], "there is no popularity, full, hit@5"),
        ([row for row in make_metrics(0.0) if row.against is None], "illmrec minus sasrec, full, hit@5"),
        ([replace(row, high=None) for row in make_metrics(0.0)], "illmrec, full, hit@5 has no interval"),
        (make_metrics(0.0) + make_knockouts(0.0, 1.0)[1:], "there is no cases, knockout_users"),
        ([replace(row, low=None) for row in make_knockouts(0.0, 1.0)] + make_metrics(0.0), "has no interval"),
        ([replace(row, p_holm=None) for row in make_knockouts(0.0, 1.0)] + make_metrics(0.0), "has no p-value"),
    ],
)
def test_metrics_that_lack_a_row_or_a_number_name_it_and_the_remedy(
    project: Path, rows: list[Measurement], message: str
) -> None:
    write_measurements(project, rows)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        run(project)
    assert "evaluation/metrics.parquet" in str(caught.value)
    assert "illmrec evaluate --dataset shop" in caught.value.hint


def test_a_number_that_is_none_is_refused(project: Path) -> None:
    path = project / "artifacts" / "shop" / "evaluation" / "metrics.parquet"
    pl.read_parquet(path).with_columns(value=pl.lit(float("nan"))).write_parquet(path)
    with pytest.raises(DataError, match="illmrec, full, hit@5 is nan, expected a number") as caught:
        run(project)
    assert "illmrec evaluate --dataset shop" in caught.value.hint


def test_an_evaluation_of_an_earlier_release_is_refused_with_what_to_run(project: Path) -> None:
    folder = project / "artifacts" / "shop" / "evaluation"
    (folder / "metrics.parquet").unlink()
    (folder / "metrics.json").write_text('{"illmrec/full/mrr": 0.5}')
    with pytest.raises(MissingArtifactError, match=r"metrics\.json: was made by an earlier release") as caught:
        run(project)
    assert "illmrec evaluate --dataset shop" in caught.value.hint


@pytest.mark.parametrize("run_name", ["../../artifacts/shop", "/etc", "dt=2000-01-01/run=gone"])
def test_a_pointer_out_of_the_exports_is_refused(project: Path, run_name: str) -> None:
    (project / "exports" / "shop" / "latest.json").write_text(json.dumps({"run": run_name}))
    with pytest.raises(DataError, match="no folder of this data set's exports"):
        run(project)


def test_an_export_that_differs_from_its_manifest_is_refused(project: Path) -> None:
    part = project / "exports" / "shop" / "dt=2026-01-31" / "run=abc" / "part-00000.parquet"
    part.write_bytes(part.read_bytes() + b" ")
    with pytest.raises(DataError, match="manifest"):
        run(project)


def test_ranks_of_other_users_are_refused(project: Path) -> None:
    path = project / "artifacts" / "shop" / "evaluation" / "ranks.parquet"
    pl.read_parquet(path).head(5).write_parquet(path)
    with pytest.raises(DataError, match="has 5 users, the split has 8"):
        run(project)


def test_a_split_of_another_catalog_is_refused(project: Path) -> None:
    path = project / "artifacts" / "shop" / "prepared" / "items.parquet"
    pl.read_parquet(path).head(10).write_parquet(path)
    with pytest.raises(DataError, match=r"items outside items\.parquet"):
        run(project)


def test_a_second_report_waits_its_turn(project: Path) -> None:
    with hold_lock(project / "work" / "locks" / "shop-report.lock"), pytest.raises(LockedError):
        run(project)


def test_an_unknown_data_set_is_refused(project: Path) -> None:
    with pytest.raises(ParameterError, match="nowhere"):
        CliRunner().invoke(cli, ["--root", str(project), "report", "--dataset", "nowhere"], catch_exceptions=False)
