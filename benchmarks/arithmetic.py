"""From measured rates to hours, disk and money: how long an audit of so many images takes on machines of a kind.

    python -m benchmarks.arithmetic --size 256:RATE:BYTES --size 1024:RATE:BYTES --machine NAME:VCPUS:PRICE

RATE is images a second and core, BYTES what a run keeps of an image; both come from a run of one's own. PRICE is
what an hour of the machine costs, from the provider's list; without it no cost is printed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

IMAGES = (160_000, 100_000_000)


@dataclass(frozen=True, slots=True)
class Size:
    """What was measured at one image size.

    Args:
        pixels: side of the images.
        rate: images a second and core.
        kept: bytes on disk an image.
    """

    pixels: int
    rate: float
    kept: float


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine.

    Args:
        name: as its provider calls it.
        cores: vCPUs.
        price: of an hour; None leaves the cost out.
    """

    name: str
    cores: int
    price: float | None = None


@dataclass(frozen=True, slots=True)
class Estimate:
    """What some images need.

    Args:
        hours: of wall time.
        terabytes: on disk, of 10^12 bytes.
        cost: in the currency of the price; None without one.
    """

    hours: float
    terabytes: float
    cost: float | None


def estimate(images: int, size: Size, machine: Machine, machines: int = 1) -> Estimate:
    """Return what `images` images of a size need on so many machines that are all as fast, core by core.

    Machines cost for as long as the run takes; their start (seconds) and the report (minutes) are left out.

    Raises:
        ValueError: a rate, a count of cores or of machines that is not positive.

    Example:
        >>> estimate(3_600_000, Size(256, 10, 5000), Machine("m", 4, 0.5), machines=5)
        Estimate(hours=5.0, terabytes=0.018, cost=12.5)
    """
    if not size.rate > 0 or min(machine.cores, machines) < 1:
        raise ValueError(f"expected a rate, cores and machines above 0, got {size.rate}, {machine.cores} and {machines}")
    hours = images / (size.rate * machine.cores * machines) / 3600
    return Estimate(hours, images * size.kept / 1e12, None if machine.price is None else hours * machines * machine.price)


def table(counts: Sequence[int], sizes: Sequence[Size], kinds: Sequence[Machine], fleets: Sequence[int] = (1, 10, 100)) -> str:
    """Return the estimates as a Markdown table, a row per count, size, kind of machine and number of them."""
    lines = ["| images | size | machines | hours | disk | cost |", "|---:|---:|---|---:|---:|---:|"]
    for count in counts:
        for size in sizes:
            for kind in kinds:
                for fleet in fleets:
                    found = estimate(count, size, kind, fleet)
                    cost = "" if found.cost is None else f"{found.cost:,.2f}"
                    disk = f"{found.terabytes:,.2f} TB" if found.terabytes >= 1 else f"{found.terabytes * 1000:,.1f} GB"
                    lines.append(f"| {count:,} | {size.pixels} | {fleet} × {kind.name} ({kind.cores} vCPUs) | {found.hours:,.2f} | {disk} | {cost} |")
    return "\n".join(lines)


def as_size(text: str) -> Size:
    """Read `PIXELS:RATE:BYTES`.

    Example:
        >>> as_size("256:12.5:9000")
        Size(pixels=256, rate=12.5, kept=9000.0)
    """
    pixels, rate, kept = text.split(":")
    return Size(int(pixels), float(rate), float(kept))


def as_machine(text: str) -> Machine:
    """Read `NAME:VCPUS` or `NAME:VCPUS:PRICE`.

    Example:
        >>> as_machine("large:16:0.8")
        Machine(name='large', cores=16, price=0.8)
    """
    name, cores, *price = text.split(":")
    return Machine(name, int(cores), float(price[0]) if price else None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", type=as_size, action="append", required=True, metavar="PIXELS:RATE:BYTES")
    parser.add_argument("--machine", type=as_machine, action="append", required=True, metavar="NAME:VCPUS[:PRICE]")
    parser.add_argument("--images", type=int, nargs="+", default=IMAGES)
    parser.add_argument("--machines", type=int, nargs="+", default=(1, 10, 100), help="how many of each kind")
    given = parser.parse_args(arguments)
    print(table(given.images, given.size, given.machine, given.machines))
    print("\nCalculated from the measured rates, not measured.")


if __name__ == "__main__":
    main()
