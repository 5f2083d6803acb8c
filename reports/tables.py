"""Tables that sort, search, copy and download: DataTables as itables ships it, made to fit a page that loads nothing."""

from __future__ import annotations

import base64
import gzip
import re
from functools import cache
from importlib import resources

from reports import words
from xai.errors import RunError

NUMBER = re.compile(r"([+-]?(?:\d[\d,]*)?\.?\d+)(?: × 10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?")
DIGITS = {raised: digit for digit, raised in words.SUPERSCRIPTS.items()}
# The bundle leaves a few names of its libraries on the window, which nothing of ours reads.
BEFORE = "const before=new Set(Object.getOwnPropertyNames(globalThis));"
AFTER = 'for(const name of Object.getOwnPropertyNames(globalThis))if(!before.has(name)&&name!=="DataTable")delete globalThis[name];'
RANKS = {"fails": "0", "not tested": "1", "unsure": "2", "passes": "3"}


@cache
def bundle() -> str:
    """Return DataTables as a classic script that sets `DataTable` and nothing else.

    Raises:
        RunError: itables is missing, or its bundle is not what it was.
    """
    try:
        module = resources.files("itables").joinpath("html", "dt_bundle.js").read_text(encoding="utf-8")
    except (ModuleNotFoundError, OSError) as error:
        raise RunError(f"the tables of the report need the package itables: {error}; 'pip install itables' brings it") from error
    return classic(module)


@cache
def packed() -> str:
    """Return `bundle` compressed with gzip, as base64: a third of its size, and the browser unpacks it."""
    return base64.b64encode(gzip.compress(bundle().encode(), compresslevel=9, mtime=0)).decode()


def classic(module: str) -> str:
    """Return an ES module with one export clause as a classic script.

    A policy by hashes lets an inline module run too, but its exports could not be reached from another script.

    Raises:
        RunError: there is no such clause, or it has no default.

    Example:
        >>> "(()=>{var a=1;globalThis.DataTable=a;})();" in classic("var a=1;export{a as default};")
        True
    """
    clauses = list(re.finditer(r"\bexport ?\{([^{}]*)\}", module))
    default = re.search(r"(?:^|,)\s*([\w$]+) as default\s*(?:,|$)", clauses[0][1]) if len(clauses) == 1 else None
    if not default:
        raise RunError(
            f"the bundle of itables has {len(clauses)} export clauses and no known default; expected one like 'export{{x as default}}'; "
            "install the version of itables that setup.cfg names"
        )
    start, end = clauses[0].span()
    text = f"{module[:start]}globalThis.DataTable={default[1]}{module[end:]}"
    # In a page, "<!--" would change how the rest of the script is read.
    text = text.replace("<!--", r"\x3c!--")
    # Names of XML vocabularies and licences: written so that the page has no address in it, and a search for one finds none.
    text = re.sub(r"(https?:)//", r"\1\/\/", text)
    return f'"use strict";(()=>{{{BEFORE}(()=>{{{text}}})();{AFTER}}})();'


def plain(text: str) -> str:
    """Return the first number of a text as JavaScript reads it; empty text where there is none.

    Example:
        >>> plain("−1,280 × chance*"), plain("1.23 × 10⁻⁷"), plain("0.12 (0.10 to 0.14)"), plain("–")
        ('-1280', '1.23e-7', '0.12', '')
    """
    found = NUMBER.search(text.replace("−", "-"))
    if not found:
        return ""
    mantissa = found[1].replace(",", "").removeprefix("+")
    return f"{mantissa}e{found[2].translate(DIGITS)}" if found[2] else mantissa


def rank(verdict: str) -> str:
    """Return where a verdict stands among the others.

    Example:
        >>> rank("passes") > rank("unsure") > rank("fails")
        True
    """
    return RANKS.get(verdict, "")
