"""Lists, legends, label images and archives from strangers: read, or refused with one line; nothing is written where they point."""

from __future__ import annotations

import csv
import io
import tarfile

import numpy as np
import pytest

from tests.hostile import images
from xai.errors import WhyfakeError

LIST = b"path,label,split\nreal/0.png,real,train\nreal/1.png,real,test\nfake/0.png,fake,train\nfake/1.png,fake,test\n"
BOMB = b'"' + b"a," * 200_000


def damaged(content: bytes, count: int = 40):
    """Yield a file cut short at every 5 % and with bytes changed."""
    for percent in range(0, 100, 5):
        yield content[: len(content) * percent // 100]
    rng = np.random.default_rng(0)
    for number in range(count):
        changed = bytearray(content)
        for at in rng.integers(0, len(changed), 1 + number % 8):
            changed[at] = int(rng.integers(256))
        yield bytes(changed)


def answered(function, *given):
    """Call a function; an error with one line is an answer."""
    try:
        return function(*given)
    except WhyfakeError as error:
        assert str(error)
        assert "\n" not in str(error)
        return None


@pytest.fixture
def folder(tmp_path):
    for label in ("real", "fake"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "data" / label / f"{number}.png").write_bytes(images.saved(images.picture(number)))
    return tmp_path / "data"


def test_lists(folder):
    from train.datasets import scan

    texts = [
        b"",
        b"\xff\xfe",
        b"\0" * 500,
        b"path\n",
        b"path,label\n" + b"\n" * 5000,
        b"path,label\n\x1b[31m.png,real\n",
        BOMB,
        b"path,label\n" + BOMB,
    ]
    for content in (*damaged(LIST), *texts):
        (folder / "list.csv").write_bytes(content)
        answered(scan, folder / "list.csv")
    (folder / "list.csv").write_bytes(LIST)
    assert len(scan(folder / "list.csv").rows) == 4


def test_legends_and_label_images(folder):
    from xai.regions.labels import open_labels

    legend, labels = b'{"0": "skin", "1": "nose"}', images.saved(images.picture(0).convert("P"))
    home = folder / "labels"
    home.mkdir()
    for content in (*damaged(legend), b"[]", b'{"a": 1}', b'{"300": "x"}', b'{"0": "\\u0000"}', b"{" * 5000):
        (home / "legend.json").write_bytes(content)
        answered(open_labels, home)
    (home / "legend.json").write_bytes(legend)
    for content in (*damaged(labels), *(body for name, body in images.contents() if name.endswith(".png") and len(body) < 100_000)):
        (home / "a.png").write_bytes(content)
        answered(open_labels(home).parts, "a.png", np.zeros((images.SIDE, images.SIDE, 3), np.uint8))


def test_archives_that_point_elsewhere(tmp_path):
    from train.datasets import scan
    from xai.images import read

    file = tmp_path / "data.tar"
    with tarfile.open(file, "w") as archive:
        for number, name in enumerate(("real/../../../climbed.png", "/tmp/whyfake-climbed.png", "real/a.png", "fake/b.png", "fake/\x1b[31mc.png")):
            body = images.saved(images.picture(number))
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
        for kind, name in ((tarfile.SYMTYPE, "real/link.png"), (tarfile.LNKTYPE, "fake/hard.png"), (tarfile.FIFOTYPE, "fake/pipe.png")):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "/etc/passwd"
            archive.addfile(entry)
    manifest = scan(file, labelled=False)
    for row in manifest.rows:
        assert ".." not in row.path.split("/")
        assert not row.path.startswith("/")
        answered(read, manifest.file(row))
    for content in damaged(file.read_bytes()[:4000]):
        file.write_bytes(content)
        answered(scan, file)


def test_a_list_that_points_elsewhere_writes_nothing_there(folder, tmp_path, whyfake, tiny_file):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.png").write_bytes(images.saved(images.picture(9)))
    rows = [
        ("path", "label"),
        ("../outside/a.png", "real"),
        ("real/0.png", "real"),
        ("fake/0.png", "fake"),
        ("=1+1.png", "fake"),
        ("../../../etc/passwd", "fake"),
    ]
    with (folder / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    result = whyfake("audit", tiny_file, folder / "list.csv", "--out", tmp_path / "run", "--checks", "0", "--regions", "none")
    assert result.exit_code in (0, 1), result.output
    assert sorted(path.name for path in outside.iterdir()) == ["a.png"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "run") == ["data", "outside"]
    for table in (tmp_path / "run").glob("*.csv"):
        with table.open(newline="") as file:
            for row in csv.reader(file):
                assert not any(cell.startswith(("=", "+", "@")) for cell in row), (table.name, row)


def test_a_run_directory_from_a_stranger_is_rendered_inside_itself(folder, tmp_path, whyfake, tiny_file):
    import json

    assert whyfake("audit", tiny_file, folder, "--out", tmp_path / "run", "--checks", "0", "--regions", "none").exit_code == 0
    before = {path.name for path in tmp_path.iterdir()}
    for name in ("summary.json", "run.json"):
        content = (tmp_path / "run" / name).read_text()
        evil = content.replace('"conv"', '"../../../climbed<script>alert(1)</script>"')
        (tmp_path / "run" / name).write_text(evil)
        json.loads(evil)
    result = whyfake("report", tmp_path / "run", "--folder")
    assert result.exit_code in (0, 1), result.output
    assert "Traceback" not in result.output
    assert {path.name for path in tmp_path.iterdir()} == before
    for page in (tmp_path / "run").rglob("*.html"):
        assert "<script>alert" not in page.read_text()
