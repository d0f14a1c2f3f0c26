"""A diagonal linear recurrence over 16,384 steps, forward and backward.

``plain`` is the same scan under autodiff, ``associative`` our associative scan with our
derivative, ``associative-plain`` that of JAX under autodiff. All minimise the same error by
moving decays and inputs.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks._harness import Benchmark, Entry, Work
from benchmarks._training import descent

TIME, WIDTH = 16384, 64
STEPS, RATE = 4, 10.0


def benchmark() -> Benchmark:
    return Benchmark(
        name="linear-recurrence",
        ours=Entry(make=partial(ours, None)),
        others={
            "plain": Entry(make=partial(stepping, plain)),
            "associative": Entry(make=partial(ours, "associative")),
            "associative-plain": Entry(make=partial(stepping, plain_associative)),
        },
        shapes={"time": TIME, "width": WIDTH},
    )


@cache
def setting() -> tuple[jax.Array, ...]:
    """Draw decays, inputs and what the states should be."""
    keys = jax.random.split(jax.random.key(0), 3)
    decay = jax.random.uniform(keys[0], (TIME, WIDTH), minval=0.9, maxval=0.999)
    return decay, *(jax.random.normal(key, (TIME, WIDTH)) for key in keys[1:])


def stepping(recur: Callable[..., jax.Array]) -> Work:
    """Make the work: the error and its gradients; some losses of descent are the witness."""
    *arrays, target = setting()

    @jax.jit
    def run(*arrays: jax.Array) -> Any:
        def error(*arrays: jax.Array) -> jax.Array:
            return jnp.mean((recur(*arrays) - target) ** 2)

        return jax.value_and_grad(error, argnums=(0, 1))(*arrays)

    def witness() -> np.ndarray:
        return descent(lambda arrays: run(*arrays), tuple(arrays), RATE, STEPS)

    return Work(call=lambda: run(*arrays), witness=witness)


def ours(method: Any) -> Work:
    from jaxnn.layers import recurrent

    return stepping(partial(recurrent.linear_recurrence, method=method))


def plain(decay: jax.Array, inputs: jax.Array) -> jax.Array:
    def step(state: jax.Array, now: tuple[jax.Array, jax.Array]) -> Any:
        state = now[0] * state + now[1]
        return state, state

    return lax.scan(step, jnp.zeros(WIDTH), (decay, inputs))[1]


def plain_associative(decay: jax.Array, inputs: jax.Array) -> jax.Array:
    def join(first: Any, second: Any) -> Any:
        return first[0] * second[0], second[0] * first[1] + second[1]

    return lax.associative_scan(join, (decay, inputs))[1]
