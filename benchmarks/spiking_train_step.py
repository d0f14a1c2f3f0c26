"""One training step of a spiking perceptron, against an ordinary scan over time.

``plain`` is the network as the papers write it: a scan over time steps, dense layers and leaky
neurons inside. ``flat`` is the same by hand with every product taken out of the scans, over all
steps at once. The limit is the products of ``flat``, forward and backward, without neurons.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from benchmarks import _training as training
from benchmarks._harness import Benchmark, Entry, Work

BATCH, INPUTS, FEATURES, STEPS = 64, 256, (256, 256, 10), 25
DECAY, THRESHOLD, SLOPE = 0.9, 1.0, 25.0
# A potential that crosses the threshold by a rounding changes a whole spike: gradients that
# agree to 3e-7 were seen to give losses 4e-4 apart at the fourth step and 2e-3 at the fifth.
WITNESS_STEPS = 3


def benchmark() -> Benchmark:
    return Benchmark(
        name="spiking-train-step",
        ours=Entry(make=ours),
        others={"plain": Entry(make=plain), "flat": Entry(make=flat)},
        limit=Entry(make=limit),
        shapes={"batch": BATCH, "inputs": INPUTS, "features": FEATURES, "steps": STEPS},
    )


@jax.custom_vjp
def spike(x: jax.Array) -> jax.Array:
    """Step at zero, with the derivative of the fast sigmoid."""
    return (x > 0).astype(x.dtype)


spike.defvjp(lambda x: (spike(x), x), lambda x, g: (g / (1 + SLOPE * jnp.abs(x)) ** 2,))


def leaky(v: jax.Array, drive: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Step leaky neurons with reset by subtraction."""
    u = DECAY * v + drive
    spikes = spike(u - THRESHOLD)
    return u - THRESHOLD * spikes, spikes


def initial(x: jax.Array) -> Any:
    """Make the parameters of the dense layers."""
    params, keys = [], jax.random.split(jax.random.key(1), len(FEATURES))
    for key, width in zip(keys, FEATURES, strict=True):
        params.append(nn.Dense(width).init(key, x)["params"])
        x = jnp.zeros((1, width))
    return params


def plain_forward(params: Any, x: jax.Array) -> jax.Array:
    """Step through time: every layer, every step."""

    def step(states: Any, _: None) -> tuple[Any, jax.Array]:
        y, after = x, []
        for layer, v in zip(params[:-1], states[:-1], strict=True):
            v, y = leaky(v, y @ layer["kernel"] + layer["bias"][None])
            after.append(v)
        out = DECAY * states[-1] + y @ params[-1]["kernel"] + params[-1]["bias"][None]
        return [*after, out], out

    start = [jnp.zeros((x.shape[0], width)) for width in FEATURES]
    _, potentials = jax.lax.scan(step, start, length=STEPS)
    return potentials.mean(axis=0)


def flat_forward(params: Any, x: jax.Array) -> jax.Array:
    """Take one layer after the other, each for all steps at once."""

    def drives(layer: Any, x: jax.Array) -> jax.Array:
        drive = x.reshape(-1, x.shape[-1]) @ layer["kernel"] + layer["bias"][None]
        return drive.reshape(*x.shape[:-1], -1)

    def over_time(step: Any, drive: jax.Array) -> jax.Array:
        return jax.lax.scan(step, jnp.zeros(drive.shape[1:]), drive)[1]

    # Every step shows the same image.
    drive = drives(params[0], x)
    drive = jnp.broadcast_to(drive[None], (STEPS, *drive.shape))
    for layer in params[1:]:
        drive = drives(layer, over_time(leaky, drive))
    return over_time(lambda v, drive: (DECAY * v + drive,) * 2, drive).mean(axis=0)


@cache
def setting() -> tuple[Any, Any]:
    """Make the batch and the parameters that every entry starts from."""
    batch = training.labelled(jax.random.key(0), (BATCH, INPUTS), FEATURES[-1])
    return batch, initial(batch[0])


def ours() -> Work:
    from jaxnn import models

    batch, params = setting()
    model = models.SpikingMLP(features=FEATURES, time_steps=STEPS, readout_decay=DECAY)
    named = {f"dense_{i}": layer for i, layer in enumerate(params)}
    start = training.ours_starter(model, named, batch[0], training.optimiser())
    return training.stepping(start, training.ours_step(), batch, witness_steps=WITNESS_STEPS)


def plain() -> Work:
    return _competitor(plain_forward)


def flat() -> Work:
    return _competitor(flat_forward)


def _competitor(forward: Any) -> Work:
    batch, params = setting()
    tx = training.optimiser()
    step = training.plain_step(forward, tx)
    start = training.plain_starter(params, tx)
    return training.stepping(start, step, batch, witness_steps=WITNESS_STEPS)


def limit() -> Work:
    _, params = setting()
    counts = [BATCH, *[BATCH * STEPS] * (len(FEATURES) - 1)]
    kernels = [layer["kernel"] for layer in params]
    rows = [jnp.ones((n, kernel.shape[0])) for n, kernel in zip(counts, kernels, strict=True)]
    cotangents = [jnp.ones((n, kernel.shape[1])) for n, kernel in zip(counts, kernels, strict=True)]
    return Work(call=training.products(rows, kernels, cotangents))
