"""Fixtures that several rooms share: a tiny detector with integer weights, portraits, a finished run."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("house", deadline=None)  # how long an example takes says more of the machine than of the code
settings.load_profile("house")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell starts what runs behind it; some tests interrupt
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parents[2] / "shared" / "data"


def compute(*args, **options):
    """Map a batch and return the logits and the maps."""
    from xai.maps import mapped

    found = mapped.compute(*args, **options)
    return found.logits, found.maps


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory):
    """Keep what self-tests remember out of the user's home, and what the user or whyfake itself remembers out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        patch.setenv("WHYFAKE_HOME", str(home))
        patch.setattr("xai.recommend.SHIPPED", home / "none.json")  # tests that mean the shipped file name it
        yield


@pytest.fixture(autouse=True)
def names(doctest_namespace):
    doctest_namespace["np"] = np
    doctest_namespace["Path"] = Path


def tiny_model(head: str = "flatten", activation: str = "sigmoid"):
    """8 x 8 images, one 2 x 2 convolution (stride 2) with integer weights, a head that reads two cells."""
    import keras
    from keras import layers

    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(2, 2, 2, activation="relu", name="conv")(image)
    x = layers.Flatten(name="flat")(x) if head == "flatten" else layers.GlobalAveragePooling2D(name="gap")(x)
    model = keras.Model(image, layers.Dense(1, activation=activation, name="out")(x), name="tiny")
    kernel = np.zeros((2, 2, 3, 2), np.float32)
    kernel[..., 0, 0] = 1  # channel 0 sums red, channel 1 sums green
    kernel[..., 1, 1] = 1
    model.get_layer("conv").set_weights([kernel, np.zeros(2, np.float32)])
    weights = np.zeros((model.get_layer("out").kernel.shape[0], 1), np.float32)
    if head == "flatten":
        weights[2 * (4 * 1 + 2), 0] = 3  # red at cell (1, 2) speaks for fake
        weights[2 * (4 * 3 + 0) + 1, 0] = -2  # green at cell (3, 0) speaks for real
    else:
        weights[:, 0] = [16, -32]
    model.get_layer("out").set_weights([weights, np.array([0.5], np.float32)])
    return model


@pytest.fixture(scope="session")
def tiny():
    """The tiny flatten-head detector."""
    from xai import wrap

    return wrap(tiny_model())


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory) -> Path:
    """The tiny flatten-head model as a file."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.keras"
    tiny_model().save(path)
    return path


@pytest.fixture(scope="session")
def tiny_image():
    """Red 1 everywhere, green 2 everywhere: conv is 4 in channel 0 and 8 in channel 1."""
    image = np.zeros((1, 8, 8, 3), np.float32)
    image[..., 0], image[..., 1] = 1, 2
    return image


@pytest.fixture(scope="session")
def portraits(tmp_path_factory) -> Path:
    """40 drawn portraits of 256 x 256 with a strong checkerboard on the eyes."""
    from train.portraits import Artefact, write

    folder = tmp_path_factory.mktemp("data") / "portraits"
    return write(folder, 40, 256, artefact=Artefact("checkerboard", "eyes", 60.0), seed=1)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, portraits):
    """alexnet18 after one short epoch on the portraits: nothing learnt, everything written."""
    from train.fit import fit
    from train.options import Options

    lines: list[str] = []
    out = tmp_path_factory.mktemp("runs") / "alexnet18"
    result = fit("alexnet18", portraits, out, Options(size=256, epochs=2, batch_size=16, seed=3), say=lines.append)
    return SimpleNamespace(folder=out, result=result, lines=lines, model=result.model)


@pytest.fixture(scope="session")
def run(tmp_path_factory, trained, portraits):
    """A finished audit of that detector over all portraits, with masks."""
    from train.audit import audit_folder
    from xai import load
    from xai.provenance import Request

    out = tmp_path_factory.mktemp("audits") / "run"
    request = Request(masks=str(portraits / "masks" / "labels"), effects=16, donors=1, command=("whyfake", "audit"))
    return audit_folder(load(trained.model), portraits, out, request)


@pytest.fixture
def whyfake():
    """Run the command line in this process: `whyfake("layers", path) -> result`."""
    from click.testing import CliRunner

    import cli

    return lambda *words: CliRunner().invoke(cli.main, [str(word) for word in words], prog_name="whyfake")


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter that runs the tests."""
    return sys.executable


@pytest.fixture(scope="session")
def real_faces() -> Path:
    """Public photos beside the checkout; tests that need them skip where they are missing."""
    if not SHARED.is_dir():
        pytest.skip(f"no {SHARED.name} folder beside the checkout")
    return SHARED
