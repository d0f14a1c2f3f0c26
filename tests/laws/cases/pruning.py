"""Rows of ``train.pruning``."""

import jax
import jax.numpy as jnp
import optax

from jaxnn.train import pruning
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import normal

HOME = "train.pruning"
TESTS = "tests/train/pruning"
PARAMS = {"bias": jnp.ones(3), "kernel": jnp.ones((2, 3))}
BOOLEANS = "masks are booleans"


def params(key):
    kernel, bias = normal(key, (4, 5), (5,))
    return {"bias": bias, "kernel": kernel}


def bound(w):
    return jnp.sum(jnp.abs(w)) ** 2 / jnp.maximum(jnp.sum(w**2), 1e-30)


def masked(params):
    return jax.tree.map(lambda leaf: leaf > 0, params)


def update(grads, params):
    tx = pruning.keep_pruned(optax.sgd(0.1), jax.tree.map(lambda leaf: leaf > 0, params))
    return tx.update(grads, tx.init(params), params)[0]


CASES = [
    Case(
        name=f"{HOME}.magnitude_masks",
        function=lambda p: pruning.magnitude_masks(p, 0.3),
        inputs=lambda key: (params(key),),
        parity=f"{TESTS}/test_masks.py",
        rejects=(
            Reject(
                call=lambda: pruning.magnitude_masks(PARAMS, 1.0),
                error=ValueError,
                match=r"magnitude_masks: `sparsity` is 1\.0; it needs a fraction in \[0, 1\)",
            ),
            Reject(
                call=lambda: pruning.magnitude_masks(PARAMS, 0.5, scope="row"),
                error=ValueError,
                match="magnitude_masks: `scope` is 'row'; it needs global, layer or neuron",
            ),
            Reject(
                call=lambda: pruning.magnitude_masks({"bias": jnp.ones(3)}, 0.5),
                error=ValueError,
                match=r"magnitude_masks: `params` is \['bias'\]; it needs at least one .* prunable",
            ),
            Reject(
                call=lambda: pruning.magnitude_masks({"kernel": jnp.ones((2, 2), int)}, 0.5),
                error=TypeError,
                match=r"magnitude_masks: `params\['kernel'\]` .*floating-point",
            ),
        ),
        exempt={"gradients": BOOLEANS, "extremes": BOOLEANS},
    ),
    Case(
        name=f"{HOME}.random_masks",
        function=lambda key, p: pruning.random_masks(key, p, 0.3),
        inputs=lambda key: (key, params(key)),
        key=0,
        parity=f"{TESTS}/test_masks.py",
        rejects=(
            Reject(
                call=lambda: pruning.random_masks(jax.random.key(0), PARAMS, 1.0),
                error=ValueError,
                match=r"random_masks: `sparsity` is 1\.0; it needs a fraction in \[0, 1\)",
            ),
            Reject(
                call=lambda: pruning.random_masks(
                    jax.random.key(0), {"kernel": jnp.ones((2, 2), int)}, 0.5
                ),
                error=TypeError,
                match=r"random_masks: `params\['kernel'\]` .*floating-point",
            ),
        ),
        exempt={"gradients": BOOLEANS, "extremes": BOOLEANS},
    ),
    Case(
        name=f"{HOME}.apply_masks",
        function=lambda p, like: pruning.apply_masks(p, masked(like)),
        inputs=lambda key: tuple(params(k) for k in jax.random.split(key)),
        differentiable=(0,),  # the masks are booleans
        parity=f"{TESTS}/test_masks.py",
        rejects=(
            Reject(
                call=lambda: pruning.apply_masks(PARAMS, {"kernel": PARAMS["kernel"] > 0}),
                error=ValueError,
                match="apply_masks: `masks` is .* needs the structure of the parameters",
            ),
            Reject(
                call=lambda: pruning.apply_masks({"a": jnp.ones(2)}, {"a": jnp.ones(3, bool)}),
                error=ValueError,
                match=r"apply_masks: `masks\['a'\]` is .*\(3,\).* needs the shape \(2,\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.sap_masks",
        function=lambda p: pruning.sap_masks(p, bound),
        inputs=lambda key: (params(key),),
        parity=f"{TESTS}/test_sap.py",
        rejects=(
            Reject(
                call=lambda: pruning.sap_masks(PARAMS, jnp.abs),
                error=ValueError,
                match=r"sap_masks: `bound\(weights\)` is .*\(6,\).* needs shape \(\)",
            ),
            Reject(
                call=lambda: pruning.sap_masks(PARAMS, bound, beta=2.0),
                error=ValueError,
                match=r"sap_count: `beta` is 2\.0",
            ),
        ),
        exempt={"gradients": BOOLEANS, "extremes": BOOLEANS},
    ),
    Case(
        name=f"{HOME}.sap_count",
        function=lambda r: pruning.sap_count(jnp.abs(r), 5),
        inputs=lambda key: normal(key, (4,)),
        parity=f"{TESTS}/test_sap.py",
        rejects=(
            Reject(
                call=lambda: pruning.sap_count(1.0, 2, gamma=0.0),
                error=ValueError,
                match=r"sap_count: `gamma` is 0\.0",
            ),
        ),
        exempt={"gradients": "counts are integers", "extremes": "integers are always finite"},
    ),
    Case(
        name=f"{HOME}.keep_pruned",
        function=update,
        inputs=lambda key: tuple(params(k) for k in jax.random.split(key)),
        parity=f"{TESTS}/test_keep.py",
        rejects=(
            Reject(
                call=lambda: pruning.keep_pruned(optax.sgd(0.1), {}).init(PARAMS),
                error=ValueError,
                match="keep_pruned: `masks` is .* needs the structure of the parameters",
            ),
            Reject(
                call=lambda: pruning.keep_pruned(optax.sgd(0.1), PARAMS).update(PARAMS, None),
                error=ValueError,
                match="keep_pruned: `params` is None; it needs the parameters",
            ),
        ),
    ),
    Plain(
        name=f"{HOME}.KeepPrunedState",
        reason="a NamedTuple that computes nothing",
        parity=f"{TESTS}/test_keep.py",
    ),
]
