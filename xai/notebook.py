"""How results show themselves in a notebook: small pieces of HTML in which everything is escaped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

# A notebook's own style sheet sets tables to the right and stripes them.
CELL = 'style="text-align:left;vertical-align:top"'


def paragraphs(sentences: Iterable[Any]) -> str:
    """Return sentences, each a paragraph; empty ones are left out.

    Example:
        >>> paragraphs(["a < b", ""])
        '<p>a &lt; b</p>'
    """
    return "".join(f"<p>{escape(str(sentence))}</p>" for sentence in sentences if sentence)


def table(rows: Iterable[Sequence[Any]], header: Sequence[Any] = ()) -> str:
    """Return a table; the first cell of a row names it.

    Example:
        >>> table([("a", 1)]).count("<td"), "<thead>" in table([("a", 1)], ("name", "value"))
        (1, True)
    """
    head = f"<thead><tr>{''.join(f'<th {CELL}>{escape(str(name))}</th>' for name in header)}</tr></thead>" if header else ""
    body = "".join(
        f"<tr><th {CELL}>{escape(str(first))}</th>{''.join(f'<td {CELL}>{escape(str(value))}</td>' for value in rest)}</tr>" for first, *rest in rows
    )
    return f"<table>{head}<tbody>{body}</tbody></table>"


def pre(text: str) -> str:
    """Return text as it stands in a terminal.

    Example:
        >>> pre("a  <b>")
        '<pre>a  &lt;b&gt;</pre>'
    """
    return f"<pre>{escape(text)}</pre>"


def page_link(folder: Path) -> str:
    """Return a link to the page of a folder of results, or how to make it.

    Example:
        >>> page_link(Path("no such folder"))
        '<p>The page: <code>reports.render(&#x27;no such folder&#x27;)</code></p>'
    """
    path = folder / "index.html"
    if not path.is_file():
        return f"<p>The page: <code>reports.render({escape(repr(str(folder)))})</code></p>"
    # Quoted and with a beginning of its own, so that no folder's name is taken for a scheme such as javascript:
    address = path.as_uri() if path.is_absolute() else f"./{quote(path.as_posix())}"
    return f'<p>The page: <a href="{escape(address)}" target="_blank">{escape(str(path))}</a></p>'


class Told(dict[str, Any]):
    """A result's numbers, which a notebook shows as the text that the command prints.

    Args:
        content: the numbers.
        text: makes that text of them.

    Example:
        >>> found = Told({"count": 2}, "{0[count]} <images>".format)
        >>> found == {"count": 2}, found._repr_html_()
        (True, '<pre>2 &lt;images&gt;</pre>')
    """

    def __init__(self, content: Mapping[str, Any], text: Callable[[dict[str, Any]], str]) -> None:
        super().__init__(content)
        self.text = text

    def _repr_html_(self) -> str:
        """Show the numbers in a notebook."""
        return pre(self.text(self))
