"""The page of feature pictures: everything in `features.json` is on it, the same files give the same bytes."""

import json
import re

import pytest
from PIL import Image

import reports
from reports import words
from reports.features import crop, facts, layer_lead
from tests.reports.test_html import HOSTILE, Tags
from xai import store
from xai.errors import RunError


def plainly(text):
    return text.replace(words.SPACE, " ")


def entry(rank, box, label="real", image="images/0.png", **more):
    return {
        "rank": rank, "picture": "crops/conv__3__0.png", "image": image, "path": f"real/{rank}.png", "label": label, "score": 0.25,
        "logit": -1.1, "activation": 12.5 - rank, "cell": [1, 2], "centre": [3.0, 5.0], "box": box,
    } | more  # fmt: skip


def record(data=True):
    """What `write_features` leaves of one layer: a channel with a picture, a dead and a stuck one."""
    known = {"data_maximum": 12.5, "active_share": 0.75, "spread": 1.0} if data else dict.fromkeys(("data_maximum", "active_share", "spread"))
    off = {"data_maximum": 0.0, "active_share": 0.0} if data else {}
    crops = [entry(0, [2, 4, 4, 6]), entry(1, [0, 0, 8, 8], "fake", "images/7.png")] if data else []
    channels = [
        {"channel": 3, "state": "made", "picture": "pictures/conv__3.png", "reached": 25.0, "crops": crops} | known,
        {"channel": 5, "state": "dead", "picture": None, "reached": None, "crops": []} | known | off,
        {"channel": 6, "state": "stuck", "picture": None, "reached": None, "crops": []} | known,
    ]  # fmt: skip
    layer = {
        "name": "body/conv", "type": "Conv2D", "shape": [4, 4, 16], "stride": [2.0, 2.0], "receptive_field": [2.0, 2.0], "negative": False,
        "dead": 1, "silent": 2 if data else None, "channels": channels,
    }  # fmt: skip
    return {
        "whyfake": "0", "command": ["whyfake", "features", "a b"], "model": {"name": "lenet", "input": [8, 8, 3]}, "preprocessing": {},
        "data": {"name": "faces", "images": 40, "skipped": 1} if data else None, "versions": {"keras": "3.15.0"},
        "options": {"layers": "auto", "channels": "3", "steps": 96, "top": 9, "limit": None, "seed": 11}, "layers": [layer],
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    store.write_json(tmp_path / "features.json", record())
    for name in ("crops/conv__3__0.png", "images/0.png", "images/7.png", "pictures/conv__3.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (2, 2), "red").save(tmp_path / name)
    return tmp_path


def change(folder, edit):
    found = json.loads((folder / "features.json").read_text())
    edit(found)
    store.write_json(folder / "features.json", found)


def test_everything_in_the_file_is_on_the_page(folder):
    page = reports.render(folder)
    text = plainly(page.read_text(encoding="utf-8"))
    for part in (
        "What the channels of lenet look for", "3 channels in 1 layer", "body/conv", "A cell sees 2 × 2 of 8 × 8 pixels", "Dead: 1 of the 3 shown",
        "Above 0 in no image: 2 of all 16", "the 3 whose maximum varies most between images", "Channel 3",
        "reached 25, 2 × the data’s maximum of 12.5", "above 0 in 75 % of the images", "above 0 in no image", "No gradient, or it stays at 0",
        "from grey no way up was found", "No image excites it", "12.5", "11.5", "0.25", "real/0.png", "pixels 4 to 6 across, 2 to 4 down",
        "not what it responds to in the data", "1 file could not be used", "whyfake features &#39;a b&#39;", "3.15.0",
    ):  # fmt: skip
        assert part in text, part
    first = page.read_bytes()
    assert reports.render(folder).read_bytes() == first


def test_nothing_is_loaded_and_frames_lie_where_the_crops_are(folder):
    text = reports.render(folder).read_text(encoding="utf-8")
    found = Tags(text)
    for tag, attributes in found.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base"}
        assert all(attributes[name].startswith(("data:", "#")) for name in {"src", "href"} & set(attributes))
    assert all(target.startswith("data:image/png;base64,") for target in re.findall(r"url\(([^)]*)\)", text))
    assert text.count("background-image: url(") == 2
    assert [a["style"] for tag, a in found.tags if tag == "i"] == ["left: 50%; top: 25%; width: 25%; height: 25%", "left: 62.5%; top: 37.5%"]
    assert [a["class"] for tag, a in found.tags if a.get("class", "").startswith("where")] == ["where on-0"]


def test_a_ring_lies_on_a_crop_that_is_higher_than_wide(folder):
    found = record() | {"model": {"input": [8, 4, 3]}}
    shown = crop(folder, found, entry(0, [0, 0, 8, 4], centre=[4.0, 1.0]), ["images/0.png"])
    assert shown["frame"] is None and shown["peak"] == ["37.5%", "50%"]  # 2 of 8 columns are empty on each side, then 1


def test_without_images_only_the_made_pictures(folder):
    store.write_json(folder / "features.json", record(data=False))
    text = reports.render(folder).read_text(encoding="utf-8")
    assert "No images were given" in text and 'class="features alone"' in text and "each with a picture made to excite it" in text
    for part in ("No image excites it", "Right: the places", "Silent", '<ol class="crops"', "varies most"):
        assert part not in text, part
    assert "Shown: the first 3." in text


def test_named_channels_and_layers_with_negative_values_say_so():
    found = record()
    found["options"]["channels"] = "3,5,6"
    found["layers"][0] |= {"negative": True, "silent": None}
    text = layer_lead(found, found["layers"][0])
    assert "below 0, so 0 does not mean off" in text and "Shown" not in text and "Above 0" not in text
    assert facts({"reached": -0.5, "data_maximum": -1.0, "active_share": None}) == ["reached −0.5"]


def test_hostile_texts_are_text(folder):
    def edit(found):
        found["model"]["name"] = found["layers"][0]["name"] = found["data"]["name"] = HOSTILE
        found["layers"][0]["channels"][0]["crops"][0] |= {"path": HOSTILE, "label": HOSTILE}

    change(folder, edit)
    found = Tags(reports.render(folder).read_text(encoding="utf-8"))
    assert not any("onerror" in attributes for _, attributes in found.tags)
    assert HOSTILE in found.text and not any(HOSTILE in attributes.get("class", "") for _, attributes in found.tags)


def test_missing_and_damaged_files_are_named(folder):
    page = reports.render(folder).read_bytes()
    (folder / "images" / "7.png").write_bytes(b"no picture")
    with pytest.raises(RunError, match=r"picture '.*7\.png' is missing or damaged; run the same 'whyfake features' command again"):
        reports.render(folder)
    change(folder, lambda found: found["layers"][0].pop("channels"))
    with pytest.raises(RunError, match="has an entry that lacks 'channels'"):
        reports.render(folder)
    change(folder, lambda found: found.pop("layers"))
    with pytest.raises(RunError, match="lacks 'layers'"):
        reports.render(folder)
    (folder / "features.json").write_text("{")
    with pytest.raises(RunError, match="cannot be read"):
        reports.render(folder)
    assert (folder / "index.html").read_bytes() == page
