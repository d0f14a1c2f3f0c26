r"""Whole tables of small binary operations, part of their entries held out: grokking's test bed.

===========  ======================================================
p            ``modulus``; operands and results are the numbers 0 ... p - 1
a, b, c      left and right operand, and a ∘ b
===========  ======================================================

Source: "Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets" (2022),
appendix A.1.1.
"""

import itertools
from typing import Literal, get_args

import numpy as np

from jaxnn._check import require, require_count
from jaxnn.data._dataset import Dataset, Split, divide

Operation = Literal["add", "subtract", "multiply", "divide", "add_squares", "quadratic_form"]


def modular_arithmetic(
    modulus: int = 97,
    operation: Operation = "add",
    *,
    train_fraction: float = 0.5,
    seed: int = 0,
) -> Dataset:
    r"""Tabulate a binary operation modulo a number, and hold out a random part of the table.

    ==================  =====================================================
    ``add``             :math:`a + b`
    ``subtract``        :math:`a - b`
    ``multiply``        :math:`a b`, with b from 1 on
    ``divide``          :math:`a b^{-1}`, with b from 1 on; p must be prime
    ``add_squares``     :math:`a^2 + b^2`
    ``quadratic_form``  :math:`a^2 + a b + b^2`
    ==================  =====================================================

    Products and quotients leave out b = 0, whose rows hold one result or none.

    Args:
      modulus: p.
      operation: which.
      train_fraction: share of the entries to train on; the others are the test set.
      seed: of the order in which entries are dealt out, the same for ever.

    Returns:
      x ``(n, 2)``, the operands as int32, and y the result, one of p classes.

    Raises:
      ValueError: the operation is unknown, p is below 2 or not prime for ``divide``, or the
        fraction leaves one of the two sets empty.

    Example:
      >>> table = modular_arithmetic(7, "divide", train_fraction=0.5)
      >>> bool(((table.train.y * table.train.x[:, 1]) % 7 == table.train.x[:, 0]).all())
      True
    """
    where = "modular_arithmetic"
    require_count(where, modulus=modulus)
    require(modulus > 1, where, "modulus", modulus, "a whole number of at least 2")
    names = get_args(Operation)
    require(operation in names, where, "operation", operation, f"one of {names}")
    if operation == "divide":
        prime = all(modulus % d for d in range(2, int(modulus**0.5) + 1))
        require(prime, where, "modulus", modulus, "a prime number, for `divide`")
    start = 1 if operation in ("multiply", "divide") else 0
    # In 64 bits: squares of the operands must not wrap around.
    a, b = np.meshgrid(np.arange(modulus), np.arange(start, modulus), indexing="ij")
    if operation == "add":
        c = a + b
    elif operation == "subtract":
        c = a - b
    elif operation == "multiply":
        c = a * b
    elif operation == "divide":
        inverses = np.array([pow(int(d), -1, modulus) for d in range(start, modulus)])
        c = a * inverses[None, :]
    elif operation == "add_squares":
        c = a**2 + b**2
    else:
        c = a**2 + a * b + b**2
    x = np.stack([a.ravel(), b.ravel()], axis=-1)
    name = f"{operation}-modulo-{modulus}"
    return _part(where, x, c.ravel() % modulus, modulus, train_fraction, seed, name)


def permutation_composition(
    degree: int = 5, *, train_fraction: float = 0.5, seed: int = 0
) -> Dataset:
    r"""Tabulate the product of permutations, a group that is not commutative.

    .. math:: (a \circ b)(i) = a(b(i))

    Args:
      degree: how many things are permuted, at most 6; permutations are numbered in
        lexicographic order, 0 the identity.
      train_fraction: share of the entries to train on; the others are the test set.
      seed: of the order in which entries are dealt out, the same for ever.

    Returns:
      x ``(n, 2)``, the numbers of a and b as int32, and y that of their product, one of
      ``degree!`` classes.

    Raises:
      ValueError: the degree is outside 2 to 6, or the fraction leaves a set empty.
    """
    where = "permutation_composition"
    require_count(where, degree=degree)
    require(2 <= degree <= 6, where, "degree", degree, "a whole number from 2 to 6")
    group = np.array(list(itertools.permutations(range(degree))))
    count = len(group)
    a, b = (side.ravel() for side in np.meshgrid(np.arange(count), np.arange(count), indexing="ij"))
    digits = degree ** np.arange(degree)
    number = np.zeros(degree**degree, int)
    number[group @ digits] = np.arange(count)
    c = number[np.take_along_axis(group[a], group[b], axis=-1) @ digits]
    name = f"permutations-of-{degree}"
    return _part(where, np.stack([a, b], axis=-1), c, count, train_fraction, seed, name)


def _part(
    where: str, x: np.ndarray, y: np.ndarray, classes: int, fraction: float, seed: int, name: str
) -> Dataset:
    require(0 < fraction < 1, where, "train_fraction", fraction, "a share strictly in (0, 1)")
    kept = round(fraction * len(x))
    needs = f"a share that leaves both sets some of the {len(x)} entries"
    require(0 < kept < len(x), where, "train_fraction", fraction, needs)
    x, y = x.astype(np.int32), y.astype(np.int32)
    train, test = divide(len(x), len(x) - kept, seed)
    return Dataset(
        train=Split(x[train], y[train]),
        test=Split(x[test], y[test]),
        task="classification",
        num_classes=classes,
        feature_names=("left", "right"),
        class_names=tuple(map(str, range(classes))),
        name=name,
    )
