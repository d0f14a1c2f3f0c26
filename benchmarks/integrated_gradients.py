"""Integrated gradients of 256 examples in 50 steps, of a function that nothing is known of.

``captum`` is given the whole batch, 50 steps and its default of no chunks. The limit is the
four products that a gradient at 50 points takes: two forward, two back; the last layer, a
column of its kernel, is left out.
"""

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import _attribution as common
from benchmarks._harness import Benchmark, Entry, Work

EXAMPLES, STEPS = 256, 50
CHUNK = 5  # as our own default; more at a time made the products no faster


def benchmark() -> Benchmark:
    return Benchmark(
        name="integrated-gradients",
        ours=Entry(make=ours),
        others={"captum": Entry(make=captum, needs=("torch", "captum"))},
        limit=Entry(make=limit),
        shapes={"examples": EXAMPLES, "steps": STEPS, "sizes": "-".join(map(str, common.SIZES))},
    )


def ours() -> Work:
    from jaxnn.analysis import attribution

    return common.ours(lambda f, x: attribution.integrated_gradients(f, x, steps=STEPS), EXAMPLES)


def limit() -> Work:
    params, x, _ = common.setting(EXAMPLES)
    rows = jnp.tile(x.reshape(EXAMPLES, -1), (CHUNK, 1))

    @jax.jit
    def products(rows: jax.Array, first: jax.Array, second: jax.Array) -> jax.Array:
        def step(total: jax.Array, scale: jax.Array) -> tuple[jax.Array, None]:
            return total + (rows * scale) @ first @ second @ second.T @ first.T, None

        scales = jnp.linspace(0.0, 1.0, STEPS // CHUNK)
        return jax.lax.scan(step, jnp.zeros_like(rows), scales)[0]

    return Work(call=lambda: products(rows, params[0][0], params[1][0]))


def captum() -> Work:
    from captum.attr import IntegratedGradients

    network, x, targets = common.torch_setting(EXAMPLES)
    method: Any = IntegratedGradients(network)

    def call() -> Any:
        maps = method.attribute(x, target=targets, n_steps=STEPS)
        return maps.detach().numpy()

    return Work(call=call)
