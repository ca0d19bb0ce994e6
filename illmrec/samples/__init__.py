"""Synthetic raw catalogs with a planted structure, in three publishers' layouts."""
