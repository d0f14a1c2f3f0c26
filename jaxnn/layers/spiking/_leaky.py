r"""Leaky and non-leaky integrate-and-fire neurons, the workhorses of spiking networks.

The membrane potential sums its input, forgets a constant fraction of itself each step, and
emits a spike when it exceeds the threshold. Without forgetting (λ = 1) it is the
integrate-and-fire neuron.

===  ======================================================================
v    ``state.v``, membrane potential after the previous step and its reset
i    ``drive``, input current, already multiplied by the weights
λ    ``decay``, factor kept from step to step, ``exp(-dt / tau)``
θ    ``threshold``
s    spikes
===  ======================================================================

Source: "Training Spiking Neural Networks Using Lessons From Deep Learning" (2023), section 2;
learned decays by sigmoid: "Incorporating Learnable Membrane Time Constant to Enhance Learning
of Spiking Neural Networks" (2021).
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxnn.layers.spiking._membrane import unroll
from jaxnn.layers.spiking._parameters import (
    PerUnit,
    decay_parameter,
    per_unit,
    require_decay,
    require_inputs,
    require_state,
    require_threshold,
    step_shape,
    threshold_parameter,
    wide_dtype,
)
from jaxnn.layers.spiking._reset import Reset, reset_by_subtraction
from jaxnn.layers.spiking._run import run
from jaxnn.layers.spiking._surrogate import SpikeFunction, fast_sigmoid

# batch: any leading axes; time: steps; units: neurons.


class LeakyState(NamedTuple):
    """State of neurons whose only memory is the membrane potential.

    Attributes:
      v: membrane potential after the last step and its reset, ``(*batch, units)``.
    """

    v: jax.Array


def leaky_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> LeakyState:
    """Make the resting state, all potentials zero.

    Args:
      shape: ``(*batch, units)``, the shape of one step's drive.
      dtype: what the potential is kept in; float32 also under bfloat16 drives, whose eight
        bits would swallow small currents.

    Returns:
      The state before the first step.
    """
    return LeakyState(v=jnp.zeros(shape, dtype))


def leaky_step(
    state: LeakyState,
    drive: Float[Array, "*batch units"],
    decay: PerUnit,
    *,
    threshold: PerUnit = 1.0,
    surrogate: SpikeFunction = fast_sigmoid,
    reset: Reset = reset_by_subtraction,
) -> tuple[LeakyState, Float[Array, "*batch units"]]:
    r"""Step a leaky integrate-and-fire population once.

    .. math:: u = \lambda v + i, \quad s = [u > \theta], \quad v' = u - \theta s

    Args:
      state: membrane potential after the previous step.
      drive: input current i, already scaled by the step length.
      decay: λ, a number or one a unit, usually ``exp(-dt / tau)``.
      threshold: θ, a number or one a unit; must be exceeded, equality does not fire.
      surrogate: spike function of u - θ; its derivative stands in for the step's.
      reset: what a spike does to u; the formula shows the default.

    Returns:
      The next state, in the dtype of ``state``; spikes, exactly 0 or 1, in that of ``drive``.

    Gradient: through the spikes the surrogate's, through the reset too.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the state has another shape than ``drive``, or a parameter is out of range.

    Differs: snntorch ``Leaky`` subtracts an undecayed threshold one step later (λu - θs + i,
    where here it is λ(u - θs) + i), and spyx ``nn.LIF`` also fires on the previous potential.
    The traces disagree; convert before comparing.

    Example:
      >>> state = LeakyState(v=jnp.array([0.0, 0.9]))
      >>> state, spikes = leaky_step(state, jnp.full(2, 0.5), jnp.full(2, 0.8))
      >>> print(spikes, state.v.round(2))
      [0. 1.] [0.5  0.22]
    """
    factor, theta = _prepared("leaky_step", state, drive, decay, threshold)
    wide = wide_dtype(drive, state.v)
    u = factor * state.v.astype(wide) + drive.astype(wide)
    spikes = surrogate(u - theta)
    v = reset(u, spikes, theta)
    return LeakyState(v.astype(state.v.dtype)), spikes.astype(drive.dtype)


def integrate_step(
    state: LeakyState,
    drive: Float[Array, "*batch units"],
    *,
    threshold: PerUnit = 1.0,
    surrogate: SpikeFunction = fast_sigmoid,
    reset: Reset = reset_by_subtraction,
) -> tuple[LeakyState, Float[Array, "*batch units"]]:
    r"""Step an integrate-and-fire population once: :func:`leaky_step` that forgets nothing.

    .. math:: u = v + i, \quad s = [u > \theta], \quad v' = u - \theta s

    Reset by subtraction makes it count: under a constant drive i in [0, θ] it has fired
    i t / θ times after t steps, to within one spike.

    Args:
      state: membrane potential after the previous step.
      drive: input current i.
      threshold: θ, a number or one a unit; must be exceeded, equality does not fire.
      surrogate: spike function of u - θ; its derivative stands in for the step's.
      reset: what a spike does to u; the formula shows the default.

    Returns:
      The next state, in the dtype of ``state``; spikes, exactly 0 or 1, in that of ``drive``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the state has another shape than ``drive``, or a parameter is out of range.
    """
    require_state("integrate_step", drive, "leaky_init", v=state.v)
    require_threshold("integrate_step", threshold)
    return leaky_step(state, drive, 1.0, threshold=threshold, surrogate=surrogate, reset=reset)


def leaky_sequence(
    drive: Float[Array, "..."],
    decay: PerUnit,
    *,
    threshold: PerUnit = 1.0,
    surrogate: SpikeFunction = fast_sigmoid,
    reset: Reset = reset_by_subtraction,
    state: LeakyState | None = None,
    time_axis: int = -2,
) -> tuple[LeakyState, Float[Array, "..."]]:
    """Run a leaky integrate-and-fire population over a whole sequence of drives.

    Args:
      drive: input currents of all steps, ``(*batch, time, units)`` unless ``time_axis`` says
        otherwise; one matrix product over all steps makes them.
      decay: λ, a number or one a unit.
      threshold: θ, a number or one a unit.
      surrogate: spike function of the distance from the threshold.
      reset: what a spike does to the potential.
      state: before the first step; at rest, in float32 or wider, if ``None``.
      time_axis: where time is; 0 saves two transpositions.

    Returns:
      The state after the last step, and the spikes in shape and dtype of ``drive``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: shapes disagree, or a parameter is out of range.

    Example:
      >>> _, spikes = leaky_sequence(jnp.full((6, 1), 0.5), 0.8)
      >>> spikes[:, 0].tolist()
      [0.0, 0.0, 1.0, 0.0, 1.0, 0.0]
    """
    where = "leaky_sequence"
    return _sequence(where, state, drive, decay, threshold, surrogate, reset, time_axis)[:2]


def _sequence(
    where: str,
    state: LeakyState | None,
    drive: jax.Array,
    decay: PerUnit,
    threshold: PerUnit,
    surrogate: SpikeFunction,
    reset: Reset,
    time_axis: int,
) -> tuple[LeakyState, jax.Array, jax.Array]:
    """Give the last state, the spikes, and the potentials after each reset."""
    shape, at_rest = step_shape(where, drive, time_axis), state is None
    if state is None:
        state = leaky_init(shape, wide_dtype(drive))
    if state.v.dtype != wide_dtype(drive, state.v) or not drive.shape[time_axis]:
        # Potentials rounded after every step, or no step at all.
        step = functools.partial(leaky_step, threshold=threshold, surrogate=surrogate, reset=reset)
        last, (spikes, states) = run(step, state, drive, decay, time_axis=time_axis, record=True)
        return last, spikes, states.v
    rows = jnp.moveaxis(drive, time_axis, 0)
    factor, theta = _prepared(where, state, rows[0], decay, threshold)
    wide = rows.astype(state.v.dtype)
    if not at_rest:
        wide = wide.at[0].add(jnp.broadcast_to(factor * state.v, rows.shape[1:]))

    def fired(u: jax.Array) -> tuple[jax.Array, jax.Array]:
        spikes = surrogate(u - theta)
        return reset(u, spikes, theta), spikes

    u = unroll(lambda u: factor * fired(u)[0], wide)
    # What the surrogate's slope is made of is kept anyway: slopes are made when they are due.
    each = jax.checkpoint(jax.vmap(fired), prevent_cse=False)
    v, spikes = (jnp.moveaxis(array, 0, time_axis) for array in each(u))
    return LeakyState(fired(u[-1])[0]), spikes.astype(drive.dtype), v


def _prepared(
    where: str, state: LeakyState, drive: jax.Array, decay: PerUnit, threshold: PerUnit
) -> tuple[jax.Array, jax.Array]:
    """Check one step's arguments, and give λ and θ as arrays."""
    require_state(where, drive, "leaky_init", v=state.v)
    require_decay(where, decay=decay)
    require_threshold(where, threshold)
    wide = wide_dtype(drive, state.v)
    return (
        per_unit(where, "decay", decay, drive, wide),
        per_unit(where, "threshold", threshold, drive, wide),
    )


