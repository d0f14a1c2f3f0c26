"""Rows of ``layers.spiking``: synapses with delays."""

import jax
import jax.numpy as jnp

from jaxnn.layers import spiking
from tests.laws.case import Case, Reject

HOME = "layers.spiking"
PARITY = "tests/layers/spiking/test_delay.py"
X, W = jnp.ones((5, 2)), jnp.ones((2, 3))
MODULE = spiking.DelayedDense(3, max_delay=4, sigma=0.8)
init = jax.jit(MODULE.init)


def rejects(call, error, match):
    return Reject(call=call, error=error, match=match)


def synapses(key):
    weight_key, delay_key = jax.random.split(key)
    # Away from both ends, where the clamped delay's gradient is one-sided by definition.
    delay = jax.random.uniform(delay_key, (2, 3), minval=0.5, maxval=3.5)
    return jax.random.normal(weight_key, (2, 3)), delay


def module_inputs(key):
    x = jax.random.normal(key, (2, 5, 2))
    variables = init(key, x)
    # The width is the schedule's, not a parameter: kept out, so that no law scales it.
    return {"params": {**variables["params"], "delay": synapses(key)[1]}}, x


CASES = [
    Case(
        name=f"{HOME}.delay_kernel",
        function=lambda weight, delay: spiking.delay_kernel(weight, delay, 0.8, max_delay=4),
        inputs=synapses,
        parity=PARITY,
        rejects=(
            rejects(
                lambda: spiking.delay_kernel(W, W[:1], 1.0, max_delay=4),
                ValueError,
                r"delay_kernel: `delay` is .*\(1, 3\).* needs shape \(2, 3\), that of `weight`",
            ),
            rejects(
                lambda: spiking.delay_kernel(W, W, 0.0, max_delay=4),
                ValueError,
                "delay_kernel: `sigma` is 0.0; it needs a finite number above zero",
            ),
            rejects(
                lambda: spiking.delay_kernel(W, W, X[0], max_delay=4),
                ValueError,
                "delay_kernel: `sigma` .* single number",
            ),
            rejects(
                lambda: spiking.delay_kernel(W, W, None, max_delay=2.5),
                ValueError,
                "delay_kernel: `max_delay` is 2.5; it needs a whole number above zero",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.delayed_dense",
        function=lambda x, w, d, b: spiking.delayed_dense(x, w, d, 0.8, max_delay=4, bias=b),
        inputs=lambda key: (
            jax.random.normal(key, (2, 5, 2)),
            *synapses(key),
            jax.random.normal(key, (3,)),
        ),
        parity=PARITY,
        rejects=(
            rejects(
                lambda: spiking.delayed_dense(X[:, :1], W, W, None, max_delay=4),
                ValueError,
                r"delayed_dense: `x` is .*\(5, 1\).* needs a last axis of 2",
            ),
            rejects(
                lambda: spiking.delayed_dense(X, W, W, None, max_delay=4, bias=X[0]),
                ValueError,
                r"delayed_dense: `bias` .* needs shape \(3,\)",
            ),
            rejects(
                lambda: spiking.delayed_dense(X > 0, W, W, None, max_delay=4),
                TypeError,
                "delayed_dense: `x` .*floating-point",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.DelayedDense",
        function=lambda variables, x: MODULE.apply(variables, x, rounded=False),
        inputs=module_inputs,
        parity=PARITY,
        equals={
            "delayed_dense": lambda variables, x: spiking.delayed_dense(
                x,
                variables["params"]["kernel"],
                variables["params"]["delay"],
                0.8,
                max_delay=4,
                bias=variables["params"]["bias"],
            )
        },
        rejects=(
            rejects(
                lambda: spiking.DelayedDense(3, max_delay=0).init(jax.random.key(0), X),
                ValueError,
                "DelayedDense: `max_delay` is 0; it needs a whole number above zero",
            ),
        ),
    ),
]
