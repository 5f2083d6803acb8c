"""How to train: the choices of one training, as they stand on its card."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.registry import entry
from train.augment import Augment
from xai.errors import WhyfakeError

OWNERS = {"weights": "transfer", "frozen": "transfer", "encoder": "encoder-classifier", "head": "encoder-classifier"}  # choice -> whose it is


@dataclass(frozen=True, slots=True)
class Options:
    """How to train; recorded on the card.

    Args:
        size: side of the input in pixels.
        epochs: at most, of all phases together.
        batch_size: images a step.
        learning_rate: of Adam; a new head on a frozen network learns ten times as fast.
        patience: epochs without a better validation loss before training (or its phase) stops.
        seed: of the split, the start, the order and the augmentation.
        test: share of each class set aside first.
        valid: share of the rest for validation.
        average: epochs over which the weights are averaged (exponentially) for validation and
            for the saved model; 0 keeps Adam's own. Averaging steadies small data sets.
        augment: random changes to training images.
        balance: "none", "class-weight", "undersample" or "oversample".
        crop: "none", or what images are cropped to: the "centre", or the face that "mtcnn" or the "mesh" finds.
        positive: what the label 1 stands for where classes are only called 0 and 1.
        images: training images at most; validation and test stay whole, for learning curves.
        frozen: of transfer learning, epochs with the pretrained part frozen before all is tuned.
        precision: "float32", "mixed_float16" or "mixed_bfloat16".
        devices: "one" or "all" of this machine, or "workers": of all machines that TF_CONFIG names; batches are for all together.
        network: arguments of the network's own `build`.
        enough: validation loss from which down nothing is left to learn; the training ends there. Below 0: never.

    Reference:
        Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992.
    """

    size: int
    epochs: int = 40
    batch_size: int = 16
    learning_rate: float = 1e-4
    patience: int = 8
    seed: int = 0
    test: float = 0.15
    valid: float = 0.2
    average: float = 1.5
    augment: Augment = field(default_factory=Augment)
    balance: str = "none"
    crop: str = "none"
    positive: str | None = None
    images: int | None = None
    frozen: int = 8
    precision: str = "float32"
    devices: str = "one"
    network: dict[str, Any] = field(default_factory=dict)
    enough: float = -1.0

    def momentum(self, images: int) -> float:
        """Momentum of the weights' moving average for that many training images; 0 for none.

        Example:
            >>> round(Options(256, batch_size=16).momentum(1088), 4)  # 68 steps an epoch, 102 averaged
            0.9902
        """
        steps = self.average * -(-images // self.batch_size)
        return max(0.0, 1 - 1 / steps) if steps > 1 else 0.0

    def record(self) -> dict[str, Any]:
        """Return the choices as they stand on the card; files without their folders, which are no one else's."""
        return asdict(self) | {"augment": self.augment.record(), "network": {key: Path(str(value)).name for key, value in self.network.items()}}


def recipe(name: str, *, size: int | None = None, batch_size: int | None = None, **choices: Any) -> Options:
    """Return the options for a network: its project's size and batch where none is given.

    Above 1024 pixels a side batches shrink, so that memory stays level.

    Raises:
        WhyfakeError: an unknown network.

    Example:
        >>> recipe("lenet").batch_size, recipe("alexnet18", size=2048).batch_size
        (64, 4)
    """
    try:
        found = entry(name)
    except ValueError as error:
        raise WhyfakeError(str(error)) from None
    side = size or found.size
    batch = batch_size or int(np.clip(16 * 1024**2 // side**2, 1, found.batch))
    return Options(size=side, batch_size=batch, **choices)


def worded(
    name: str,
    *,
    augment: str,
    weights: str | None = None,
    frozen: int | None = None,
    encoder: str | None = None,
    head: str | None = None,
    **choices: Any,
) -> Options:
    """Return the options for a network from the command line's words, None where nothing was said; the other arguments as in `recipe`.

    Raises:
        WhyfakeError: an unknown network, or a choice that is another network's.
    """
    network = claimed([name], {"weights": weights, "frozen": frozen, "encoder": encoder, "head": head})
    fields = {key: network.pop(key) for key in ("frozen",) if key in network}
    if name.startswith("transfer:"):
        network = {"weights": "imagenet"} | network  # stands on the card in any case
    return recipe(name, augment=Augment.parse(augment), network=network, **choices, **fields)


def claimed(names: Sequence[str], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return which of the choices in `OWNERS` were made.

    Args:
        names: of networks.
        given: choice -> its value, None where it was not made.

    Raises:
        WhyfakeError: an unknown network, or a choice that none of these networks has.

    Example:
        >>> claimed(["lenet", "transfer:VGG16"], {"weights": "none", "frozen": None})
        {'weights': 'none'}
    """
    kinds = {name.partition(":")[0] for name in names if recipe(name)}
    chosen = {key: value for key, value in given.items() if value is not None}
    for key in chosen:
        if OWNERS[key] not in kinds:
            raise WhyfakeError(f"--{'frozen-epochs' if key == 'frozen' else key} is for {advice(OWNERS[key], names)}")
    return chosen


def advice(owner: str, names: Sequence[str]) -> str:
    """Say whose a choice is that none of these networks has, and what may have been meant."""
    from models import transfer

    if owner != "transfer":
        return f"{owner}, not for {', '.join(names)}; leave it out, or train {owner}"
    backbones = {backbone.lower(): backbone for backbone in transfer.names()}
    near = [backbones[found] for name in names for found in difflib.get_close_matches(name.lower(), backbones, n=1, cutoff=0.7)]
    meant = f"did you mean transfer:{near[0]}?" if near else "leave it out, or train such as transfer:ResNet50"
    return f"transfer:NAME, not for {', '.join(names)}; {meant}"
