"""Objects behind URLs (s3://, gs://, https://, …) through fsspec, which is imported when first needed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from xai.errors import DataError, ImageError, readable
from xai.places import Home, Place, Unreachable, hidden

Result = TypeVar("Result")

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
WEB = ("http", "https")  # cannot be listed
TRIES = 4
PAUSE = 0.5  # seconds before the second try, then twice as long each time
PATIENCE = 5.0  # seconds: what took longer was tried again by the package itself
TIRED = 8  # images in a row that could not be reached: the network is down
INSTALL = "pip install 'whyfake[remote]'"
FINAL = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ImportError, NotImplementedError)  # trying again changes nothing
failed = 0  # images in a row, in this process


@dataclass(frozen=True, slots=True)
class Bucket(Home):
    """A folder behind a URL; an image's `inner` is its key below it.

    Args:
        url: of the folder, without "/" at the end.
        query: what follows the keys of a web address, such as a signature; never shown.
    """

    url: str
    query: str = ""

    def __str__(self) -> str:
        return shown(self.url)

    @property
    def far(self) -> bool:
        """Whether it is read over a network; memory:// is not."""
        return not self.url.startswith("memory:")

    def content(self, place: Place) -> bytes:
        """Return an object's bytes."""
        return read(self.url, place.inner + self.query)


def is_url(source: str | Path) -> bool:
    """Whether a source is a URL.

    Example:
        >>> [is_url(text) for text in ("s3://bucket/faces", "faces", "C:\\\\faces", "file:///data/faces")]
        [True, False, False, False]
    """
    found = URL.match(str(source))
    return found is not None and found[1].lower() != "file"


def scheme(url: str) -> str:
    """Return the scheme of a URL in lower case."""
    return url.partition(":")[0].lower()


def shown(url: str) -> str:
    """Return a URL without what may be secret: user, password, query.

    Example:
        >>> shown("https://me:word@host/a.tar?signature=1"), shown("s3://bucket/faces/")
        ('https://host/a.tar', 's3://bucket/faces')
    """
    host, slash, rest = url.partition("://")[2].partition("/")
    if scheme(url) in WEB:
        rest = re.split(r"[?#]", rest, maxsplit=1)[0]
    return readable(f"{scheme(url)}://{host.rpartition('@')[2]}{slash}{rest}").rstrip("/")


def one(url: str) -> Place:
    """Return the place of the one object that a URL names.

    Example:
        >>> place = one("https://host/faces/a.png?signature=1")
        >>> str(place), place.suffix, place.home.query
        ('https://host/faces/a.png', '.png', '?signature=1')
    """
    query = f"?{urlsplit(url).query}" if scheme(url) in WEB and "?" in url else ""
    plain = url.removesuffix(query) if query else url
    above, _, name = plain.rpartition("/")
    return Place(Bucket(above, query), name)


