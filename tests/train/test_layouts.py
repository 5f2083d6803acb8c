"""Layouts named by folders and by CSV files: recognised, or refused with what was seen."""

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.datasets import Row, remarks, scan, split
from train.lists import Files
from train.tables import MAX_BYTES, read_table
from train.trees import Disk
from train.words import FAKE, REAL, SOURCES, meaning, split_of
from xai.errors import DataError


def files(root, *paths):
    """Write empty images: their names are what matters here."""
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def both(root, *folders):
    return files(root, *(f"{folder}/{number}.png" for folder in folders for number in (1, 2)))


def found(manifest):
    """Return {folder: (label, split)}."""
    return {row.path.rsplit("/", 1)[0]: (row.label, row.split) for row in manifest.rows}


def table(path, header, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


NAMES = {
    "real": """real REAL reAL training_real 0_real real_images RealFaces Original.Sequences bona-fide YouTube-real FFHQ CelebA-HQ
        photos nature real256 celeb-real Human""",
    "fake": """fake Fakes training_fake 1_fake StyleGAN_fake stylegan3 style-gan2 AI ai-generated Midjourney MidJourney_v6 sd15 Deepfakes
        DeepFakes fake_photos stylegan_ffhq Celeb-synthesis manipulated_sequences face2face""",
    "both": "real_vs_fake ai_vs_human deepfake-and-real-images non_real original_stylegan UnReal",
    "": "unreal aircraft Unrealistic surreal said morgan train masks fake_masks 0 1 maintain realm _",
}


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for kind, names in NAMES.items() for name in names.split()])
def test_names_are_understood_by_whole_words(name, kind):
    assert meaning(name) == kind


@given(st.sampled_from(sorted(REAL | SOURCES | FAKE)))
def test_a_word_inside_another_word_says_nothing(word):
    assert meaning(f"q{word}q") == "" and meaning(f"x_{word}_2") == meaning(word) != ""


INNER = "real_vs_fake/real-vs-fake/train"


@pytest.mark.parametrize(
    ("folders", "others"),
    [
        ({"training_real": "real", "training_fake": "fake"}, []),
        ({"ffhq": "real", "stylegan": "fake", "stylegan2": "fake"}, ["notes"]),
        ({"0_real": "real", "1_fake": "fake"}, ["masks/real"]),
        ({"Photos/a/b": "real", "AI": "fake"}, []),
        ({"00000": "real", "01000": "real", "generated": "fake"}, ["other"]),
        ({"train/ffhq": "real train", "train/gan": "fake train", "dev/ffhq": "real valid", "dev/gan": "fake valid"}, ["test"]),
        ({"real/train": "real train", "real/test": "real test", "fake/train": "fake train", "fake/test": "fake test"}, []),
        ({"train_real": "real train", "train_fake": "fake train", "test_real": "real test", "test_fake": "fake test"}, []),
        ({f"{INNER}/real": "real train", f"{INNER}/fake": "fake train"}, []),
        ({"deepfake_database/real": "real", "deepfake_database/fake": "fake"}, ["__MACOSX/real", ".git/fake"]),
        ({"real": "real", "fake": "fake"}, ["backup/real", "backup/fake"]),
        ({"real/0": "real", "real/1": "real", "fake/0": "fake", "fake/1": "fake"}, ["2"]),
        ({"real": "real", "fake": "fake"}, ["test", "fake_masks"]),
    ],
)
def test_folder_layouts(tmp_path, folders, others):
    manifest = scan(both(tmp_path, *folders, *others))
    assert {folder: " ".join(filter(None, said)) for folder, said in found(manifest).items()} == folders
    assert [row.path for row in manifest.rows] == sorted(row.path for row in manifest.rows)


def test_the_sentence_names_what_was_taken(tmp_path):
    assert scan(both(tmp_path / "a", "ffhq", "stylegan", "stylegan2")).layout == "Class folders: real in ffhq/, fake in stylegan/, stylegan2/"
    assert (
        scan(both(tmp_path / "b", "00000", "01000", "fake")).layout == "Class folders: real in 00000/, 01000/, FFHQ's numbered folders, fake in fake/"
    )
    nested = scan(both(tmp_path / "c", "x/train/real", "x/train/fake", "x/val/real", "x/val/fake"))
    assert nested.layout == "Split folders train/, val/ in x/, each with class folders: real in real/, fake in fake/"
    assert scan(both(tmp_path / "d", "0", "1"), positive="real").layout == "Class folders: real in 1/, fake in 0/"
    assert scan(both(tmp_path / "e", "some/where"), labelled=False).layout == "Unlabelled images, at any depth"


