"""How often intervals hold a truth that is known, and how often tests cry wolf: `python -m benchmarks.coverage`.

Columns are simulated data sets, so that one call analyses thousands. Student's t, the percentile
bootstrap, BCa, the bootstrap-t and sign flips stand beside what `xai.inference` does.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np

from xai.inference import difference_interval, difference_test, mean_interval, mean_test, ratio_interval
from xai.multiple import holm
from xai.permutation import permutation_test

COUNTS = (20, 40, 100, 400)
CELLS = 300  # of a table, all corrected together
DRAWS = 2000  # of each bootstrap
CHUNK = 2_000_000  # numbers drawn at once

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


def pairs(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return Beta(1, 20) minus Beta(1, 8) on the same image, correlated by 0.7 (in ranks' normal scores)."""
    from scipy.special import ndtr

    first, second = rng.standard_normal((2, *shape))
    # the inverse of Beta(1, b)'s distribution function is 1 - (1 - u) ** (1 / b)
    return ndtr(-0.7 * first - np.sqrt(0.51) * second) ** (1 / 8) - ndtr(-first) ** (1 / 20)


ZERO = 0.3
SHARES: dict[str, tuple[Draw, float]] = {  # how to draw, and the mean that is true
    "Beta(1, 20)": (lambda rng, shape: rng.beta(1, 20, shape), 1 / 21),
    "lognormal, sigma 0.5": (lambda rng, shape: np.exp(0.5 * rng.standard_normal(shape)), float(np.exp(0.125))),
    "30 % zeros, Beta(1, 20)": (lambda rng, shape: rng.beta(1, 20, shape) * (rng.random(shape) > ZERO), (1 - ZERO) / 21),
    "30 % zeros, Beta(2, 10)": (lambda rng, shape: rng.beta(2, 10, shape) * (rng.random(shape) > ZERO), (1 - ZERO) / 6),
    "pairs": (pairs, 1 / 21 - 1 / 9),
}
HARD: dict[str, tuple[Draw, float]] = {
    "lognormal, sigma 0.75": (lambda rng, shape: np.exp(0.75 * rng.standard_normal(shape)), float(np.exp(0.75**2 / 2))),
    "lognormal, sigma 1": (lambda rng, shape: np.exp(rng.standard_normal(shape)), float(np.exp(0.5))),
}


