"""Where the face is: finders with one signature, `find(image) -> Face | None`.

Their packages are extras and imported where they are first used. A finder is made once per
process and stands behind a lock: neither Keras nor a LiteRT interpreter promises to be safe
in several threads, and images are decoded in several.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xai.errors import ModelError

# A finder's box ends at the chin and about the hairline. A tenth of its height more on each side keeps
# the outline, where blends show, and forgives a box that is a little off. On pictures framed as FFHQ's
# that leaves 77 % (mtcnn) and 57 % (mesh) of the area; 1.3 would leave 88 % and 67 %, hardly a crop.
# It is part of what "crop" on a card means: never changed for a name that is in use.
OUTLINE = 1.2


@dataclass(frozen=True, slots=True)
class Face:
    """A face's box in pixels of the image, not bound to whole pixels nor to the image.

    Args:
        top, left, bottom, right: pixel i spans [i, i + 1).
        confidence: of the finder, in [0, 1].
    """

    top: float
    left: float
    bottom: float
    right: float
    confidence: float

    @property
    def area(self) -> float:
        """Pixels inside the box."""
        return (self.bottom - self.top) * (self.right - self.left)


def largest(faces: Iterable[Face]) -> list[Face]:
    """Return faces from the largest to the smallest; equal ones by confidence, then from the top left.

    Example:
        >>> [face.left for face in largest([Face(0, 0, 2, 2, 0.9), Face(0, 5, 3, 8, 0.8)])]
        [5, 0]
    """
    return sorted(faces, key=lambda face: (-face.area, -face.confidence, face.top, face.left))


def missing(crop: str, package: str, install: str) -> ModelError:
    """Return the error for a finder whose package is not installed.

    Example:
        >>> print(missing("mtcnn", "mtcnn", "mtcnn"))
        --crop mtcnn needs the package 'mtcnn', which is not installed; run: pip install mtcnn
    """
    who = "the face mesh (--crop mesh, --regions mesh)" if crop == "mesh" else f"--crop {crop}"
    return ModelError(f"{who} needs the package '{package}', which is not installed; run: pip install {install}")
