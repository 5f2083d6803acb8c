"""How much memory a process may still take: what the machine has free, or what its container or job leaves it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil

GROUPS, OURS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
VERSIONS = (  # of control groups: folder, controller, limit, use, and what of that is only cached files
    ("", "", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def free(groups: Path = GROUPS, ours: Path = OURS) -> int:
    """Return the bytes that can still be had.

    Docker, Kubernetes and Slurm bound memory by control groups, which the machine's own
    figure knows nothing of; a process that goes beyond is killed. Every group around this
    process counts.

    Args:
        groups: where control groups are mounted.
        ours: names those of this process.
    """
    return max(0, min([psutil.virtual_memory().available, *left(groups, ours)]))


def left(groups: Path, ours: Path) -> Iterator[int]:
    """Give what each bounded group around this process leaves."""
    try:
        lines = [line.split(":", 2) for line in ours.read_text().splitlines() if line.count(":") > 1]
    except OSError:  # not Linux
        return
    for folder, controller, limit, use, cached in VERSIONS:
        paths = [Path(path.lstrip("/")) for _, names, path in lines if controller in names.split(",")]
        for path in paths:
            for group in (path, *path.parents):  # inside a container the mount's root is the group itself
                try:
                    place = groups / folder / group
                    bound = int((place / limit).read_text())
                    kept = dict(line.split() for line in (place / "memory.stat").read_text().splitlines())
                    yield bound - int((place / use).read_text()) + int(kept.get(cached, 0))
                except (OSError, ValueError):  # no bound ("max"), or none that we may read
                    continue
