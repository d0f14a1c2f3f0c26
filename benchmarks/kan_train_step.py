"""One training step of a cubic Kolmogorov-Arnold network, against the recursion of the paper.

The plain form evaluates the splines by the recursion of Cox and de Boor, with the functions as
the last axis, and sums over inputs and functions in one einsum, as the published codes do. The
limit is one matrix product a layer, forward and backward, without any spline.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks import _training as training
from benchmarks._harness import Benchmark, Entry, Work

BATCH, INPUTS, FEATURES = 512, 64, (64, 10)
GRID, DEGREE, LOW, HIGH = 5, 3, -1.0, 1.0
FUNCTIONS = GRID + DEGREE


def benchmark() -> Benchmark:
    return Benchmark(
        name="kan-train-step",
        ours=Entry(make=ours),
        others={"plain": Entry(make=plain)},
        limit=Entry(make=limit),
        shapes={
            "batch": BATCH,
            "inputs": INPUTS,
            "features": FEATURES,
            "grid": GRID,
            "degree": DEGREE,
        },
    )


def cox_de_boor(x: jax.Array, knots: jax.Array) -> jax.Array:
    """Evaluate all functions at ``(batch, inputs)``, giving ``(batch, inputs, functions)``."""
    x, t = x[:, :, None], knots[None, None, :]
    values = ((x >= t[..., :-1]) & (x < t[..., 1:])).astype(x.dtype)
    for k in range(1, DEGREE + 1):
        rise = (x - t[..., : -k - 1]) / (t[..., k:-1] - t[..., : -k - 1])
        fall = (t[..., k + 1 :] - x) / (t[..., k + 1 :] - t[..., 1:-k])
        values = rise * values[..., :-1] + fall * values[..., 1:]
    return values


class PlainKAN(nn.Module):
    """A weighted SiLU and a spline on every edge."""

    features: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(batch, inputs)`` to logits."""
        steps = jnp.arange(-DEGREE, GRID + DEGREE + 1, dtype=x.dtype)
        knots = LOW + steps * ((HIGH - LOW) / GRID)
        for i, width in enumerate(self.features):
            shape = (x.shape[-1], FUNCTIONS, width)
            spline = self.param(f"spline_{i}", nn.initializers.normal(0.1), shape)
            base = nn.Dense(width, use_bias=False, name=f"base_{i}")(nn.silu(x))
            x = base + jnp.einsum("bif,ifo->bo", cox_de_boor(x, knots), spline)
        return x


@cache
def setting() -> tuple[Any, Any]:
    """Make the batch and the parameters that every entry starts from."""
    batch = training.labelled(jax.random.key(0), (BATCH, INPUTS), FEATURES[-1])
    return batch, PlainKAN(FEATURES).init(jax.random.key(1), batch[0])["params"]


def ours() -> Work:
    from jaxnn import models

    batch, params = setting()
    model = models.KAN(features=FEATURES, grid=GRID, degree=DEGREE, grid_range=(LOW, HIGH))
    # Ours are basis-major.
    named = {
        f"layers_{i}": {
            "coefficients": params[f"spline_{i}"].transpose(1, 0, 2),
            "base_kernel": params[f"base_{i}"]["kernel"],
        }
        for i in range(len(FEATURES))
    }
    start = training.ours_starter(model, named, batch[0], training.optimiser())
    return training.stepping(start, training.ours_step(), batch)


def plain() -> Work:
    batch, params = setting()
    model, tx = PlainKAN(FEATURES), training.optimiser()
    step = training.plain_step(lambda params, x: model.apply({"params": params}, x), tx)
    return training.stepping(training.plain_starter(params, tx), step, batch)


def limit() -> Work:
    # SiLU is one function more: all of a layer in one product.
    sizes = list(zip((INPUTS, *FEATURES), FEATURES, strict=False))
    rows = [jnp.ones((BATCH, inputs * (FUNCTIONS + 1))) for inputs, _ in sizes]
    kernels = [jnp.ones((inputs * (FUNCTIONS + 1), outputs)) for inputs, outputs in sizes]
    cotangents = [jnp.ones((BATCH, outputs)) for _, outputs in sizes]
    return Work(call=training.products(rows, kernels, cotangents))
