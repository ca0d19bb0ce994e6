"""A night: whom, with what, read how, which rows, good enough or not, published or not."""
