"""What the examples of the documentation find in their folder."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def results(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Put a made-up audit where report.md's examples look for one."""
    if request.path.name == "report.md":
        from tests.reports.conftest import fabricate

        fabricate(tmp_path / "runs" / "faces" / "audit", layers=[("conv2d", 8, 64.0, 32.0, 64.0, 2)])
        monkeypatch.chdir(tmp_path)
