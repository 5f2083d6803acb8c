"""Images in HDF5 files: the pixels that were stored, or one clear reason."""

import hashlib
import io
import pickle
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.archives import encoded, pixels
from xai import hdf5files
from xai.errors import DataError, ImageError
from xai.images import find, read
from xai.modelfile import sha256
from xai.places import weight

KINDS = ("PNG", "JPEG", "WEBP")


def written(file, content):
    file.write_bytes(content)
    return file


def stored(file, **sets):
    """Write data sets into an HDF5 file."""
    with h5py.File(file, "w") as target:
        for name, values in sets.items():
            target[name.replace("__", "/")] = values
    return file


STACK = np.stack([pixels(n) for n in range(5)])  # (5, 12, 12, 3)


@pytest.mark.parametrize(
    ("values", "close"),
    [
        (STACK, 0),
        (np.moveaxis(STACK, -1, 1), 0),
        (STACK / np.float32(255), 0),
        ((STACK / 255).astype(np.float16), 0.2),
        (STACK.astype(np.float64), 0),
        (STACK.astype(np.uint16) * 257, 0),
    ],
)
def test_stacks_of_pixels(tmp_path, values, close):
    places = find([stored(tmp_path / "a.h5", images=values)])
    assert [str(place) for place in places[:2]] == [f"{tmp_path}/a.h5::images/0", f"{tmp_path}/a.h5::images/1"]
    for number, place in enumerate(pickle.loads(pickle.dumps(places))):
        image = read(place)
        assert image.dtype == np.uint8 and np.abs(image.astype(int) - STACK[number]).max() <= close
        assert place.read_bytes() == values[number].tobytes() and weight(place) == values[number].nbytes


@pytest.mark.parametrize("values", [STACK[..., 0], STACK[..., :1], np.moveaxis(STACK[..., :1], -1, 1)])
def test_stacks_of_greys(tmp_path, values):
    image = read(find([stored(tmp_path / "a.h5", x=values)])[3])
    assert all(np.array_equal(image[..., channel], STACK[3, ..., 0]) for channel in range(3))


def test_the_digest_of_pixels_by_hand(tmp_path):
    place = find([stored(tmp_path / "a.h5", x=STACK)])[2]
    assert sha256(place) == hashlib.sha256(b"|u1 (12, 12, 3)\n" + STACK[2].tobytes()).hexdigest()
    other = find([stored(tmp_path / "b.h5", y=STACK.astype(np.float32))])[2]
    assert sha256(other) != sha256(place)  # other numbers are stored, if the picture is the same


def test_encoded_images_in_hdf5(tmp_path):
    files = [encoded(n, kind) for n, kind in enumerate(KINDS)]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        lists = file.create_dataset("lists", (3,), h5py.vlen_dtype(np.uint8))
        opaque = file.create_dataset("opaque", (3,), f"V{max(map(len, files))}")
        for number, content in enumerate(files):
            lists[number] = np.frombuffer(content, np.uint8)
            opaque[number] = np.void(content.ljust(opaque.dtype.itemsize, b"\0"))
        file["strings"] = np.array(files, object).astype("S")
        file["name"] = ["x/1.png", "x/2.jpg", "x/3.webp"]
        file["note"] = ["BMW/1.png", "b", "c"]  # begins as a bitmap does, and is none
    for name in ("lists", "strings", "opaque"):
        for number, place in enumerate(find([f"{tmp_path}/a.h5::{name}"])):
            assert place.inner == f"x/{number + 1}{('.png', '.jpg', '.webp')[number]}"
            assert np.array_equal(read(place), read(written(tmp_path / "x", files[number])))
            if name == "lists" or number < 2:
                assert place.read_bytes() == files[number] and sha256(place) == sha256(tmp_path / "x")


