"""A run taken away as files: a page that needs no network, its numbers, and its slice."""
