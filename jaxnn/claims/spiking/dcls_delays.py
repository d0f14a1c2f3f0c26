r"""Learned synaptic delays tell lags apart that weights alone cannot.

The task is the library's ``delay_coincidence``: 20 channels in ten pairs, lags of 2, 6 and 10
steps in cyclic time of 40, so that nothing but the lag within a pair tells the class. The network
is the paper's, small: delayed dense layer (13 taps), normalisation over batch and time, 6 leaky
neurons with arc-tangent surrogate and the paper's time constant of 1.005 steps (a decay of
1 - 1/1.005), spikes summed over time, dense readout. Weights learn at 0.01 and delays ten times
as fast, under Adam and a cosine for 600 steps of 32 examples; the width falls exponentially from
6 to 0.5 in the first half. Zero and fixed random delays (whole steps) have the same network,
steps, rates and examples; all are tested on 768 others, at the statistics of those.

The planted lags are looked for with two channels and three units without threshold, one a class,
whose highest potential is the class's score; a unit's lag is its delay of the leading channel
less that of the following one.

Rounding costs far more than the 2 points allowed, and that check fails: seeds 0, 1, 2 lose 4.8, 3.2
and 12.3 points, so that at seed 2 the learned delays end at 87.2 %, below the bound of 90. (How
much depends on the last bits: with the same sums in another order it was 7.4, 8.7 and 11.1.) Two
delays a lag apart are often not whole steps, and six neurons, unlike the paper's hundreds, cannot
average that out. Tried besides, on the same bounds: 16 neurons, 500 steps, constant rates (seed 0:
rounding loses 6.3 points, and random delays win by 3.0, since 160 pairs of synapses hold enough of
every lag by chance); a last width of 0.25, reached at three quarters (seeds 0 and 1: rounding loses
8.7 and 5.8).
"""

import functools
from collections.abc import Hashable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn import data
from jaxnn.claims import Check, Claim
from jaxnn.claims._experiments import generator, train
from jaxnn.layers import spiking

LAGS, MAX_DELAY, STEPS = (2, 6, 10), 12, 40
UNITS, CHANNELS, BATCH, UPDATES, TEST, SEEDS = 6, 20, 32, 600, 768, 2
DECAY = 1 - 1 / 1.005
RATE, DELAY_RATE, WIDTH = 0.01, 0.1, 0.5


def identities(key: jax.Array) -> list[Check]:
    """Taps sum to the weight; whole delays with a small width are shifts."""
    weight_key, delay_key, x_key = jax.random.split(key, 3)
    weight = jax.random.normal(weight_key, (3, 2))
    delay = jax.random.uniform(delay_key, (3, 2), maxval=MAX_DELAY)
    taps = spiking.delay_kernel(weight, delay, 2.0, max_delay=MAX_DELAY)
    x = np.asarray(jax.random.normal(x_key, (20, 3)))
    whole = np.asarray(jnp.round(delay)).astype(int)
    want = np.zeros((20, 2))
    for i, j in np.ndindex(3, 2):
        want[whole[i, j] :, j] += float(weight[i, j]) * x[: 20 - whole[i, j], i]
    got = spiking.delayed_dense(jnp.asarray(x), weight, jnp.round(delay), 0.05, max_delay=MAX_DELAY)
    off = np.abs(np.asarray(taps).sum(0) - np.asarray(weight)).max()
    return [
        Check("sum of a synapse's taps: distance from its weight", off, "<=", 1e-5),
        Check(
            "whole delays: distance from shifts", np.abs(np.asarray(got) - want).max(), "<=", 1e-5
        ),
    ]


def agreements(key: jax.Array) -> list[Check]:
    """Kernel and layer against NumPy, with the paper's numbering of the taps."""
    weight_key, delay_key, x_key = jax.random.split(key, 3)
    weight = jax.random.normal(weight_key, (3, 2))
    delay = jax.random.uniform(delay_key, (3, 2), maxval=MAX_DELAY)
    x = np.asarray(jax.random.normal(x_key, (20, 3)))
    length = MAX_DELAY + 1
    kernel, want = np.zeros((length, 3, 2)), np.zeros((20, 2))
    for i, j in np.ndindex(3, 2):
        n = np.arange(length)
        bump = np.exp(-0.5 * ((n - length + float(delay[i, j]) + 1) / 1.5) ** 2)
        kernel[:, i, j] = float(weight[i, j]) * bump / bump.sum()
        want[:, j] += np.convolve(x[:, i], kernel[::-1, i, j])[:20]
    taps = spiking.delay_kernel(weight, delay, 1.5, max_delay=MAX_DELAY)
    got = spiking.delayed_dense(jnp.asarray(x), weight, delay, 1.5, max_delay=MAX_DELAY)
    return [
        Check("kernel from the paper's", np.abs(taps[::-1] - kernel).max(), "<=", 1e-5),
        Check("layer from NumPy's convolution", np.abs(np.asarray(got) - want).max(), "<=", 1e-5),
    ]


def effects(key: jax.Array) -> list[Check]:
    """Accuracies with learned, random and no delays; rounding; the planted lags."""
    accuracies, lags = _networks(key), _lags(key)
    learned, rounded, random, zero = 100 * accuracies.mean(0)
    return [
        Check("accuracy with learned delays, %", rounded, ">=", 90),
        Check("accuracy without delays, %", zero, "<=", 60),
        Check("accuracy with learned delays above random ones, points", rounded - random, ">", 0),
        Check("accuracy with random delays above none, points", random - zero, ">", 0),
        Check("accuracy lost by rounding the delays, points", learned - rounded, "<=", 2),
        Check(
            "two channels: farthest lag from the planted, steps",
            np.abs(lags - np.array(LAGS)).max(),
            "<=",
            1,
        ),
    ]