def test_values_out_of_range(tmp_path):
    values = STACK / 255
    values[1, 0, 0, 0], values[2, 0, 0, 0] = np.nan, np.inf
    places = find([stored(tmp_path / "a.h5", x=values)])
    for number in (1, 2):
        with pytest.raises(ImageError, match="its pixels hold NaN or infinite values"):
            read(places[number])
    assert np.array_equal(read(places[3]), STACK[3])
    many = np.zeros((40, 12, 12, 3), np.float32)
    many[1] = 9
    with pytest.raises(ImageError, match=r"its pixels go from 9 to 9; the data set's others lie in \[0, 1\]"):
        read(find([stored(tmp_path / "b.h5", x=many)])[1])
    with pytest.raises(DataError, match=r"c.h5::x' usually holds values from -1 to 1; expected floats in \[0, 1\] or \[0, 255\], or uint8"):
        find([stored(tmp_path / "c.h5", x=STACK / 127.5 - 1)])


def test_which_data_set_is_meant(tmp_path):
    labels = np.arange(5) % 2
    alone = stored(tmp_path / "a.h5", x=STACK, y=labels, masks=STACK[..., 0], matrix=np.zeros((9, 9)))
    assert find([alone])[0].home.data == "x"
    two = stored(tmp_path / "b.h5", train__x=STACK, test__x=STACK[:2])
    with pytest.raises(DataError, match=r"has 2 data sets of images; give one of: .*b.h5::test/x, .*b.h5::train/x"):
        find([two])
    assert len(find([f"{two}::test/x"])) == len(find([f"{two}::/test/x"])) == 2
    with pytest.raises(DataError, match=r"has no data set 'nothing'; found: test/x \(2, 12, 12, 3\) uint8, train/x"):
        find([f"{two}::nothing"])
    with pytest.raises(DataError, match=r"a.h5::y' has shape \(5,\) of int64; expected a data set of pixels"):
        find([f"{alone}::y"])
    with pytest.raises(DataError, match=r"holds no images: expected a data set of pixels .*; found: y \(5,\) int64"):
        find([stored(tmp_path / "c.h5", y=labels)])
    with pytest.raises(DataError, match=r"gone.h5' does not exist; give an HDF5 file"):
        find([tmp_path / "gone.h5"])


def test_claims_without_content_are_no_images(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (10**9, 1000, 1000, 3), np.uint8, chunks=(1, 1000, 1000, 3))  # nothing is written
    with pytest.raises(DataError, match="holds no images"):
        find([tmp_path / "a.h5"])


def test_a_model_is_no_data_set(tmp_path, tiny):
    tiny.model.save(tmp_path / "m.h5")
    with pytest.raises(DataError, match=r"m.h5' is a Keras model, no data set; give a folder"):
        find([tmp_path / "m.h5"])


def test_a_truncated_file_and_one_that_changes(tmp_path):
    file = stored(tmp_path / "a.h5", x=STACK)
    place = find([file])[0]
    assert np.array_equal(read(place), STACK[0])
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a.h5' is damaged or no HDF5 file \(.*truncated file"):
        find([file])
    with pytest.raises(ImageError, match=r"a.h5::x', row 0, cannot be read \(.*truncated"):
        read(place)
    stored(file, x=STACK[::-1])
    assert np.array_equal(read(place), STACK[4])  # read anew, not from what was open
    file.unlink()
    with pytest.raises(ImageError, match=r"a.h5::x' is gone"):
        read(place)


def test_few_files_are_held_open(tmp_path):
    places = [find([stored(tmp_path / f"{n}.h5", x=STACK)])[n % 5] for n in range(9)]
    with ThreadPoolExecutor(8) as pool:
        for number, image in enumerate(pool.map(read, places * 3)):
            assert np.array_equal(image, STACK[number % 9 % 5])
    assert len(hdf5files.held) <= hdf5files.KEPT


@settings(max_examples=100, deadline=None)
@given(place=st.floats(0, 1), value=st.integers(0, 255))
def test_a_damaged_stack_never_crashes(tmp_path_factory, place, value):
    file = tmp_path_factory.getbasetemp() / "damaged.h5"
    memory = io.BytesIO()
    with h5py.File(memory, "w") as target:
        target.create_dataset("x", data=STACK, chunks=(2, 12, 12, 3), compression="gzip")
        target["label"] = np.arange(5) % 2
    whole = bytearray(memory.getvalue())
    whole[min(int(place * len(whole)), len(whole) - 1)] = value
    file.write_bytes(whole)
    try:
        for image in find([file]):
            read(image)
    except (DataError, ImageError) as error:
        assert "\n" not in str(error)
