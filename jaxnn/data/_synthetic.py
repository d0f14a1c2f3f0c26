r"""Tasks whose truth is known: pure functions of a random key, jit-able with static sizes.

===========  ======================================================
n            examples
K            ``classes``
T, C         ``steps`` of time, ``channels``
===========  ======================================================
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxnn._check import describe, require, require_array, require_key, require_positive


def two_spirals(
    key: jax.Array, n: int, *, turns: float = 1.5, noise: float = 0.0
) -> tuple[Float[Array, "n 2"], Int[Array, " n"]]:
    r"""Draw points on two interleaved spirals, one a class.

    .. math:: x = r (\cos\theta, \sin\theta) + \sigma\varepsilon, \quad
              \theta = 2\pi m r + \pi y, \quad r = \sqrt{u}

    with u uniform in [0, 1), so that the points are about equally dense all along.

    Args:
      key: random key.
      n: how many points; their classes alternate.
      turns: m, how often each spiral goes around.
      noise: σ, standard deviation of the noise on each coordinate; without it r < 1.

    Returns:
      x in float32 and the class y in int32.

    Raises:
      TypeError: ``key`` is no random key.
      ValueError: a size is not above zero, or ``noise`` is negative.
    """
    require_key("two_spirals", key)
    require_positive("two_spirals", n=n, turns=turns)
    require(0 <= noise < math.inf, "two_spirals", "noise", noise, "a finite number from zero")
    radius_key, noise_key = jax.random.split(key)
    y = jnp.arange(n, dtype=jnp.int32) % 2
    radius = jnp.sqrt(jax.random.uniform(radius_key, (n,)))
    angle = 2 * jnp.pi * turns * radius + jnp.pi * y.astype(jnp.float32)
    x = radius[:, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
    return x + noise * jax.random.normal(noise_key, (n, 2)), y


class Teacher(NamedTuple):
    """Parameters of the planted two-layer network."""

    hidden: Float[Array, "inputs units"]
    readout: Float[Array, "units outputs"]


class TeacherStudent(NamedTuple):
    """Inputs, the teacher's answers to them, and the teacher."""

    x: Float[Array, "n inputs"]
    y: Float[Array, "n outputs"]
    teacher: Teacher


def teacher_outputs(
    teacher: Teacher,
    x: Float[Array, "*batch inputs"],
    *,
    activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
) -> Float[Array, "*batch outputs"]:
    r"""Compute the planted network's answers.

    .. math:: y = \phi(x W) V

    Args:
      teacher: W ``hidden`` and V ``readout``.
      x: any leading axes, then inputs.
      activation: the element-wise φ.

    Returns:
      An array in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: the inner sizes disagree.
    """
    require_array("teacher_outputs", x=x)
    inputs = teacher.hidden.shape[0]
    require(x.shape[-1:] == (inputs,), "teacher_outputs", "x", x, f"a last axis of {inputs}")
    return activation(x @ teacher.hidden) @ teacher.readout


def teacher_student(
    key: jax.Array,
    n: int,
    *,
    inputs: int = 16,
    units: int = 4,
    outputs: int = 1,
    noise: float = 0.0,
    activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
    teacher: Teacher | None = None,
) -> TeacherStudent:
    r"""Plant a two-layer network and draw its answers to normal inputs.

    .. math:: y = \phi(x W) V + \sigma\varepsilon, \quad
              W_{iu} \sim N(0, 1/d), \; V_{uo} \sim N(0, 1/h)

    with d ``inputs`` and h ``units``, so that pre-activations have unit variance.

    Args:
      key: random key.
      n: how many examples.
      inputs: size d of an example.
      units: h, hidden units of the teacher.
      outputs: size of an answer.
      noise: σ, standard deviation of the noise on the answers.
      activation: the teacher's element-wise φ.
      teacher: a network to ask again, e.g. for a test set, instead of drawing one; its sizes
        then replace ``inputs``, ``units`` and ``outputs``.

    Returns:
      x, y and the teacher; :func:`teacher_outputs` of the latter is y without the noise.

    Raises:
      TypeError: ``key`` is no random key.
      ValueError: a size is not above zero, or ``noise`` is negative.
    """
    where = "teacher_student"
    require_key(where, key)
    require_positive(where, n=n, inputs=inputs, units=units, outputs=outputs)
    require(0 <= noise < math.inf, where, "noise", noise, "a finite number from zero")
    hidden_key, readout_key, x_key, noise_key = jax.random.split(key, 4)
    if teacher is None:
        teacher = Teacher(
            hidden=jax.random.normal(hidden_key, (inputs, units)) / math.sqrt(inputs),
            readout=jax.random.normal(readout_key, (units, outputs)) / math.sqrt(units),
        )
    x = jax.random.normal(x_key, (n, teacher.hidden.shape[0]))
    y = teacher_outputs(teacher, x, activation=activation)
    return TeacherStudent(x, y + noise * jax.random.normal(noise_key, y.shape), teacher)


class SpikePatterns(NamedTuple):
    """Spike trains, their classes, and the times from which each class was made."""

    x: Float[Array, "n steps channels"]
    y: Int[Array, " n"]
    times: Int[Array, "classes channels spikes"]


