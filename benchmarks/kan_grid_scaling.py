"""One layer of a Kolmogorov-Arnold network, forward and backward, as its grid gets finer.

``grid_10`` to ``grid_80`` are the same layer on finer grids, so that their ratio is by how much
time grows. ``local`` is the finest grid evaluated as its splines invite: four of its 83
functions at a point are not zero, so it gathers their coefficients instead of multiplying by
all. It does a twentieth of the arithmetic, in pieces of a row each.
"""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._harness import Benchmark, Entry, Work

BATCH, INPUTS, OUTPUTS = 256, 64, 64
GRIDS, DEGREE = (5, 10, 20, 40, 80), 3


def benchmark() -> Benchmark:
    coarsest, *finer = GRIDS
    return Benchmark(
        name="kan-grid-scaling",
        ours=Entry(make=partial(ours, coarsest)),
        others={
            **{f"grid_{grid}": Entry(make=partial(ours, grid), alike=False) for grid in finer},
            "local": Entry(make=local, alike=False),
        },
        shapes={"batch": BATCH, "inputs": INPUTS, "outputs": OUTPUTS, "grids": GRIDS},
    )


@cache
def setting(grid: int) -> tuple[jax.Array, jax.Array]:
    """Draw inputs inside of the grid, and coefficients for it."""
    random = np.random.default_rng(0)
    x = random.uniform(-1.0, 1.0, (BATCH, INPUTS)).astype(np.float32)
    coefficients = random.normal(size=(grid + DEGREE, INPUTS, OUTPUTS)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(coefficients)


def working(layer: Any, grid: int) -> Work:
    """Make the work: the mean square of the outputs and its gradients."""
    arrays = setting(grid)
    run = jax.jit(
        jax.value_and_grad(lambda x, c: jnp.mean(jnp.square(layer(x, c))), argnums=(0, 1))
    )
    return Work(call=lambda: run(*arrays))


def ours(grid: int) -> Work:
    from jaxnn.layers import kan

    basis = partial(kan.uniform_bspline_basis, grid=grid, degree=DEGREE)
    return working(partial(kan.kan_layer, basis=basis), grid)


def local() -> Work:
    grid = GRIDS[-1]

    def layer(x: jax.Array, coefficients: jax.Array) -> jax.Array:
        u = (x + 1) * (grid / 2)
        first = jnp.clip(jnp.floor(u), 0, grid - 1).astype(jnp.int32)
        t = (u - first)[..., None]
        pieces = [(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]
        values = jnp.concatenate(pieces, axis=-1) / 6
        places = (first[..., None] + jnp.arange(4)[None, None]) * INPUTS
        places = places + jnp.arange(INPUTS)[None, :, None]
        rows = coefficients.reshape(-1, OUTPUTS)[places.reshape(len(x), -1)]
        return jnp.einsum("nr,nro->no", values.reshape(len(x), -1), rows)

    return working(layer, grid)
