"""How a folder of results is shown: it becomes one self-contained HTML page, or a short version of it.

Example:
    >>> import reports
    >>> page = reports.render("runs/audit")  # doctest: +SKIP
    >>> page.name  # doctest: +SKIP
    'index.html'
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from reports.sections import Section
from xai.errors import RunError

__all__ = ["Section", "render"]

# The file that tells what a folder is -> the module that shows it.
AUDIT = "reports.html"
KINDS = {
    "run.json": AUDIT,
    "zoo.json": "reports.zoo",
    "autoencoder.json": "reports.autoencoder",
    "selftest.json": "reports.selftest",
    "inspection.json": "reports.inspection",
    "metrics.json": "reports.evaluation",
    "features.json": "reports.features",
}
SHORT = {"md": "reports.short", "pdf": "reports.pdf"}
LAYOUTS = ("auto", "single", "folder")


def render(directory: str | Path, layout: str = "auto", sections: Sequence[Section] = (), *, form: str = "html") -> Path:
    """Show what an audit, evaluation, training, inspection or comparison left in a folder.

    The page and the Markdown are pure functions of the other files: the same files give the same bytes.

    Args:
        directory: what one of the commands wrote to its `--out`.
        layout: of an audit's page: "single" (one file), "folder" (`index.html` with its data beside it),
            or "auto": by the number of images.
        sections: further ones for an audit's page, before how it was made.
        form: "html": the page; "md": an audit's short version, `summary.md`; "pdf": that printed, `report.pdf`.

    Returns:
        The path of what was written.

    Raises:
        RunError: no such folder, or a needed file is missing or damaged; the old page, if any, stays.
            Also for what these results cannot be shown as.
        ValueError: an unknown layout or form.
    """
    if layout not in LAYOUTS or form not in ("html", *SHORT):
        raise ValueError(f"layout {layout!r}, form {form!r}: expected one of {', '.join(LAYOUTS)}, and html, {', '.join(SHORT)}")
    folder = Path(directory)
    kind, module = next(((name, module) for name, module in KINDS.items() if (folder / name).is_file()), ("", AUDIT))
    options: dict[str, Any] = {}
    if module != AUDIT:
        for asked, what in ((form != "html", f"as {form}"), (layout == "folder", "as a folder"), (bool(sections), "with further sections")):
            if asked:
                raise RunError(f"{folder} holds {kind}: only an audit is shown {what}; these results are one HTML page, and any browser prints it")
    elif form == "html":
        options = {"layout": layout, "sections": sections}
    else:
        module = SHORT[form]
    shown: Path = import_module(module).render(folder, **options)
    return shown