def spike_trains(
    times: Int[Array, "*batch channels spikes"], *, steps: int
) -> Float[Array, "*batch steps channels"]:
    """Turn spike times into trains of 0 and 1; times outside ``[0, steps)`` give no spike.

    Args:
      times: when each channel fires; two equal times give one spike.
      steps: length of the trains.

    Returns:
      A float32 array, time before channels.

    Raises:
      TypeError: ``times`` does not hold integers.
      ValueError: it has fewer than two axes, or ``steps`` is not above zero.
    """
    require_array("spike_trains", floating=False, times=times)
    if not jnp.issubdtype(times.dtype, jnp.integer):
        raise TypeError(f"spike_trains: `times` is {describe(times)}; it needs integers.")
    require(times.ndim >= 2, "spike_trains", "times", times, "shape (*batch, channels, spikes)")
    require_positive("spike_trains", steps=steps)
    clock = jnp.arange(steps, dtype=times.dtype)
    clock = clock.reshape((1,) * (times.ndim - 2) + (steps, 1, 1))
    fires = jnp.expand_dims(times, -3) == clock
    return fires.any(axis=-1).astype(jnp.float32)


def spike_patterns(
    key: jax.Array,
    n: int,
    *,
    classes: int = 4,
    channels: int = 16,
    steps: int = 32,
    spikes: int = 1,
    jitter: float = 1.0,
    times: Int[Array, "classes channels spikes"] | None = None,
) -> SpikePatterns:
    r"""Draw spike trains that are jittered copies of one template a class.

    .. math:: t = \tau_{y} + \mathrm{round}(\sigma\varepsilon)

    with τ uniform in ``[0, steps)``. Every channel fires equally often in every class, so that
    only the times tell the classes apart; spikes jittered out of the window are lost.

    Args:
      key: random key.
      n: how many examples; the classes take turns.
      classes: how many templates.
      channels: spike trains in an example.
      steps: length of an example.
      spikes: spikes of a channel in an example.
      jitter: σ, in steps; 0 gives the templates themselves.
      times: templates to use again, e.g. for a test set, instead of drawing them; their shape
        then replaces ``classes``, ``channels`` and ``spikes``.

    Returns:
      x, exactly 0 or 1; y; the templates' times, which :func:`spike_trains` draws.

    Raises:
      TypeError: ``key`` is no random key.
      ValueError: a size is not above zero, ``jitter`` is negative, or more spikes are asked for
        than there are steps.
    """
    where = "spike_patterns"
    require_key(where, key)
    require_positive(where, n=n, classes=classes, channels=channels, steps=steps, spikes=spikes)
    require(0 <= jitter < math.inf, where, "jitter", jitter, "a finite number from zero")
    template_key, jitter_key = jax.random.split(key)
    if times is None:
        require(spikes <= steps, where, "spikes", spikes, f"at most one a step, of which {steps}")
        # The first few of a random order: a channel's times differ from each other.
        orders = jax.random.uniform(template_key, (classes, channels, steps))
        times = jnp.argsort(orders, axis=-1)[..., :spikes].astype(jnp.int32)
    require(times.ndim == 3, where, "times", times, "shape (classes, channels, spikes)")
    y = jnp.arange(n, dtype=jnp.int32) % times.shape[0]
    moves = jnp.round(jitter * jax.random.normal(jitter_key, (n, *times.shape[1:])))
    trains = spike_trains(times[y] + moves.astype(times.dtype), steps=steps)
    return SpikePatterns(trains, y, times)


class DelayCoincidence(NamedTuple):
    """Spike trains of channel pairs, and the class, which is how far one lags the other."""

    x: Float[Array, "n steps channels"]
    y: Int[Array, " n"]


def delay_coincidence(
    key: jax.Array,
    n: int,
    *,
    channels: int = 20,
    lags: tuple[int, ...] = (2, 6, 10),
    steps: int = 40,
    noise: float = 0.0,
) -> DelayCoincidence:
    r"""Draw pairs of spikes of which only the lag between the two tells the class.

    .. math:: t_{p + C/2} = (t_p + \ell_y) \bmod T, \quad p = 1 \dots C/2

    with :math:`t_p` uniform over all steps. The first half of the channels leads, the second
    half follows. Time is cyclic so that nothing else tells: every channel alone, and every two
    channels that are no pair, look alike in all classes. The price is that a part ℓ / T of the
    pairs fires in reverse order.

    Args:
      key: random key.
      n: how many examples; the classes take turns.
      channels: C, even.
      lags: ℓ, a whole number of steps for each class.
      steps: T, above the largest lag.
      noise: probability, in each step of each channel, of a spike that means nothing.

    Returns:
      x, exactly 0 or 1, and the class y in int32.

    Raises:
      TypeError: ``key`` is no random key.
      ValueError: a size is not above zero or does not fit, or ``noise`` is no probability.
    """
    where = "delay_coincidence"
    require_key(where, key)
    require_positive(where, n=n, channels=channels, steps=steps)
    require(channels % 2 == 0, where, "channels", channels, "an even number, two for each pair")
    ok = bool(lags) and all(0 <= lag < steps for lag in lags)
    require(ok, where, "lags", lags, f"whole numbers from 0, below `steps`, which is {steps}")
    require(0 <= noise <= 1, where, "noise", noise, "a probability")
    time_key, noise_key = jax.random.split(key)
    y = jnp.arange(n, dtype=jnp.int32) % len(lags)
    leader = jax.random.randint(time_key, (n, channels // 2), 0, steps)
    follower = (leader + jnp.array(lags, jnp.int32)[y][:, None]) % steps
    trains = spike_trains(jnp.concatenate([leader, follower], axis=1)[..., None], steps=steps)
    stray = jax.random.bernoulli(noise_key, noise, trains.shape)
    return DelayCoincidence(jnp.maximum(trains, stray.astype(trains.dtype)), y)
