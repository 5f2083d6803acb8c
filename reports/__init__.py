"""How a run is shown: a run directory becomes one self-contained HTML page.

Example:
    >>> import reports
    >>> page = reports.render("runs/audit")  # doctest: +SKIP
    >>> page.name  # doctest: +SKIP
    'index.html'
"""

from reports.html import render as render

__all__ = ["render"]
