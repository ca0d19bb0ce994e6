"""The page of one night: what it recommends, beside the night before."""
