"""The library of the tables as a script of the page, and what the tables and figures tell it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reports import tables
from tests.reports.test_html import Tags, rendered
from tests.reports.test_trust import told
from xai.errors import RunError

NUMBER = re.compile(r"-?(\d+\.?\d*|\.\d+)(e-?\d+)?")


@pytest.fixture
def page(make_run: Callable[..., Path], edit: Callable[..., None]) -> str:
    """Return the page of a run that has every table."""
    path = make_run()
    edit(path / "summary.json", lambda summary: summary.update(trust=told()))
    return rendered(path)


class TestBundle:
    def test_it_is_a_classic_script(self) -> None:
        text = tables.bundle()
        assert text.startswith('"use strict";(()=>{') and text.endswith("})();")
        assert "globalThis.DataTable=" in text
        assert not re.search(r"\bexport ?\{|\bimport ?[{(\"']", text)
        # Nothing that ends a script early, opens a comment in it, or is an address.
        assert not re.search(r"</script|<!--|https?://", text, re.IGNORECASE)

    def test_it_is_read_once(self) -> None:
        assert tables.bundle() is tables.bundle()

    @pytest.mark.parametrize("clause", ["export{a as b,c$ as default,d as e}", "export {a as b, c$ as default}", "export{c$ as default}"])
    def test_any_order_of_exports(self, clause: str) -> None:
        assert "(()=>{var c$=1;globalThis.DataTable=c$;\n/* licence */})();" in tables.classic(f"var c$=1;{clause};\n/* licence */")

    @pytest.mark.parametrize(("module", "count"), [("var a=1;", 0), ("export{a as b};", 1), ("export{a as default};export{a as default};", 2)])
    def test_another_bundle(self, module: str, count: int) -> None:
        with pytest.raises(RunError, match=f"itables has {count} export clauses and no known default; .* setup.cfg"):
            tables.classic(module)

    def test_no_itables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "itables", None)
        tables.bundle.cache_clear()
        with pytest.raises(RunError, match=r"need the package itables: .*'pip install itables'"):
            tables.bundle()


class TestPage:
    def test_every_script_is_in_the_policy(self, page: str) -> None:
        policy = next(a["content"] for tag, a in Tags(page).tags if a.get("http-equiv") == "Content-Security-Policy")
        allowed = set(re.findall(r"'sha256-([^']+)'", policy))
        scripts = re.findall(r"<script([^>]*)>(.*?)</script>", page, re.DOTALL)
        code = [text for attributes, text in scripts if "application/json" not in attributes]
        code = [tables.bundle() if text == tables.packed() else text for text in code]
        assert {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in code} == allowed
        assert tables.bundle() in code
        assert "unsafe-eval" not in policy and "script-src 'sha256-" in policy

    def test_the_library_waits(self, page: str) -> None:
        """It is plain text until the page has been drawn."""
        assert f'<script type="text/plain" id="datatables">{tables.packed()}</script>' in page
        assert gzip.decompress(base64.b64decode(tables.packed())).decode() == tables.bundle()

    def test_every_data_table_has_its_own_name(self, page: str) -> None:
        found = [a for tag, a in Tags(page).tags if tag == "table"]
        names = [a["data-table"] for a in found if "data-table" in a]
        expected = {"looked-at-and-used", "effects-both", "parts-hirescam-fake", "differences", "verdicts", "tests", "faithfulness"}
        assert expected | {"baselines", "stability", "layers", "skipped"} <= set(names)
        assert all(names) and len(names) == len(set(names))
        # Tables that hold pictures, and the confusion matrices, are for looking at.
        others = {a.get("class", "").split(" ")[0] for a in found if "data-table" not in a}
        assert others <= {"strip", "mini", "confusion"}

    def test_cells_are_sorted_by_numbers(self, page: str) -> None:
        orders = [a["data-order"] for tag, a in Tags(page).tags if tag in ("td", "th") and "data-order" in a]
        assert len(orders) > 100
        assert [order for order in orders if order and not NUMBER.fullmatch(order)] == []

    def test_rows_are_as_long_as_their_head(self, page: str) -> None:
        """The library takes no others."""
        for table in re.findall(r"<table[^>]*data-table[^>]*>.*?</table>", page, re.DOTALL):
            assert "colspan" not in table and "rowspan" not in table
            assert len({len(re.findall(r"<t[hd]\b", row)) for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)}) == 1

    def test_figures_have_names(self, page: str) -> None:
        names = [a["data-figure"] for _, a in Tags(page).tags if "data-figure" in a]
        assert {"deletion-curves", "randomised-weights", "fakes-minus-reals-hirescam-conv2d", "channels-0-conv2d"} <= set(names)
        assert all(names) and len(names) == len(set(names))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("−0.20", "-0.20"), ("+1.2", "1.2"), ("9 ×", "9"), ("1,280", "1280"), ("84.7\u202f%", "84.7"), ("< 0.001", "0.001"),
        ("256 × 256 × 16", "256"), ("2.0 × 10⁻⁶ (1.0 × 10⁻⁶ to 3.0 × 10⁻⁶)", "2.0e-6"), ("−5.00 to 1.00", "-5.00"), ("–", ""), ("", ""),
    ],
)  # fmt: skip
def test_plain_numbers(text: str, expected: str) -> None:
    assert tables.plain(text) == expected


def test_ranks_of_verdicts() -> None:
    assert [tables.rank(verdict) for verdict in ("fails", "not tested", "unsure", "passes", "new")] == ["0", "1", "2", "3", ""]
