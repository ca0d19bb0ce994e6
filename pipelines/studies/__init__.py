"""Studies: one data set, several variants, one table."""
