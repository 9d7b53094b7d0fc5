"""`python -m app compare`: optimizers over many seeds, each at its best rate, as a report."""
