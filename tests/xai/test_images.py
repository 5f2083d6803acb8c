"""Every kind of file a folder may hold: upright RGB or one clear reason."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from xai.errors import DataError, ImageError
from xai.images import find, grey, read

RAMP = np.tile(np.arange(64, dtype=np.uint8)[:, None, None] * 3, (1, 48, 3))  # dark on top


def saved(folder: Path, name: str, image: Image.Image, **options) -> Path:
    image.save(folder / name, **options)
    return folder / name


@pytest.mark.parametrize(
    ("mode", "ending"),
    [
        pair.split(".")
        for pair in "RGB.png RGB.bmp RGB.webp L.png 1.png P.png RGBA.png LA.png CMYK.tiff YCbCr.tiff LAB.tiff P.gif F.tiff I;16.png I.tiff".split()
    ],
)
def test_every_mode_becomes_upright_rgb(tmp_path, mode, ending):
    image = Image.fromarray(RAMP)
    if mode == "I;16":
        image = Image.fromarray(RAMP[..., 0].astype(np.uint16) * 257)
    elif mode in ("F", "I"):
        image = image.convert("L").convert(mode)
        if mode == "I":
            image = Image.fromarray(RAMP[..., 0].astype(np.int32) * 257)
    else:
        image = image.convert(mode)
    pixels = read(saved(tmp_path, f"a.{ending}", image))
    assert pixels.shape == (64, 48, 3) and pixels.dtype == np.uint8
    assert pixels[-8:].mean() > pixels[:8].mean() + 100


def test_16_bit_keeps_its_levels(tmp_path):
    image = Image.fromarray(np.full((16, 16), 40000, np.uint16))
    assert read(saved(tmp_path, "a.png", image))[0, 0].tolist() == [156, 156, 156]  # 40000 / 65535 * 255


def test_cmyk_jpeg_is_not_inverted(tmp_path):
    cmyk = Image.new("CMYK", (32, 32), (0, 255, 255, 0))  # full magenta and yellow: red
    red, green, blue = read(saved(tmp_path, "a.jpg", cmyk))[16, 16]
    assert red > 200 and green < 60 and blue < 60


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn 90 degrees clockwise to view
    pixels = read(saved(tmp_path, "a.jpg", Image.fromarray(RAMP), exif=exif))
    assert pixels.shape == (48, 64, 3)
    assert pixels[:, -8:].mean() < pixels[:, :8].mean() - 100  # the dark top is now on the right


def test_damaged_exif_does_not_cost_the_image(tmp_path):
    good = saved(tmp_path, "a.jpg", Image.fromarray(RAMP), exif=Image.Exif()).read_bytes()
    segment = b"\xff\xe1" + struct.pack(">H", 2 + 6 + 14) + b"Exif\0\0" + b"II*\0\x08\0\0\0\xff\xff\x12\x01\xee\xee"
    assert read(write(tmp_path, "b.jpg", good[:2] + segment + good[2:])).shape == (64, 48, 3)


def test_reading_leaves_the_warning_filters_alone(tmp_path):
    import warnings

    path = saved(tmp_path, "a.png", Image.fromarray(RAMP))
    before = list(warnings.filters)
    read(path)
    assert warnings.filters == before


def test_transparency_lies_on_white(tmp_path):
    clear = Image.new("RGBA", (16, 16), (200, 0, 0, 0))
    assert read(saved(tmp_path, "a.png", clear)).min() == 255


def test_content_counts_not_the_ending(tmp_path):
    assert read(saved(tmp_path, "a.jpg", Image.fromarray(RAMP), format="PNG")).shape == (64, 48, 3)


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that claims to be side x side."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(5000))) + chunk(b"IEND", b"")


def write(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"just words\n", "it is a text file"),
        (b"<!DOCTYPE html><html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid 1", "Git LFS pointer"),
        (b"PK\x03\x04" + bytes(50), "zip archive"),
        (bytes(100), "no known image format"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(40), "HEIC"),
        (bomb(50_000), "more than"),
        (bomb(2), "at least 8 x 8"),
    ],
)
def test_what_is_no_image_says_so(tmp_path, data, reason):
    with pytest.raises(ImageError, match=reason):
        read(write(tmp_path, "a.png", data))


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_truncated_files_are_reported_not_half_shown(tmp_path, format_, share):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    whole = saved(tmp_path, "whole", Image.fromarray(noise), format=format_).read_bytes()
    cut = write(tmp_path, "cut.png", whole[: int(len(whole) * share)])
    with pytest.raises(ImageError) as caught:
        read(cut)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 200


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 1), bit=st.integers(0, 7), format_=st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF", "GIF"]))
def test_a_flipped_bit_never_crashes(tmp_path_factory, place, bit, format_):
    folder = tmp_path_factory.getbasetemp()
    data = bytearray(saved(folder, "flip", Image.fromarray(RAMP), format=format_).read_bytes())
    data[min(int(place * len(data)), len(data) - 1)] ^= 1 << bit
    try:
        pixels = read(write(folder, "flipped.png", bytes(data)))
        assert pixels.ndim == 3 and pixels.dtype == np.uint8
    except ImageError as error:
        assert str(error)


def test_not_a_file(tmp_path):
    with pytest.raises(ImageError, match="not a file"):
        read(tmp_path)
    os.symlink(tmp_path / "gone", tmp_path / "link.png")
    with pytest.raises(ImageError, match="broken link"):
        read(tmp_path / "link.png")


def test_grey_refuses_nan():
    with pytest.raises(ImageError, match="NaN"):
        grey(np.array([[np.nan]]))


def test_find_lists_images_only_sorted_and_once(tmp_path):
    for name in ("b.png", "a.jpg", "notes.txt", ".hidden.png", "sub/c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    os.symlink(tmp_path, tmp_path / "loop")
    found = find([tmp_path, tmp_path / "a.jpg"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a.jpg", "b.png", "sub/c.webp"]


def test_find_errors(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        find([tmp_path / "gone"])
    with pytest.raises(DataError, match="no images in"):
        find([tmp_path])
