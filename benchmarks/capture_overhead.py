"""A forward pass of a vision transformer that keeps every value on the way, against by hand.

``plain`` is the same network without modules, a function that returns the values it computes.
``flax`` is Flax's own ``capture_intermediates`` on the network that ours captures. ``discarding``
keeps nothing but the logits: what keeping costs at all.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._harness import Benchmark, Entry, Work

BATCH, SIDE, PATCH, WIDTH, DEPTH, HEADS, CLASSES = 256, 8, 2, 48, 2, 4, 10
PATCHES, HEAD = (SIDE // PATCH) ** 2, WIDTH // HEADS
Values = dict[str, jax.Array]


def benchmark() -> Benchmark:
    return Benchmark(
        name="capture-overhead",
        ours=Entry(make=ours),
        others={
            "plain": Entry(make=plain),
            "flax": Entry(make=flax),
            "discarding": Entry(make=discarding, alike=False),
        },
        shapes={"batch": BATCH, "patches": PATCHES, "width": WIDTH, "depth": DEPTH},
    )


@cache
def setting() -> tuple[Any, Any, jax.Array]:
    """Make the network, its parameters and the images."""
    from jaxnn.models import VisionTransformer

    model = VisionTransformer(CLASSES, features=WIDTH, depth=DEPTH, num_heads=HEADS)
    images = jax.random.uniform(jax.random.key(0), (BATCH, SIDE, SIDE))
    return model, model.init(jax.random.key(1), images[:1]), images


PARTS = (
    "attention_norm",
    *(f"attention/{part}" for part in ("query", "key", "value", "out")),
    *("feedforward_norm", "feedforward/up", "feedforward/down"),
)
# What every entry keeps.
NAMES = ("patches", *(f"blocks_{i}/{part}" for i in range(DEPTH) for part in PARTS), "norm")


def timed(forward: Callable[[Any, jax.Array], Any]) -> Work:
    """Make the work; sums of the values tell that they are the same."""
    _, variables, x = setting()
    run = jax.jit(forward)

    def witness() -> np.ndarray:
        logits, values = run(variables, x)
        sums = [float(jnp.abs(values[name]).mean()) for name in sorted(values)]
        return np.array([float(jnp.abs(logits).mean()), *sums])

    return Work(call=lambda: run(variables, x), witness=witness)


def ours() -> Work:
    from jaxnn.analysis import activations

    model = setting()[0]
    return timed(lambda variables, x: activations.capture(model, variables, x, names=NAMES))


def plain() -> Work:
    def norm(p: Any, x: jax.Array) -> jax.Array:
        x = x - x.mean(axis=-1, keepdims=True)
        x = x * jax.lax.rsqrt(jnp.square(x).mean(axis=-1, keepdims=True) + 1e-6)
        return x * p["scale"] + p["bias"]

    def dense(p: Any, x: jax.Array) -> jax.Array:
        rows = x.reshape(-1, x.shape[-1]) @ p["kernel"] + p["bias"]
        return rows.reshape(*x.shape[:-1], -1)

    def forward(variables: Any, x: jax.Array) -> tuple[jax.Array, Values]:
        params, values = variables["params"], {}
        side = SIDE // PATCH
        x = x.reshape(-1, side, PATCH, side, PATCH).swapaxes(2, 3)
        x = x.reshape(-1, PATCHES, PATCH * PATCH)
        values["patches"] = x = dense(params["patches"], x)
        x = x + params["position"]["embedding"]
        for i in range(DEPTH):
            block = params[f"blocks_{i}"]
            read = {"attention_norm": norm(block["attention_norm"], x)}
            for part in ("query", "key", "value"):
                p = block["attention"][part]
                read[f"attention/{part}"] = dense(p, read["attention_norm"])
            query, key, value = (
                read[f"attention/{part}"].reshape(-1, PATCHES, HEADS, HEAD)
                for part in ("query", "key", "value")
            )
            y = jax.nn.dot_product_attention(query, key, value)
            read["attention/out"] = dense(block["attention"]["out"], y.reshape(x.shape))
            x = x + read["attention/out"]
            read["feedforward_norm"] = norm(block["feedforward_norm"], x)
            read["feedforward/up"] = dense(block["feedforward"]["up"], read["feedforward_norm"])
            hidden = jax.nn.gelu(read["feedforward/up"])
            read["feedforward/down"] = dense(block["feedforward"]["down"], hidden)
            x = x + read["feedforward/down"]
            values.update({f"blocks_{i}/{part}": value for part, value in read.items()})
        values["norm"] = norm(params["norm"], x)
        return dense(params["head"], values["norm"].mean(axis=1)), values

    return timed(forward)


def flax() -> Work:
    model = setting()[0]

    def forward(variables: Any, x: jax.Array) -> tuple[jax.Array, Values]:
        logits, sown = model.apply(
            variables, x, capture_intermediates=True, mutable=["intermediates"]
        )
        values = {}
        for name in NAMES:
            tree = sown["intermediates"]
            for part in name.split("/"):
                tree = tree[part]
            values[name] = tree["__call__"][0]
        return logits, values

    return timed(forward)


def discarding() -> Work:
    model, variables, x = setting()
    run = jax.jit(model.apply)
    return Work(call=lambda: run(variables, x))