def _widths() -> jax.Array:
    """Give the width at each step: from half the longest delay to the last, then constant."""
    first, steps = MAX_DELAY / 2, UPDATES // 2
    schedule = optax.exponential_decay(first, steps, WIDTH / first, end_value=WIDTH)
    return jnp.asarray(schedule(jnp.arange(UPDATES)))


def _optimiser() -> optax.GradientTransformation:
    """Adam, faster for the delays; both rates fall to zero along a cosine."""
    rates: dict[Hashable, optax.GradientTransformation] = {
        "weight": optax.adam(optax.cosine_decay_schedule(RATE, UPDATES)),
        "delay": optax.adam(optax.cosine_decay_schedule(DELAY_RATE, UPDATES)),
    }
    return optax.multi_transform(
        rates, lambda params: {name: "delay" if name == "delay" else "weight" for name in params}
    )


def _task(key: jax.Array, channels: int) -> tuple[jax.Array, ...]:
    """Draw batches for all steps, and the test set."""
    n = BATCH * UPDATES
    x, y = data.delay_coincidence(key, n + TEST, channels=channels, lags=LAGS, steps=STEPS)
    batches = x[:n].reshape(UPDATES, BATCH, STEPS, channels), y[:n].reshape(UPDATES, BATCH)
    return *batches, x[n:], y[n:]


def _start(key: jax.Array, channels: int, units: int) -> dict[str, jax.Array]:
    random = generator(key)
    values = {
        "weight": random.normal(size=(channels, units)) / np.sqrt(channels),
        "delay": random.uniform(0, MAX_DELAY, size=(channels, units)),
        "scale": np.ones(units),
        "shift": np.zeros(units),
        "readout": random.normal(size=(units, len(LAGS))) / np.sqrt(units),
    }
    return {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}


def _currents(params: dict[str, jax.Array], x: jax.Array, width: jax.Array) -> jax.Array:
    return spiking.delayed_dense(x, params["weight"], params["delay"], width, max_delay=MAX_DELAY)


def _logits(params: dict[str, jax.Array], x: jax.Array, width: jax.Array) -> jax.Array:
    drive = _currents(params, x, width)
    drive = (drive - drive.mean((0, 1), keepdims=True)) / (drive.std((0, 1), keepdims=True) + 1e-5)
    drive = params["scale"][None, None] * drive + params["shift"][None, None]
    _, spikes = spiking.leaky_sequence(drive, DECAY, surrogate=spiking.arctan)
    return spiking.spike_count(spikes) @ params["readout"]


def _networks(key: jax.Array) -> np.ndarray:
    """Give accuracies: learned, the same rounded, fixed random, zero delays; ``(seeds, 4)``."""
    tiny = jnp.float32(0.05)

    @jax.jit
    def run(params, x, y, test_x, test_y, widths, learn):
        def loss(params, batch):
            inputs, labels, width = batch
            fixed = jax.lax.stop_gradient(params["delay"])
            delay = jnp.where(learn, params["delay"], fixed)
            logits = _logits({**params, "delay": delay}, inputs, width)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        params, _ = train(loss, _optimiser(), params, (x, y, widths))

        def accuracy(params, width):
            return jnp.mean(_logits(params, test_x, width).argmax(-1) == test_y)

        rounded = {**params, "delay": jnp.round(jnp.clip(params["delay"], 0, MAX_DELAY))}
        return accuracy(params, widths[-1]), accuracy(rounded, tiny)

    narrow = jnp.full(UPDATES, tiny)
    task = jax.jit(functools.partial(_task, channels=CHANNELS))
    rows = []
    for seed in jax.random.split(key, SEEDS):
        examples, start = task(seed), _start(seed, CHANNELS, UNITS)
        learned = run(start, *examples, _widths(), jnp.array(True))
        whole = {**start, "delay": jnp.round(start["delay"])}
        random = run(whole, *examples, narrow, jnp.array(False))
        none = {**start, "delay": jnp.zeros_like(start["delay"])}
        zero = run(none, *examples, narrow, jnp.array(False))
        rows.append([*learned, random[1], zero[1]])
    return np.asarray(rows, float)


def _lags(key: jax.Array) -> np.ndarray:
    """Give the lag that the unit of each class learned."""

    @jax.jit
    def run(params, x, y, widths):
        def loss(params, batch):
            inputs, labels, width = batch
            currents = _currents(params, inputs, width)
            _, v = spiking.leaky_integrator_sequence(currents, DECAY)
            logits = spiking.membrane_max(v) * params["scale"][None]
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

        params, _ = train(loss, _optimiser(), params, (x, y, widths))
        return jnp.clip(params["delay"], 0, MAX_DELAY)

    examples = jax.jit(functools.partial(_task, channels=2))(key)
    start = _start(key, 2, len(LAGS))
    # All synapses excite, so that only their delays can tell the classes apart.
    start["weight"] = jnp.ones_like(start["weight"])
    delay = np.asarray(run(start, *examples[:2], _widths()))
    return delay[0] - delay[1]


CLAIM = Claim(
    name="dcls-delays",
    title="Learning Delays in Spiking Neural Networks using Dilated Convolutions with Learnable "
    "Spacings",
    year=2023,
    says="learned delays beat fixed random ones and none, and are found where they were planted",
    identities=identities,
    agreements=agreements,
    effects=effects,
    quick=False,
)
