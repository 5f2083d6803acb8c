"""One progress bar for everything: rate and time left, after two seconds, on terminals only."""

from __future__ import annotations

import sys

from tqdm import tqdm


def bar(total: int | None, label: str, unit: str = "img", quiet: bool = False) -> tqdm:
    """Return a progress bar on standard error, silent when quiet or not on a terminal.

    Args:
        total: how many units there are, None when not known.
        label: what is being done.
        unit: what is counted.
        quiet: show nothing.
    """
    silent = quiet or not sys.stderr.isatty()
    return tqdm(total=total, desc=label, unit=unit, disable=silent, delay=2, leave=False, file=sys.stderr, dynamic_ncols=True)
