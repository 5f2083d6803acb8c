"""The exceptions this project raises on purpose; the command line prints each as one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

FACELESS = "no face found"  # how the reason of such an image begins in `skipped.csv`


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


class NoFaceError(ImageError):
    """An image to be cropped to its face in which none was found; the message begins with `FACELESS`."""


class ModelError(WhyfakeError):
    """A model that cannot be loaded or has no logit to explain."""


class LayerError(WhyfakeError):
    """A layer that does not exist or whose cells have no place on the image."""


class DataError(WhyfakeError):
    """A data set that is missing, empty or ambiguous."""


class RunError(WhyfakeError):
    """A run directory that is missing, damaged or belongs to other parameters."""


def tally(skipped: Mapping[str, str]) -> str:
    """Return one line on what was skipped: images without a face told apart from unreadable files.

    Args:
        skipped: path -> reason.

    Example:
        >>> tally({"a.png": "the file is empty (0 bytes)"})
        'skipped 1 unreadable file'
        >>> tally({"a.png": "no face found by mtcnn", "b.png": "no face found by mtcnn", "c.png": "not a file"})
        'skipped 3: 2 without a face, 1 unreadable'
    """
    faceless = sum(reason.startswith(FACELESS) for reason in skipped.values())
    unreadable = len(skipped) - faceless
    if not faceless:
        return f"skipped {unreadable} unreadable file{'s' if unreadable != 1 else ''}"
    if not unreadable:
        return f"skipped {faceless} image{'s' if faceless != 1 else ''} without a face"
    return f"skipped {len(skipped)}: {faceless} without a face, {unreadable} unreadable"


def nothing_left(count: int, skipped: Mapping[str, str]) -> str:
    """Return the beginning of the error for images of which not one was fit for use.

    Example:
        >>> nothing_left(1, {"a.png": "not a file"})
        'none of the 1 images could be read'
        >>> nothing_left(2, {"a.png": "no face found by mesh", "b.png": "not a file"})
        'none of the 2 images could be used: 1 without a face, 1 unreadable'
    """
    faceless = sum(reason.startswith(FACELESS) for reason in skipped.values())
    if not faceless:
        return f"none of the {count} images could be read"
    return f"none of the {count} images could be used: {faceless} without a face, {len(skipped) - faceless} unreadable"


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