def test_what_is_left_alone_is_named(tmp_path):
    """Folders whose names say nothing, in the folder and in its splits, and loose images; but not masks."""
    root = both(tmp_path / "a", "real", "stylegan", "tpdne/deep/er", "fake_masks", "masks/tpdne", ".git")
    scanned = scan(files(root, "sfhq/1.png", "loose.png", "notes/read.me"))
    assert scanned.counts() == {"real": 2, "fake": 2}
    assert scanned.layout.endswith("fake in stylegan/; left alone: in no folder (1 image), sfhq/ (1 image), tpdne/ (2 images)")
    assert remarks(scanned.layout) == ["left alone: in no folder (1 image), sfhq/ (1 image), tpdne/ (2 images)"]
    root = both(tmp_path / "b", "x/train/real", "x/train/gan", "x/train/sfhq", "x/test/real", "x/test/gan", "x/valid")
    scanned = scan(files(root, "x/test/1.png"))
    assert len(scanned.rows) == 8 and scanned.layout.endswith(
        "; left alone: in x/test/ itself (1 image), x/train/sfhq/ (2 images), x/valid/ (2 images)"
    )
    assert not remarks(scan(both(tmp_path / "c", "train/real", "train/fake", "masks/real", "masks/fake")).layout)


@pytest.mark.parametrize("name", ["eval", "Evaluation", "hold-out", "heldout", "testset"])
def test_other_usual_names_of_a_test_split(tmp_path, name):
    assert scan(both(tmp_path, "train/real", "train/fake", f"{name}/real", f"{name}/fake")).counts("split") == {"train": 4, "test": 4}


def test_numbered_classes_need_to_be_told_apart(tmp_path):
    for root in (both(tmp_path / "a", "0", "1"), both(tmp_path / "b", "train/0", "train/1", "test/0", "test/1")):
        with pytest.raises(DataError, match=r"calls its classes 0/ and 1/; say what 1 stands for: --positive fake or --positive real"):
            scan(root)
    assert found(scan(tmp_path / "a", positive="fake")) == {"0": ("real", ""), "1": ("fake", "")}
    assert found(scan(tmp_path / "b", positive="real"))["test/1"] == ("real", "test")
    unlabelled = scan(tmp_path / "a", labelled=False)
    assert unlabelled.counts() == {"": 4} and "0/ and 1/ count as classes only with --positive" in unlabelled.layout
    with pytest.raises(DataError, match="holds no classes"):  # parts of a large folder, not classes
        scan(both(tmp_path / "c", *"0123"), positive="fake")
    with pytest.raises(DataError, match="positive is 'maybe'; expected fake or real"):
        scan(tmp_path / "a", positive="maybe")


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (["real", "fake", "real_vs_fake"], "has 'real_vs_fake/', whose name says both real and fake, beside real/, fake/"),
        (["ffhq", "progan/0_real", "progan/1_fake"], "has 'progan/', which holds both classes itself, beside ffhq/"),
        (["sd/real", "sd/fake", "progan/0_real", "progan/1_fake"], "found: progan/, sd/; classes are in '.*progan', '.*sd': give one of these"),
        (["train/real", "train/fake", "new/real", "new/fake"], "has 'new/', which holds both classes itself, beside train/; move it away"),
        ([f"{part}/{label}" for part in ("eval", "test", "train") for label in ("real", "fake")], "'eval/' and 'test/', which both stand for test"),
        (["a/real", "a/fake", "b/real", "b/fake"], "holds no classes: .* found: a/, b/; classes are in '.*a', '.*b': give one of these"),
        (["real", "fake", "0", "1"], "has both real/, fake/ and folders called 0/ and 1/"),
        (["train/real", "train/fake", "training/real", "training/fake"], "has both 'train/' and 'training/'"),
        (["train/test/real", "train/test/fake", "train/real", "train/fake"], "classes both directly in it and in 'test/'"),
        (["train/0", "train/1", "0", "1"], "classes both directly in it and in 'train/'"),
        (["real/train", "real/test", "fake"], "real' has split folders in it, '.*fake' has not; name the splits alike"),
        (["real/train", "real/a", "fake/train"], "real' has split folders, but 'a/..png' is in none of them"),
        (["real/train", "real/test", "fake/train"], "has only one class in its test split"),
        (["train_real", "test_real", "train_fake", "fake"], "has a split in its name, '.*/fake' has not"),
        (["photos"], "has 'photos/' but no 'fake/'; a detector needs both classes"),
        (["stylegan", "midjourney"], "has 'midjourney/' but no 'real/'"),
        (["unreal", "aircraft"], "holds no classes: .*; found: aircraft/, unreal/"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path, folders, message):
    with pytest.raises(DataError, match=message) as caught:
        scan(both(tmp_path, *folders))
    assert "\n" not in str(caught.value)


