"""What files say about themselves, against files written to say just that."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from train.filefacts import compression, facts, standard, survey
from xai.errors import ImageError


def noise(size=(24, 16), mode="RGB"):
    return Image.effect_noise(size, 60).convert(mode)


@pytest.mark.parametrize("quality", [1, 5, 30, 49, 50, 51, 75, 90, 95, 98, 99, 100])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_quality_of_standard_tables_is_exact(tmp_path, quality, mode):
    noise(mode=mode).save(tmp_path / "a.jpg", quality=quality)
    assert facts(tmp_path / "a.jpg").quality == quality


def test_quality_by_hand():
    # at 50 the tables are those of the standard, at 25 twice them: the first step is 16, then 32
    assert standard()[0, 49, 0] == 16
    assert standard()[0, 24, 0] == 32
    assert compression(()) == (None, None)
    rounded = tuple((standard()[0, 74] - 1).tolist())  # an encoder that rounds down
    assert compression((rounded, tuple(standard()[1, 74].tolist())))[0] == 75
    brightness, colour = standard()[0, 74], standard()[1, 29]  # 75 for brightness, 30 for colour
    assert compression((tuple(brightness.tolist()), tuple(colour.tolist())))[0] is None
    assert compression((tuple(range(1, 65)),)) == (None, 32.5)


@pytest.mark.parametrize(("given", "name"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_subsampling_and_progressive(tmp_path, given, name):
    noise().save(tmp_path / "a.jpg", subsampling=given, progressive=True)
    found = facts(tmp_path / "a.jpg")
    assert (found.subsampling, found.progressive, found.metadata_bytes) == (name, True, 0)
    assert (found.width, found.height, found.bits_per_pixel) == (24, 16, 8 * found.bytes / 384)


def test_metadata_of_a_jpeg(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = b"profile" * 10
    noise().save(tmp_path / "a.jpg", exif=exif, icc_profile=profile, comment=b"hello", xmp=b"<x/>")
    found = facts(tmp_path / "a.jpg")
    assert found.metadata == ("Exif", "ICC", "JFIF", "XMP", "comment")
    assert (found.exif, found.icc, found.comments, found.orientation) == (True, True, 1, 6)
    assert found.metadata_bytes > len(profile) + 5


def test_metadata_of_a_png_also_behind_the_pixels(tmp_path):
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "a face, 20 steps")
    noise().save(tmp_path / "a.png", pnginfo=text, dpi=(72, 72))
    whole, late = (tmp_path / "a.png").read_bytes(), b"tEXtlate\0behind"
    chunk = struct.pack(">I", len(late) - 4) + late + struct.pack(">I", zlib.crc32(late))
    (tmp_path / "a.png").write_bytes(whole[:-12] + chunk + whole[-12:])  # before the end mark of 12 bytes
    found = facts(tmp_path / "a.png")
    assert found.metadata == ("density", "text:late", "text:parameters")
    assert (found.comments, found.metadata_bytes) == (2, len("parameters\0a face, 20 steps") + len("late\0behind") + 9)
    assert (found.format, found.quality, found.step, found.subsampling) == ("PNG", None, None, "")


@pytest.mark.parametrize(
    ("kind", "suffix"), [("PNG", ".png"), ("JPEG", ".jfif"), ("WEBP", ".webp"), ("BMP", ".bmp"), ("TIFF", ".tif"), ("GIF", ".gif")]
)
def test_the_ending_may_disagree(tmp_path, kind, suffix):
    for name, fits in ((f"a{suffix}", True), (f"b{suffix.upper()}", True), ("c.jp2", False), ("d", False)):
        noise(mode="L").save(tmp_path / name, kind)
        found = facts(tmp_path / name)
        assert (found.format, found.suffix_fits) == (kind, fits)


def test_no_pixel_is_decoded(tmp_path):
    noise((640, 480)).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    assert facts(tmp_path / "cut.jpg").width == 640


def test_what_has_no_header_gets_the_readers_reason(tmp_path):
    (tmp_path / "page.png").write_text("<html>")
    (tmp_path / "empty.png").write_bytes(b"")
    noise().save(tmp_path / "good.png")
    with pytest.raises(ImageError, match="not an image: it is an HTML page"):
        facts(tmp_path / "page.png")
    found, reasons = survey([tmp_path / name for name in ("page.png", "good.png", "empty.png", "gone.png")])
    assert [f is None for f in found] == [True, False, True, True]
    assert reasons[2] == "the file is empty (0 bytes)"
    assert reasons[3].startswith("not a file")


def test_real_files(real_faces: Path):
    found, reasons = survey(sorted((real_faces / "faces256" / "real").iterdir())[:20])
    assert not reasons
    assert {(f.quality, f.subsampling, f.width, f.format) for f in found if f} == {(75, "4:2:0", 256, "JPEG")}


def test_damaged_headers_never_escape(tmp_path):
    file = io.BytesIO()
    noise().save(file, "JPEG", exif=Image.Exif(), comment=b"x")
    whole = bytearray(file.getvalue())
    rng = np.random.default_rng(0)
    for number in range(60):
        broken = bytearray(whole)
        for place in rng.integers(0, 200, 4):
            broken[place] = rng.integers(256)
        (tmp_path / f"{number}.jpg").write_bytes(broken)
    found, reasons = survey(sorted(tmp_path.iterdir()))
    assert len(found) == 60 and len(reasons) == sum(f is None for f in found)
