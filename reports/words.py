"""Numbers as a reader meets them: rounded, with their unit, and a dash where there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from xai.maps.methods import METHODS as METHOD_NOTES
from xai.maps.methods import title

NONE = "–"
SPACE = "\u202f"  # narrow no-break space, between a number and its unit
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

GROUPS = {
    "all": ("All images", ""),
    "fake": ("Fake", "generated faces"),
    "real": ("Real", "photographs"),
    "TP": ("TP", "fake, called fake"),
    "FN": ("FN", "fake, called real"),
    "FP": ("FP", "real, called fake"),
    "TN": ("TN", "real, called real"),
}
OUTCOMES = ("TP", "FN", "FP", "TN")


def real(value: Any) -> float | None:
    """Return a finite float, or None for anything that is not a number.

    Example:
        >>> real("0.5"), real(None), real(float("nan")), real(""), real(True)
        (0.5, None, None, None, None)
    """
    if value is None or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def number(value: Any, digits: int = 3) -> str:
    """Return a number to so many significant digits; a dash where there is none.

    Example:
        >>> number(0.31249), number(1280), number(-0.5), number(1.234e-7), number(None)
        ('0.312', '1,280', '−0.5', '1.23 × 10⁻⁷', '–')
    """
    exact = real(value)
    if exact is None:
        return NONE
    if exact == int(exact) and abs(exact) < 1e9:
        return f"{int(exact):,}".replace("-", "−")
    size = math.floor(math.log10(abs(exact)))
    if -4 <= size < 6:
        text = f"{exact:,.{max(0, digits - 1 - size)}f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")
    mantissa, exponent = f"{exact:.{digits - 1}e}".split("e")
    power = str(int(exponent)).translate(SUPERSCRIPTS)
    return f"{mantissa.replace('-', '−')} × 10{power}"


def fixed(value: Any, decimals: int = 2) -> str:
    """Return a number with so many decimals, for columns that are read downwards.

    Example:
        >>> fixed(0.5), fixed(-1.239, 1), fixed(-0.001), fixed("nan")
        ('0.50', '−1.2', '0.00', '–')
    """
    exact = real(value)
    return NONE if exact is None else f"{round(exact, decimals) + 0.0:.{decimals}f}".replace("-", "−")  # no minus before 0.00


def chance(value: Any) -> str:
    """Return a p value.

    Example:
        >>> chance(0.0321), chance(0.00002), chance(None)
        ('0.032', '< 0.001', '–')
    """
    exact = real(value)
    return NONE if exact is None else "< 0.001" if exact < 0.001 else f"{exact:.3f}"


def points(value: Any) -> str:
    """Return a difference of shares in percentage points.

    Example:
        >>> points(0.0123), points(-0.2), points(None)
        ('+1.2', '−20.0', '–')
    """
    exact = real(value)
    return NONE if exact is None else f"{100 * exact:+.1f}".replace("-", "−")


def percent(value: Any, decimals: int = 1) -> str:
    """Return a fraction in per cent, without a trailing `.0`.

    Example:
        >>> percent(0.995).replace(SPACE, " "), percent(1).replace(SPACE, " "), percent(None)
        ('99.5 %', '100 %', '–')
    """
    exact = real(value)
    if exact is None:
        return NONE
    return f"{trimmed(exact * 100, decimals)}{SPACE}%"


def interval(bounds: Sequence[Any] | None, decimals: int = 1) -> str:
    """Return an interval of fractions in per cent.

    Example:
        >>> interval([0.847, 0.931]).replace(SPACE, " "), interval(None)
        ('84.7 to 93.1 %', '–')
    """
    ends = [real(bound) for bound in bounds or ()]
    if len(ends) != 2 or ends[0] is None or ends[1] is None:
        return NONE
    low, high = (trimmed(end * 100, decimals) for end in ends if end is not None)
    return f"{low} to {high}{SPACE}%"


def place(peak: Sequence[Any] | None) -> str:
    """Return where a point lies, in words; `peak` is `[y, x]` in fractions of the image.

    Example:
        >>> place([0.46, 0.42]).replace(SPACE, " ")
        '42 % from the left, 46 % from the top'
    """
    ends = [real(end) for end in peak or ()]
    if len(ends) != 2 or None in ends:
        return NONE
    return f"{percent(ends[1], 0)} from the left, {percent(ends[0], 0)} from the top"


def corner(peak: Sequence[Any] | None) -> str:
    """Return in which ninth of the image a point lies; `peak` as in `place`.

    Example:
        >>> corner([0.1, 0.9]), corner([0.5, 0.5]), corner([0.9, 0.5]), corner(None)
        ('top right', 'middle', 'bottom', '–')
    """
    ends = [real(end) for end in peak or ()]
    if len(ends) != 2 or ends[0] is None or ends[1] is None:
        return NONE
    third = [min(2, max(0, int(3 * end))) for end in (ends[0], ends[1])]
    parts = (("top", "", "bottom")[third[0]], ("left", "", "right")[third[1]])
    return " ".join(part for part in parts if part) or "middle"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    Example:
        >>> plural(1, "image"), plural(1280, "image")
        ('1 image', '1,280 images')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def method(name: str) -> str:
    """Return a method's name as it is printed in the literature, with the options it was given.

    Example:
        >>> method("gradcam"), method("rise:masks=4000:seed=1"), method("mine")
        ('Grad-CAM', 'RISE (masks=4000, seed=1)', 'mine')
    """
    return title(name)


def note(name: str) -> str:
    """Return what a method shows, in a sentence; empty text for one that is not of this version."""
    known = METHOD_NOTES.get(name.split(":")[0])
    return f"{known.text[:1].upper()}{known.text[1:]}." if known else ""


def group(name: str) -> tuple[str, str]:
    """Return a group's short name and what it holds."""
    return GROUPS.get(name, (name, ""))


def trimmed(value: float, decimals: int) -> str:
    """Return a number with at most so many decimals, zeros at the end removed."""
    text = f"{value:.{decimals}f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "−")
