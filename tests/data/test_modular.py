import itertools
from typing import Any, cast

import numpy as np
import pytest

from jaxnn import data

OPERATIONS = {
    "add": lambda a, b, c, p: (a + b - c) % p == 0,
    "subtract": lambda a, b, c, p: (a - b - c) % p == 0,
    "multiply": lambda a, b, c, p: (a * b - c) % p == 0 and b > 0,
    "divide": lambda a, b, c, p: (c * b - a) % p == 0 and b > 0,
    "add_squares": lambda a, b, c, p: (a * a + b * b - c) % p == 0,
    "quadratic_form": lambda a, b, c, p: (a * a + a * b + b * b - c) % p == 0,
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_each_entry_is_the_operation_and_comes_once(operation):
    p = 11
    table = data.modular_arithmetic(p, operation, train_fraction=0.3, seed=4)
    x = np.concatenate([table.train.x, table.test.x]).tolist()
    y = np.concatenate([table.train.y, table.test.y]).tolist()
    right = range(1 if operation in ("multiply", "divide") else 0, p)
    assert sorted(map(tuple, x)) == list(itertools.product(range(p), right))
    assert all(OPERATIONS[operation](a, b, c, p) for (a, b), c in zip(x, y, strict=True))
    assert set(y) == set(range(p)) == set(range(table.num_classes))
    assert len(table.train.x) == round(0.3 * len(x))
    assert (table.train.x.dtype, table.train.y.dtype) == (np.int32, np.int32)


def test_seeds_deal_the_entries_out_differently():
    one, again, other = (data.modular_arithmetic(13, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.train.x, again.train.x)
    assert set(map(tuple, one.train.x)) != set(map(tuple, other.train.x))
    # Dealt out at random: about half of one's test entries are in the other's training set.
    shared = len(set(map(tuple, one.test.x)) & set(map(tuple, other.train.x)))
    assert 0.3 < shared / len(one.test.x) < 0.7


def test_large_moduli_do_not_wrap_around():
    table = data.modular_arithmetic(1009, "add_squares")
    a, b = table.test.x.astype(object).T
    np.testing.assert_array_equal((a * a + b * b) % 1009, table.test.y)


def test_permutations_are_composed_right_first():
    table = data.permutation_composition(3, train_fraction=0.5)
    group = list(itertools.permutations(range(3)))
    assert len(table.train.x) == len(table.test.x) == 18
    for split in (table.train, table.test):
        for (a, b), c in zip(split.x, split.y, strict=True):
            assert group[c] == tuple(group[a][group[b][i]] for i in range(3))
    assert data.permutation_composition().num_classes == 120


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: data.modular_arithmetic(1), "`modulus` is 1; it needs a whole number of at least"),
        (lambda: data.modular_arithmetic(9, "divide"), "`modulus` is 9; it needs a prime number"),
        (
            lambda: data.modular_arithmetic(7, cast("Any", "power")),
            "`operation` is 'power'; it needs one of",
        ),
        (lambda: data.modular_arithmetic(7, train_fraction=1.0), "`train_fraction` is 1.0"),
        (lambda: data.modular_arithmetic(7, train_fraction=0.001), "leaves both sets some of"),
        (lambda: data.permutation_composition(7), "`degree` is 7; it needs .* from 2 to 6"),
    ],
)
def test_bad_options_are_named(unchecked, call, match):
    with pytest.raises(ValueError, match=match):
        call()
