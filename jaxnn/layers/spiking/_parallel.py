r"""Neurons without a reset, whose potentials at all times are computed at once.

What makes a spiking neuron sequential is its reset. Without one the leaky potential is a linear
recurrence; the general linear neuron weighs all time steps by a learned matrix.

.. math:: v_t = \lambda v_{t-1} + i_t, \quad s_t = [v_t > \theta]; \qquad
    v_t = \sum_r W_{tr} i_r, \quad s_t = [v_t > \theta_t]

===  ======================================================================
i    ``drive``, input current, ``(*batch, time, units)``
v    membrane potential
λ    ``decay``, factor kept from step to step
W    ``weights``, ``(time, time)``, the same for all units
θ    ``threshold``
===  ======================================================================

Source: "Parallel Spiking Neurons with High Efficiency and Ability to Learn Long-term
Dependencies" (2023).
"""

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count
from jaxnn.layers.recurrent import linear_recurrence
from jaxnn.layers.spiking._leaky import LeakyState, leaky_init
from jaxnn.layers.spiking._parameters import (
    PerUnit,
    decay_parameter,
    per_unit,
    require_decay,
    require_state,
    require_threshold,
    step_shape,
    threshold_parameter,
    wide_dtype,
)
from jaxnn.layers.spiking._surrogate import SpikeFunction, fast_sigmoid


def parallel_leaky(
    drive: Float[Array, "..."],
    decay: PerUnit,
    *,
    threshold: PerUnit = 1.0,
    surrogate: SpikeFunction = fast_sigmoid,
    state: LeakyState | None = None,
    time_axis: int = -2,
) -> tuple[LeakyState, Float[Array, "..."]]:
    """Run leaky neurons that are never reset over a whole sequence, as a linear recurrence.

    The spikes are those of :func:`leaky_sequence` with :func:`no_reset`, up to rounding; on
    accelerators all time steps are joined in pairs (:func:`linear_recurrence`).

    Args:
      drive: input currents of all steps, ``(*batch, time, units)`` unless ``time_axis`` says
        otherwise.
      decay: λ, a number or one a unit.
      threshold: θ, a number or one a unit; must be exceeded, equality does not fire.
      surrogate: spike function of v - θ; its derivative stands in for the step's.
      state: before the first step; at rest, in float32 or wider, if ``None``.
      time_axis: where time is.

    Returns:
      The state after the last step, and the spikes in shape and dtype of ``drive``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes disagree, or a parameter is out of range.

    Differs: snntorch ``StateLeaky(beta)`` keeps exp(beta - 1) and not ``beta``.

    Example:
      >>> _, spikes = parallel_leaky(jnp.full((6, 1), 0.5), 0.8)
      >>> spikes[:, 0].tolist()
      [0.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    """
    state, spikes, _ = _leaky(
        "parallel_leaky", drive, decay, threshold, surrogate, state, time_axis
    )
    return state, spikes


def _leaky(where, drive, decay, threshold, surrogate, state, time_axis):
    """Give the last state, the spikes, and all potentials in the layout of the drive."""
    shape = step_shape(where, drive, time_axis)
    if state is None:
        state = leaky_init(shape, wide_dtype(drive))
    one = jnp.moveaxis(drive, time_axis, 0)[0]
    require_state(where, one, "leaky_init", v=state.v)
    require_decay(where, decay=decay)
    require_threshold(where, threshold)
    wide = wide_dtype(drive, state.v)
    factor = per_unit(where, "decay", decay, one, wide).ravel()
    factor = jnp.broadcast_to(factor, shape[-1:])
    current = jnp.moveaxis(drive.astype(wide), time_axis, -2)
    v = linear_recurrence(factor, current, state.v.astype(wide))
    theta = per_unit(where, "threshold", threshold, v, wide)
    spikes = surrogate(v - theta)
    last = LeakyState(v[..., -1, :].astype(state.v.dtype))
    spikes, v = (jnp.moveaxis(each, -2, time_axis) for each in (spikes, v))
    return last, spikes.astype(drive.dtype), v


def parallel_spiking(
    drive: Float[Array, "..."],
    weights: Float[Array, "time time"],
    threshold: Float[Array, " time"] | float = 1.0,
    *,
    order: int | None = None,
    surrogate: SpikeFunction = fast_sigmoid,
    time_axis: int = -2,
) -> Float[Array, "..."]:
    r"""Fire by potentials that weigh the currents of all time steps.

    .. math:: v_t = \sum_r W_{tr} i_r, \quad s_t = [v_t > \theta_t]

    Args:
      drive: i, ``(*batch, time, units)`` unless ``time_axis`` says otherwise.
      weights: W.
      threshold: θ, a number or one a time step.
      order: a step reads itself and the ``order - 1`` before it; all steps, later ones too, if
        ``None``, which is not causal.
      surrogate: spike function of v - θ; its derivative stands in for the step's.
      time_axis: where time is.

    Returns:
      The spikes, in shape and dtype of ``drive``; sums are taken in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree, or ``order`` is not a whole number above zero.

    Example:
      >>> weights = jnp.ones((3, 3))
      >>> parallel_spiking(jnp.full((3, 1), 0.6), weights, order=2)[:, 0].tolist()
      [0.0, 1.0, 1.0]
    """
    where = "parallel_spiking"
    return _spiking(where, drive, weights, threshold, order, surrogate, time_axis)[0]