class LeakyCell(nn.RNNCellBase):
    """One step of leaky integrate-and-fire units, for ``nn.RNN``; see :func:`leaky_step`.

    It has no kernel: feed it the output of a dense layer, computed for all steps at once.

    Attributes:
      decay: λ, or where it starts when learned.
      threshold: θ, or where it starts when learned.
      learn_decay: train one decay a unit, the sigmoid of the parameter ``decay_logit``.
      learn_threshold: train one threshold a unit, the softplus of ``threshold_raw``.
      surrogate: spike function of the distance from the threshold.
      reset: what a spike does to the potential.
      param_dtype: dtype of parameters and state.
    """

    decay: float = 0.9
    threshold: float = 1.0
    learn_decay: bool = False
    learn_threshold: bool = False
    surrogate: SpikeFunction = fast_sigmoid
    reset: Reset = reset_by_subtraction
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, carry: LeakyState, inputs: Float[Array, "*batch units"]
    ) -> tuple[LeakyState, Float[Array, "*batch units"]]:
        """Take the state and one step's drive; return the next state and the spikes."""
        require_inputs("LeakyCell", inputs)
        decay, threshold = _parameters(self, inputs.shape[-1])
        return leaky_step(
            carry,
            inputs,
            decay,
            threshold=threshold,
            surrogate=self.surrogate,
            reset=self.reset,
        )

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> LeakyState:
        """Make the resting state for drives of ``input_shape``; the key is not used."""
        return leaky_init(input_shape, self.param_dtype)

    @property
    def num_feature_axes(self) -> int:
        """One: the units."""
        return 1