def system(url: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL and its path there.

    Raises:
        DataError: an unknown scheme, or a package is not installed.
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise DataError(f"'{shown(url)}': reading URLs needs the package fsspec; {INSTALL}") from None
    try:
        return url_to_fs(url)
    except ImportError as error:
        raise DataError(f"'{shown(url)}': {' '.join(str(error).split())[:100]}; {INSTALL}") from None
    except ValueError as error:
        reason = " ".join(str(error).split())[:100]
        raise DataError(f"'{shown(url)}': {reason}; expected s3://, gs://, https:// or another that fsspec knows") from None


def tried(action: Callable[[], Result]) -> Result:
    """Do something over the network, again after a pause where it fails; never for ever.

    Raises:
        Exception: the last failure, or the first that trying again cannot mend.
    """
    started = time.monotonic()
    for attempt in range(1, TRIES + 1):
        try:
            return action()
        except FINAL:
            raise
        except Exception as error:  # every package raises its own
            if attempt == TRIES or barred(error) or time.monotonic() - started > PATIENCE:
                raise
            time.sleep(PAUSE * 2 ** (attempt - 1))
    raise AssertionError


def barred(error: Exception) -> bool:
    """Whether something may not be read as long as nobody says who is asking."""
    return isinstance(error, PermissionError) or "Credentials" in type(error).__name__ or getattr(error, "status", 0) in (401, 403)


def why(error: Exception, url: str) -> str:
    """Return in one line why something behind a URL could not be read, and what to do.

    Example:
        >>> why(OSError("no answer from https://me:word@host/a.tar?signature=1, sorry"), "https://host/a.tar?signature=1").split(";")[0]
        "'https://host/a.tar' cannot be reached (no answer from https://host/a.tar, sorry)"
    """
    reason = re.sub(r"\?[^\s'\",;)]*", "", re.sub(r"://[^/\s]*@", "://", " ".join(str(error).split())))  # packages repeat the whole URL
    reason = readable(reason)[:160] or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return f"'{shown(url)}' does not exist"
    if barred(error):
        return f"'{shown(url)}' may not be read ({reason}); give credentials as its own tools take them, or FSSPEC_S3_ANON=true for a public bucket"
    if isinstance(error, ImportError):
        return f"'{shown(url)}': {reason}; {INSTALL}"
    return f"'{shown(url)}' cannot be reached ({reason}); check the network and run the same command again"


def read(url: str, inner: str = "", start: int | None = None, size: int | None = None) -> bytes:
    """Return the bytes of an object, or `size` of them from `start` on.

    Args:
        url: of the object, or of a folder.
        inner: the object's key below that folder.
        start, size: the range; all of it by default.

    Raises:
        ImageError: it cannot be read, after a few tries.
        Unreachable: nor can the images before it.
    """
    global failed
    whole = f"{url}/{inner}" if inner else url
    try:
        files, root = system(url)
        path = f"{root.rstrip('/')}/{inner}" if inner else root
        end = None if start is None or size is None else start + size
        data = bytes(tried(lambda: files.cat_file(path, start=start, end=end)))
    except DataError as error:
        raise ImageError(str(error)) from None
    except FINAL as error:
        raise ImageError(why(error, whole)) from None
    except Exception as error:
        failed += not barred(error)
        if failed >= TIRED and not barred(error):
            raise Unreachable(f"{why(error, whole)}: {failed} images in a row could not be read, what is done is kept") from None
        raise ImageError(why(error, whole)) from None
    failed = 0
    if size is not None and len(data) > size:
        raise ImageError(f"'{shown(whole)}': the server sends whole files only, not parts; download it")
    return data


def opened(url: str) -> Any:
    """Return an object as a file that can be read and sought; what was read last is kept ahead.

    Raises:
        DataError: it cannot be opened.
    """
    files, path = system(url)
    try:
        return tried(lambda: files.open(path, "rb"))
    except Exception as error:
        raise DataError(why(error, url)) from None


def length(url: str) -> int:
    """Return an object's size in bytes.

    Raises:
        DataError: it does not exist or cannot be reached.
    """
    files, path = system(url)
    try:
        return int(tried(lambda: files.size(path)) or 0)
    except Exception as error:
        raise DataError(why(error, url)) from None


def listing(url: str) -> dict[str, int]:
    """Return the objects below a URL, at any depth, hidden ones left out.

    Returns:
        Key below the URL -> size in bytes, sorted by key.

    Raises:
        DataError: it cannot be listed, or nothing is there.
    """
    if scheme(url) in WEB:
        raise DataError(f"'{shown(url)}': a web address cannot be listed; give a .tar, .csv or .h5 file there, or download the folder")
    files, root = system(url)
    files.invalidate_cache()  # what was listed before may be gone
    try:
        found = tried(lambda: files.find(root, detail=True))
    except Exception as error:
        raise DataError(why(error, url)) from None
    above = root.rstrip("/") + "/"
    keys = {path[len(above) :]: int(about.get("size") or 0) for path, about in found.items() if path.startswith(above)}
    keys = {key: keys[key] for key in sorted(keys) if key and not key.endswith("/") and not hidden(key)}
    if not keys:
        raise DataError(f"'{shown(url)}' holds nothing; check the name of the folder")
    return keys
