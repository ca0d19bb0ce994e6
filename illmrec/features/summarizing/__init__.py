"""Short texts in place of descriptions: extracts, a model or a file writes them."""