class IntegrateCell(nn.RNNCellBase):
    """One step of integrate-and-fire units, for ``nn.RNN``; see :func:`integrate_step`.

    Attributes:
      threshold: θ, or where it starts when learned.
      learn_threshold: train one threshold a unit, the softplus of ``threshold_raw``.
      surrogate: spike function of the distance from the threshold.
      reset: what a spike does to the potential.
      param_dtype: dtype of parameters and state.
    """

    threshold: float = 1.0
    learn_threshold: bool = False
    surrogate: SpikeFunction = fast_sigmoid
    reset: Reset = reset_by_subtraction
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, carry: LeakyState, inputs: Float[Array, "*batch units"]
    ) -> tuple[LeakyState, Float[Array, "*batch units"]]:
        """Take the state and one step's drive; return the next state and the spikes."""
        require_inputs("IntegrateCell", inputs)
        threshold = threshold_parameter(
            self, "threshold", self.threshold, inputs.shape[-1], learn=self.learn_threshold
        )
        return integrate_step(
            carry, inputs, threshold=threshold, surrogate=self.surrogate, reset=self.reset
        )

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> LeakyState:
        """Make the resting state for drives of ``input_shape``; the key is not used."""
        return leaky_init(input_shape, self.param_dtype)

    @property
    def num_feature_axes(self) -> int:
        """One: the units."""
        return 1


class Leaky(nn.Module):
    """Leaky integrate-and-fire units over whole sequences; see :func:`leaky_sequence`.

    The same parameters under the same names as :class:`LeakyCell`. Sows ``spikes`` and
    ``membrane``, the potential after each reset, into ``intermediates``.

    Attributes:
      decay: λ, or where it starts when learned.
      threshold: θ, or where it starts when learned.
      learn_decay: train one decay a unit, the sigmoid of the parameter ``decay_logit``.
      learn_threshold: train one threshold a unit, the softplus of ``threshold_raw``.
      surrogate: spike function of the distance from the threshold.
      reset: what a spike does to the potential.
      time_axis: where time is in the inputs.
      param_dtype: dtype of the parameters.
    """

    decay: float = 0.9
    threshold: float = 1.0
    learn_decay: bool = False
    learn_threshold: bool = False
    surrogate: SpikeFunction = fast_sigmoid
    reset: Reset = reset_by_subtraction
    time_axis: int = -2
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, inputs: Float[Array, "..."]) -> Float[Array, "..."]:
        """Map drives ``(*batch, time, units)`` to spikes of the same shape and dtype."""
        shape = step_shape("Leaky", inputs, self.time_axis)
        decay, threshold = _parameters(self, shape[-1])
        slots = self.surrogate, self.reset, self.time_axis
        # Potentials are removed when compiling: recording costs nothing unless asked for.
        _, spikes, v = _sequence("Leaky", None, inputs, decay, threshold, *slots)
        self.sow("intermediates", "membrane", v)
        self.sow("intermediates", "spikes", spikes)
        return spikes


def _parameters(module: LeakyCell | Leaky, units: int) -> tuple[PerUnit, PerUnit]:
    return (
        decay_parameter(module, "decay", module.decay, units, learn=module.learn_decay),
        threshold_parameter(
            module, "threshold", module.threshold, units, learn=module.learn_threshold
        ),
    )
