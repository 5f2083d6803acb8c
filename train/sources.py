"""Data sets from wherever they are: folders, CSV files, tar archives, HDF5 files, URLs of any of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from posixpath import dirname, splitext

from train.layouts import NoClasses, layout
from train.lists import Contradiction, Listing, agreed, find_lists, listing
from train.manifest import Row
from train.shards import sharded, stacked
from train.tables import read_table
from train.trees import Disk, Folder, Named, Unlisted
from xai import archives, remote
from xai.errors import DataError, readable
from xai.images import SUFFIXES
from xai.places import Place, harmless, unique

Found = tuple[Path, list[Row], str]  # what the rows' paths start from, the rows, a sentence


def opened(data: str | Path, positive: str | None, labelled: bool) -> Found:
    """Read a data set, whatever it is.

    Args:
        data: a path, a pattern of tar archives, "file.h5::name", or a URL.
        positive: what the label 1 stands for.
        labelled: classes are needed.

    Raises:
        DataError: missing, of an unknown kind, or as the layouts say.
    """
    text = str(data)
    what = archives.kind(data)
    if what == "tar":
        return archived(archives.expanded(text), None, positive, labelled)
    if what == "hdf5":
        return root_of(archives.split_off(text)[0]), *stacked(text, positive, labelled)
    if what == "url":
        return distant(text, positive, labelled)
    root = Path(data)
    if root.is_file() and root.suffix.lower() == ".csv":
        base_folder, rows, said = listing([read_table(root)], Disk(root.parent, root.parent), positive, labelled)
    elif root.is_dir():
        try:
            base_folder, rows, said = recognised(Disk(root, root), positive, labelled)
        except DataError:
            tars = archives.tars_in(root) if not any(True for _ in Disk(root, root).images()) else []
            if not tars:
                raise
            return archived(tars, str(root), positive, labelled)
    else:
        kind = "is a file; give its folder" if root.exists() else "does not exist"
        raise DataError(f"data set '{root}' {kind}; expected a folder with real/ and fake/ in it, a CSV, .tar or HDF5 file, or a URL of one")
    return Path(str(base_folder)), rows, said


def recognised(root: Folder, positive: str | None, labelled: bool) -> Listing:
    """Return what a folder's CSV files and class folders say together."""
    found: Listing | None = None
    trouble: DataError | None = None
    try:
        tables, place = find_lists(root)
        if tables:
            found = listing(tables, place, positive, labelled)
    except Contradiction:
        raise
    except DataError as error:
        trouble = error
    if found and not all(row.label for row in found[1]):
        found = None  # without labels it says no more than the folder
    try:
        rows, said = layout(root, positive)
    except DataError as error:
        if found:
            return found
        if not isinstance(error, NoClasses):
            raise
        if labelled and trouble:
            raise DataError(f"{trouble}; and '{root}' holds no class folders (real/ and fake/)") from None
        if labelled:
            raise
        note = error.note or (f"a CSV is left alone: {trouble}" if trouble else "")
        rows = [Row(path) for path, _ in root.images()]
        if not rows:
            raise DataError(f"no images in '{root}'; expected files ending in .png, .jpg, .webp, …") from None
        return root, rows, "unlabelled images, at any depth" + (note and f"; {note}")
    if found:
        return agreed(found, root, rows, said)
    return root, rows, f"{said}; a CSV is left alone: {trouble}" if trouble else said


def distant(url: str, positive: str | None, labelled: bool) -> Found:
    """Read a data set from behind a URL: a folder, or a CSV file in one."""
    csv = remote.one(url) if remote.shown(url).lower().endswith(".csv") else None
    above = remote.one(url).home if csv else remote.Bucket(url.rstrip("/"))
    assert isinstance(above, remote.Bucket)
    web = remote.scheme(url) in remote.WEB
    keys = {} if csv and web else remote.listing(above.url)
    tars = [key for key in keys if key.lower().endswith(".tar")]
    shown = dict(zip(unique(keys), keys, strict=True))  # as rows have it -> as it is called there
    tree = (Unlisted if csv and web else Named)(str(above))
    images = 0
    for name, key in shown.items():
        ending = splitext(key)[1].lower()
        if ending in SUFFIXES:
            tree.add(name)
            images += 1
        elif ending == ".csv":
            tree.descend(dirname(name)).lists.append(Place(above, key, 0, keys[key]))
    if csv:
        folder, rows, said = listing([read_table(csv)], tree, positive, labelled)
    elif tars and not images:
        return archived([f"{above.url}/{key}" for key in tars], above.url, positive, labelled)
    else:
        if not images and any(key.lower().endswith(archives.COMPRESSED) for key in keys):
            archives.kind(next(f"{above.url}/{key}" for key in keys if key.lower().endswith(archives.COMPRESSED)))
        folder, rows, said = recognised(tree, positive, labelled)
    return root_of(str(folder)), [located(row, folder, above, shown, keys) for row in rows], said


def located(row: Row, folder: Folder, home: remote.Bucket, shown: Mapping[str, str], sizes: Mapping[str, int]) -> Row:
    """Return a row with the place behind the URL that it stands for."""
    name = f"{folder.inner}/{row.path}" if folder.inner else row.path
    key = shown.get(name, name)
    return replace(row, path=harmless(row.path), place=Place(home, key, 0, sizes.get(key, -1)))


def archived(files: Sequence[str], base: str | None, positive: str | None, labelled: bool) -> Found:
    """Read a data set from tar archives.

    Args:
        files: paths or URLs.
        base: the folder that was given; by default the one that all of them lie in, or the only archive itself.
        positive, labelled: as in `opened`.
    """
    if base is None and len(files) == 1:
        base, names = files[0], [""]
    else:
        base = common(files) if base is None else base
        names = [harmless(file[len(base) :] if base else file) for file in files]
    root = root_of(base)
    return root, *sharded(files, names, remote.shown(base) if remote.is_url(base) else readable(base), positive, labelled)


def common(files: Sequence[str]) -> str:
    """Return the folder that all of some paths or URLs lie in, "" for the working folder.

    Example:
        >>> common(["s3://b/x/a-1.tar", "s3://b/x/a-2.tar"]), common(["a.tar", "b.tar"]), common(["/d/a/1.tar", "/d/b/1.tar"])
        ('s3://b/x', '', '/d')
    """
    folders = [dirname(file).split("/") for file in files]
    same = 0
    while all(len(parts) > same and parts[same] == folders[0][same] for parts in folders):
        same += 1
    return "/".join(folders[0][:same])


def root_of(name: str) -> Path:
    """Return what a data set's rows start from as a path, for archives and URLs too: only its name counts there."""
    return Path(remote.shown(name) if remote.is_url(name) else name)
