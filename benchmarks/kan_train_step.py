"""One training step of a cubic Kolmogorov-Arnold network, against plain code and the peers.

The plain form evaluates the splines by the recursion of Cox and de Boor, with the functions as
the last axis, and sums over inputs and functions in one einsum, as the published codes do. So
does ``adaptive``, ours with knots that are data. pykan runs in its fast mode, jaxkan with the
faster of its two spline layers, both without the parameters that the others lack. ``mlp`` is a
perceptron with as many parameters. The limit is one matrix product a layer, forward and
backward, without any spline.
"""

import os
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from benchmarks import _training as training
from benchmarks._harness import Benchmark, Entry, Work

BATCH, INPUTS, FEATURES = 256, 64, (64, 10)
GRID, DEGREE, LOW, HIGH = 5, 3, -1.0, 1.0
FUNCTIONS = GRID + DEGREE


def benchmark() -> Benchmark:
    return Benchmark(
        name="kan-train-step",
        ours=Entry(make=ours),
        others={
            "plain": Entry(make=plain),
            "adaptive": Entry(make=adaptive),
            "jaxkan": Entry(make=jaxkan_step, needs=("jaxkan",)),
            "pykan": Entry(make=pykan_step, needs=("kan", "torch")),
            "mlp": Entry(make=perceptron, alike=False),
        },
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


def network() -> tuple[Any, Any]:
    """Make our model, and the parameters in its order: ours are basis-major."""
    from jaxnn import models

    params = setting()[1]
    model = models.KAN(features=FEATURES, grid=GRID, degree=DEGREE, grid_range=(LOW, HIGH))
    named = {
        f"layers_{i}": {
            "coefficients": params[f"spline_{i}"].transpose(1, 0, 2),
            "base_kernel": params[f"base_{i}"]["kernel"],
        }
        for i in range(len(FEATURES))
    }
    return model, named


def ours() -> Work:
    batch, _ = setting()
    start = training.ours_starter(*network(), batch[0], training.optimiser())
    return training.stepping(start, training.ours_step(), batch)


def adaptive() -> Work:
    """Give every layer a collection of knots, even though they are still the uniform ones."""
    from jaxnn.layers import kan

    batch, _ = setting()
    start = training.ours_starter(*network(), batch[0], training.optimiser())
    knots = kan.uniform_knots(jnp.array(LOW), jnp.array(HIGH), grid=GRID, degree=DEGREE)
    grid = {
        f"layers_{i}": {"knots": jnp.tile(knots, (width, 1))}
        for i, width in enumerate((INPUTS, *FEATURES[:-1]))
    }

    def begin() -> Any:
        return start().replace(collections={"grid": training.copy(grid)})

    return training.stepping(begin, training.ours_step(), batch)


def plain() -> Work:
    batch, params = setting()
    model, tx = PlainKAN(FEATURES), training.optimiser()
    step = training.plain_step(lambda params, x: model.apply({"params": params}, x), tx)
    return training.stepping(training.plain_starter(params, tx), step, batch)


def perceptron() -> Work:
    from jaxnn import models

    batch, params = setting()
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    width = round((count - FEATURES[-1]) / (INPUTS + 1 + FEATURES[-1]))
    model, tx = models.MLP(features=(width, FEATURES[-1])), training.optimiser()
    params = model.init(jax.random.key(2), batch[0])["params"]
    start = training.ours_starter(model, params, batch[0], tx)
    return training.stepping(start, training.ours_step(), batch)


def jaxkan_step() -> Work:
    from flax import nnx
    from jaxkan.models.KAN import KAN

    batch, params = setting()
    options = {"k": DEGREE, "G": GRID, "grid_range": (LOW, HIGH), "grid_e": 1.0}
    options |= {"external_weights": False, "add_bias": False}
    model = KAN([INPUTS, *FEATURES], "spline", options, seed=0)
    for i, layer in enumerate(model.layers):
        layer.c_basis[...] = params[f"spline_{i}"].transpose(2, 0, 1)
        layer.c_res[...] = params[f"base_{i}"]["kernel"].T
    graph, weights, rest = nnx.split(model, nnx.Param, ...)
    tx = training.optimiser()
    step = training.plain_step(lambda weights, x: nnx.merge(graph, weights, rest)(x), tx)
    return training.stepping(training.plain_starter(weights, tx), step, batch)


def pykan_step() -> Work:
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    (x, y), _ = setting()
    batch = torch.tensor(np.asarray(x)), torch.tensor(np.asarray(y)).long()
    return training.stepping(pykan_network, torch_step, batch)


def pykan_network() -> tuple[Any, Any]:
    """Make the same network and optimiser in pykan."""
    import tempfile

    import torch
    from kan import KAN

    params = setting()[1]
    with tempfile.TemporaryDirectory() as folder:
        model: Any = KAN(
            width=[INPUTS, *FEATURES],
            grid=GRID,
            k=DEGREE,
            grid_range=[LOW, HIGH],
            sp_trainable=False,
            auto_save=False,
            ckpt_path=folder,
        ).speed()
    for i, layer in enumerate(model.act_fun):
        coefficients = np.asarray(params[f"spline_{i}"]).transpose(0, 2, 1)
        layer.coef.data = torch.tensor(coefficients.copy())
        layer.scale_base.data = torch.tensor(np.array(params[f"base_{i}"]["kernel"]))
        layer.scale_sp.data = torch.ones_like(layer.scale_sp)
    trained = [p for layer in model.act_fun for p in (layer.coef, layer.scale_base)]
    # optax's decay is 1e-4 where theirs is 1e-2.
    return model, torch.optim.AdamW(trained, lr=training.LEARNING_RATE, weight_decay=1e-4)


def torch_step(state: tuple[Any, Any], batch: Any) -> tuple[Any, dict[str, Any]]:
    """Make one eager step."""
    import torch

    model, adamw = state
    loss = torch.nn.functional.cross_entropy(model(batch[0]), batch[1])
    adamw.zero_grad()
    loss.backward()
    adamw.step()
    return state, {"loss": loss.detach()}


def limit() -> Work:
    # SiLU is one function more: all of a layer in one product.
    sizes = list(zip((INPUTS, *FEATURES), FEATURES, strict=False))
    rows = [jnp.ones((BATCH, inputs * (FUNCTIONS + 1))) for inputs, _ in sizes]
    kernels = [jnp.ones((inputs * (FUNCTIONS + 1), outputs)) for inputs, outputs in sizes]
    cotangents = [jnp.ones((BATCH, outputs)) for _, outputs in sizes]
    return Work(call=training.products(rows, kernels, cotangents))
