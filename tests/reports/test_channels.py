"""What channels look for, in the run's own report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import reports
from reports import channels
from reports.run import read
from tests.reports.test_features import record
from xai import store
from xai.errors import RunError


@pytest.fixture
def explored(make_run: Callable[..., Path]) -> Path:
    """Return a run that holds feature pictures: one of three channels has one."""
    path = make_run()
    store.write_json(path / "features" / "features.json", record())
    for name in ("crops/conv__3__0.png", "images/0.png", "images/7.png", "pictures/conv__3.png"):
        (path / "features" / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (300, 200), "red").save(path / "features" / name)
    return path


def test_made_pictures_are_small_and_lead_to_their_page(explored: Path) -> None:
    found = channels.features(read(explored))
    assert found is not None
    [made] = found.pictures
    assert (made.layer, made.channel, made.size, found.total, found.page) == ("body/conv", 3, (128, 85), 3, "")
    text = reports.render(explored).read_text(encoding="utf-8")
    assert "A picture made to excite channel 3 of layer body/conv" in text and "1 channel of 3" in text
    (explored / "features" / "index.html").write_text("")
    assert 'href="features/index.html"' in reports.render(explored).read_text(encoding="utf-8")


def test_without_them_nothing_is_said(make_run: Callable[..., Path]) -> None:
    path = make_run()
    assert channels.features(read(path)) is None
    assert "made to excite" not in reports.render(path).read_text(encoding="utf-8")


@pytest.mark.parametrize("broken", ["features.json", "pictures/conv__3.png"])
def test_what_is_broken_is_named(explored: Path, broken: str) -> None:
    (explored / "features" / broken).write_text("{")
    with pytest.raises(RunError, match=rf"{broken.rsplit('/', 1)[-1]} in .* cannot be read"):
        reports.render(explored)
