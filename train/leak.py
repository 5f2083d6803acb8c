"""The leak test: how well file facts alone, without one pixel, tell real from fake.

A detector learns the easiest difference first. Where the classes were stored in different ways, that
is the difference, and a high accuracy then says nothing about faces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from train.datasets import CLASSES
from train.filefacts import Facts
from train.leakwords import ALL, FAMILIES, difference, remedy, sentence

FOLDS, FEWEST = 5, 10  # folds at most; different images a class needs
MOST = 20_000  # images at most: more would only narrow an interval that is narrow already
LOOSE = 1.5  # variance of a cross-validated AUC to that of a fixed score's
SEVERE, LEAK = 0.9, 0.6  # what the lower end of the interval must pass
VERDICTS = ("severe", "leak", "slight", "none")


def leak(facts: Sequence[Facts], labels: Sequence[str], contents: Sequence[str], *, seed: int = 0) -> dict[str, Any]:
    """Measure how well each family of file facts, and all together, tell real from fake.

    Small models answer for files that they were not trained on. Of files with the same content
    one is kept, so that no copy sits in two folds; content that stands in both classes is left out.

    Args:
        facts: of the readable files.
        labels: "real" or "fake", one per file.
        contents: SHA-256 per file; "" where not known.
        seed: of the folds.

    Returns:
        `images`, `real`, `fake`, `folds`, `rounds`; `families`, each with `name`, `auc`, its 95 % `interval`,
        `verdict` and `difference`; `verdict` and `sentence` of the whole, and `do`. A class with fewer than
        `FEWEST` different images gives the verdict "untested" and no families.

    Example:
        >>> small, large = (Facts(size, 8, 8, "RGB", "PNG", ".png", True) for size in (100, 200))
        >>> found = leak([small, large] * 20, ["real", "fake"] * 20, [str(number) for number in range(40)])
        >>> found["families"][0]["name"], found["families"][0]["auc"], found["families"][0]["difference"]
        ('file size', 1.0, 'fakes are larger: median 200 B, reals 100 B')
    """
    kept = chosen(labels, contents, seed)
    facts, truth = [facts[i] for i in kept], np.array([CLASSES.index(labels[i]) for i in kept], int)
    counts = {label: int((truth == index).sum()) for index, label in enumerate(CLASSES)}
    found: dict[str, Any] = {"images": len(kept), **counts, "folds": 0, "rounds": 0, "families": [], "verdict": "untested"}
    if min(counts.values()) < FEWEST:
        return found | {
            "sentence": f"File facts were not tested: {counts['real']} real and {counts['fake']} fake different images, {FEWEST} of each are needed.",
            "do": "Add images and inspect again.",
        }
    found |= {"folds": min(FOLDS, min(counts.values()) // 2), "rounds": 2 if len(kept) >= 1000 else 3}
    known: dict[bytes, float] = {}  # where only one family varies, all together are that family
    for name, columns in matrices(facts):
        if (table := columns.tobytes()) not in known:
            known[table] = crossed(columns, truth, found["folds"], found["rounds"], seed)
        auc = known[table]
        low, high = interval(auc, counts["fake"], counts["real"])
        constant = not columns.shape[1]
        family = {"name": name, "auc": auc, "interval": None if constant else [low, high], "verdict": "none" if constant else verdict(low)}
        found["families"].append(family | {"difference": difference(name, facts, truth, constant)})
    # Stable: families of one verdict stay in the order in which they are told.
    found["families"].sort(key=lambda family: VERDICTS.index(family["verdict"]))
    found["verdict"] = found["families"][0]["verdict"]
    return found | {"sentence": sentence(found["families"]), "do": remedy(found["families"], facts, truth)}


def chosen(labels: Sequence[str], contents: Sequence[str], seed: int) -> list[int]:
    """Return the indices of one file of each content, `MOST` at most; content in both classes is left out."""
    classes: dict[str, set[str]] = {}
    first: dict[str, int] = {}
    for index, (label, content) in enumerate(zip(labels, contents, strict=True)):
        key = content or f"file {index}"
        classes.setdefault(key, set()).add(label)
        first.setdefault(key, index)
    kept = [index for key, index in first.items() if len(classes[key]) == 1]
    if len(kept) > MOST:
        kept = np.sort(np.random.default_rng(seed).permutation(kept)[:MOST]).tolist()
    return kept


def matrices(facts: Sequence[Facts]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each family's name and facts as numbers, float64 `(N, columns)`, then all of them side by side.

    Texts become codes, what is missing NaN; what is the same in every file has no column. Where
    all images have as many pixels, bits per pixel are the file size again and are left out.
    """
    parts = []
    for name, family in FAMILIES.items():
        if name == "bits per pixel" and len({f.width * f.height for f in facts}) == 1:
            continue
        values = [family(f) for f in facts]
        columns = []
        for key in sorted({key for value in values for key in value}):
            column = numbers([value.get(key, 0.0) for value in values])
            if not (np.isnan(column).all() or (column == column[0]).all()):
                columns.append(column)
        parts.append(np.stack(columns, axis=1) if columns else np.zeros((len(facts), 0)))
        yield name, parts[-1]
    yield ALL, np.concatenate(parts, axis=1)


