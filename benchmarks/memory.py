"""How much memory this process took at most."""

from __future__ import annotations

from pathlib import Path


def peak() -> int:
    """Return the most bytes this process ever held in memory.

    Not `resource.getrusage`: on Linux its figure begins with that of the process that started this one.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    raise SystemExit("peak memory can be measured on Linux only")
