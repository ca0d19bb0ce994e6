"""Suites of the feature gate: ``image_vectors``, ``text_vectors`` and ``image_text_pairs``."""

from __future__ import annotations

from pipelines.parameters.features import ValidateFeaturesConfig
from pipelines.quality.checks import Check, Subject

PAIRS = "image_text_pairs"
MAKERS = {"image": "embed-images", "text": "embed-text"}
SOURCES = {"image": "pictures", "text": "descriptions"}


def build_feature_checks(bounds: ValidateFeaturesConfig) -> list[Check]:
    """Return every check of the feature gate."""
    return [*check_vectors("image", bounds), *check_vectors("text", bounds), *check_pairs(bounds)]


def check_vectors(kind: str, bounds: ValidateFeaturesConfig) -> list[Check]:
    """Suite of one feature matrix: are its rows finite, the items' own, and different from each other."""
    suite, source = f"{kind}_vectors", SOURCES[kind]
    rows, matrix = Subject(suite, f"{kind}_rows"), Subject(suite, f"{kind}_matrix")
    again = f"run `illmrec {MAKERS[kind]}` again; if it stays, check the encoder's weights"
    same = f"look at the {source} of the items named, and at the weights in encoders.{kind}"
    return [
        rows.rows("has_rows", 1, again),
        rows.none("values_finite", "not_finite", "rows with a number that is not finite", again),
        matrix.value_at_least(
            "rows_differ",
            "spread",
            bounds.min_spread,
            "the mean of 1 - cosine over all pairs of rows",
            f"all items look the same to the encoder: {same}",
            "critical",
        ),
        rows.at_most(
            "rows_not_repeated",
            "repeated",
            bounds.max_repeated_share,
            "the items that have one and the same vector",
            f"{same}, or raise validate_features.max_repeated_share",
            "critical",
        ),
        rows.at_most(
            "rows_not_duplicated",
            "duplicated",
            bounds.max_duplicate_share,
            "the items whose vector another item has",
            f"give items {source} of their own, or raise validate_features.max_duplicate_share",
        ),
        rows.at_most(
            "rows_mostly_own",
            "filled",
            bounds.max_filled_share,
            f"the items without {source}, whose row a policy filled",
            f"add {source}, or raise validate_features.max_filled_share",
        ),
    ]


def check_pairs(bounds: ValidateFeaturesConfig) -> list[Check]:
    """Suite of pictures and texts: do those of one item belong together."""
    summary, pairs = Subject(PAIRS, "pair_summary"), Subject(PAIRS, "pairs")
    return [
        summary.value_at_least(
            "pairs_better_than_shuffled",
            "auc",
            bounds.min_auc,
            "the chance that an item's own text suits its picture better than another item's (AUC)",
            "look at worst_pairs.parquet: pictures may stand under the wrong items; if they do not, this encoder does "
            "not understand the catalog: choose another under encoders.image, or lower validate_features.min_auc",
        ),
        pairs.at_most(
            "pairs_not_outliers",
            "outlier",
            bounds.max_outlier_share,
            f"the items whose picture and text are less similar than percentile {bounds.outlier_percentile:g} of "
            "shuffled pairs",
            "look at the pictures and texts in worst_pairs.parquet, or raise validate_features.max_outlier_share",
        ),
    ]
