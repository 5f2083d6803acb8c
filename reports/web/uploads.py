"""What a request brings: images by themselves or in a zip archive, held in memory, under names that are only shown."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from flask import Request

from reports.web.limits import Limits
from reports.web.refusal import Refusal
from xai.errors import readable

LONGEST = 120  # characters of a name that are shown
FIELD = "image"
RAW = ("image/", "application/octet-stream", "application/zip")
ZIP = b"PK\x03\x04"
DIRECTORY = 1 << 20  # bytes of an archive's table of contents
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others expand by more than a thousand


class Memory(Request):
    """A request whose files stay in memory: Werkzeug would put large ones on the disk."""

    def _get_file_stream(
        self, total_content_length: int | None, content_type: str | None, filename: str | None = None, content_length: int | None = None
    ) -> IO[bytes]:
        return io.BytesIO()


@dataclass(frozen=True, slots=True)
class Upload:
    """An image as it was sent.

    Args:
        name: to be shown, never used as a path.
        content: of the file; empty for one that was refused already.
        reason: why it was refused, "" for one that was not.
    """

    name: str
    content: bytes
    reason: str = ""


def received(request: Any, limits: Limits) -> list[Upload]:
    """Return the images of a request: fields called "image", or its body.

    Raises:
        Refusal: there are none or too many.
    """
    kind = (request.mimetype or "").lower()
    if kind == "multipart/form-data":
        files = [(file.filename or "", file.stream.read()) for file in request.files.getlist(FIELD)]
    elif kind.startswith(RAW):
        files = [("", request.get_data(cache=False))]
    else:
        raise Refusal(415, "send images as multipart/form-data in fields called 'image', or one image as the body with its content type")
    found: list[Upload] = []
    left = limits.request_bytes  # of all archives together: many small ones could hold very much
    for name, content in files:
        if content.startswith(ZIP):
            members = list(unpacked(content, limits, left))
            left -= sum(len(member.content) for member in members)
            found += members
        else:
            found.append(Upload(shown(name), content))
        if len(found) > limits.images:
            raise Refusal(413, f"more than {limits.images} images; send them in several requests")
    if not found:
        raise Refusal(400, "no image was sent; expected one or more in fields called 'image'")
    return found


def shown(name: str) -> str:
    """Return a name fit to be shown: the last part of a path, on one line, not too long.

    Example:
        >>> shown("../../etc/a\\nb.png"), shown("C:\\\\faces\\\\a.png"), shown("")
        ('a\\\\nb.png', 'a.png', 'image')
    """
    return readable(name.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1])[:LONGEST] or "image"


def unpacked(content: bytes, limits: Limits, left: int) -> Iterator[Upload]:
    """Yield the images of a zip archive, so many bytes of them at most; folders and hidden files are passed over.

    Raises:
        Refusal: it is damaged, or holds more than is taken.
    """
    try:
        if directory(content) > DIRECTORY:
            raise Refusal(413, f"the archive lists too much; at most {limits.images} images are taken at once")
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir() and not hidden(entry.filename)]
            if len(entries) > limits.images:
                raise Refusal(413, f"the archive holds {len(entries):,} files; at most {limits.images} images are taken at once")
            for entry in entries:
                upload = one(archive, entry, min(limits.file_bytes, left))
                left -= len(upload.content)
                yield upload
    except Refusal:
        raise
    except Exception as error:  # zipfile raises whatever the broken part makes it raise
        raise Refusal(422, f"the archive cannot be read ({readable(' '.join(str(error).split()))[:80]}); pack it again") from None


def directory(content: bytes) -> int:
    """Return how many bytes an archive says its table of contents takes; reading a large one would take seconds.

    Example:
        >>> file = io.BytesIO()
        >>> with zipfile.ZipFile(file, "w") as archive:
        ...     archive.writestr("a.png", b"abc")
        >>> directory(file.getvalue()), directory(b"PK")
        (51, 0)
    """
    end = content.rfind(b"PK\x05\x06", max(0, len(content) - 65_557))
    if end < 0 or len(content) < end + 16:
        return 0
    if content[max(0, end - 20) : end].startswith(b"PK\x06\x07"):  # the far larger table of ZIP64, where nobody needs one
        return DIRECTORY + 1
    return int.from_bytes(content[end + 12 : end + 16], "little")


def hidden(name: str) -> bool:
    """Say whether a file of an archive is not meant to be seen, such as those that macOS adds.

    Example:
        >>> hidden("__MACOSX/._a.png"), hidden("faces/.DS_Store"), hidden("../a.png")
        (True, True, False)
    """
    parts = name.split("/")
    return parts[0] == "__MACOSX" or any(part.startswith(".") and part not in (".", "..") for part in parts)


def one(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> Upload:
    """Return one file of an archive, never more than so many bytes of it, whatever size it claims."""
    name = shown(entry.filename)
    if entry.flag_bits & 1 or entry.compress_type not in METHODS:
        return Upload(name, b"", "it is encrypted or packed in an unusual way; pack it again")
    try:
        with archive.open(entry) as file:
            content = file.read(most + 1)
    except Exception as error:  # zipfile raises whatever the broken part makes it raise
        return Upload(name, b"", f"it is damaged in the archive ({readable(' '.join(str(error).split()))[:80]}); pack it again")
    if len(content) > most:
        return Upload(name, b"", f"larger than {most / 1e6:,.0f} MB")
    return Upload(name, content)
