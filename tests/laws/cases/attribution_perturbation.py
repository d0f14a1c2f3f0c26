"""Rows of ``analysis.attribution``: methods by perturbation."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.analysis import attribution
from tests.laws.case import Case, Reject
from tests.laws.cases.attribution import HOME, TESTS, X, f, many, whole
from tests.laws.makers import normal

MASK = np.array([[0, 1, 1], [0, 0, 2]])
KEY = jax.random.key(0)
NUMBER: Any = 3  # in the place of a key


def no_key(method):
    """Make the call that gives a number for the key."""
    return Reject(
        call=lambda: method(f, X, key=NUMBER),
        error=TypeError,
        match=rf"{method.__name__}: `key` is 3; it needs a random key",
    )


def two(key):
    return normal(key, (2, 3), (2, 3))


def two_and_key(key):
    return *two(key), key


CASES = [
    Case(
        name=f"{HOME}.feature_ablation",
        function=lambda x, b: attribution.feature_ablation(f, x, baseline=b, feature_mask=MASK),
        inputs=two,
        parity=f"{TESTS}/test_feature_ablation.py",
        rejects=(
            many(attribution.feature_ablation),
            whole(attribution.feature_ablation),
            Reject(
                call=lambda: attribution.feature_ablation(f, X, feature_mask=MASK[0]),
                error=ValueError,
                match=r"feature_ablation: `feature_mask` is .*\(3,\).* needs the shape \(2, 3\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.feature_permutation",
        function=lambda x, key: attribution.feature_permutation(jax.vmap(f), x, key=key),
        inputs=lambda key: (*normal(key, (3, 2, 3)), key),
        key=1,
        parity=f"{TESTS}/test_feature_permutation.py",
        rejects=(
            Reject(
                call=lambda: attribution.feature_permutation(jnp.sum, X, key=NUMBER),
                error=TypeError,
                match="feature_permutation: `key` is 3",
            ),
            Reject(
                call=lambda: attribution.feature_permutation(jnp.sum, jnp.ones(()), key=KEY),
                error=ValueError,
                match=r"feature_permutation: `x` .* needs shape \(batch, ...\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.shapley_values",
        function=lambda x, b: attribution.shapley_values(f, x, baseline=b, feature_mask=MASK),
        inputs=two,
        parity=f"{TESTS}/test_shapley.py",
        rejects=(
            many(attribution.shapley_values),
            whole(attribution.shapley_values),
            Reject(
                call=lambda: attribution.shapley_values(jnp.sum, jnp.ones(30)),
                error=ValueError,
                match="shapley_values: `x` .* needs at most 20 features",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.shapley_sampling",
        function=lambda x, b, key: attribution.shapley_sampling(
            f, x, key=key, samples=3, baseline=b
        ),
        inputs=two_and_key,
        key=2,
        parity=f"{TESTS}/test_shapley.py",
        rejects=(
            many(attribution.shapley_sampling, key=KEY),
            no_key(attribution.shapley_sampling),
            Reject(
                call=lambda: attribution.shapley_sampling(f, X, key=KEY, samples=0),
                error=ValueError,
                match="shapley_sampling: `samples` is 0",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.kernel_shap",
        function=lambda x, b, key: attribution.kernel_shap(
            f, x, key=key, samples=8, baseline=b, feature_mask=MASK
        ),
        inputs=two_and_key,
        key=2,
        parity=f"{TESTS}/test_kernel_shap.py",
        rejects=(
            many(attribution.kernel_shap, key=KEY),
            no_key(attribution.kernel_shap),
            Reject(
                call=lambda: attribution.kernel_shap(f, X, key=KEY, samples=4),
                error=ValueError,
                match="kernel_shap: `samples` is 4; it needs at least 5",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.lime",
        function=lambda x, b, key: attribution.lime(
            f, x, key=key, samples=8, baseline=b, feature_mask=MASK
        ),
        inputs=two_and_key,
        key=2,
        parity=f"{TESTS}/test_lime.py",
        rejects=(
            many(attribution.lime, key=KEY),
            no_key(attribution.lime),
            Reject(
                call=lambda: attribution.lime(f, X, key=KEY, penalty=0.0),
                error=ValueError,
                match=r"lime: `penalty` is 0\.0",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.rise",
        function=lambda x, b, key: attribution.rise(
            f, x, key=key, samples=4, grid=2, baseline=b, batch_size=2
        ),
        inputs=two_and_key,
        key=2,
        parity=f"{TESTS}/test_rise.py",
        rejects=(
            many(attribution.rise, key=KEY, grid=2),
            Reject(
                call=lambda: attribution.rise(f, X, key=NUMBER, grid=2),
                error=TypeError,
                match="rise: `key` is 3; it needs a random key",
            ),
            Reject(
                call=lambda: attribution.rise(f, X, key=KEY, grid=7),
                error=ValueError,
                match=r"rise: `grid` is 7; it needs from 1 to \(2, 3\) cells",
            ),
            Reject(
                call=lambda: attribution.rise(f, X, key=KEY, grid=2, probability=0.0),
                error=ValueError,
                match=r"rise: `probability` is 0\.0; it needs a number above 0",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.rise_masks",
        function=lambda key: attribution.rise_masks((3, 4), key=key, samples=3, grid=2),
        inputs=lambda key: (key,),
        key=0,
        differentiable=(),
        parity=f"{TESTS}/test_rise.py",
        exempt={
            "gradients": "a function of a key alone",
            "extremes": "a function of a key alone",
            "bfloat16": "a function of a key alone",
        },
        rejects=(
            Reject(
                call=lambda: attribution.rise_masks((3,), key=KEY, samples=0, grid=2),
                error=ValueError,
                match="rise_masks: `samples` is 0",
            ),
        ),
    ),
]
