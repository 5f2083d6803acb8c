"""What an inspection sees in a small data set that has one of everything."""

import csv
import json
import shutil

import numpy as np
import pytest
from PIL import Image

import reports
from train import inspection
from train.findings import findings
from train.inspection import imbalance, inspect, kinds, spread, summary, text, write
from xai.errors import DataError


def picture(seed, side=128):
    """A random picture: no two look alike."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8))
    return coarse.resize((side, side), Image.Resampling.BICUBIC)


def draw(folder, reals=14, fakes=12, splits=("train", "test")):
    """Write reals of quality 70 and fakes of quality 95, the first two thirds into train/."""
    for label, count, quality in (("real", reals, 70), ("fake", fakes, 95)):
        for index in range(count):
            split = splits[index * 3 >= count * 2] if splits else ""
            place = folder / split / label
            place.mkdir(parents=True, exist_ok=True)
            picture(1000 * quality + index).save(place / f"{index:02}.jpg", quality=quality)
    return folder


@pytest.fixture(scope="module")
def messy(tmp_path_factory):
    """Copies across splits and classes, a near copy, broken files, a wrong ending, a grey, a turned one."""
    folder = draw(tmp_path_factory.mktemp("data") / "messy")
    reals, fakes = folder / "train" / "real", folder / "train" / "fake"
    shutil.copy(reals / "00.jpg", folder / "test" / "real" / "again.jpg")
    shutil.copy(reals / "01.jpg", fakes / "both.jpg")
    with Image.open(reals / "02.jpg") as image:
        image.resize((112, 112)).save(folder / "test" / "real" / "near.png")
    (reals / "page.jpg").write_text("<html>")
    whole = (reals / "03.jpg").read_bytes()
    (fakes / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    picture(1).save(reals / "wrong.png", "JPEG", quality=70)
    picture(2).convert("L").save(reals / "grey.jpg", quality=70)
    exif = Image.Exif()
    exif[0x0112] = 3
    picture(3).save(reals / "turned.jpg", quality=70, exif=exif)
    return inspect(folder, seed=3)


def test_everything_is_counted(messy):
    assert messy["images"] == {"found": 34, "inspected": 34, "readable": 32, "unreadable": 2}
    assert messy["classes"] == {"real": 19, "fake": 13}
    assert messy["splits"] == {"train": {"real": 13, "fake": 9}, "test": {"real": 6, "fake": 4}}
    assert messy["sizes"][0] == {"name": "128 × 128", "all": 31, "real": 18, "fake": 13}
    assert {kind["name"]: kind["all"] for kind in messy["formats"]} == {"JPEG": 31, "PNG": 1}
    assert {kind["name"]: kind["all"] for kind in messy["modes"]} == {"RGB": 31, "L": 1}
    assert messy["quality"]["fake"]["histogram"] == {"70": 1, "95": 12}
    assert (messy["quality"]["real"]["median"], messy["quality"]["real"]["unknown"]) == (70, 1)
    assert messy["bytes"]["all"]["sum"] == sum(file["bytes"] for file in messy["files"])
    assert (messy["suffix_disagrees"], messy["rotated"]) == (1, 1)
    assert messy["imbalance"]["ratio"] == pytest.approx(19 / 13)
    assert messy["labelled"] and messy["layout"]


def test_unreadable_files_are_listed_with_the_reader_s_reason(messy):
    assert messy["skipped"]["train/real/page.jpg"] == "not an image: it is an HTML page"
    assert "truncated" in messy["skipped"]["train/fake/cut.jpg"]
    assert not {file["path"] for file in messy["files"]} & set(messy["skipped"])


def test_copies_and_where_they_stand(messy):
    exact, near = messy["duplicates"]["exact"], messy["duplicates"]["near"]
    assert exact["across_splits"] == [["test/real/again.jpg", "train/real/00.jpg"]]
    assert exact["across_classes"] == [["train/fake/both.jpg", "train/real/01.jpg"]]
    assert exact["files"] == 4
    assert ["test/real/near.png", "train/real/02.jpg"] in near["across_splits"]
    numbered = {file["path"]: file["exact_group"] for file in messy["files"] if file["exact_group"]}
    assert len(numbered) == 4 and numbered["train/real/00.jpg"] == numbered["test/real/again.jpg"]


def test_findings_are_ordered_and_say_what_to_do(messy):
    severities = [finding["severity"] for finding in messy["findings"]]
    assert severities == sorted(severities, key=("severe", "warning", "note").index)
    told = " ".join(finding["what"] for finding in messy["findings"])
    for part in (
        "1 picture stands both among the reals and the fakes",
        "1 picture stands in more than one split",
        "2 of 34 files cannot be read; the first, train/fake/cut.jpg",
        "1 file has a name whose ending is not that of the content",
        "1 file carries a rotation mark",
        "31 of 32 have 128 × 128 pixels",
        "There are only 19 reals and 13 fakes",
        "Not all images are RGB: 1 L",
    ):
        assert part in told
    assert all(finding["do"].endswith(".") for finding in messy["findings"])


def test_the_leak_is_named_first(tmp_path):
    found = inspect(draw(tmp_path, 30, 20, splits=()), seed=1)
    quality = next(family for family in found["leak"]["families"] if family["name"] == "quality")
    assert quality["auc"] == 1.0
    assert found["findings"][0]["what"] == found["leak"]["sentence"]
    assert found["splits"] == {}
    assert found == inspect(tmp_path, seed=1)


def test_it_is_json_and_a_folder_with_a_page(messy, tmp_path):
    assert json.loads(json.dumps(messy, allow_nan=False)) == messy
    folder = write(messy, tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == {"inspection.json", "files.csv", "skipped.csv", "bytes.png", "quality.png", "leak.png"}
    assert json.loads((folder / "inspection.json").read_text()) == summary(messy)
    with (folder / "files.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 32 and rows[0]["path"] == messy["files"][0]["path"]
    turned = next(row for row in rows if row["path"].endswith("turned.jpg"))
    assert (turned["metadata"], turned["orientation"], turned["quality"]) == ("Exif; JFIF", "3", "70")
    page = reports.render(folder).read_text(encoding="utf-8")
    assert messy["findings"][0]["what"] in page and page.count("<img ") == 3


def test_a_second_inspection_leaves_no_old_pictures(messy, tmp_path):
    folder = write(messy, tmp_path)
    for index in range(3):
        (tmp_path / "data").mkdir(exist_ok=True)
        picture(index).save(tmp_path / "data" / f"{index}.png")
    write(inspect(tmp_path / "data"), folder)
    assert not (folder / "leak.png").exists() and not (folder / "quality.png").exists()


def test_without_classes_all_but_the_leak_test(tmp_path):
    for index in range(4):
        picture(index).save(tmp_path / f"{index}.png")
    found = inspect(tmp_path)
    assert (found["labelled"], found["classes"], found["leak"], found["imbalance"]) == (False, {}, None, None)
    assert found["findings"][0]["what"].startswith("The images have no classes")
    assert "images" in text(found) and "real" not in text(found).split("\n\n")[1]


def test_a_limit_takes_a_share_of_each_class(tmp_path):
    found = inspect(draw(tmp_path, 20, 10, splits=()), limit=12)
    assert found["images"] == {"found": 30, "inspected": 12, "readable": 12, "unreadable": 0}
    assert found["classes"] == {"real": 8, "fake": 4}
    assert found["leak"]["verdict"] == "untested"
    assert "12 of 30 files, chosen with seed 0" in text(found)


def test_text_has_every_part(messy):
    told = text(messy)
    assert told.startswith("messy: 32 images")
    for part in ("2 more cannot be read", "128 × 128", "file for file", "What file facts alone give away", "1. severe: "):
        assert part in told
    assert max(map(len, told.splitlines())) <= 130
    hostile = messy | {"data": "a\x1b[31mb"}
    assert "\x1b" not in text(hostile)


def test_nothing_readable_is_an_error(tmp_path):
    (tmp_path / "a.png").write_text("<html>")
    with pytest.raises(DataError, match=r"none of the 1 images in .* can be read; the first, a.png: not an image: it is an HTML page"):
        inspect(tmp_path)


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        inspect(tmp_path / "nowhere")


def test_spread_and_imbalance_by_hand():
    assert spread([1, 2, 3, 4]) == pytest.approx({"count": 4, "sum": 10, "median": 2.5, "low": 1, "high": 4, "p5": 1.15, "p95": 3.85})
    assert imbalance({"real": 5, "fake": 5})["sentence"] == "The classes are of equal size."
    assert imbalance({"real": 10, "fake": 40})["larger"] == "fake"
    assert imbalance({}) is None and imbalance({"real": 3, "fake": 0}) is None


def test_many_kinds_are_cut():
    from tests.train.test_leak import fact
    from train.datasets import Row

    counted = kinds([Row(f"{i}", "real") for i in range(30)], [fact(width=64 + i) for i in range(30)])
    assert len(counted["sizes"]) == inspection.SHOWN + 1
    assert counted["sizes"][-1] == {"name": "10 others", "all": 10, "real": 10}


def test_images_that_are_left_alone_are_a_warning(tmp_path):
    draw(tmp_path, 3, 3, splits=())
    assert "left alone" not in text(inspect(tmp_path))
    (tmp_path / "sfhq").mkdir()
    picture(1).save(tmp_path / "sfhq" / "1.png")
    found = inspect(tmp_path)
    assert found["layout"].endswith("; left alone: sfhq/ (1 image)")
    assert ("warning", "Some images are left alone: sfhq/ (1 image).") in [(finding["severity"], finding["what"]) for finding in found["findings"]]
    assert "Say what they are by their folders' names" in text(found)


def test_a_split_of_one_class_is_told(messy):
    found = messy | {"splits": {"test": {"real": 9}}}
    assert any("The split test holds reals only" in finding["what"] for finding in findings(found))


def test_the_watermarked_faces_leak_by_file_size(real_faces):
    found = inspect(real_faces / "faces1024_watermarked")
    family = found["leak"]["families"][0]
    assert family["name"] == "file size" and family["auc"] > 0.99 and family["verdict"] == "severe"
    assert found["findings"][0]["what"].startswith("File size alone tells real from fake almost without fail")


def test_a_set_without_a_test_split_is_told_what_is_tested_on(tmp_path):
    def said(folder):
        return [finding["what"] for finding in inspect(folder)["findings"] if "no split for testing" in finding["what"]]

    draw(tmp_path / "two", 3, 3, splits=("train", "valid"))
    assert said(tmp_path / "two") == ["There is no split for testing: 'whyfake train' tests on valid and takes images of train for validation."]
    draw(tmp_path / "three", 3, 3, splits=("train", "valid"))
    draw(tmp_path / "three", 3, 3, splits=("test", "test"))
    assert not said(tmp_path / "three")
