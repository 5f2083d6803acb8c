"""A network's picture and table of layers, as a training left them."""

from __future__ import annotations

from pathlib import Path

from reports import words
from reports.run import read_rows
from reports.sheet import Picture, Table

NUMBERS = ("parameters", "multiply_adds")


def items(folder: Path) -> tuple[Picture | Table, ...]:
    """Return what of `network.png` and `layers.csv` is there."""
    found: list[Picture | Table] = []
    if (folder / "network.png").is_file():
        found.append(Picture("The network", (folder / "network.png").read_bytes()))
    rows = read_rows(folder, "layers.csv", (), needed=False)
    if rows:
        header = tuple(name.replace("_", "-" if name == "multiply_adds" else " ") for name in rows[0])
        found.append(Table("Layers", header, [tuple(cell(name, value) for name, value in row.items()) for row in rows]))
    return tuple(found)


def cell(name: str, value: str) -> str:
    """Return a value of the table as it is read.

    Example:
        >>> cell("parameters", "18432"), cell("trainable", "1"), cell("trainable", ""), cell("shape", "4 x 4 x 8")
        ('18,432', 'yes', '', '4 × 4 × 8')
    """
    if name in NUMBERS:
        return words.number(value, 12) if value else ""
    if name == "trainable":
        return {"1": "yes", "0": "no"}.get(value, value)
    return value.replace(" x ", " × ") if name == "shape" else value
