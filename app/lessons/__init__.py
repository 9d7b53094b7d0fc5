"""Lessons for a classroom: Markdown pages, and what reads them."""