def numbers(values: Sequence[float | str | None]) -> np.ndarray:
    """Return values as float64 `(N,)`: texts as codes, None as NaN.

    Example:
        >>> numbers(["b", "a", None]).tolist(), numbers([3, None]).tolist()
        ([1.0, 0.0, nan], [3.0, nan])
    """
    codes = {text: float(code) for code, text in enumerate(sorted({value for value in values if isinstance(value, str)}))}
    return np.array([np.nan if value is None else codes[value] if isinstance(value, str) else float(value) for value in values])


def crossed(columns: np.ndarray, truth: np.ndarray, folds: int, rounds: int, seed: int) -> float:
    """Return the cross-validated AUC of two small models that answer together.

    A logistic regression on ranks sees weak trends, boosted trees see steps and values that lie
    apart; their logits are added. The AUC is taken within each fold and averaged: pooled over
    folds it would compare the answers of different models, which in small sets makes it too low.

    Args:
        columns: facts `(N, columns)`, NaN where missing.
        truth: 1 is fake, `(N,)`.
        folds: stratified; each class has at least two images in each.
        rounds: how often the folds are drawn anew.
        seed: of the folds.

    Returns:
        The mean AUC in [0, 1]; 0.5 where there are no columns.

    Reference: Airola, Pahikkala, Waegeman, De Baets and Salakoski, An experimental comparison of
    cross-validation techniques for estimating the area under the ROC curve, 2011,
    doi:10.1016/j.csda.2010.11.018.
    """
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import RepeatedStratifiedKFold
    from threadpoolctl import threadpool_limits

    if not columns.shape[1]:
        return 0.5
    scores = []
    with threadpool_limits(1):  # on tables this small, threads wait for each other longer than they work
        for train, test in RepeatedStratifiedKFold(n_splits=folds, n_repeats=rounds, random_state=seed).split(columns, truth):
            logits = sum(model.fit(columns[train], truth[train]).decision_function(columns[test]) for model in models(len(train)))
            scores.append(roc_auc_score(truth[test], logits))
    return float(np.mean(scores))


def models(count: int) -> tuple[Any, Any]:
    """Return the two models for so many training files; both take missing values."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import QuantileTransformer

    trend = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        QuantileTransformer(n_quantiles=min(50, count), output_distribution="normal"),
        LogisticRegression(solver="newton-cholesky"),  # the others may stop early where facts say the same
    )
    return trend, HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=3, min_samples_leaf=max(5, count // 20))


def interval(auc: float, positives: int, negatives: int, level: float = 0.95) -> tuple[float, float]:
    """Return a score interval of an AUC, which has a width at 0 and 1 too.

    The variance is that of a fixed score, taken `LOOSE` times: from one drawn data set to the next
    the AUC of cross-validated models varies more, as the models vary too. Simulated with facts that
    are normal, yes or no, or only wider in one class, 24 and 60 or 100 and 100 images, AUCs from
    0.5 to 0.9, the interval held the mean AUC of such models in 92 to 100 % of 60 to 100 sets each.

    Args:
        auc: cross-validated, in [0, 1].
        positives, negatives: images of each class.
        level: coverage.

    Returns:
        (low, high) in [0, 1].

    Reference: Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic, part 2, 2006, doi:10.1002/sim.2324, method 5, with the variance of Hanley and McNeil, 1982.

    Example:
        >>> [round(end, 3) for end in interval(1.0, 24, 60)]
        [0.913, 1.0]
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    z2 = float(norm.ppf((1 + level) / 2)) ** 2
    half = (positives + negatives) / 2 - 1

    def beyond(true: float) -> float:
        variance = LOOSE * true * (1 - true) * (1 + half * (1 - true) / (2 - true) + half * true / (1 + true)) / (positives * negatives)
        return (auc - true) ** 2 - z2 * variance

    # At 0 and 1 the AUC itself is a root, the one that is not meant.
    step = 1e-9
    low = float(brentq(beyond, 0, auc - step)) if auc > 2 * step else 0.0
    return low, (float(brentq(beyond, auc + step, 1)) if auc < 1 - 2 * step else 1.0)


def verdict(low: float) -> str:
    """Return the verdict on a lower end of an interval."""
    return "severe" if low > SEVERE else "leak" if low > LEAK else "slight" if low > 0.5 else "none"
