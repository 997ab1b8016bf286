"""Every notebook runs from top to bottom over the tracked sample."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path):
    book = nbformat.read(path, as_version=4)
    ran = NotebookClient(
        book, timeout=120, resources={"metadata": {"path": str(NOTEBOOKS)}}
    ).execute()
    said = [out for cell in ran.cells if cell.cell_type == "code" for out in cell.outputs]
    assert said
