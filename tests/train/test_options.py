"""How to train: choices that are one kind of network's alone."""

import pytest

from train.options import claimed, worded
from xai.errors import WhyfakeError


def test_choices_reach_their_network():
    options = worded("transfer:MobileNetV2", augment="flip", weights="none", frozen=2, size=64)
    assert options.network == {"weights": "none"} and options.frozen == 2 and options.size == 64 and options.augment.flip == 0.5
    assert worded("transfer:MobileNetV2", augment="none", frozen=0).network == {"weights": "imagenet"}
    assert worded("encoder-classifier", augment="none", encoder="runs/a", head="conv").network == {"encoder": "runs/a", "head": "conv"}
    assert worded("lenet", augment="none", weights=None, frozen=None, encoder=None, head=None).network == {}
    assert worded("lenet", augment="none").frozen == 8


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("resnet50", {"weights": "imagenet"}, r"--weights is for transfer:NAME, not for resnet50; did you mean transfer:ResNet50\?"),
        ("vgg16_bn", {"weights": "none"}, r"did you mean transfer:VGG16\?"),
        ("cnn", {"frozen": 0}, "--frozen-epochs is for transfer:NAME, not for cnn; leave it out, or train such as transfer:ResNet50"),
        ("lenet", {"head": "conv"}, "--head is for encoder-classifier, not for lenet; leave it out, or train encoder-classifier"),
        ("transfer:VGG16", {"encoder": "runs/a"}, "--encoder is for encoder-classifier, not for transfer:VGG16"),
        ("encoder-classifier", {"weights": "a.h5"}, "--weights is for transfer:NAME, not for encoder-classifier; leave it out"),
        ("ResNet50", {"weights": "imagenet"}, "network 'ResNet50' is not known"),
    ],
)
def test_another_networks_choices_are_refused(name, given, words):
    with pytest.raises(WhyfakeError, match=words):
        worded(name, augment="none", **given)


def test_of_several_networks_one_may_claim_a_choice():
    assert claimed(["lenet", "transfer:VGG16"], {"weights": "none", "frozen": 0}) == {"weights": "none", "frozen": 0}
    with pytest.raises(WhyfakeError, match="--frozen-epochs is for transfer:NAME, not for lenet, cnn"):
        claimed(["lenet", "cnn"], {"weights": None, "frozen": 0})


@pytest.mark.parametrize("command", [("train", "lenet"), ("zoo",)])
def test_the_command_line_refuses_them(whyfake, tmp_path, command):
    words = ("--networks", "lenet,cnn") if command == ("zoo",) else ()
    result = whyfake(*command, tmp_path, *words, "--weights", "imagenet", "--out", tmp_path / "out")
    assert result.exit_code == 1 and result.output.count("\n") == 1
    assert result.output.startswith("Error: --weights is for transfer:NAME, not for lenet")
    assert not (tmp_path / "out").exists()