def densities(rng: np.random.Generator, shape: tuple[int, int], absent: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return mass shares and area shares of a region, density 1.5; absent (both 0) in that share of the images."""
    area = rng.beta(20, 200, shape) * (rng.random(shape) >= absent)
    return 1.5 * area * np.exp(0.5 * rng.standard_normal(shape) - 0.125), area


def chunks(datasets: int, count: int) -> Iterator[int]:
    """Yield how many data sets of so many numbers to draw at a time."""
    step = max(1, CHUNK // count)
    yield from (min(step, datasets - start) for start in range(0, datasets, step))


def rivals(values: np.ndarray, seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return low and high, `(C,)` each, of the other intervals for means of `(N, C)`."""
    from scipy.special import ndtr, ndtri, stdtrit

    count = len(values)
    mean, spread = values.mean(0), values.std(0)
    scaled = (values - mean) / spread
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), DRAWS).astype(float)
    means = drawn @ scaled / count
    variances = np.maximum(drawn @ scaled**2 / count - means**2, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(variances > 1e-12, means / np.sqrt(variances / (count - 1)), np.copysign(np.inf, means))
    half = float(stdtrit(count - 1, 0.975)) * spread / np.sqrt(count - 1)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    bottom, top = np.quantile(t, [0.025, 0.975], axis=0, method="inverted_cdf")
    bias, pull = ndtri(np.clip((means < 0).mean(0), 1e-4, 1 - 1e-4)), (scaled**3).mean(0) / (6 * np.sqrt(count))
    ranked, columns = np.sort(means, axis=0), np.arange(values.shape[1])
    adjusted = [ndtr(bias + (bias + z) / (1 - pull * (bias + z))) for z in (-1.96, 1.96)]
    ends = [mean + spread * ranked[np.rint(share * (DRAWS - 1)).astype(int), columns] for share in adjusted]
    return {
        "t": (mean - half, mean + half),
        "percentile": (mean + spread * low, mean + spread * high),
        "BCa": (ends[0], ends[1]),
        "bootstrap-t": (mean - top * spread / np.sqrt(count - 1), mean - bottom * spread / np.sqrt(count - 1)),
    }


def simulate(draw: Draw, truth: float, count: int, datasets: int, seed: int = 0, others: bool = False) -> dict[str, float]:
    """Return how often each 95 % interval of the mean holds the truth.

    Args:
        draw: gives values `(N, C)`.
        truth: their mean.
        count: images, N.
        datasets: simulated.
        seed: of the data.
        others: whether to compute the rivals too.
    """
    rng = np.random.default_rng([seed, count])
    held: dict[str, int] = {}
    for step in chunks(datasets, max(count, DRAWS) if others else count):
        values = draw(rng, (count, step))
        ends = {"ours": mean_interval(values)[1:]} | (rivals(values, seed) if others else {})
        for name, (low, high) in ends.items():
            held[name] = held.get(name, 0) + int(((low <= truth) & (truth <= high)).sum())
    return {name: hits / datasets for name, hits in held.items()}


def simulate_ratio(count: int, datasets: int, absent: float, seed: int = 0) -> float:
    """Return how often the interval of a density holds 1.5."""
    rng, held = np.random.default_rng([seed, count]), 0
    for step in chunks(datasets, 10 * count):
        _, low, high = ratio_interval(*densities(rng, (count, step), absent))
        held += int(((low <= 1.5) & (high >= 1.5)).sum())
    return held / datasets


def simulate_difference(first: Draw, second: Draw, truth: float, counts: tuple[int, int], datasets: int, seed: int = 0) -> float:
    """Return how often the interval of a difference of means holds the truth."""
    rng, held, group = np.random.default_rng([seed, *counts]), 0, np.arange(sum(counts)) < counts[0]
    for step in chunks(datasets, sum(counts)):
        values = np.concatenate([draw(rng, (count, step)) for draw, count in zip((first, second), counts, strict=True)])
        _, low, high = difference_interval(values, group)
        held += int(((low <= truth) & (truth <= high)).sum())
    return held / datasets


def familywise(draw: Draw, truth: float, count: int, datasets: int, seed: int = 0, cells: int = CELLS) -> dict[str, float]:
    """Return how often any of the cells is called after Holm's correction although all means are the null's.

    Args:
        draw, truth, count, datasets, seed: as `simulate`; the cells are independent, which is the worst case.
        cells: of each table.

    Returns:
        "ours": `mean_test`; "t": Student's.
    """
    from scipy.special import stdtr

    rng, alarms = np.random.default_rng([seed, count]), np.zeros(2)
    for step in chunks(datasets, count * cells):
        values = draw(rng, (count, step * cells)) - truth
        t = values.mean(0) / np.sqrt(values.var(0) / (count - 1))
        for place, p in enumerate((mean_test(values), 2 * stdtr(count - 1, -np.abs(t)))):
            alarms[place] += sum(bool((holm(table) <= 0.05).any()) for table in p.reshape(step, cells))
    return dict(zip(("ours", "t"), (alarms / datasets).tolist(), strict=True))


def familywise_difference(
    draw: Draw, other: Draw, counts: tuple[int, int], datasets: int, seed: int = 0, cells: int = CELLS, resamples: int = 11_999
) -> dict[str, float]:
    """Return the same of the tests of a difference, the group drawn from one distribution and the rest from the other.

    Returns:
        "permutation": `permutation_test`; "difference": `difference_test`; "greater": the greater p of the two.
    """
    rng, alarms, group = np.random.default_rng([seed, *counts]), np.zeros(3), np.arange(sum(counts)) < counts[0]
    for start, step in enumerate(chunks(datasets, sum(counts) * cells)):
        values = np.concatenate([part(rng, (count, step * cells)) for part, count in zip((draw, other), counts, strict=True)])
        # new permutations for every chunk: under one set of them all data sets would err together
        permuted, corrected = permutation_test(values, group, resamples, seed=start), difference_test(values, group)
        for place, p in enumerate((permuted, corrected, np.maximum(permuted, corrected))):
            alarms[place] += sum(bool((holm(table) <= 0.05).any()) for table in p.reshape(step, cells))
    return dict(zip(("permutation", "difference", "greater"), (alarms / datasets).tolist(), strict=True))


def tails(draw: Draw, truth: float, count: int, datasets: int, draws: int = 20_000, seed: int = 0) -> dict[str, dict[str, list[float]]]:
    """Return false alarms at 0.05, 0.001 and 0.0001 as multiples of what they should be: ours, t, sign flips."""
    from scipy.special import stdtr

    rng, levels = np.random.default_rng([seed, count]), np.array([0.05, 0.001, 0.0001])
    signs = rng.choice(np.array([-1, 1], np.float32), (draws, count))
    found = {name: np.zeros(3) for name in ("ours", "t", "flips")}
    for step in chunks(datasets, draws // 4):
        values = draw(rng, (count, step)) - truth
        t = values.mean(0) / np.sqrt(values.var(0) / (count - 1))
        # the sum of squares is the same for all flips, so that t and the sum rank them alike
        reached = (np.abs(signs @ values.astype(np.float32)) >= np.abs(values.sum(0)) * (1 - 1e-6)).sum(0)
        for name, p in (("ours", mean_test(values)), ("t", 2 * stdtr(count - 1, -np.abs(t))), ("flips", (reached + 1) / (draws + 1))):
            found[name] += (p[:, None] <= levels).sum(0)
    return {name: (hits / datasets / levels).tolist() for name, hits in found.items()}


def row(*cells: object) -> None:
    """Print a row of a Markdown table."""
    print("|", *(f"{cell:.3f} |" if isinstance(cell, float) else f"{cell} |" for cell in cells), flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", type=int, default=2000)
    datasets = parser.parse_args().datasets
    names = ("ours", "bootstrap-t", "BCa", "percentile", "t")
    noise = 2 * np.sqrt(0.05 * 0.95 / datasets)
    print(f"\nCoverage of 95 % intervals, {datasets:,} data sets, ± {noise:.3f} (two sigma); many, and below: ours on ten times as many\n")
    row("mean of", "images", *names, "ours, many")
    row(*["---"] * 8)
    for name, (draw, truth) in (SHARES | HARD).items():
        for count in COUNTS:
            found = simulate(draw, truth, count, datasets, others=True)
            row(name, count, *(found[method] for method in names), simulate(draw, truth, count, 10 * datasets, seed=1)["ours"])
    print()
    row("density", *COUNTS)
    row(*["---"] * 5)
    for absent in (0.0, ZERO):
        row(f"absent in {absent:.0%}", *(simulate_ratio(count, 10 * datasets, absent) for count in COUNTS))
    print()
    row("difference", "20, 20", "20, 60", "40, 40", "100, 100", "100, 400")
    row(*["---"] * 6)
    beta = SHARES["Beta(1, 20)"][0]
    even: Draw = lambda rng, shape: rng.beta(4, 80, shape)  # noqa: E731
    sizes = ((20, 20), (20, 60), (40, 40), (100, 100), (100, 400))
    for name, second in (("Beta(1, 20) twice", beta), ("Beta(1, 20) and Beta(4, 80)", even)):
        row(name, *(simulate_difference(beta, second, 0, pair, 10 * datasets) for pair in sizes))
    print(f"\nFalse alarms per table of {CELLS} independent cells after Holm's correction, should be 0.05 at most, {datasets:,} tables\n")
    row("null", "images", "mean_test", "t")
    row(*["---"] * 4)
    for name, (draw, truth) in SHARES.items():
        for count in (*COUNTS, 1000)[1:]:
            row(name, count, *familywise(draw, truth, count, datasets).values())
    print()
    row("difference", "images", "permutation_test", "difference_test", "the greater p")
    row(*["---"] * 5)
    for name, second in (("Beta(1, 20) twice", beta), ("Beta(1, 20) and Beta(4, 80)", even)):
        for pair in (*sizes, (400, 400)):
            row(name, "{}, {}".format(*pair), *familywise_difference(beta, second, pair, datasets // 2).values())
    print("\nFalse alarms at 0.05, 0.001, 0.0001, as multiples of that; 20 times as many data sets\n")
    row("mean of", "images", "mean_test", "t", "sign flips")
    row(*["---"] * 5)
    for name in ("Beta(1, 20)", "lognormal, sigma 0.5"):
        for count in (20, 100):
            alarms = tails(*SHARES[name], count, 20 * datasets)
            row(name, count, *(", ".join(f"{value:.1f}" for value in alarms[method]) for method in ("ours", "t", "flips")))


if __name__ == "__main__":
    main()
