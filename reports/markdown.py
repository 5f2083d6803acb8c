"""GitHub's Markdown of texts that may hold anything: what comes from a run never becomes markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Control characters, line separators, and the marks that turn the direction of what follows.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]+")
MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<![^\W_])_|_(?![^\W_])")  # the underscore of conv2d_4 starts nothing
LINKED = re.compile(r"@(?=\w)|#(?=\d)|\bhttps?(?=:)|\bwww(?=\.)|\bGH-(?=\d)", re.IGNORECASE)  # what GitHub links, and whom it calls
HTML = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escape(text: str) -> str:
    r"""Return a text on one line that shows as it is: no HTML, no emphasis, no end of a table's cell.

    Example:
        >>> print(escape("<img src=x> a|b `c` conv2d_4\n# no heading"))
        &lt;img src=x&gt; a\|b \`c\` conv2d_4 # no heading
        >>> print(escape("by @octocat"))
        by @<!-- -->octocat
        >>> print(escape("# 1"), escape("1. one"), escape("-0.5"))
        \# 1 1\. one \-0.5
    """
    line = CONTROL.sub(" ", text).strip()
    line = MARKUP.sub(lambda found: "\\" + found[0], re.sub("[&<>]", lambda found: HTML[found[0]], line))
    line = LINKED.sub(lambda found: found[0] + "<!-- -->", line)
    return re.sub(r"^(\d+)([.)])(?=\s|$)", r"\1\\\2", re.sub(r"^([-+=#])", r"\\\1", line))


def code(text: str) -> str:
    """Return a block of code; its fence is longer than any run of backticks inside.

    Example:
        >>> print(code("a ``` b"))
        ````text
        a ``` b
        ````
    """
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    lines = [CONTROL.sub(" ", line) for line in text.split("\n")]
    return "\n".join([f"{fence}text", *lines, fence])


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of texts that are not yet escaped.

    Example:
        >>> print(table(("a", "b"), [("1", "2|3")]))
        | a | b |
        | --- | --- |
        | 1 | 2\\|3 |
    """
    lines = [[escape(cell) for cell in row] for row in (header, *rows)]
    lines.insert(1, ["---"] * len(header))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
