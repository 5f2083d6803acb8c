"""Coverage-guided fuzzing of what reads files from strangers; not a test, run by hand for a while.

pip install atheris
python -m tests.hostile.fuzz decode --seconds 600 --corpus DIR

Whatever is found here becomes a test beside it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

HOME = Path(tempfile.gettempdir()) / "whyfake-fuzz"


def decode(data: bytes) -> None:
    """Decode an image."""
    from xai.images import decode

    decode(data, pixels=1_000_000)


def upload(data: bytes) -> None:
    """Unpack a zip archive."""
    from reports.web.limits import Limits
    from reports.web.uploads import unpacked

    list(unpacked(b"PK\x03\x04" + data, Limits(file_bytes=100_000), 1_000_000))


def table(data: bytes) -> None:
    """Read a CSV file as a data set."""
    from train.datasets import scan

    path = HOME / "list.csv"
    path.write_bytes(data)
    scan(path, labelled=False, positive="fake")


def tar(data: bytes) -> None:
    """Read a tar archive as a data set."""
    from train.datasets import scan

    path = HOME / "data.tar"
    path.write_bytes(data)
    scan(path, labelled=False)


def labels(data: bytes) -> None:
    """Read a legend, and a label image by it; a zero byte parts the two."""
    import numpy as np

    from xai.regions.labels import open_labels

    legend, _, image = data.partition(b"\0")
    (HOME / "labels").mkdir(exist_ok=True)
    (HOME / "labels" / "legend.json").write_bytes(legend or b'{"0": "background", "1": "face"}')
    (HOME / "labels" / "a.png").write_bytes(image)
    open_labels(HOME / "labels").parts("a.png", np.zeros((16, 16, 3), np.uint8))


def card(data: bytes) -> None:
    """Read a model's card."""
    from xai.modelfile import read_card

    path = HOME / "detector.json"
    path.write_bytes(data)
    read_card(path, "")


def run(data: bytes) -> None:
    """Read a run directory's CSV file."""
    from reports.run import read_table

    (HOME / "images.csv").write_bytes(data)
    read_table(HOME, "images.csv", ("path",), needed=True)


def words(data: bytes) -> None:
    """Read methods and claims."""
    from xai.claims import parse
    from xai.errors import WhyfakeError
    from xai.maps import methods

    text = data.decode("utf-8", "replace")
    for read in (lambda: methods.parse(text), lambda: parse(text, ("skin", "left_eye", "right_eye", "nose"))):
        try:
            read()
        except WhyfakeError:
            continue


TARGETS: dict[str, Callable[[bytes], None]] = {one.__name__: one for one in (decode, upload, table, tar, labels, card, run, words)}


def guarded(target: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Return a target for which an error with a reason is an answer; whatever else it raises is a finding."""
    from xai.errors import WhyfakeError

    def once(data: bytes) -> None:
        try:
            target(data)
        except WhyfakeError as error:
            if not str(error) or "\n" in str(error):
                raise AssertionError(f"no single line: {error!r}") from error

    return once


def main() -> None:
    """Fuzz one of the targets."""
    import atheris

    HOME.mkdir(exist_ok=True)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--corpus", help="folder of inputs to begin with; what reaches new code is added")
    known = parser.parse_args()
    with atheris.instrument_imports(include=["xai", "train", "reports", "PIL"]):
        guarded(TARGETS[known.target])(b"")
    options = [f"-max_total_time={known.seconds}", "-timeout=10", "-rss_limit_mb=2000", "-max_len=65536", f"-artifact_prefix={HOME}/"]
    atheris.Setup([sys.argv[0], *options, *([known.corpus] if known.corpus else [])], guarded(TARGETS[known.target]))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
