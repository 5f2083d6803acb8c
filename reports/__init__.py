"""How a folder of results is shown: it becomes one self-contained HTML page.

Example:
    >>> import reports
    >>> page = reports.render("runs/audit")  # doctest: +SKIP
    >>> page.name  # doctest: +SKIP
    'index.html'
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

__all__ = ["render"]

# The file that tells what a folder is -> the module that shows it.
KINDS = {
    "run.json": "reports.html",
    "zoo.json": "reports.zoo",
    "autoencoder.json": "reports.autoencoder",
    "selftest.json": "reports.selftest",
    "inspection.json": "reports.inspection",
    "metrics.json": "reports.evaluation",
    "features.json": "reports.features",
}


def render(directory: str | Path) -> Path:
    """Write `index.html` of a folder that an audit, evaluation, training, inspection or comparison left.

    The page is a pure function of the other files: the same files give the same bytes.

    Args:
        directory: what one of the commands wrote to its `--out`.

    Returns:
        The page's path.

    Raises:
        RunError: no such folder, or a needed file is missing or damaged; the old page, if any, stays.
    """
    folder = Path(directory)
    module = next((module for name, module in KINDS.items() if (folder / name).is_file()), "reports.html")
    page: Path = import_module(module).render(folder)
    return page
