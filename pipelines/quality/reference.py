"""docs/quality.md, written from the checks themselves: ``python -m pipelines.quality.reference > docs/quality.md``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from pipelines.parameters.data import DriftConfig, PrepareConfig, ValidateConfig
from pipelines.parameters.features import ValidateFeaturesConfig
from pipelines.quality.checks import Check
from pipelines.quality.drift import SMALLEST_SHARE
from pipelines.quality.feature_suite import build_feature_checks
from pipelines.quality.suites import build_checks

_OPENING = """# Data quality

Written by `python -m pipelines.quality.reference > docs/quality.md` from the checks in `pipelines/quality/`; a test
keeps it current. Bounds are those of the default parameters; [parameters.md](parameters.md) lists every key of
`validate`, `validate_features` and `drift`.

There are three places where data are judged:

- `illmrec validate` judges the tables of `prepare`. It writes `gate.json`, `profile.json` and `docs/index.html` to
  `artifacts/D/quality/`. After a critical failure (exit code 3) `split` and everything behind it does not run.
- `illmrec validate-features` judges the image and text matrices, and whether pictures and texts belong together. It
  writes `gate.json`, `worst_pairs.parquet` and `docs/index.html` to `artifacts/D/feature_quality/`. After a critical
  failure (exit code 3) `export` does not run.
- `illmrec drift` puts the data's profile beside the champion's. It writes nothing; past a critical bound the exit code
  is 3.

A **critical** failure means that what comes after would be wrong or meaningless. A **warning** is logged with what to
do, recorded, and travels with the registered model as the tags `quality_gate_warnings` and `feature_gate_warnings`.
What had nothing to look at (no texts as published, no expected language, an encoder without a text tower) is neither
passed nor failed: it stands under `not_checked` with the reason, and is counted in the tag `feature_gate_not_checked`.

`gate.json` holds `passed`, `critical_failures`, `warnings`, `rows` (of each table judged), `data_docs`, `not_checked`
(`suite`, `name`, `reason`) and `checks`, each with `suite`, `name`, `severity`, `passed`, `observed`, `expected`,
`remedy`, `offending` (the first ten rows: row number, ids, the value where it is no flag) and `offending_count`.

Great Expectations is given numbers and 0/1 flags only: no text of the catalog reaches its pages. Ids are escaped in
the index, quoted on the terminal.

## Checks of the tables
"""

_FEATURES = """## Checks of the features

The text tower of the picture encoder reads what stands for each item (its description, else its title, else its
categories). The cosine with the item's own picture is compared with the cosines of pictures and texts of different
items, drawn with `validate_features.seed`. `gate.json` names under `pairs` how many were compared, the mean cosine of
own and of shuffled pairs, and the AUC: the chance that an own pair is the more similar one. 0.5 says that pictures and
texts have nothing to do with each other, or that this encoder does not see it; the two need a look at
`worst_pairs.parquet` to be told apart. A timm encoder has no text tower; the pairs are then *not checked*.
"""

_DRIFT = """## Drift

`validate` writes `profile.json`: counts, histograms with fixed bins, quantiles, and shares by name. It holds no id and
no text but the names of general categories (two levels, cut at 80 characters, escaped for HTML); brands are told apart
by a digest. `register` keeps it with the version under the tag `profile_sha256`. `illmrec drift --dataset D` compares
the data at hand with the champion's profile, `--against FILE` with another one; `--json` prints every field.

- **users, items, interactions**: the share lost; warning above {loss.warn}, critical above {loss.limit}. Growth is no
  drift; a large loss is usually a broken delivery.
- **history_length, item_popularity, description_words, picture_side**: the population stability index (PSI) of the
  histograms; warning above {psi.warn}, critical above {psi.limit}. By custom, below 0.1 is calm and above 0.25 another
  population.
- **category, brand, picture_status**: the total variation distance, which is the share of items that would have to
  change place; warning above {distance.warn}, critical above {distance.limit}. `picture_status` holds the share of
  items without a picture.

Past a critical bound the exit code is 3: look at the raw data first. If the change is real, train on it, register and
promote; the new champion brings its own profile. An empty bin counts as {smallest:g} in a PSI, so a bin that fills from
nothing weighs heavily; few rows make every measure noisy.

## What the checks cannot see

- Pictures of one colour are told by their size in bytes, not by their pixels: an unusually well compressed picture can
  look flat, a noisy grey one does not. Below 100 x 100 pixels nothing is claimed.
- Copies are compared byte for byte: a picture saved anew is another picture here. Equal vectors behind the encoder
  (`rows_not_duplicated`) catch some of them.
- Languages are told by script and common words; texts of a few words stay undecided and do not count.
- A user is called inhuman by counts alone. Remove one only after a look at the interactions.
"""


def write_reference() -> str:
    """Return the whole page as Markdown."""
    tables = build_checks(ValidateConfig(), PrepareConfig(format="own", folder="data"))
    bounds = DriftConfig()
    drift = _DRIFT.replace("{smallest:g}", f"{SMALLEST_SHARE:g}")
    for name, (warn, limit) in {
        "loss": (bounds.warn_loss, bounds.max_loss),
        "psi": (bounds.warn_psi, bounds.max_psi),
        "distance": (bounds.warn_distance, bounds.max_distance),
    }.items():
        drift = drift.replace(f"{{{name}.warn}}", f"{warn:g}").replace(f"{{{name}.limit}}", f"{limit:g}")
    features = build_feature_checks(ValidateFeaturesConfig())
    return "\n".join([_OPENING, *_write_suites(tables), _FEATURES, *_write_suites(features), drift])


def _write_suites(checks: Sequence[Check]) -> list[str]:
    parts = []
    for suite in dict.fromkeys(check.suite for check in checks):
        lines = [f"### {suite}", "", "| check | severity | expected | what to do |", "| --- | --- | --- | --- |"]
        lines += [
            f"| `{check.name}` | {check.severity} | {_clean(check.expected)} | {_clean(check.remedy)} |"
            for check in checks
            if check.suite == suite
        ]
        parts.append("\n".join(lines) + "\n")
    return parts


def _clean(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(write_reference())
