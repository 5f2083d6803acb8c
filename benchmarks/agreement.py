"""Our maps against xplique's on the same network and images, with the same masks and the same noise."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.rival import rival

SIZE, MASKS, SAMPLES = 96, 200, 12


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference relative to the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def compare() -> dict[str, float]:
    """Return the largest relative difference per method; empty without xplique."""
    import keras

    from models import build
    from xai import wrap
    from xai.maps.gradients import gradients
    from xai.maps.mapped import compute
    from xai.maps.rise import masks_of

    keras.utils.set_random_seed(0)
    model = build("lenet", SIZE)
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    twin.layers[-1].activation = keras.activations.linear
    detector = wrap(model)
    images = np.random.default_rng(0).uniform(0, 255, (2, SIZE, SIZE, 3)).astype(np.float32)
    with tempfile.TemporaryDirectory() as name, rival(keras.Model(twin.inputs, twin.outputs), images, Path(name)) as other:
        if other is None:
            return {}

        def ours(method: str) -> np.ndarray:
            return compute(detector, images, [], [method]).maps["input", method]

        found = {}
        other.ask("IntegratedGradients", {"steps": 64, "baseline_value": 0.0, "reducer": None}, save="ig.npy")
        found["integrated gradients, 64 steps from black"] = relative(ours("integrated_gradients"), other.maps("ig.npy").sum(-1))
        other.ask("GradientInput", {"reducer": None}, save="gxi.npy")
        found["gradient x input"] = relative(ours("gradient_x_input"), other.maps("gxi.npy").sum(-1))
        other.ask("Saliency", {"reducer": "max"}, save="saliency.npy")
        found["saliency"] = relative(ours("saliency"), other.maps("saliency.npy")[..., 0])

        spread = np.float32(0.1 * (images[0].max() - images[0].min()))
        noise = spread * np.random.default_rng(0).standard_normal((SAMPLES, SIZE, SIZE, 3), np.float32)
        np.save(other.folder / "noise.npy", noise)
        other.ask("SmoothGrad", {"nb_samples": SAMPLES, "batch_size": SAMPLES, "reducer": None}, save="smooth.npy", inputs="noise.npy", limit=1)
        mean = np.mean([gradients(detector, images[:1] + part, 1)[0] for part in noise], 0)
        assert np.allclose(ours(f"smoothgrad:samples={SAMPLES}:noise=0.1")[0], np.abs(mean).max(-1), rtol=1e-3, atol=1e-6)
        found["SmoothGrad, the same noise"] = relative(mean, other.maps("smooth.npy")[0])

        other.ask("Occlusion", {"patch_size": 16, "patch_stride": 16, "occlusion_value": 0.0}, save="occlusion.npy")
        found["occlusion, patches of 16 in black"] = relative(ours("occlusion:patch=16:stride=16:fill=black"), other.maps("occlusion.npy")[..., 0])

        masks = np.array(list(masks_of(MASKS, (SIZE, SIZE), 7, 0.5, 0)))
        np.save(other.folder / "masks.npy", masks)
        other.ask("Rise", {"nb_samples": MASKS, "grid_size": 7}, save="rise.npy", inputs="masks.npy")
        # theirs divides by each pixel's own sum of masks and keeps the mean score; ours is centred
        scores = np.array([detector.logits(image * masks[..., None]) for image in images])  # (N, masks)
        kept = masks.sum(0)
        uncentred = ours(f"rise:masks={MASKS}:grid=7") * (MASKS * 0.5) / kept + scores.mean(1)[:, None, None]
        found["RISE, the same masks"] = relative(uncentred, other.maps("rise.npy")[..., 0])
    return found
