"""Causal softmax attention, forward and backward, against that of JAX and of PyTorch.

``dpa`` is ``jax.nn.dot_product_attention``, ``torch`` is ``scaled_dot_product_attention``. All
minimise the same error by moving queries, keys and values. The limit is the six products of the
triangle of weights that causality leaves, one block of 128 queries with the keys up to its end.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._harness import Benchmark, Entry, Work

BATCH, TIME, HEADS, WIDTH, BLOCK = 2, 512, 4, 64, 128
STEPS, RATE = 4, 100.0


def benchmark() -> Benchmark:
    return Benchmark(
        name="attention-train",
        ours=Entry(make=ours),
        others={"dpa": Entry(make=dpa), "torch": Entry(make=torch, needs=("torch",))},
        limit=Entry(make=limit),
        shapes={"batch": BATCH, "time": TIME, "heads": HEADS, "width": WIDTH},
    )


@cache
def setting() -> tuple[jax.Array, ...]:
    """Draw queries, keys, values and what the output should be."""
    return tuple(jax.random.normal(jax.random.key(0), (4, BATCH, TIME, HEADS, WIDTH)))


def stepping(attend: Callable[..., jax.Array]) -> Work:
    """Make the work: the error and its gradients; some losses of descent are the witness."""
    *arrays, target = setting()

    @jax.jit
    def run(*arrays: jax.Array) -> Any:
        def error(*arrays: jax.Array) -> jax.Array:
            return jnp.mean((attend(*arrays) - target) ** 2)

        return jax.value_and_grad(error, argnums=(0, 1, 2))(*arrays)

    def witness() -> np.ndarray:
        losses, current = [], arrays
        for _ in range(STEPS):
            loss, gradients = run(*current)
            losses.append(float(loss))
            current = [x - RATE * g for x, g in zip(current, gradients, strict=True)]
        return np.asarray(losses)

    return Work(call=lambda: run(*arrays), witness=witness)


def ours() -> Work:
    from jaxnn.layers import attention

    return stepping(partial(attention.dot_product_attention, is_causal=True))


def dpa() -> Work:
    return stepping(partial(jax.nn.dot_product_attention, is_causal=True))


def torch() -> Work:
    import torch as pytorch

    # Its own layout: heads before time.
    *start, target = (pytorch.tensor(np.asarray(x).swapaxes(1, 2).copy()) for x in setting())
    attend = pytorch.nn.functional.scaled_dot_product_attention

    def run(arrays: list[Any]) -> tuple[Any, list[Any]]:
        leaves = [x.detach().requires_grad_() for x in arrays]
        loss = ((attend(*leaves, is_causal=True) - target) ** 2).mean()
        return loss, list(pytorch.autograd.grad(loss, leaves))

    def witness() -> np.ndarray:
        losses, current = [], start
        for _ in range(STEPS):
            loss, gradients = run(current)
            losses.append(loss.item())
            current = [x - RATE * g for x, g in zip(current, gradients, strict=True)]
        return np.asarray(losses)

    def call() -> float:
        return run(start)[0].item()

    return Work(call=call, witness=witness)


def limit() -> Work:
    return Work(call=causal_products(BATCH * HEADS, TIME, WIDTH, block=BLOCK))


def causal_products(rows: int, time: int, width: int, *, block: int) -> Callable[[], Any]:
    """Make the call of the six products of causal attention, in blocks of queries."""
    operands = []
    for end in range(block, time + 1, block):
        # Each array is its own: equal operands would let the compiler share a product.
        few = [jnp.full((rows, block, width), 1.0 + k) for k in range(2)]
        many = [jnp.full((rows, end, width), 3.0 + k) for k in range(2)]
        wide = [jnp.full((rows, block, end), 5.0 + k) for k in range(2)]
        operands.append((*few, *many, *wide))

    @jax.jit
    def run(operands: Any) -> Any:
        return [
            (q @ k.mT, weights @ v, weights.mT @ dy, dy @ v.mT, dlogits @ k, dlogits.mT @ q)
            for q, dy, k, v, weights, dlogits in operands
        ]

    return lambda: run(operands)
