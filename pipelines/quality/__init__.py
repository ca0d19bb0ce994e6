"""The data quality gate; the only home of Great Expectations."""
