"""``illmrec study`` and ``results``: cases differ by what they say, are kept, shared, and leave the data alone."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml

from illmrec.errors import ModelError, ParameterError
from illmrec.evaluation.metrics import NDCG_10, Metric
from pipelines.parameters.training import EvaluateConfig
from pipelines.project.layout import Layout
from pipelines.project.shelf import Shelf
from pipelines.studies import inference_time
from pipelines.studies.cases import summarise
from pipelines.studies.catalogue import STUDIES, load_study
from tests.integration.conftest import expect_error, invoke, run_ok
from tests.own_project import copy_project

Project = tuple[Path, dict[str, dict[str, Any]]]


@pytest.fixture
def root(project: Project, tmp_path: Path) -> Path:
    return copy_project(project[0], tmp_path / "project")


def run_study(root: Path, name: str, *options: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = run_ok(root, "study", name, "--set", "epochs=1", *options)["rows"]
    return rows


def open_case(root: Path, row: dict[str, Any]) -> Path:
    return root / "work/studies/shop/cases" / row["run"] / "artifacts/shop"


def change_params(root: Path, section: str, **values: Any) -> None:
    params = yaml.safe_load((root / "params.yaml").read_text())
    params[section] = (params.get(section) or {}) | values
    (root / "params.yaml").write_text(yaml.safe_dump(params))


def test_missing_pictures_are_hidden_as_the_case_says(root: Path) -> None:
    before = {path: path.read_bytes() for path in (root / "artifacts").rglob("*.npy")}
    rows = run_study(root, "missing-images", "--only", "(zero|description)-(000|050|100)")
    assert [row["case"] for row in rows] == [
        f"{policy}-{share}" for share in ("000", "050", "100") for policy in ("description", "zero")
    ]
    by_case = {row["case"]: row for row in rows}
    none, half, all_of_them = (
        np.load(open_case(root, by_case[f"zero-{share}"]) / "features/image/present.npy")
        for share in ("000", "050", "100")
    )
    assert not all_of_them.any()
    assert not (half & ~none).any(), "a larger share holds a smaller one"
    assert 0.3 < half.sum() / none.sum() < 0.7
    zero, told = (
        np.load(open_case(root, by_case[f"{name}-050"]) / "features/image/values.npy")
        for name in ("zero", "description")
    )
    assert not zero[~half].any()
    assert np.abs(told[~half]).sum(1).all()
    assert np.array_equal(zero[half], told[half])
    assert by_case["zero-050"]["missing_images"] == int((~half).sum())
    assert by_case["description-050"]["tokens_per_item"] > by_case["zero-050"]["tokens_per_item"]
    assert {path: path.read_bytes() for path in (root / "artifacts").rglob("*.npy")} == before


def test_shrunk_pictures_have_other_features(root: Path) -> None:
    rows = {row["case"]: row for row in run_study(root, "image-quality", "--only", "(whole|8)-1")}
    whole, shrunk = (np.load(open_case(root, rows[name]) / "features/image/values.npy") for name in ("whole-1", "8-1"))
    assert np.array_equal(whole, np.load(root / "artifacts/shop/features/image/values.npy"))
    assert not np.array_equal(whole, shrunk)


def test_cases_are_kept_until_something_they_depend_on_changes(root: Path) -> None:
    only = ("--only", "as-set")
    first = run_study(root, "training-variants", *only)
    again = run_study(root, "training-variants", *only)
    assert again == first, "seconds included: nothing was computed again"
    other = run_ok(root, "study", "training-variants", "--set", "epochs=2", *only)["rows"]
    assert other[0]["run"] != first[0]["run"]
    change_params(root, "train", seed=3)
    assert run_study(root, "training-variants", *only)[0]["ndcg@10"] != first[0]["ndcg@10"]


def test_cases_trained_elsewhere_are_found_by_their_digest(root: Path, tmp_path: Path) -> None:
    elsewhere = Path(shutil.copytree(root, tmp_path / "elsewhere", symlinks=True))
    only = ("--only", "image$", "--seeds", "2")
    trained = run_study(elsewhere, "overall", *only)
    cases = "work/studies/shop/cases"
    shutil.copytree(elsewhere / cases, root / cases, symlinks=True)
    shutil.rmtree(elsewhere)
    assert run_study(root, "overall", *only) == trained, "seconds included: nothing was computed again"


def test_seeds_are_trainings_of_their_own_and_one_row(root: Path) -> None:
    only = ("--only", "image$")
    each = [run_study(root, "overall", *only, "--set", f"seed={seed}")[0] for seed in (5, 6)]
    joined = run_ok(root, "study", "overall", "--set", "epochs=1", "--set", "seed=5", "--seeds", "2", *only)
    row = joined["rows"][0]
    assert joined["seeds"] == row["seeds"] == 2
    assert row["run"] == f"{each[0]['run']} {each[1]['run']}", "trained once, and every training is named"
    assert row["seconds"] == pytest.approx(each[0]["seconds"] + each[1]["seconds"])
    assert each[0]["ndcg@10"] != each[1]["ndcg@10"]
    for name in ("hit@10", "ndcg@10", "mrr", "sampled/ndcg@5"):
        first, second = each[0][name], each[1][name]
        assert row[name] == pytest.approx((first + second) / 2)
        assert row[f"{name}.sd"] == pytest.approx(abs(first - second) / 2**0.5)
        assert row[f"{name}.low"] <= row[name] <= row[f"{name}.high"]
    run_ok(root, "results")
    assert "means over 2 trainings" in (root / "work/reports/studies.html").read_text()


def test_an_interval_over_seeds_is_of_each_users_mean() -> None:
    ranks = [np.random.default_rng(seed).integers(1, 40, 400).astype(np.float64) for seed in (0, 1, 2)]
    facts = summarise(ranks, np.arange(400), EvaluateConfig())
    gains = np.mean([(each <= 10) / np.log2(each + 1) for each in ranks], axis=0)
    assert facts["ndcg@10"] == pytest.approx(gains.mean())
    width = 2 * 1.96 * gains.std() / 400**0.5
    assert facts["ndcg@10.high"] - facts["ndcg@10.low"] == pytest.approx(width, rel=0.1)


def test_a_user_with_several_targets_counts_once_and_in_slices_every_target_does() -> None:
    ranks, owners = np.array([1.0] * 9 + [100.0]), np.array([0] * 9 + [1])
    assert summarise([ranks], owners, EvaluateConfig())["hit@10"] == pytest.approx(0.5)
    assert summarise([ranks], owners, EvaluateConfig(), of_targets=True)["hit@10"] == pytest.approx(0.9)


def test_a_study_of_one_model_trains_it_once(root: Path) -> None:
    result = invoke(root, "study", "similarity", "--dataset", "shop", "--seeds", "3")
    assert result.exit_code == 0
    assert "similarity: one seed" in result.stderr
    assert json.loads((root / "artifacts/shop/studies/similarity/results.json").read_text())["seeds"] == 1


def test_studies_share_the_cases_that_are_the_same(root: Path) -> None:
    (as_set,) = run_study(root, "training-variants", "--only", "as-set")
    (frozen,) = run_study(root, "lora", "--only", "rank-0")
    (everything,) = run_study(root, "ablation", "--only", r"image\+cf\+text$")
    assert frozen["seconds"] == as_set["seconds"] == everything["seconds"], "trained once"
    assert frozen["run"] == as_set["run"] == everything["run"]


def test_other_candidates_are_another_case(root: Path) -> None:
    (first,) = run_study(root, "lora", "--only", "rank-0")
    change_params(root, "split", seed=5)
    run_ok(root, "split")
    (again,) = run_study(root, "lora", "--only", "rank-0")
    assert again["ndcg@10"] == first["ndcg@10"]
    assert again["run"] != first["run"]
    assert again["sampled/mrr"] != first["sampled/mrr"]


def test_cases_that_are_the_same_training_are_named(root: Path) -> None:
    change_params(root, "study", alternatives={"another": {"backbone": {"small": {"width": 64}}}, "same": {}})
    options = ("--dataset", "shop", "--set", "epochs=1", "--only")
    assert "the same training" not in invoke(root, "study", "backbones-and-encoders", *options, "a").stderr
    result = invoke(root, "study", "backbones-and-encoders", *options, "as-set|same")
    assert "the same training with these parameters: as-set, same" in result.stderr
    assert "The same training with these parameters: as-set, same." in run_results(root)


def test_the_ablation_is_the_papers_whatever_the_file_says(root: Path) -> None:
    change_params(root, "train", alignment_weight=0.0, title_tokens=0, representation="image+cf")
    rows = run_study(root, "ablation", "--only", "image(-unaligned)?$")
    assert len({row["run"] for row in rows}) == 2
    states = [json.loads((open_case(root, row) / "model/state.json").read_text())["state"] for row in rows]
    settings = [state["settings"] for state in states]
    assert [each["alignment_weight"] for each in settings] == [0.0, 1.0]
    assert {each["representation"] for each in settings} == {"image"}


def test_pictures_that_changed_are_looked_at_again(root: Path) -> None:
    only = ("--only", "mean-050")
    first = run_study(root, "missing-images", *only)
    features = root / "artifacts/shop/features/image/values.npy"
    values = np.load(features)
    values[0] += 1
    np.save(features, values)
    assert run_study(root, "missing-images", *only)[0]["run"] != first[0]["run"]


def test_a_case_as_set_is_what_the_commands_make(root: Path) -> None:
    metrics = Shelf(Layout(root, "shop")).metrics
    row = run_ok(root, "study", "training-variants", "--only", "as-set")["rows"][0]
    for name in ("hit@10", "ndcg@10", "mrr"):
        for protocol, prefix in (("full", ""), ("sampled", "sampled/")):
            assert row[f"{prefix}{name}"] == pytest.approx(
                metrics.value(Metric.parse(name), model="illmrec", protocol=protocol), abs=1e-9
            )
        assert row[f"{name}.low"] <= row[name] <= row[f"{name}.high"]
    rivals = run_study(root, "overall", "--only", "title")
    sasrec = next(line for line in rivals if line["model"] == "SASRec")
    assert sasrec["ndcg@10"] == pytest.approx(metrics.value(NDCG_10, model="sasrec"), abs=1e-9)


def test_budgets_that_hold_the_whole_prompt_change_nothing(root: Path) -> None:
    rows = run_study(root, "context-budget", "--only", "image$")
    (whole,) = run_study(root, "overall", "--only", "image$")[:1]
    by_budget = {row["budget"]: row["ndcg@10"] for row in rows}
    assert by_budget[4096] == pytest.approx(whole["ndcg@10"], abs=1e-9)
    assert len(set(by_budget.values())) > 1, "the smallest budget leaves items out"


def test_groups_hold_every_user_once(root: Path) -> None:
    users = pl.read_parquet(root / "artifacts/shop/split/sequences.parquet").height
    for name in ("item-popularity", "history-length", "unseen-items"):
        rows = run_study(root, name, "--only", "image$")
        assert sum(row["targets"] for row in rows) == users, name
        assert len({row["group"] for row in rows}) == len(rows), name
        assert len(rows) > 1 or name == "unseen-items", "a small catalog may have no unseen target"
    whole = run_study(root, "ablation", "--only", "image$")[0]
    mean = sum(row["targets"] * row["ndcg@10"] for row in rows) / users
    assert mean == pytest.approx(whole["ndcg@10"], abs=1e-9)


def test_alternatives_get_encoders_of_their_own(root: Path) -> None:
    error = expect_error(root, "study", "backbones-and-encoders")
    assert "study.alternatives" in error.hint
    change_params(root, "study", alternatives={"wider": {"backbone": {"small": {"width": 64}}}})
    as_set, wider = run_study(root, "backbones-and-encoders")
    config = json.loads((open_case(root, wider) / "encoders/backbone/config.json").read_text())
    assert config["hidden_size"] == 64
    assert as_set["run"] != wider["run"]


def test_every_other_study_ends_with_rows_and_a_picture(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # How long a user takes is measured over fewer of them: this test asks for the rows, not for a steady figure.
    monkeypatch.setattr(inference_time, "USERS", 4)
    monkeypatch.setattr(inference_time, "PASSES", 1)
    for name in ("similarity", "inference-time", "helpful-pictures", "training-strategy", "visual-centric"):
        rows = run_study(root, name)
        study, folder = load_study(name), root / "artifacts/shop/studies" / name
        assert rows, name
        assert any(column in rows[0] for column in study.shown), name
        assert (folder / "plot.svg").read_bytes().startswith(b"<?xml"), name
        assert pl.read_csv(folder / "results.csv", infer_schema_length=None).height == len(rows), name
    bins = [row for row in run_study(root, "similarity") if row["pairs"] == "own"]
    assert sum(row["share"] for row in bins) == pytest.approx(1.0)


def test_the_language_model_is_taken_away_piece_by_piece(root: Path) -> None:
    rows = {row["language"]: row for row in run_study(root, "language-knockouts")}
    trained = ["as set", "weights drawn anew", "titles shuffled", "titles left out"]
    untrained = ["titles shuffled after training", "titles left out after training"]
    assert list(rows) == [*trained, *untrained]
    assert len({rows[name]["run"] for name in trained}) == 4
    assert len({rows[name]["ndcg@10"] for name in rows}) > 3
    record = json.loads((open_case(root, rows["weights drawn anew"]) / "encoders/encoders.json").read_text())
    assert record["backbone"]["random_seed"] == 0
    assert all(rows[name]["ndcg@10.low"] <= rows[name]["ndcg@10"] for name in untrained)


def test_the_same_rows_give_the_same_picture() -> None:
    from pipelines.studies.plots import bars, render_svg

    rows = [{"name": "a <b>", "v": 0.5, "v.low": 0.4, "v.high": 0.6}, {"name": "c", "v": 0.1}]
    first, again = (render_svg(bars("name", "v", "value")(rows)) for _ in range(2))
    assert first == again
    assert b"a &lt;b&gt;" in first
    assert render_svg(bars("name", "v", "value")(rows[:1])) != first


def test_the_page_shows_what_was_run_and_loads_nothing(root: Path) -> None:
    empty = run_results(root)
    assert "No study has been run" in empty
    run_study(root, "training-variants", "--only", "as-set")
    page = run_results(root)
    assert "Variants of training" in page
    assert "as-set" in page
    assert "Synthetic data set" in page
    assert not re.search(r"<script|https?://|src=\"(?!data:)", page)
    assert "default-src 'none'" in page.replace("&#39;", "'")
    (root / "artifacts/shop/studies/training-variants/results.json").write_text("{")
    result = invoke(root, "results")
    assert isinstance(result.exception, ModelError)
    assert "illmrec study training-variants" in result.exception.hint


def test_a_data_set_that_was_never_prepared_is_left_out_of_the_page(root: Path) -> None:
    params = yaml.safe_load((root / "params.yaml").read_text())
    params["datasets"]["later"] = params["datasets"]["shop"]
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    page = run_results(root)
    assert 'id="shop"' in page
    assert 'id="later"' not in page
    assert "prepare --dataset later" in str(invoke(root, "results", "--dataset", "later").exception.hint)


def test_all_models_stand_side_by_side_paired_by_user(root: Path) -> None:
    assert run_ok(root, "results")["models"] == {"shop": []}, "nothing to compare with yet"
    change_params(root, "rivals", epochs=1, trials=0, max_length=5, models=["popularity", "sasrec-ce"], seeds=2)
    run_study(root, "rivals")
    run_study(root, "overall", "--only", "(image|title)$")
    rows = {row["model"]: row for row in run_ok(root, "results")["models"]["shop"]}
    assert {row["kind"] for row in rows.values()} == {"language model", "collaborative filtering"}
    assert {title: row["seeds"] for title, row in rows.items() if row["kind"] != "language model"} == {
        "popularity": 1, "SASRec, cross entropy": 2,
    }  # fmt: skip
    rivals = json.loads((root / "work/studies/shop/rivals/results.json").read_text())
    best = max(rivals["summary"], key=lambda row: row["validation_ndcg@10"])
    assert [row["model"] for row in rows.values() if "against" not in row] == [best["title"]]
    (case,) = (row for row in read_rows(root, "overall") if row["case"] == "image")
    ours = pl.read_parquet(open_case(root, case) / "evaluation/ranks.parquet")["full"]
    paths = [
        root / "work/studies/shop/rivals" / row["ranks"] for row in rivals["rows"] if row["rival"] == best["rival"]
    ]
    theirs = np.mean([gain(pl.read_parquet(path)["rank"]) for path in paths], axis=0)
    row = rows["I-LLMRec"]
    assert row["ndcg@10"] == pytest.approx(case["ndcg@10"])
    assert row["difference"] == pytest.approx((gain(ours) - theirs).mean())
    assert row["difference.low"] <= row["difference"] <= row["difference.high"]
    assert 0 < row["holm"] <= 1
    page = (root / "work/reports/studies.html").read_text()
    assert f"<strong>{best['title']}</strong>" in page
    assert "Not ranked: repeat, last item" in page
    write_other_split(root, paths)
    assert run_ok(root, "results")["models"] == {"shop": []}, "ranks of other targets do not compare"


def gain(ranks: pl.Series) -> np.ndarray:
    values = ranks.to_numpy()
    return np.asarray((values <= 10) / np.log2(values + 1))


def read_rows(root: Path, name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((root / f"artifacts/shop/studies/{name}/results.json").read_text())["rows"]
    return rows


def write_other_split(root: Path, paths: list[Path]) -> None:
    """Let a rival have ranked other targets of the same users, with its last seed."""
    table = pl.read_parquet(paths[-1])
    table.with_columns(item_index=pl.col("item_index").shift(1, fill_value=0)).write_parquet(paths[-1])


def test_titles_cannot_break_out_of_the_page(root: Path) -> None:
    run_study(root, "training-variants", "--only", "as-set")
    path = root / "artifacts/shop/studies/training-variants/results.json"
    facts = json.loads(path.read_text())
    facts["rows"][0]["variant"] = "</td><script>alert(1)</script>"
    path.write_text(json.dumps(facts))
    page = run_results(root)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def run_results(root: Path) -> str:
    result = invoke(root, "results", "--json")
    if result.exception is not None:
        raise result.exception
    return Path(json.loads(result.stdout)["page"]).read_text()


def test_the_papers_figures_stand_beside_its_data_sets_only(root: Path) -> None:
    run_study(root, "overall", "--only", "title")
    assert "The paper's figures" not in run_results(root).replace("&#39;", "'")
    path = root / "artifacts/shop/prepared/summary.json"
    sizes = {"users": 24_700, "items": 9_900, "interactions": 179_000}
    path.write_text(json.dumps(json.loads(path.read_text()) | sizes))
    assert "The paper's figures" not in run_results(root).replace("&#39;", "'"), "other candidates"
    split = root / "artifacts/shop/split/summary.json"
    split.write_text(json.dumps(json.loads(split.read_text()) | {"negatives_per_user": 100}))
    page = run_results(root).replace("&#39;", "'")
    assert "The paper's figures on Sport" in page
    assert "0.3711" in page


def test_results_are_a_table_and_files(root: Path) -> None:
    result = invoke(root, "study", "training-variants", "--only", "catalog$", "--set", "epochs=1", "--dataset", "shop")
    assert result.exit_code == 0, result.output
    assert "catalog" in result.stdout
    assert "ndcg@10" in result.stdout
    table = pl.read_csv(root / "artifacts/shop/studies/training-variants/results.csv")
    assert table["variant"].to_list() == ["catalog"]
    assert table["ndcg@10.low"][0] <= table["ndcg@10"][0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--only", "nothing"), "no case"),
        (("--set", "epochs"), "KEY=VALUE"),
        (("--set", "epoch=2"), "epoch"),
        (("--set", "epochs=no"), "epochs"),
        (("--only", "["), "regular expression"),
        (("--set", "learning_rate=0.1"), "case paper sets train.learning_rate"),
        (("--set", "representation=title", "--set", "title_tokens=0", "--only", "as-set"), "nothing of an item"),
    ],
)
def test_wrong_options_are_named(root: Path, options: tuple[str, ...], message: str) -> None:
    error = expect_error(root, "study", "training-variants", *options)
    assert isinstance(error, ParameterError)
    assert message in str(error)


@pytest.mark.parametrize("name", STUDIES)
def test_studies_say_what_they_are(name: str) -> None:
    study = load_study(name)
    assert study.title
    assert study.question.endswith(".")
    assert study.shown


@pytest.mark.parametrize("name", ["missing-images", "training-variants", "image-quality", "lora"])
def test_cases_have_names_of_their_own_and_known_keys(name: str) -> None:
    import importlib

    from pipelines.parameters.features import EmbedImagesConfig
    from pipelines.parameters.training import TrainConfig

    cases = importlib.import_module(STUDIES[name]).make_cases()
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        TrainConfig.model_validate(dict(case.train))
        EmbedImagesConfig.model_validate(dict(case.embed_images))
