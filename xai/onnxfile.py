"""An ONNX file as a black box, answered by onnxruntime: its logits, never its saturated probability."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xai.blackboxes import BlackBox, blackbox, laid_out
from xai.detector import sides
from xai.ending import Ending, Node, check_units, find_ending, image_layout
from xai.errors import ModelError
from xai.head import choose_output
from xai.modelfile import CARD, digest_of, read_card, sha256

NUMBERS = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64, "tensor(uint8)": np.uint8}
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
FOLDER = "session.model_external_initializers_file_folder_path"  # where onnxruntime finds weights that lie beside the file


def read_onnx(file: Path, *, size: int | None = None, output: str | int | None = None, **settings: Any) -> BlackBox:
    """Make a black box of an ONNX file.

    Args:
        file: the `.onnx` file.
        size: input side in pixels, only for models that take any size.
        output: which output speaks of fake, where there are several.
        settings: as in `blackbox`.

    Raises:
        ModelError: packages missing, a damaged file, or no detector.
    """
    proto, outside = read_proto(file)
    names = [value.name for value in proto.graph.output]
    ending = find_ending(writers(proto.graph), names[choose_output(names, output)])
    session = start(proto, ending, file)
    if len(session.get_inputs()) != 1:
        raise ModelError(f"the model takes {len(session.get_inputs())} inputs; expected one image")
    entry = session.get_inputs()[0]
    if entry.type not in NUMBERS:
        raise ModelError(f"the model takes {entry.type}; expected float, float16, double or uint8 pixels")
    shape = [side if isinstance(side, int) and side > 0 else None for side in entry.shape]
    first, open_sides = image_layout(shape)
    height, width = sides(open_sides, size)
    function = laid_out(asking(session, entry.name), first, shape[0], NUMBERS[entry.type])
    units = function(np.zeros((1, height, width, 3), np.float32)).shape[1]
    check_units(ending, units)
    digest = digest_of([file, *outside]) if outside else sha256(file)
    return blackbox(
        function, (height, width), sha256=digest, card=read_card(file.parent / CARD, digest), text=ending.text(units),
        probabilities=ending.probabilities, **settings,
    )  # fmt: skip


def read_proto(path: Path) -> tuple[Any, list[Path]]:
    """Return an ONNX file's content without the weights that lie beside it, and their files."""
    try:
        import onnx
        import onnxruntime  # noqa: F401
        from onnx.inliner import inline_local_functions
    except ImportError:
        raise ModelError(f"'{path.name}' needs the packages onnx and onnxruntime; pip install 'whyfake[onnx]'") from None
    try:
        proto = onnx.load(str(path), load_external_data=False)
        if not proto.graph.node:
            raise ValueError("it holds no operations")
        places = {entry.value for tensor in proto.graph.initializer for entry in tensor.external_data if entry.key == "location"}
        return inline_local_functions(proto) if proto.functions else proto, [path.parent / place for place in sorted(places)]
    except Exception as error:  # protobuf raises whatever the broken part raises
        raise ModelError(f"'{path.name}' is damaged or no ONNX model: {' '.join(str(error).split())[:200]}") from None


def writers(graph: Any) -> dict[str, Node]:
    """Return by value the operation that computes it; operations of other makers are told apart by their domain."""
    found = {}
    for node in graph.node:
        kind = node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}.{node.op_type}"
        found.update(dict.fromkeys(node.output, Node(kind, node.name, list(node.input))))
    return found


def start(proto: Any, ending: Ending, path: Path) -> Any:
    """Start a session that answers with the value of the ending; what comes after it is not run."""
    import onnx
    import onnxruntime

    kept = next((value for value in proto.graph.output if value.name == ending.value), None) or onnx.ValueInfoProto(name=ending.value)
    proto.graph.ClearField("output")
    proto.graph.output.append(kept)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails raises as well
    options.add_session_config_entry(FOLDER, str(path.parent.resolve()))
    providers = [name for name in PROVIDERS if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=providers)
    except Exception as error:  # onnxruntime raises whatever the broken part raises
        raise ModelError(f"'{path.name}' cannot be run by onnxruntime: {' '.join(str(error).split())[:300]}") from None


def asking(session: Any, name: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from a session's input to its only output."""

    def run(values: np.ndarray) -> np.ndarray:
        try:
            return np.asarray(session.run(None, {name: values})[0], np.float32)
        except Exception as error:  # onnxruntime raises whatever the graph raises
            reason = " ".join(str(error).split())[:200]
            raise ModelError(f"the model cannot be run on images of shape {values.shape}: {reason}") from None

    return run