def _spiking(where, drive, weights, threshold, order, surrogate, time_axis):
    """Give the spikes and the potentials, both in the layout of the drive."""
    step_shape(where, drive, time_axis)
    require_array(where, weights=weights)
    time = drive.shape[time_axis]
    needs = f"shape {(time, time)}, for the steps of `drive`"
    require(weights.shape == (time, time), where, "weights", weights, needs)
    wide = wide_dtype(drive)
    w = weights.astype(wide)
    if order is not None:
        require_count(where, order=order)
        # Kept are the diagonal and the order - 1 below it.
        w = jnp.triu(jnp.tril(w), 1 - order)
    if isinstance(threshold, int | float):
        require_threshold(where, threshold)
        theta = jnp.full(time, threshold, wide)
    else:
        require_array(where, threshold=threshold)
        needs = f"a number or shape ({time},), one a time step"
        require(threshold.shape == (time,), where, "threshold", threshold, needs)
        theta = threshold.astype(wide)
    current = jnp.moveaxis(drive.astype(wide), time_axis, -2)
    v = jnp.einsum("tr,...ru->...tu", w, current)
    spikes = surrogate(v - jnp.broadcast_to(theta[:, None], v.shape))
    spikes, v = (jnp.moveaxis(each, -2, time_axis) for each in (spikes, v))
    return spikes.astype(drive.dtype), v


class ParallelLeaky(nn.Module):
    """Leaky units that are never reset, over whole sequences; see :func:`parallel_leaky`.

    The same parameters under the same names as :class:`Leaky`. Sows ``spikes`` and ``membrane``
    into ``intermediates``.

    Attributes:
      decay: λ, or where it starts when learned.
      threshold: θ, or where it starts when learned.
      learn_decay: train one decay a unit, the sigmoid of the parameter ``decay_logit``.
      learn_threshold: train one threshold a unit, the softplus of ``threshold_raw``.
      surrogate: spike function of the distance from the threshold.
      time_axis: where time is in the inputs.
      param_dtype: dtype of the parameters.
    """

    decay: float = 0.9
    threshold: float = 1.0
    learn_decay: bool = False
    learn_threshold: bool = False
    surrogate: SpikeFunction = fast_sigmoid
    time_axis: int = -2
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, inputs: Float[Array, "..."]) -> Float[Array, "..."]:
        """Map drives ``(*batch, time, units)`` to spikes of the same shape and dtype."""
        units = step_shape("ParallelLeaky", inputs, self.time_axis)[-1]
        decay = decay_parameter(self, "decay", self.decay, units, learn=self.learn_decay)
        threshold = threshold_parameter(
            self, "threshold", self.threshold, units, learn=self.learn_threshold
        )
        _, spikes, membrane = _leaky(
            "ParallelLeaky", inputs, decay, threshold, self.surrogate, None, self.time_axis
        )
        self.sow("intermediates", "membrane", membrane)
        self.sow("intermediates", "spikes", spikes)
        return spikes


class ParallelSpiking(nn.Module):
    """Units that weigh all time steps by a learned matrix; see :func:`parallel_spiking`.

    Sequences must be as long as those it was initialised with. Sows ``spikes`` and ``membrane``
    into ``intermediates``.

    Attributes:
      order: steps that a step reads, itself the last; ``None`` for all, which is not causal.
      threshold: where the thresholds, one a time step, start; they are trained.
      surrogate: spike function of the distance from the threshold.
      time_axis: where time is in the inputs.
      param_dtype: dtype of the parameters.
      kernel_init: initialiser of the matrix.
    """

    order: int | None = None
    threshold: float = 1.0
    surrogate: SpikeFunction = fast_sigmoid
    time_axis: int = -2
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal(in_axis=1, out_axis=0)

    @nn.compact
    def __call__(self, inputs: Float[Array, "..."]) -> Float[Array, "..."]:
        """Map drives ``(*batch, time, units)`` to spikes of the same shape and dtype."""
        where = "ParallelSpiking"
        step_shape(where, inputs, self.time_axis)
        time = inputs.shape[self.time_axis]
        weights = self.param("weights", self.kernel_init, (time, time), self.param_dtype)
        start = nn.initializers.constant(self.threshold)
        threshold = self.param("threshold", start, (time,), self.param_dtype)
        spikes, membrane = _spiking(
            where, inputs, weights, threshold, self.order, self.surrogate, self.time_axis
        )
        self.sow("intermediates", "membrane", membrane)
        self.sow("intermediates", "spikes", spikes)
        return spikes