def test_half_a_data_set_is_no_unlabelled_one_but_photos_are(tmp_path):
    with pytest.raises(DataError, match="has 'real/' but no 'fake/'"):
        scan(both(tmp_path / "a", "real"), labelled=False)
    manifest = scan(both(tmp_path / "b", "photos"), labelled=False)
    assert manifest.counts() == {"": 2} and "of the classes there is only photos/" in manifest.layout


HEADER = ("", "original_path", "id", "label", "label_str", "path")


def public(root, folder="real_vs_fake/real-vs-fake/", prefix=""):
    """Write the layout of the public 140k set: 0/1 where 1 is real, words, and paths below folders beside the CSVs."""
    for part in ("train", "valid", "test"):
        names = [(label, f"{part}/{label}/{number}.jpg") for label in ("fake", "real") for number in (1, 2)]
        files(root, *(folder + name for _, name in names))
        rows = [(i, f"/input/resized/{i}.jpg", i, int(label == "real"), label, prefix + name) for i, (label, name) in enumerate(names)]
        table(root / f"{part}.csv", HEADER, *rows)
    return root


@pytest.mark.parametrize("folder, prefix", [("real_vs_fake/real-vs-fake/", ""), ("rvf10k/", "rvf10k/"), ("", "")])
def test_the_public_sets(tmp_path, folder, prefix):
    manifest = scan(public(tmp_path, folder, prefix))
    assert found(manifest) == {f"{folder}{part}/{label}": (label, part) for part in ("train", "valid", "test") for label in ("real", "fake")}
    assert manifest.layout == (
        "CSV test.csv, train.csv, valid.csv: paths from 'path', classes from 'labelstr', splits from the files' names; the class folders agree"
    )
    assert split(manifest, seed=0) == manifest
    only = scan(tmp_path / "train.csv")  # by itself its name says no split, its paths do not change
    assert only.counts() == {"real": 2, "fake": 2} and only.counts("split") == {"": 4}


def test_inside_the_folder_that_its_paths_begin_with(tmp_path):
    root = files(tmp_path / "faces", "a/1.png", "b/2.png")
    table(root / "list.csv", ("file", "class"), ("faces/a/1.png", "original"), ("faces/b/2.png", "GAN"))
    assert scan(root).rows == (Row("a/1.png", "real"), Row("b/2.png", "fake"))


def test_paths_from_the_folder_above(tmp_path):
    files(tmp_path, "images/1.png", "images/2.png")
    file = table(tmp_path / "lists" / "all.csv", ("filename", "target"), ("images/1.png", "real"), ("images/2.png", "fake"))
    manifest = scan(file)
    assert manifest.rows == (Row("images/1.png", "real"), Row("images/2.png", "fake"))
    assert (manifest.root / manifest.rows[0].path).is_file()


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        (("path", "label", "split"), [("p/1.png", "REAL", "train"), ("p/2.png", "Fake", "val")]),
        (("Image Path", "is_fake", "Set"), [("p/1.png", "False", "Training"), ("p/2.png", "True", "validation")]),
        (("id", "is_real", "subset"), [("1", "1", "train"), ("2", "0", "dev")]),
        (("file_name", "label", "label_str", "partition"), [("1.png", "1", "human", "train"), ("2.png", "0", "ai-generated", "valid")]),
        (("image", "fake", "real", "phase"), [(r"p\1.png", "0", "1", "train"), (r".\p\2.png", "1", "0", "valid")]),
    ],
)
def test_usual_columns(tmp_path, header, rows):
    files(tmp_path, "p/1.png", "p/2.png")
    manifest = scan(table(tmp_path / "x.csv", header, *rows))
    assert manifest.rows == (Row("p/1.png", "real", "train"), Row("p/2.png", "fake", "valid"))
    assert scan(tmp_path) == manifest
    (tmp_path / "x.csv").write_text("\ufeff" + (tmp_path / "x.csv").read_text().replace(",", ";"), encoding="utf-8")
    assert scan(tmp_path) == manifest


