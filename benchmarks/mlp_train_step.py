"""One training step of a GELU perceptron, against plain Flax and PyTorch.

The limit is its eight matrix products, forward and backward: three forward, three for the
kernels' gradients, and two for the gradients of the inner layers' inputs.
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

BATCH, INPUTS, FEATURES = 256, 784, (512, 512, 10)


def benchmark() -> Benchmark:
    return Benchmark(
        name="mlp-train-step",
        ours=Entry(make=ours),
        others={"plain": Entry(make=plain), "torch": Entry(make=torch_eager, needs=("torch",))},
        limit=Entry(make=limit),
        shapes={"batch": BATCH, "inputs": INPUTS, "features": FEATURES},
    )


class PlainMLP(nn.Module):
    """The perceptron of the Flax tutorial."""

    features: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(batch, inputs)`` to logits."""
        for width in self.features[:-1]:
            x = nn.gelu(nn.Dense(width)(x))
        return nn.Dense(self.features[-1])(x)


@cache
def setting() -> tuple[Any, Any]:
    """Make the batch and the parameters that every entry starts from."""
    batch = training.labelled(jax.random.key(0), (BATCH, INPUTS), FEATURES[-1])
    return batch, PlainMLP(FEATURES).init(jax.random.key(1), batch[0])["params"]


def ours() -> Work:
    from jaxnn import models

    batch, params = setting()
    model, tx = models.MLP(features=FEATURES), training.optimiser()
    named = {f"dense_{i}": params[f"Dense_{i}"] for i in range(len(FEATURES))}
    start = training.ours_starter(model, named, batch[0], tx)
    return training.stepping(start, training.ours_step(), batch)


def plain() -> Work:
    batch, params = setting()
    tx = training.optimiser()
    model = PlainMLP(FEATURES)
    step = training.plain_step(lambda params, x: model.apply({"params": params}, x), tx)
    return training.stepping(training.plain_starter(params, tx), step, batch)


def limit() -> Work:
    (x, _), params = setting()
    kernels = [params[f"Dense_{i}"]["kernel"] for i in range(len(FEATURES))]
    inputs = [x, *(jnp.ones((BATCH, width)) for width in FEATURES[:-1])]
    cotangents = [jnp.ones((BATCH, width)) for width in FEATURES]
    return Work(call=training.products(inputs, kernels, cotangents))


def torch_eager() -> Work:
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    (x, y), params = setting()
    batch = torch.tensor(np.asarray(x)), torch.tensor(np.asarray(y)).long()
    return training.stepping(lambda: torch_model(params), torch_step, batch)


def torch_model(params: Any) -> tuple[Any, Any]:
    """Make the same perceptron and optimiser in PyTorch, from the plain one's parameters."""
    import torch

    layers: list[Any] = []
    for i in range(len(params)):
        kernel, bias = (np.array(params[f"Dense_{i}"][name]) for name in ("kernel", "bias"))
        linear = torch.nn.Linear(*kernel.shape)
        linear.weight.data, linear.bias.data = torch.tensor(kernel.T.copy()), torch.tensor(bias)
        layers += [linear, torch.nn.GELU(approximate="tanh")]
    model = torch.nn.Sequential(*layers[:-1])
    # optax's decay is 1e-4 where theirs is 1e-2.
    adamw = torch.optim.AdamW(model.parameters(), lr=training.LEARNING_RATE, weight_decay=1e-4)
    return model, adamw


def torch_step(state: tuple[Any, Any], batch: Any) -> tuple[Any, dict[str, Any]]:
    """Make one eager step."""
    import torch

    model, adamw = state
    loss = torch.nn.functional.cross_entropy(model(batch[0]), batch[1])
    adamw.zero_grad()
    loss.backward()
    adamw.step()
    return state, {"loss": loss.detach()}
