"""Images in tar archives: the same pixels as files have, or one clear reason."""

import gzip
import os
import pickle
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.archives import encoded, packed, pixels, tarred
from xai.errors import DataError, ImageError
from xai.images import find, read
from xai.modelfile import sha256
from xai.places import Place, harmless, readers, weight
from xai.tarfiles import Tar, scanned

NAMES = ("real/1.png", "real/2.jpg", "fake/3.webp")
KINDS = ("PNG", "JPEG", "WEBP")


@pytest.fixture
def shard(tmp_path):
    """A small archive; the same images lie beside it as files."""
    members = [(name, encoded(number, kind)) for number, (name, kind) in enumerate(zip(NAMES, KINDS, strict=True))]
    for name, content in members:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return packed(tmp_path / "faces.tar", members)


def test_a_member_is_what_its_file_is(shard):
    places = find([shard])
    assert [str(place) for place in places] == [f"{shard}/{name}" for name in sorted(NAMES)]
    for place in places:
        file = shard.parent / place.inner
        assert place.read_bytes() == place.content() == file.read_bytes()
        assert np.array_equal(read(place), read(file)) and sha256(place) == sha256(file)
        assert (place.name, place.stem, place.suffix, weight(place)) == (file.name, file.stem, file.suffix, weight(file))


def test_places_are_small_and_travel(shard):
    places = find([shard])
    again = pickle.loads(pickle.dumps(places))
    assert again == places and len({*again, *places}) == 3 and again[0].home is again[1].home
    assert not hasattr(places[0], "__dict__") and np.array_equal(read(again[0]), read(places[0]))
    assert readers(places) == 4  # no network


def test_many_threads_read_at_once(tmp_path):
    shard = packed(tmp_path / "a.tar", [(f"{n:03}.png", encoded(n)) for n in range(60)])
    with ThreadPoolExecutor(8) as pool:
        for number, image in enumerate(pool.map(read, find([shard]))):
            assert np.array_equal(image, pixels(number))


def test_an_archive_that_changes_is_noticed(shard):
    place = find([shard])[0]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:700])
    with pytest.raises(ImageError, match=r"faces.tar' was changed or cut short since it was listed"):
        read(place)
    shard.unlink()
    with pytest.raises(ImageError, match=r"faces.tar' is gone; put it back"):
        sha256(place)
    shard.mkdir()
    with pytest.raises(ImageError, match=r"faces.tar' cannot be read: Is a directory"):
        read(place)


def test_wherever_an_archive_is_cut_what_is_left_is_told(shard):
    whole = shard.read_bytes()
    full = list(scanned(str(shard)).images)
    ends = [place.start + place.size for place in scanned(str(shard)).images.values()]
    for length in range(512, len(whole), 64):
        shard.write_bytes(whole[:length])
        found = scanned(str(shard))
        assert list(found.images) == full[: len(found.images)]
        assert found.cut or length > ends[-1] + 512  # the end mark is two blocks, and padding
        for place, end in zip(found.images.values(), ends, strict=False):
            if end <= length:
                assert read(place).shape == (12, 12, 3)
            else:
                with pytest.raises(ImageError, match=r"faces.tar' is cut short \(truncated\) within this image"):
                    read(place)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_archive_never_crashes(tmp_path_factory, data):
    file = tmp_path_factory.getbasetemp() / "damaged.tar"
    whole = bytearray(tarred([(name, encoded(n)) for n, name in enumerate(NAMES)]))
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=5)):
        whole[place] = data.draw(st.integers(0, 255))
    file.write_bytes(whole)
    try:
        found = scanned(str(file), lambda name, content: content)
    except DataError as error:
        assert "\n" not in str(error) and str(file) in str(error)
        return
    for place in found.images.values():
        try:
            read(place)
        except ImageError as error:
            assert "\n" not in str(error)


def test_a_header_damaged_in_the_middle_is_no_end(shard):
    whole = bytearray(shard.read_bytes())
    whole[scanned(str(shard)).images["real/2.jpg"].start - 512] ^= 1
    shard.write_bytes(whole)
    with pytest.raises(DataError, match=r"faces.tar' is damaged or no tar archive \(no member begins at byte [\d,]+, behind 1 that do\)"):
        find([shard])


