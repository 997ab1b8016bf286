"""Every notebook runs from top to bottom over the tracked sample."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_runs_and_prints(path):
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(NOTEBOOKS)}}
    executed = NotebookClient(notebook, timeout=120, resources=resources).execute()
    assert any(cell.outputs for cell in executed.cells if cell.cell_type == "code")