def test_only_numbers_as_labels(tmp_path):
    files(tmp_path, "1.png", "2.png")
    file = table(tmp_path / "x.csv", ("path", "label"), ("1.png", "1"), ("2.png", "0"))
    for data in (file, tmp_path):
        with pytest.raises(DataError, match=r"has only 0 and 1 as labels \('label'\); say what 1 stands for: --positive fake or --positive real"):
            scan(data)
        assert [row.label for row in scan(data, positive="real").rows] == ["real", "fake"]
        assert [row.label for row in scan(data, positive="fake").rows] == ["fake", "real"]
        assert [row.label for row in scan(data, labelled=False).rows] == ["", ""]


def test_a_csv_without_labels_lists_unlabelled_images(tmp_path):
    files(tmp_path, "1.png", "2.png", "3.png")
    file = table(tmp_path / "x.csv", ("path",), ("1.png",), ("3.png",))
    assert [row.path for row in scan(file, labelled=False).rows] == ["1.png", "3.png"]
    assert scan(file, labelled=False).layout.endswith("; left alone: in no folder (1 image)")
    assert len(scan(tmp_path, labelled=False).rows) == 3
    with pytest.raises(DataError, match=r"has no column for labels; expected one called label, .*; found: path"):
        scan(file)


def test_images_that_a_csv_does_not_list_are_named(tmp_path):
    """Beside those it lists and in folders of their own, not masks; whatever folder its paths start from."""
    root = tmp_path / "faces"
    files(root, "a/1.png", "a/2.png", "a/3.png", "b/c/4.png", "5.png", "masks/1.png")
    rows = ("path", "label"), ("a/1.png", "real"), ("a/2.png", "fake")
    for data in (table(root / "x.csv", *rows), root, tmp_path):
        assert remarks(scan(data).layout) == ["left alone: b/ (1 image), in a/ itself (1 image), in no folder (1 image)"]
    table(root / "x.csv", *rows, *[(path, "fake") for path in ("a/3.png", "b/c/4.png", "5.png")])
    assert not remarks(scan(root).layout)


def test_csv_beside_class_folders(tmp_path):
    root = both(tmp_path, "real", "fake")
    everything = [(f"{label}/{n}.png", label, part) for label in ("real", "fake") for n, part in ((1, "train"), (2, "test"))]
    table(root / "list.csv", ("path", "label", "split"), *everything)
    assert scan(root).counts("split") == {"train": 2, "test": 2}
    table(root / "list.csv", ("path", "label", "split"), *everything[:3])
    partial = scan(root)
    assert partial.counts("split") == {"": 4} and partial.layout.endswith("CSV list.csv is left alone, as 1 of these 4 images are not in it")
    (root / "list.csv").write_bytes(b"path,label\n\xff\xfe\0")
    assert scan(root).counts() == {"real": 2, "fake": 2} and "a CSV is left alone: " in scan(root).layout
    table(root / "list.csv", ("path", "label"), ("real/1.png", "real"), ("real/2.png", "fake"), ("fake/1.png", "fake"), ("fake/2.png", "fake"))
    with pytest.raises(DataError, match=r"labels 1 images in 'real/' as fake, 'real/2.png' the first; correct the labels, the folders or --positive"):
        scan(root)
    other = both(tmp_path / "other", "ffhq", "gan")
    table(other / "list.csv", ("path", "label"), ("ffhq/1.png", "fake"), ("gan/1.png", "real"))
    with pytest.raises(DataError, match=r"'ffhq/1.png' is of class real by its folder and fake by the CSV"):
        scan(other)


def test_wrong_positive_is_noticed(tmp_path):
    both(tmp_path, "real", "fake")
    file = table(tmp_path / "x.csv", ("path", "label"), *[(f"{label}/{n}.png", int(label == "real")) for label in ("real", "fake") for n in (1, 2)])
    assert scan(file, positive="real").counts() == {"real": 2, "fake": 2}
    with pytest.raises(DataError, match=r"labels 2 images in .* or --positive"):
        scan(file, positive="fake")


