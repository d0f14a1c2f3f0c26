"""Rows of ``layers.normalization``."""

import jax
import jax.numpy as jnp

from jaxnn.layers import normalization
from tests.laws.case import Case, Reject
from tests.laws.makers import module_case, normal

HOME = "layers.normalization"
X = jnp.ones((2, 3))

CASES = [
    Case(
        name=f"{HOME}.layer_norm",
        function=normalization.layer_norm,
        inputs=lambda key: normal(key, (5, 8), (8,), (8,)),
        parity="tests/layers/normalization/test_layer_norm.py",
        rejects=(
            Reject(
                call=lambda: normalization.layer_norm(X, jnp.ones(4)),
                error=ValueError,
                match=r"layer_norm: `scale` is .*\(4,\).* needs shape \(3,\)",
            ),
            Reject(
                call=lambda: normalization.layer_norm(X, None, jnp.ones((1, 3))),
                error=ValueError,
                match=r"layer_norm: `bias` is .*\(1, 3\).* needs shape \(3,\)",
            ),
            Reject(
                call=lambda: normalization.layer_norm(X, epsilon=0.0),
                error=ValueError,
                match=r"layer_norm: `epsilon` is 0.0; it needs a finite number above zero",
            ),
            Reject(
                call=lambda: normalization.layer_norm(X.astype(int)),
                error=TypeError,
                match=r"layer_norm: `x` .*floating-point",
            ),
        ),
    ),
    module_case(
        f"{HOME}.LayerNorm",
        normalization.LayerNorm(),
        shape=(5, 8),
        parity="tests/layers/normalization/test_layer_norm.py",
        equals={
            "layer_norm": lambda v, x: normalization.layer_norm(
                x, v["params"]["scale"], v["params"]["bias"]
            )
        },
        rejects=(
            Reject(
                call=lambda: normalization.LayerNorm().init(jax.random.key(0), X > 0),
                error=TypeError,
                match=r"LayerNorm: `x` .*floating-point",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.rms_norm",
        function=normalization.rms_norm,
        inputs=lambda key: normal(key, (5, 8), (8,)),
        parity="tests/layers/normalization/test_rms_norm.py",
        rejects=(
            Reject(
                call=lambda: normalization.rms_norm(X, jnp.ones(4)),
                error=ValueError,
                match=r"rms_norm: `scale` is .*\(4,\).* needs shape \(3,\)",
            ),
            Reject(
                call=lambda: normalization.rms_norm(jnp.float32(1)),
                error=ValueError,
                match=r"rms_norm: `x` .* needs shape \(\*batch, features\)",
            ),
        ),
    ),
    module_case(
        f"{HOME}.RMSNorm",
        normalization.RMSNorm(),
        shape=(5, 8),
        parity="tests/layers/normalization/test_rms_norm.py",
        equals={"rms_norm": lambda v, x: normalization.rms_norm(x, v["params"]["scale"])},
        rejects=(
            Reject(
                call=lambda: normalization.RMSNorm(epsilon=-1.0).init(jax.random.key(0), X),
                error=ValueError,
                match=r"rms_norm: `epsilon` is -1.0",
            ),
        ),
    ),
]
