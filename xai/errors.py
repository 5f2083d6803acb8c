"""The exceptions this project raises on purpose; the command line prints each as one line."""

from __future__ import annotations

from collections.abc import Iterable


class WhyfakeError(Exception):
    """Something the user can mend; the message says what came and what to do.

    Example:
        >>> raise WhyfakeError("the folder is empty; give one with images in it")
        Traceback (most recent call last):
        ...
        xai.errors.WhyfakeError: the folder is empty; give one with images in it
    """


class ImageError(WhyfakeError):
    """A file that cannot be read as an image; the message is the reason in `skipped.csv`."""


class ModelError(WhyfakeError):
    """A model that cannot be loaded or has no logit to explain."""


class LayerError(WhyfakeError):
    """A layer that does not exist or whose cells have no place on the image."""


class DataError(WhyfakeError):
    """A data set that is missing, empty or ambiguous."""


class RunError(WhyfakeError):
    """A run directory that is missing, damaged or belongs to other parameters."""


def readable(text: str) -> str:
    """Return text on one line that any terminal and file takes: odd bytes and control characters as escapes.

    Example:
        >>> readable("a\\nb\\x1b[31m\\udcff é")
        'a\\\\nb\\\\x1b[31m\\\\udcff é'
    """
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown.encode("utf-8", "backslashreplace").decode()


def listed(names: Iterable[str], most: int = 12) -> str:
    """Return names as a readable list, shortened after `most` of them.

    Example:
        >>> listed(["a", "b", "c"], most=2)
        'a, b, … (3 in all)'
    """
    names = list(names)
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])}, … ({len(names)} in all)"
