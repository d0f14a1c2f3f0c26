"""Forward and backward through a dense layer and its leaky neurons, over 500 steps of time.

``plain`` is a scan with the product inside, as the papers write it, and ``flat`` the same by
hand with the product taken out. ``snntorch`` does the same work: its reset without delay is
ours while no potential exceeds twice the threshold. ``spyx`` fires on the potential of the step
before, so that its losses differ. The limit is the two products, forward and of the kernel's
gradient, without neurons.
"""

import os
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks._harness import Benchmark, Entry, Work
from benchmarks._training import descent
from benchmarks.spiking_train_step import DECAY, SLOPE, THRESHOLD, leaky

TIME, BATCH, UNITS = 500, 16, 512
RATE = 1.0
# Small changes move spikes; see spiking_train_step.
WITNESS_STEPS = 3
Params = dict[str, jax.Array]


def benchmark() -> Benchmark:
    return Benchmark(
        name="lif-train-step",
        ours=Entry(make=ours),
        others={
            "plain": Entry(make=partial(stepping, plain)),
            "flat": Entry(make=partial(stepping, flat)),
            "snntorch": Entry(make=snntorch, needs=("torch", "snntorch")),
            "spyx": Entry(make=spyx, needs=("spyx",), alike=False),
        },
        limit=Entry(make=limit),
        shapes={"time": TIME, "batch": BATCH, "units": UNITS},
    )


@cache
def setting() -> tuple[jax.Array, jax.Array, Params]:
    """Draw input spikes, the rates that the output should have, and the parameters."""
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.bernoulli(keys[0], 0.1, (TIME, BATCH, UNITS)).astype(jnp.float32)
    rates = 0.2 * jax.random.uniform(keys[1], (BATCH, UNITS))
    kernel = 0.03 * jax.random.normal(keys[2], (UNITS, UNITS))
    return x, rates, {"kernel": kernel, "bias": jnp.full(UNITS, 0.05)}


def gradient(spikes_of: Callable[[Params, jax.Array], jax.Array]) -> Any:
    """Make the function timed: the error of the rates and its gradients."""

    def error(params: Params, x: jax.Array, rates: jax.Array) -> jax.Array:
        return jnp.mean((spikes_of(params, x).mean(axis=0) - rates) ** 2)

    return jax.jit(jax.value_and_grad(error))


def stepping(spikes_of: Callable[[Params, jax.Array], jax.Array]) -> Work:
    """Make the work; some losses of descent are the witness."""
    x, rates, start = setting()
    run = gradient(spikes_of)

    def witness() -> np.ndarray:
        return descent(lambda params: run(params, x, rates), start, RATE, WITNESS_STEPS)

    return Work(call=lambda: run(start, x, rates), witness=witness)


def layer() -> Callable[[Params, jax.Array], jax.Array]:
    """Make our dense layer and leaky neurons, over all steps at once."""
    from flax import linen as nn

    from jaxnn.layers import spiking

    dense, neurons = nn.Dense(UNITS), spiking.Leaky(decay=DECAY, time_axis=0)

    def spikes(params: Params, x: jax.Array) -> jax.Array:
        drive: Any = dense.apply({"params": params}, x.reshape(-1, UNITS))
        spikes: Any = neurons.apply({}, drive.reshape(x.shape))
        return spikes

    return spikes


def ours() -> Work:
    return stepping(layer())


def plain(params: Params, x: jax.Array) -> jax.Array:
    """Step through time, the product inside."""

    def step(v: jax.Array, now: jax.Array) -> tuple[jax.Array, jax.Array]:
        return leaky(v, now @ params["kernel"] + params["bias"][None])

    return lax.scan(step, jnp.zeros((BATCH, UNITS)), x)[1]


def flat(params: Params, x: jax.Array) -> jax.Array:
    """Take the product of all steps first."""
    drive = (x.reshape(-1, UNITS) @ params["kernel"] + params["bias"][None]).reshape(x.shape)
    return lax.scan(leaky, jnp.zeros((BATCH, UNITS)), drive)[1]


def limit() -> Work:
    x, _, params = setting()
    rows, cotangents = x.reshape(-1, UNITS), jnp.ones((TIME * BATCH, UNITS))

    @jax.jit
    def products(rows: jax.Array, kernel: jax.Array, cotangents: jax.Array) -> Any:
        return rows @ kernel, rows.T @ cotangents

    return Work(call=lambda: products(rows, params["kernel"], cotangents))


def snntorch() -> Work:
    import snntorch as snn
    import torch
    from snntorch import surrogate

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    x, rates = (torch.tensor(np.asarray(array)) for array in setting()[:2])

    def network() -> Any:
        params = {name: torch.tensor(np.asarray(p)) for name, p in setting()[2].items()}
        linear = torch.nn.Linear(UNITS, UNITS)
        linear.weight.data, linear.bias.data = params["kernel"].T.contiguous(), params["bias"]
        bump = surrogate.fast_sigmoid(slope=int(SLOPE))
        return linear, snn.Leaky(beta=DECAY, spike_grad=bump, reset_delay=False)

    def run(linear: Any, neurons: Any) -> Any:
        drive, mem, spikes = linear(x), neurons.init_leaky(), []
        for now in drive:
            now, mem = neurons(now, mem)
            spikes.append(now)
        loss = torch.mean((torch.stack(spikes).mean(dim=0) - rates) ** 2)
        linear.zero_grad()
        loss.backward()
        return loss.detach()

    def witness() -> np.ndarray:
        linear, neurons = network()
        descent = torch.optim.SGD(linear.parameters(), lr=RATE)
        losses = []
        for _ in range(WITNESS_STEPS):
            losses.append(float(run(linear, neurons)))
            descent.step()
        return np.asarray(losses)

    timed = network()
    return Work(call=lambda: run(*timed), witness=witness)


def spyx() -> Work:
    from flax import nnx
    from spyx import nn as spiking

    x, rates, params = setting()
    rngs = nnx.Rngs(0)
    dense = nnx.Linear(UNITS, UNITS, rngs=rngs)
    dense.kernel, dense.bias = nnx.Param(params["kernel"]), nnx.Param(params["bias"])
    neurons = spiking.LIF((UNITS,), beta=DECAY, threshold=THRESHOLD, rngs=rngs)

    @nnx.jit
    def run(model: Any, x: jax.Array) -> Any:
        def error(model: Any) -> jax.Array:
            return jnp.mean((spiking.run(model, x)[0].mean(axis=0) - rates) ** 2)

        return nnx.value_and_grad(error)(model)

    model = spiking.Sequential(dense, neurons)
    return Work(call=lambda: run(model, x))
