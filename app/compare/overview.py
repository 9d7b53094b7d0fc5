"""The overview of a grid: every cell's verdict, and every lane of every cell in one table."""

from __future__ import annotations

from pathlib import Path

from app.compare.comparison import Result
from app.compare.files import put
from app.compare.page import Made, grid_html
from app.compare.tables import Table, markdown_table, results_table, sentences


class Overview:
    """Collects cells as they are finished.

    Attributes:
        sentences: what each cell found, its verdict first.
    """

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self._columns: tuple[str, ...] = ()
        self._rows: dict[str, tuple[str, ...]] = {}

    def add(self, result: Result) -> None:
        """Note what a cell found."""
        cell = f"{result.plan.name}: " if result.plan.cell else ""
        self.sentences += [f"{cell}{text}" for text in sentences(result)]
        table = results_table(result)
        self._columns = ("Cell", *table.columns)
        for key, cells in table.rows.items():
            self._rows[f"{result.plan.name}: {key}"] = (result.plan.name, *cells)

    def write(self, made: Made, folder: Path) -> None:
        """Write report.html and table.md over all cells.

        Args:
            made: how they were made.
            folder: of the grid; each cell has a folder of its own in it.
        """
        title = "Comparison over a grid"
        table = Table("Means over the seeds, cell by cell", self._columns, self._rows)
        page = grid_html(title, self.sentences, table, made)
        put(folder / "report.html", page.encode())
        text = "\n\n".join([*self.sentences, markdown_table(table)])
        put(folder / "table.md", f"{text}\n".encode())
