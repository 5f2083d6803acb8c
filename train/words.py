"""Names that people give to real, generated and split data, understood by whole words."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise

REAL = frozenset("real reals original originals authentic genuine pristine bonafide".split())
SOURCES = frozenset(
    """photo photos photograph photographs human humans natural nature camera live youtube
    ffhq celeba celebahq celebamask lfw""".split()
)  # mean real unless the name also says fake: "stylegan_ffhq" was only trained on photos
FAKE = frozenset(
    """fake fakes generated gen ai aigc synthetic synth synthesis synthesised synthesized artificial forged forgery forgeries
    manipulated manipulation edited photoshopped tampered altered spoof spoofed deepfake deepfakes faceswap faceswapped
    gan gans stylegan progan pggan biggan stargan cyclegan gaugan attgan diffusion ldm ddpm ddim adm sd sdxl glide dalle
    midjourney flux firefly wukong vqdm thispersondoesnotexist faceface neuraltextures faceshifter""".split()
)
PLAIN = frozenset({"real", "reals", "fake", "fakes"})
BETWEEN = frozenset("vs versus and or not non no un".split())  # "ai_vs_human", "non-fake": neither one nor the other
NOT_IMAGES = frozenset("mask masks label labels annotation annotations landmarks overlay overlays heatmap heatmaps segmentation".split())
SPLITS = {
    "train": "train", "training": "train", "valid": "valid", "val": "valid", "validation": "valid",
    "dev": "valid", "validate": "valid", "valset": "valid", "test": "test", "testing": "test", "testset": "test", "trainset": "train",
    "holdout": "test", "heldout": "test", "eval": "test", "evaluation": "test",  # where eval means validation, measuring on it is right too
    "left out": "left out",  # in a manifest of ours
}  # fmt: skip
FILLERS = frozenset("set data dataset split images image imgs img faces face".split())


def words(name: str) -> list[str]:
    """Return the words of a name in lower case: parted by anything but letters, and by capitals inside.

    Example:
        >>> words("training_real"), words("StyleGAN2 fake"), words("unreal aircraft")
        (['training', 'real'], ['style', 'gan', 'fake'], ['unreal', 'aircraft'])
    """
    return [part.lower() for part in re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))]


def said(name: str) -> set[str]:
    """Return the words of a name, in its own and in lower case, and what each makes with the next: "style-gan" says "stylegan"."""
    parts = words(name)
    return {*parts, *words(name.lower()), *("".join(pair) for pair in pairwise(parts))}


@lru_cache(4096)  # a long list names few folders
def meaning(name: str) -> str:
    """Return what a name says: "real", "fake", "both" or "" (nothing).

    Example:
        >>> [meaning(name) for name in ("training_real", "1_fake", "StyleGAN2-FFHQ", "real_vs_fake", "aircraft", "fake masks")]
        ['real', 'fake', 'fake', 'both', '', '']
    """
    found = said(name)
    if no_images(name):
        return ""
    real, fake = bool(found & REAL), bool(found & FAKE)
    if found & BETWEEN:
        return "both" if real or fake or found & SOURCES else ""
    if real and fake:
        return "both"
    return "fake" if fake else "real" if real or found & SOURCES else ""


def no_images(name: str) -> bool:
    """Whether a name says that what it holds are no images to learn from, as masks are not."""
    return bool(said(name) & NOT_IMAGES)


def plain(name: str) -> bool:
    """Whether a name says its class with the very word real or fake."""
    return bool(said(name) & PLAIN)


def split_of(name: str) -> str:
    """Return the split that a name stands for, "" for none.

    Example:
        >>> split_of("Validation"), split_of("test_set"), split_of("hold-out"), split_of("training_real")
        ('valid', 'test', 'test', '')
    """
    return SPLITS.get("".join(word for word in words(name) if word not in FILLERS), "")


def split_in(name: str) -> str:
    """Return the split that a class folder's name carries, as "train_real" does; "" for none or several."""
    found = {SPLITS[word] for word in words(name) if word in SPLITS}
    return found.pop() if len(found) == 1 else ""
