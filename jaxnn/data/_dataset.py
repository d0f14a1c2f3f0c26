"""What a data set is, and how examples are divided and scaled without looking at the test set.

Splits are made from the raw output of a fixed bit generator, whose stream NumPy promises to
keep, so that they are the same on every machine and with every version.
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

Task = Literal["classification", "regression"]


class Split(NamedTuple):
    """Examples and their targets: two arrays of the same length."""

    x: np.ndarray
    y: np.ndarray


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Examples to train on and examples to test on.

    Attributes:
      train: what may be looked at.
      test: what may not, until the end.
      task: whether ``y`` holds classes (int32, from 0) or numbers (float32).
      num_classes: how many classes; ``None`` for regression.
      feature_names: one a feature, in the order of a flattened example; may be empty.
      class_names: one a class; empty for regression.
      name: what the data are called.
      target_mean: what was subtracted from a regression's targets ...
      target_scale: ... before they were divided by this: ``y * target_scale + target_mean`` is
        in the data's own units.
    """

    train: Split
    test: Split
    task: Task
    num_classes: int | None = None
    feature_names: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    name: str = ""
    target_mean: float = 0.0
    target_scale: float = 1.0


def permutation(count: int, seed: int | tuple[int, ...]) -> np.ndarray:
    """Shuffle ``range(count)``, the same for ever."""
    return np.argsort(
        np.random.PCG64(np.random.SeedSequence(seed)).random_raw(count), kind="stable"
    )


def divide(
    count: int, num_test: int, seed: int, classes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the indices of the training and of the test examples, both in shuffled order.

    With ``classes``, each class gets its share of the test examples to within one example:
    its quota rounded down, and one more for the largest remainders.
    """
    order = permutation(count, seed)
    held_out = np.zeros(count, bool)
    if classes is None:
        held_out[order[:num_test]] = True
    else:
        kinds, sizes = np.unique(classes, return_counts=True)
        quotas = sizes * num_test / count
        shares = quotas.astype(int)
        remainders = np.argsort(shares - quotas, kind="stable")
        shares[remainders[: num_test - shares.sum()]] += 1
        for kind, share in zip(kinds, shares, strict=True):
            held_out[order[classes[order] == kind][:share]] = True
    return order[~held_out[order]], order[held_out[order]]


def standardise(
    train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Shift and scale both by the mean and the deviation of ``train`` alone.

    Returns:
      Both in float32, the mean, and the scale, which is 1 where ``train`` is constant.
    """
    mean = np.asarray(train.mean(axis=0))
    constant = (train == train[:1]).all(axis=0)  # its deviation is zero only up to rounding
    scale = np.where(constant, 1.0, train.std(axis=0))
    x_train, x_test = (((part - mean) / scale).astype(np.float32) for part in (train, test))
    return x_train, x_test, mean, scale


def table(
    name: str,
    x: np.ndarray,
    y: np.ndarray,
    *,
    num_test: int,
    seed: int = 0,
    feature_names: Sequence[str],
    class_names: Sequence[str] | None,
) -> Dataset:
    """Make a data set of a table in float64; classification if there are class names."""
    classification = class_names is not None
    train, test = divide(len(x), num_test, seed, y if classification else None)
    x_train, x_test, _, _ = standardise(x[train], x[test])
    mean, scale = 0.0, 1.0
    if classification:
        y_train, y_test = (y[part].astype(np.int32) for part in (train, test))
    else:
        y_train, y_test, mean, scale = standardise(y[train], y[test])
    return Dataset(
        train=Split(x_train, y_train),
        test=Split(x_test, y_test),
        task="classification" if classification else "regression",
        num_classes=len(class_names) if classification else None,
        feature_names=tuple(map(str, feature_names)),
        class_names=tuple(map(str, class_names or ())),
        name=name,
        target_mean=float(mean),
        target_scale=float(scale),
    )
