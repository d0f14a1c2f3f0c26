r"""The current-based leaky neuron: synapses low-pass the input before the membrane does.

===  ==========================================================
j    ``state.current``, synaptic current
v    ``state.v``, membrane potential after the previous reset
i    ``drive``
α    ``current_decay``, factor the current keeps, ``exp(-dt / tau_syn)``
λ    ``decay``, factor the potential keeps, ``exp(-dt / tau_mem)``
θ    ``threshold``
===  ==========================================================

Source: "Surrogate Gradient Learning in Spiking Neural Networks" (2019), equations 4 and 5,
with the current of the same step entering the potential, as in snntorch's ``Synaptic``.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxnn.layers.spiking._leaky import LeakyState, leaky_step
from jaxnn.layers.spiking._parameters import (
    PerUnit,
    decay_parameter,
    per_unit,
    require_decay,
    require_inputs,
    require_state,
    require_threshold,
    threshold_parameter,
    wide_dtype,
)
from jaxnn.layers.spiking._reset import Reset, reset_by_subtraction
from jaxnn.layers.spiking._surrogate import SpikeFunction, fast_sigmoid


class SynapticState(NamedTuple):
    """State of current-based neurons.

    Attributes:
      current: synaptic current, ``(*batch, units)``.
      v: membrane potential after the last step and its reset, ``(*batch, units)``.
    """

    current: jax.Array
    v: jax.Array


def synaptic_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> SynapticState:
    """Make the resting state, no current and no potential.

    Args:
      shape: ``(*batch, units)``, the shape of one step's drive.
      dtype: what the state is kept in.

    Returns:
      The state before the first step.
    """
    return SynapticState(current=jnp.zeros(shape, dtype), v=jnp.zeros(shape, dtype))


def synaptic_step(
    state: SynapticState,
    drive: Float[Array, "*batch units"],
    current_decay: PerUnit,
    decay: PerUnit,
    *,
    threshold: PerUnit = 1.0,
    surrogate: SpikeFunction = fast_sigmoid,
    reset: Reset = reset_by_subtraction,
) -> tuple[SynapticState, Float[Array, "*batch units"]]:
    r"""Step a current-based leaky integrate-and-fire population once.

    .. math::
        j' = \alpha j + i, \quad u = \lambda v + j', \quad s = [u > \theta], \quad
        v' = u - \theta s

    Args:
      state: current and potential after the previous step.
      drive: input i.
      current_decay: α, a number or one a unit; at 0 this is :func:`leaky_step`.
      decay: λ, a number or one a unit.
      threshold: θ, a number or one a unit; must be exceeded, equality does not fire.
      surrogate: spike function of u - θ.
      reset: what a spike does to u; the current is never reset.

    Returns:
      The next state, in the dtype of ``state``; spikes, exactly 0 or 1, in that of ``drive``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the state has another shape than ``drive``, or a parameter is out of range.
    """
    where = "synaptic_step"
    require_state(where, drive, "synaptic_init", current=state.current, v=state.v)
    require_decay(where, current_decay=current_decay, decay=decay)
    require_threshold(where, threshold)
    wide = wide_dtype(drive, state.current, state.v)
    alpha = per_unit(where, "current_decay", current_decay, drive, wide)
    current = alpha * state.current.astype(wide) + drive.astype(wide)
    membrane, spikes = leaky_step(
        LeakyState(state.v), current, decay, threshold=threshold, surrogate=surrogate, reset=reset
    )
    return (
        SynapticState(current=current.astype(state.current.dtype), v=membrane.v),
        spikes.astype(drive.dtype),
    )


class SynapticCell(nn.RNNCellBase):
    """One step of current-based units, for ``nn.RNN``; see :func:`synaptic_step`.

    Attributes:
      current_decay: α, or where it starts when learned.
      decay: λ, or where it starts when learned.
      threshold: θ, or where it starts when learned.
      learn_decay: train both decays, the sigmoids of ``current_decay_logit`` and
        ``decay_logit``, one a unit each.
      learn_threshold: train one threshold a unit, the softplus of ``threshold_raw``.
      surrogate: spike function of the distance from the threshold.
      reset: what a spike does to the potential.
      param_dtype: dtype of parameters and state.
    """

    current_decay: float = 0.8
    decay: float = 0.9
    threshold: float = 1.0
    learn_decay: bool = False
    learn_threshold: bool = False
    surrogate: SpikeFunction = fast_sigmoid
    reset: Reset = reset_by_subtraction
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, carry: SynapticState, inputs: Float[Array, "*batch units"]
    ) -> tuple[SynapticState, Float[Array, "*batch units"]]:
        """Take the state and one step's drive; return the next state and the spikes."""
        require_inputs("SynapticCell", inputs)
        units, learn = inputs.shape[-1], self.learn_decay
        return synaptic_step(
            carry,
            inputs,
            decay_parameter(self, "current_decay", self.current_decay, units, learn=learn),
            decay_parameter(self, "decay", self.decay, units, learn=learn),
            threshold=threshold_parameter(
                self, "threshold", self.threshold, units, learn=self.learn_threshold
            ),
            surrogate=self.surrogate,
            reset=self.reset,
        )

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> SynapticState:
        """Make the resting state for drives of ``input_shape``; the key is not used."""
        return synaptic_init(input_shape, self.param_dtype)

    @property
    def num_feature_axes(self) -> int:
        """One: the units."""
        return 1
