r"""Losses of spiking networks, on trains and membrane traces against integer class labels.

===  ======================================================================
s    ``outputs`` when they are spikes, ``(*batch, time, classes)``
v    ``outputs`` when they are membrane potentials, in the same shape
T    steps of time
y    ``targets``
===  ======================================================================

All take time at ``time_axis``, classes last, and return one value a label. Gradients pass
through the spikes, whose surrogates belong to the neurons. Source: "Training Spiking Neural
Networks Using Lessons From Deep Learning" (2023), section 4.2; the maximum of the membrane is
that of "SuperSpike: Supervised Learning in Multilayer Spiking Neural Networks" (2018).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Integer

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype
from jaxnn.train.losses._classification import _check, cross_entropy


def rate_cross_entropy(
    outputs: Float[Array, "..."], targets: Integer[Array, "*batch"], *, time_axis: int = -2
) -> Float[Array, "*batch"]:
    r"""Average the cross-entropy of every step: the label's unit should fire all the time.

    .. math:: \ell = -\frac{1}{T} \sum_t \log \mathrm{softmax}(s_t)_y

    Args:
      outputs: spikes or potentials, ``(*batch, time, classes)`` unless ``time_axis`` says
        otherwise.
      targets: integer labels.
      time_axis: where time is.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the shapes disagree, or there is no such axis.
    """
    traces, targets = _traces("rate_cross_entropy", outputs, targets, time_axis)
    labels = jnp.broadcast_to(targets[..., None], traces.shape[:-1])
    return jnp.mean(cross_entropy(traces, labels), axis=-1)


def count_cross_entropy(
    outputs: Float[Array, "..."], targets: Integer[Array, "*batch"], *, time_axis: int = -2
) -> Float[Array, "*batch"]:
    r"""Take the cross-entropy of the spike counts: the label's unit should fire most.

    .. math:: \ell = -\log \mathrm{softmax}\big(\textstyle\sum_t s_t\big)_y

    Args:
      outputs: spikes, ``(*batch, time, classes)`` unless ``time_axis`` says otherwise.
      targets: integer labels.
      time_axis: where time is.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the shapes disagree, or there is no such axis.
    """
    traces, targets = _traces("count_cross_entropy", outputs, targets, time_axis)
    return cross_entropy(jnp.sum(traces, axis=-2), targets)


def membrane_cross_entropy(
    outputs: Float[Array, "..."], targets: Integer[Array, "*batch"], *, time_axis: int = -2
) -> Float[Array, "*batch"]:
    r"""Take the cross-entropy of the highest potentials: gradients reach one step of each unit.

    .. math:: \ell = -\log \mathrm{softmax}\big(\max_t v_t\big)_y

    Args:
      outputs: potentials, ``(*batch, time, classes)`` unless ``time_axis`` says otherwise.
      targets: integer labels.
      time_axis: where time is.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the shapes disagree, or there is no such axis.
    """
    traces, targets = _traces("membrane_cross_entropy", outputs, targets, time_axis)
    return cross_entropy(jnp.max(traces, axis=-2), targets)


def first_spike_cross_entropy(
    outputs: Float[Array, "..."], targets: Integer[Array, "*batch"], *, time_axis: int = -2
) -> Float[Array, "*batch"]:
    r"""Take the cross-entropy of negative first spike times: the label's unit should be first.

    .. math:: \ell = -\log \mathrm{softmax}(-t)_y, \quad t = \sum_u \prod_{w \le u} (1 - s_w)

    t is the step of the first spike counted from 0, and T for a unit that never fires. Written
    as a polynomial of the spikes it has a derivative: a spike anywhere up to the first would
    have been earlier; after it none matters.

    Args:
      outputs: spikes, 0 or 1, ``(*batch, time, classes)`` unless ``time_axis`` says otherwise.
      targets: integer labels.
      time_axis: where time is.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the shapes disagree, or there is no such axis.

    Differs: snntorch's ``ce_temporal_loss`` takes the inverse of the time, or another map, and
    gives all spikes before it the gradient -1.
    """
    traces, targets = _traces("first_spike_cross_entropy", outputs, targets, time_axis)
    return cross_entropy(-_first_times(traces), targets)


def rate_squared_error(
    outputs: Float[Array, "..."],
    targets: Integer[Array, "*batch"],
    *,
    on_rate: float = 1.0,
    off_rate: float = 0.0,
    time_axis: int = -2,
) -> Float[Array, "*batch"]:
    r"""Average over classes the squared distance of each firing rate from the one wanted.

    .. math:: \ell = \frac{1}{C} \sum_c \Big(\frac{1}{T} \sum_t s_{tc} - r_c\Big)^2

    with r ``on_rate`` for the label's class and ``off_rate`` for the others.

    Args:
      outputs: spikes, ``(*batch, time, classes)`` unless ``time_axis`` says otherwise.
      targets: integer labels.
      on_rate: spikes a step of the label's unit, from 0 to 1; below 1 spares energy.
      off_rate: spikes a step of the others; above 0 keeps them alive.
      time_axis: where time is.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the shapes disagree, there is no such axis, or a rate lies outside [0, 1].

    Differs: snntorch's ``mse_count_loss`` is T times as large.
    """
    where = "rate_squared_error"
    for argument, rate in (("on_rate", on_rate), ("off_rate", off_rate)):
        require(0 <= rate <= 1, where, argument, rate, "a rate from 0 to 1")
    traces, targets = _traces(where, outputs, targets, time_axis)
    wanted = _wanted(traces[..., 0, :], targets, on_rate, off_rate)
    return jnp.mean((jnp.mean(traces, axis=-2) - wanted) ** 2, axis=-1)


def membrane_squared_error(
    outputs: Float[Array, "..."],
    targets: Integer[Array, "*batch"],
    *,
    on_potential: float = 1.0,
    off_potential: float = 0.0,
    time_axis: int = -2,
) -> Float[Array, "*batch"]:
    r"""Average the squared distance of each potential from the one wanted, at every step.

    .. math:: \ell = \frac{1}{C T} \sum_{t, c} (v_{tc} - r_c)^2

    with r ``on_potential`` for the label's class and ``off_potential`` for the others.

    Args:
      outputs: potentials, ``(*batch, time, classes)`` unless ``time_axis`` says otherwise.
      targets: integer labels.
      on_potential: wanted of the label's unit.
      off_potential: wanted of the others.
      time_axis: where time is.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the shapes disagree, or there is no such axis.
    """
    traces, targets = _traces("membrane_squared_error", outputs, targets, time_axis)
    wanted = _wanted(traces[..., 0, :], targets, on_potential, off_potential)
    return jnp.mean((traces - wanted[..., None, :]) ** 2, axis=(-2, -1))


def first_spike_squared_error(
    outputs: Float[Array, "..."],
    targets: Integer[Array, "*batch"],
    *,
    on_time: float = 0.0,
    off_time: float = 1.0,
    time_axis: int = -2,
) -> Float[Array, "*batch"]:
    r"""Average over classes the squared distance of each first spike from the time wanted.

    .. math:: \ell = \frac{1}{C} \sum_c \Big(\frac{t_c}{T} - r_c\Big)^2

    with t of :func:`first_spike_cross_entropy` and r ``on_time`` for the label's class and
    ``off_time`` for the others, both as parts of the whole time.

    Args:
      outputs: spikes, 0 or 1, ``(*batch, time, classes)`` unless ``time_axis`` says otherwise.
      targets: integer labels.
      on_time: wanted of the label's unit, from 0, the first step, to 1, never.
      off_time: wanted of the others.
      time_axis: where time is.

    Returns:
      One value per label, in float32 or wider.

    Raises:
      TypeError: ``outputs`` are not floating-point or ``targets`` not integers.
      ValueError: the shapes disagree, there is no such axis, or a time lies outside [0, 1].
    """
    where = "first_spike_squared_error"
    for argument, time in (("on_time", on_time), ("off_time", off_time)):
        require(0 <= time <= 1, where, argument, time, "a part of the time, from 0 to 1")
    traces, targets = _traces(where, outputs, targets, time_axis)
    wanted = _wanted(traces[..., 0, :], targets, on_time, off_time)
    return jnp.mean((_first_times(traces) / traces.shape[-2] - wanted) ** 2, axis=-1)


def _first_times(spikes: jax.Array) -> jax.Array:
    """Count the steps before the first spike, over the axis before the last."""
    return jnp.sum(jnp.cumprod(1 - spikes, axis=spikes.ndim - 2), axis=-2)


def _wanted(like: jax.Array, targets: jax.Array, on: float, off: float) -> jax.Array:
    """Give ``on`` at each label's class and ``off`` elsewhere; NaN for labels out of range."""
    classes = like.shape[-1]
    hot = jax.nn.one_hot(targets, classes, dtype=like.dtype)
    known = ((targets >= 0) & (targets < classes))[..., None]
    return jnp.where(known, off + (on - off) * hot, jnp.nan)


def _traces(
    where: str, outputs: jax.Array, targets: jax.Array, time_axis: int
) -> tuple[jax.Array, jax.Array]:
    """Check both; give traces in float32 or wider with time before the classes, and labels."""
    require_array(where, outputs=outputs)
    axis = time_axis + outputs.ndim if time_axis < 0 else time_axis
    require(
        0 <= axis < outputs.ndim - 1,
        where,
        "time_axis",
        time_axis,
        f"an axis of `outputs`, which has {outputs.ndim}, before the last, which is classes",
    )
    traces = jnp.moveaxis(jnp.asarray(outputs), axis, -2)
    _, targets = _check(where, traces[..., 0, :], targets)
    return traces.astype(accumulation_dtype(traces.dtype)), targets
