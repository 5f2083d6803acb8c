"""A corpus of images that mean harm, or were harmed: made from nothing, the same every time."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin

SIDE = 48
FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "bmp": "BMP", "tif": "TIFF", "gif": "GIF", "ppm": "PPM", "jp2": "JPEG2000", "avif": "AVIF"}
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "I;16", "F")
FLIPS = 16  # damaged copies of each format


def picture(seed: int = 0, side: int = SIDE) -> Image.Image:
    """Return a smooth picture with some noise, RGB."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] * (255 / side)
    return Image.fromarray(np.clip(np.stack([x, y, 255 - x], -1) + rng.normal(0, 12, (side, side, 3)), 0, 255).astype(np.uint8))


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return an image as the bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, data: bytes, depth: int = 8, colour: int = 2, before: bytes = b"") -> bytes:
    """Return a PNG file of a size that may be a lie."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")


def contents() -> Iterator[tuple[str, bytes]]:
    """Yield names and contents of all files that are plain files."""
    whole = {ending: saved(picture(), kind) for ending, kind in FORMATS.items()}
    rng = np.random.default_rng(1)
    for ending, content in whole.items():
        yield f"whole.{ending}", content
        for percent in range(5, 100, 5):
            yield f"cut-{percent:02d}.{ending}", content[: len(content) * percent // 100]
        for number in range(FLIPS):
            damaged = bytearray(content)
            for at in rng.integers(0, len(damaged), 1 + number):
                damaged[at] ^= 1 << int(rng.integers(8))
            yield f"flip-{number:02d}.{ending}", bytes(damaged)
        head = bytearray(content)
        head[: min(32, len(head))] = rng.bytes(min(32, len(head)))
        yield f"head.{ending}", bytes(head)
        yield f"empty.{ending}", b""
        yield f"tail.{ending}", content + rng.bytes(500)
        other = list(whole)[(list(whole).index(ending) + 1) % len(whole)]
        yield f"called-{ending}.{other}", content
    yield from modes()
    yield from metadata()
    yield from frames()
    yield from sizes()
    yield from chunks()
    yield from others()


def modes() -> Iterator[tuple[str, bytes]]:
    """Yield every kind of pixel that Pillow knows, in every format that takes it."""
    for mode in MODES:
        base = picture(2)
        if mode == "I;16":
            image = Image.fromarray(np.asarray(base.convert("L")).astype(np.uint16) * 257)
        elif mode in ("LAB", "HSV", "PA"):
            image = base.convert("RGBA").quantize(16).convert("PA") if mode == "PA" else base.convert(mode) if mode == "HSV" else lab(base)
        else:
            image = base.convert(mode)
        for ending in ("png", "jpg", "webp", "tif"):
            try:
                yield f"mode-{mode.replace(';', '')}.{ending}", saved(image, FORMATS[ending])
            except (OSError, ValueError, KeyError):
                continue  # that format has no such pixels
    wide = np.arange(SIDE * SIDE, dtype=np.float32).reshape(SIDE, SIDE)
    for name, values in (("nan", wide * np.nan), ("huge", wide * 1e30), ("negative", -wide), ("infinite", wide + np.inf)):
        yield f"float-{name}.tif", saved(Image.fromarray(values.astype(np.float32)), "TIFF")


def lab(image: Image.Image) -> Image.Image:
    """Return an image in CIE L*a*b*."""
    from PIL import ImageCms

    change = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    return ImageCms.applyTransform(image, change) or image


def metadata() -> Iterator[tuple[str, bytes]]:
    """Yield what is said beside the pixels: turned, with broken profiles, with too much text."""
    for turn in (*range(10), 255, 65535):
        exif = Image.Exif()
        exif[0x0112] = turn
        for ending in ("jpg", "png", "webp"):
            yield f"turned-{turn}.{ending}", saved(picture(3), FORMATS[ending], exif=exif.tobytes())
    for name, profile in (("garbage", b"\xff" * 400), ("short", b"\0\0\0\x10acsp"), ("lying", struct.pack(">I", 2**31) + b"\0" * 200)):
        for ending in ("jpg", "png", "webp", "tif"):
            yield f"profile-{name}.{ending}", saved(picture(4), FORMATS[ending], icc_profile=profile)
        yield f"profile-cmyk-{name}.jpg", saved(picture(4).convert("CMYK"), "JPEG", icc_profile=profile)
    yield "exif-garbage.jpg", saved(picture(4), "JPEG", exif=b"Exif\0\0II*\0" + b"\xff" * 300)
    yield "comment.jpg", saved(picture(4), "JPEG", comment=b"<script>alert(1)</script>\x1b[31m" * 1000)
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "x" * 500_000, zip=True)
    yield "text.png", saved(picture(4), "PNG", pnginfo=text)


def frames() -> Iterator[tuple[str, bytes]]:
    """Yield files of several pictures."""
    more = [picture(seed) for seed in range(5, 9)]
    for ending in ("gif", "webp", "png", "tif"):
        yield f"frames.{ending}", saved(picture(5), FORMATS[ending], save_all=True, append_images=more)
    yield "many.gif", saved(picture(5), "GIF", save_all=True, append_images=[picture(seed) for seed in range(200)])


def sizes() -> Iterator[tuple[str, bytes]]:
    """Yield pictures, and lies, of odd sizes."""
    for width, height in ((1, 1), (1, 2), (7, 7), (8, 8), (9, 1000), (1000, 9), (3000, 8)):
        for ending in ("png", "jpg", "webp"):
            yield f"size-{width}x{height}.{ending}", saved(Image.new("RGB", (width, height), (9, 99, 199)), FORMATS[ending])
    yield "line.png", saved(Image.new("L", (65_535, 1)))
    yield "column.jpg", saved(Image.new("L", (1, 65_500)), "JPEG")
    yield "claims-50000.png", png(50_000, 50_000, b"\0" * 50_000)
    yield "claims-2147483647.png", png(2**31 - 1, 2**31 - 1, b"\0")
    yield "claims-0.png", png(0, 0, b"\0")
    yield "bomb-30000.png", png(30_000, 30_000, b"\0" * (30_000 * 3751), depth=1, colour=0)
    yield "claims.gif", b"GIF89a\xff\xff\xff\xff\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;"
    yield "claims.bmp", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 70, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0) + b"\0" * 16
    yield "upside-down.bmp", b"BM" + struct.pack("<IHHIIiiHHIIiiII", 70, 0, 0, 54, 40, 8, -2_147_483_648, 1, 24, 0, 0, 0, 0, 0, 0) + b"\0" * 999
    yield "claims.ppm", b"P6\n60000 60000\n255\n" + b"\0" * 99
    yield "text.ppm", b"P3\n" + b"9" * 5000 + b" 10\n255\n"


def chunks() -> Iterator[tuple[str, bytes]]:
    """Yield files whose parts are there and make no sense."""
    raw = b"".join(b"\0" + bytes(range(24)) for _ in range(8))
    yield "no-end.png", png(8, 8, raw)[:-12]
    yield "no-data.png", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)) + chunk(b"IEND", b"")
    yield "wrong-sum.png", png(8, 8, raw)[:-20] + b"\0\0\0\0" + png(8, 8, raw)[-16:]
    yield "unknown-critical.png", png(8, 8, raw, before=chunk(b"XXXX", b"?"))
    yield "palette-missing.png", png(8, 8, b"".join(b"\0" + bytes(8) for _ in range(8)), colour=3)
    yield "depth-3.png", png(8, 8, raw, depth=3)
    yield "filter-9.png", png(8, 8, b"".join(b"\x09" + bytes(24) for _ in range(8)))
    for kind in (b"zTXt", b"iTXt", b"iCCP"):
        packed = zlib.compress(b"\0" * 200_000_000, 9) if kind == b"iCCP" else zlib.compress(b"\0" * 50_000_000, 9)
        body = b"k\0\1\0\0\0" + packed if kind == b"iTXt" else b"k\0\0" + packed
        yield f"unpacks-{kind.decode()}.png", png(8, 8, raw, before=chunk(kind, body))
    jpeg = saved(picture(6), "JPEG", progressive=True)
    start = jpeg.rfind(b"\xff\xda")
    yield "scans.jpg", jpeg[:start] + jpeg[start:-2] * 300 + b"\xff\xd9"
    yield "no-tables.jpg", jpeg.replace(b"\xff\xc4", b"\xff\xfe")
    yield "markers.jpg", b"\xff\xd8" + b"\xff\xe1\xff\xff" * 2000
    yield "lengths.webp", b"RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\x7f" + b"\0" * 64
    for name, tags in tiffs().items():
        yield f"{name}.tif", tags


def tiffs() -> dict[str, bytes]:
    """Return TIFF files whose directories loop, lie and point outside."""

    def directory(*tags: tuple[int, int, int, int], then: int = 0, at: int = 8) -> bytes:
        body = b"".join(struct.pack("<HHII", *tag) for tag in tags)
        return b"II*\0" + struct.pack("<I", at) + struct.pack("<H", len(tags)) + body + struct.pack("<I", then)

    usual = [(256, 4, 1, 16), (257, 4, 1, 16), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1), (278, 4, 1, 16), (279, 4, 1, 256)]
    return {
        "loops": directory(*usual, (273, 4, 1, 8), then=8),
        "outside": directory(*usual, (273, 4, 1, 2**31)),
        "counts": directory(*usual, (273, 4, 2**30, 8)),
        "huge": directory((256, 4, 1, 2**31), (257, 4, 1, 2**31), *usual[2:], (273, 4, 1, 8)),
        "first": b"II*\0\xff\xff\xff\xff",
        "itself": b"MM\0*\0\0\0\0",
    }


def others() -> Iterator[tuple[str, bytes]]:
    """Yield what is no image at all."""
    texts = {
        "page": b"<!DOCTYPE html><html><script>alert(1)</script>", "drawing": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "entities": b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;">]><a>&c;</a>', "document": b"%PDF-1.7\n%\xff",
        "archive": b"PK\x03\x04" + b"\0" * 60, "hdf5": b"\x89HDF\r\n\x1a\n" + b"\xff" * 90, "program": b"\x7fELF" + b"\0" * 90,
        "pickle": b"cos\nsystem\n(S'echo harmed'\ntR.", "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        "zeros": b"\0" * 10_000, "ones": b"\xff" * 10_000, "newlines": b"\n" * 10_000, "video": b"\0\0\0\x18ftypmp42" + b"\0" * 90,
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n(x) (w) file\n", "icon": b"\0\0\1\0\1\0\0\0\0\0\1\0 \0\xff\xff\xff\x7f\x16\0\0\0",
    }  # fmt: skip
    for name, content in texts.items():
        yield f"{name}.png", content
        yield f"{name}.jpg", content


NAMES = (
    "new\nline.png", "tab\t.png", "quote\"'`.png", "<script>alert(1)<.png", "{{7*7}}.png", "%s%n.png", "=1+cmd|'calc'!A1.png", "+1.png", "@a.png",
    "-rf.png", "--out.png", "; rm.png", "$(id).png", "&amp;.png", "\x1b[31mred\x1b[0m.png", "\u202egnp.exe.png", "\u00e9.png", "e\u0301.png",
    "\u9762.png", "\U0001f600.png", "a" * 246 + ".png", " .png", "a .png", "CON.png", "a:b.png", "a\\b.png", "*.png", "[a-z].png", "\x7f.png",
    "\u2028.png", "\udcff\udcfe.png",
)  # fmt: skip


def make(folder: Path) -> list[Path]:
    """Write the corpus and return its paths; directories, links and a pipe with the endings of images among them."""
    folder.mkdir(parents=True)
    paths = []
    for name, content in contents():
        paths.append(folder / name)
        paths[-1].write_bytes(content)
    good = saved(picture(7))
    for name in NAMES:
        paths.append(folder / name)
        paths[-1].write_bytes(good)
    (folder / "folder.png").mkdir()
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "gone.jpg").symlink_to("nothing.jpg")
    (folder / "home.png").symlink_to(folder, target_is_directory=True)
    (folder / "zero.png").symlink_to("/dev/zero")
    os.mkfifo(folder / "pipe.png")
    return [*paths, *(folder / name for name in ("folder.png", "loop.png", "gone.jpg", "home.png", "zero.png", "pipe.png"))]