def test_a_size_below_zero_does_not_lead_in_circles(tmp_path):
    info = tarfile.TarInfo("a.png")
    info.size = -1024
    block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    first = tarfile.TarInfo("0.png")
    (tmp_path / "a.tar").write_bytes(first.tobuf() + bytes(block) + bytes(1024))
    with pytest.raises(DataError, match="a size that cannot be"):
        scanned(str(tmp_path / "a.tar"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.tar", b"", r"a.tar' is empty \(0 bytes\)"),
        ("a.tar", bytes(10240), r"no images in '.*a.tar'"),
        ("a.tar", b"just words" * 100, r"a.tar' is damaged or no tar archive"),
        ("a.tar", gzip.compress(tarred([]), mtime=0), r"a.tar' is compressed with gzip: its images cannot be read one by one; uncompress it"),
        ("a.tar.gz", b"", r"a.tar.gz' is compressed: "),
        ("a.tgz", b"", r"a.tgz' is compressed: "),
        ("a.h5", b"", r"a.h5' is damaged or no HDF5 file"),
        ("a.hdf5", b"just words", r"a.hdf5' is damaged or no HDF5 file"),
    ],
)
def test_what_is_no_archive_says_so(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        find([tmp_path / name])
    assert "\n" not in str(caught.value)


def test_the_last_of_a_name_counts_as_in_unpacking(tmp_path):
    shard = packed(tmp_path / "a.tar", [("1.png", encoded(1)), ("2.png", encoded(2)), ("./1.png", encoded(3))])
    found = scanned(str(shard))
    assert found.repeated == 1 and sorted(found.images) == ["1.png", "2.png"]
    assert np.array_equal(read(found.images["1.png"]), pixels(3))


def test_only_regular_members_are_images(tmp_path):
    def special(name, kind):
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "1.png"
        return info, b""

    kinds = (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.GNUTYPE_SPARSE, tarfile.DIRTYPE)
    shard = packed(tmp_path / "a.tar", [("1.png", encoded(1)), *(special(f"x{kind.decode()}.png", kind) for kind in kinds)])
    found = scanned(str(shard))
    assert list(found.images) == ["1.png"] and found.special == 5  # the folder is none


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_odd_names(tmp_path, form):
    names = [
        "a" * 95 + ".png",
        "b/" * 60 + "c.png",
        "d" * 240 + ".png",
        "gesicht_ä.png",
        "odd_\udcff.png",
        "../up.png",
        "/etc/x.png",
        "a/../../y.png",
    ]
    shard = packed(tmp_path / "a.tar", [(name, encoded(n)) for n, name in enumerate(names)], form)
    found = scanned(str(shard)).images
    assert list(found) == [*names[:5], "_../up.png", "etc/x.png", "a/_../_../y.png"]
    assert all(np.array_equal(read(place), pixels(n)) for n, place in enumerate(found.values()))
    folder = (tmp_path / "masks").as_posix()
    assert all(os.path.normpath(f"{folder}/{name}").startswith(folder) for name in found)


def test_a_name_with_a_zero_byte_is_refused(tmp_path):
    info = tarfile.TarInfo("a.png")
    info.pax_headers = {"path": "a\0b.png"}
    with pytest.raises(DataError, match=r"has a member whose name holds a zero byte: 'a\\x00b.png'; pack it again"):
        find([packed(tmp_path / "a.tar", [(info, encoded(1))], tarfile.PAX_FORMAT)])


def test_hidden_members_and_masks_are_passed_over(tmp_path):
    names = ["real/1.png", "real/._1.png", ".cache/1.png", "__MACOSX/1.png", "real/2.mask.png", "real/2.left.png", "real/2.txt", "real/3.PNG"]
    assert list(scanned(str(packed(tmp_path / "a.tar", [(name, encoded(1)) for name in names]))).images) == [
        "real/1.png",
        "real/2.left.png",
        "real/3.PNG",
    ]


@given(st.text(alphabet="./a\0_", max_size=12), st.text(alphabet="./a", max_size=6))
def test_a_harmless_name_stays_where_it_is_joined(name, other):
    shown = harmless(name)
    assert harmless(shown) == shown and "\0" not in shown
    assert Path(os.path.normpath(Path("/data") / shown)).is_relative_to("/data")


def test_folders_of_shards_patterns_and_what_is_missing(tmp_path):
    for name in ("s/train/00.tar", "s/train/01.tar", "s/test/00.tar", "s/.old/00.tar"):
        packed(tmp_path / name, [("1.png", encoded(1)), ("1.cls", b"0")])
    assert [str(place) for place in find([tmp_path / "s"])] == [
        f"{tmp_path}/s/{name}/1.png" for name in ("test/00.tar", "train/00.tar", "train/01.tar")
    ]
    assert len(find([f"{tmp_path}/s/{{train,test}}/{{00..00}}.tar", tmp_path / "s" / "train" / "01.tar"])) == 3
    with pytest.raises(DataError, match=r"train/02.tar' \(of '.*train/\{00..02\}.tar'\) does not exist"):
        find([f"{tmp_path}/s/train/{{00..02}}.tar"])
    with pytest.raises(DataError, match="names more than 100,000 archives"):
        find(["a-{0..999}-{0..999}.tar"])
    with pytest.raises(DataError, match=r"gone.tar' does not exist"):
        find([tmp_path / "gone.tar"])
    (tmp_path / "s" / "a.png").write_bytes(encoded(1))  # now a folder of images, as ever
    assert find([tmp_path / "s"]) == [tmp_path / "s" / "a.png"]
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "a.tar.gz").touch()
    with pytest.raises(DataError, match=r"a.tar.gz' is compressed"):
        find([tmp_path / "z"])


def test_a_member_of_gigabytes_is_not_read(tmp_path):
    with pytest.raises(ImageError, match=r"3.0 GB, more than 1; no image is so large"):
        Place(Tar("a.tar", 2**40), "a.png", 512, 3 * 2**30).content()
    empty = packed(tmp_path / "a.tar", [("a.png", b"")])
    with pytest.raises(ImageError, match=r"the file is empty \(0 bytes\)"):
        read(find([empty])[0])
    with pytest.raises(ImageError, match="it is a text file"):
        read(find([packed(tmp_path / "b.tar", [("a.png", b"just words")])])[0])
