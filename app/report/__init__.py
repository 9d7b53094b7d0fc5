"""A checkpoint's instability report: which network, which data, what is measured, in words."""
