"""What the README tells people to type works."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def workplace(tmp_path, portraits, monkeypatch):
    """A folder with `faces/` (a few portraits) and two images in it, as the README assumes."""
    for label in ("real", "fake"):
        (tmp_path / "faces" / label).mkdir(parents=True)
        for path in sorted((portraits / label).iterdir())[:8]:
            shutil.copy(path, tmp_path / "faces" / label)
    for name, path in zip(("a.png", "b.png"), sorted((portraits / "fake").iterdir()), strict=False):
        shutil.copy(path, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_own_faces_and_python(workplace, whyfake):
    block = re.search(r"## On your own faces.*?```shell\n(.*?)```", README, re.S)[1]
    commands = [shlex.split(line)[1:] for line in block.splitlines() if line.startswith("whyfake ")]
    assert [words[0] for words in commands] == ["inspect", "train", "evaluate", "audit", "explain"]
    for words in commands:
        quick = ["--epochs", "1"] if words[0] == "train" else []
        result = whyfake(*words, *quick)
        assert result.exit_code == 0, result.output
    assert (workplace / "runs/faces/audit/index.html").is_file() and len(list((workplace / "overlays").glob("*.jpg"))) == 40
    code = re.search(r"```python\n(.*?)```", README, re.S)[1]
    exec(compile(code, "README.md", "exec"), {})
    assert len(list((workplace / "out").glob("*.jpg"))) == 10


def test_pictures_and_links_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (Path(__file__).parents[1] / target).exists(), target
