"""docs/quality.md says what the checks are."""

from __future__ import annotations

from pathlib import Path

from pipelines.parameters.data import DriftConfig, PrepareConfig, ValidateConfig
from pipelines.parameters.features import ValidateFeaturesConfig

PAGE = Path(__file__).parents[2] / "docs" / "quality.md"


def test_the_committed_page_is_current() -> None:
    from pipelines.quality.reference import write_reference

    assert PAGE.read_text(encoding="utf-8") == write_reference(), (
        "run: python -m pipelines.quality.reference > docs/quality.md"
    )


def test_every_check_stands_in_it_and_no_bound_is_left_open() -> None:
    from pipelines.quality.feature_suite import build_feature_checks
    from pipelines.quality.reference import write_reference
    from pipelines.quality.suites import build_checks

    page = write_reference()
    checks = build_checks(ValidateConfig(), PrepareConfig(format="own", folder="data"))
    checks += build_feature_checks(ValidateFeaturesConfig())
    assert all(f"| `{check.name}` | {check.severity} |" in page for check in checks)
    assert f"warning above {DriftConfig().warn_psi:g}, critical above {DriftConfig().max_psi:g}" in page
    assert "{" not in page.replace("${", "")


def test_every_bound_named_in_a_remedy_is_a_parameter() -> None:
    import re

    from pipelines.quality.feature_suite import build_feature_checks
    from pipelines.quality.suites import build_checks

    fields = {"validate": ValidateConfig, "validate_features": ValidateFeaturesConfig, "prepare": PrepareConfig}
    checks = build_checks(ValidateConfig(), PrepareConfig(format="own", folder="data"))
    named = re.findall(
        r"\b(validate|validate_features|prepare)\.(\w+)",
        " ".join(check.remedy for check in [*checks, *build_feature_checks(ValidateFeaturesConfig())]),
    )
    assert len(named) > 30
    assert [(section, key) for section, key in named if key not in fields[section].model_fields] == []