def test_missing_files_are_kept_unless_most_are(tmp_path):
    files(tmp_path, "1.png", "2.png", "3.png")
    rows = [("1.png", "real"), ("2.png", "fake"), ("3.png", "fake"), ("gone.png", "real")]
    manifest = scan(table(tmp_path / "x.csv", ("path", "label"), *rows))
    assert len(manifest.rows) == 4 and manifest.layout.endswith("; 1 of 4 files are missing")
    with pytest.raises(DataError, match=r"3 of the 5 files that '.*' lists are missing, 'b.png' the first; give the CSV that lies beside"):
        scan(table(tmp_path / "x.csv", ("path", "label"), *rows[:2], *((f"{n}.png", "real") for n in "bcd")))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("../../etc/passwd", "real")], "line 4, names '../../etc/passwd', outside its folder"),
        ([("/etc/passwd", "real")], "line 4, names '/etc/passwd', outside its folder"),
        ([("C:\\x\\1.png", "real")], "outside its folder"),
        ([("", "real")], "line 4, has no value for 'path'"),
        ([(".", "real")], "outside its folder"),
        ([("1.png", "maybe")], "has labels that are not understood: 'label' holds 'maybe'; expected real and fake, or 0 and 1"),
        ([("1.png", "")], "'label' holds ''"),
        ([("1.png", "real_vs_fake")], "'label' holds 'real_vs_fake'"),
        ([("1.png", "fake")], "lists '1.png' twice, as real and fake; remove the wrong line"),
        ([("a\0b.png", "real")], "is binary, no CSV"),
        ([("x" * 200_000, "real")], "is no readable CSV: field larger than field limit"),
    ],
)
def test_hostile_rows_give_one_line(tmp_path, rows, message):
    files(tmp_path, "1.png", "2.png")
    file = table(tmp_path / "x.csv", ("path", "label"), ("1.png", "real"), ("2.png", "fake"), *rows)
    with pytest.raises(DataError, match=message) as caught:
        scan(file)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400 + len(str(file))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "lists no images"),
        (b"path,label\n", "lists no images"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is no text in UTF-8"),
        ("path,label\ngesicht_ä.png,real\n".encode("latin-1"), "is no text in UTF-8; save it as CSV"),
        ("path,label\n1.png,real\n".encode("utf-16"), "is no text in UTF-8"),
        (b"a,b\n1,2\n", "has no column for paths; .* found: a, b"),
        (b"path,label,split\n1.png,real,maybe\n2.png,fake,train\n", "has splits that are not understood: 'split' holds 'maybe'"),
        (b"path,label,split\n1.png,real,train\n1.png,real,test\n2.png,fake,test\n", "lists '1.png' twice, as train and test split"),
        (b"path,label,label_str\n1.png,real,fake\n2.png,fake,fake\n", "line 2: the columns 'labelstr' and 'label' say different classes"),
        (b"path,label\n1.png,real\n", "lists only real images; a detector needs both classes"),
    ],
)  # fmt: skip
def test_hostile_files_give_one_line(tmp_path, content, message):
    files(tmp_path, "1.png", "2.png")
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        scan(tmp_path / "x.csv")
    assert "\n" not in str(caught.value)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_whatever_a_csv_holds_the_answer_is_a_line(tmp_path_factory, content):
    file = tmp_path_factory.getbasetemp() / "any" / "any.csv"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"path,label\n" + content)
    try:
        scan(file)
    except DataError as error:
        assert "\n" not in str(error)


def test_huge_and_unreadable_tables(tmp_path):
    with (tmp_path / "x.csv").open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(DataError, match="is larger than 256 MB"):
        read_table(tmp_path / "x.csv")
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_table(tmp_path / "gone.csv")


def test_several_lists_are_not_guessed(tmp_path):
    files(tmp_path, "1.png", "2.png")
    for name in ("a.csv", "b.csv"):
        table(tmp_path / name, ("path", "label"), ("1.png", "real"), ("2.png", "fake"))
    with pytest.raises(DataError, match=r"has several CSV files .* \(a.csv, b.csv\); give one of them; and '.*' holds no class folders"):
        scan(tmp_path)
    assert scan(tmp_path, labelled=False).counts() == {"": 2}


def test_one_name_in_two_places_is_not_guessed(tmp_path):
    files(tmp_path, "small/1.png", "large/1.png", "large/2.png")
    file = table(tmp_path / "x.csv", ("path", "label"), ("1.png", "real"), ("2.png", "fake"))
    with pytest.raises(DataError, match=r"line 2: '1.png' fits (large|small)/1.png, (large|small)/1.png; give paths from the CSV's folder"):
        scan(file)
    assert Files(Disk(tmp_path, tmp_path)).fits("small/1.png") == ["small/1.png"]


def test_splits_by_name():
    assert [split_of(name) for name in ("Train", "training", "val", "VALIDATION", "dev", "test_set", "testing", "train_images", "contest", "")] == [
        "train", "train", "valid", "valid", "valid", "test", "test", "train", "", "",
    ]  # fmt: skip


def test_a_manifest_of_ours_is_a_list(tmp_path):
    root = both(tmp_path, "x/real", "x/fake")
    manifest = scan(root)
    manifest.write(root / "manifest.csv")
    assert scan(root / "manifest.csv").rows == manifest.rows
