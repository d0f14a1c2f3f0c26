r"""Lapicque's neuron: a resistor and a capacitor, in physical units.

===  =======================================
v    ``state.v``, membrane potential
i    ``drive``, input current
R    ``resistance``
C    ``capacitance``; R C is the time constant
Δ    ``time_step``
θ    ``threshold``
===  =======================================

Source: "Lapicque's 1907 Paper: From Frogs to Integrate-and-Fire" (2007); the explicit Euler step is
that of snntorch's ``Lapicque``.
"""

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn._check import require, require_positive
from jaxnn.layers.spiking._leaky import LeakyState, leaky_init, leaky_step
from jaxnn.layers.spiking._parameters import (
    PerUnit,
    per_unit,
    require_inputs,
    require_state,
    wide_dtype,
)
from jaxnn.layers.spiking._reset import Reset, reset_by_subtraction
from jaxnn.layers.spiking._surrogate import SpikeFunction, fast_sigmoid


def lapicque_step(
    state: LeakyState,
    drive: Float[Array, "*batch units"],
    resistance: PerUnit,
    capacitance: PerUnit,
    *,
    time_step: float = 1.0,
    threshold: PerUnit = 1.0,
    surrogate: SpikeFunction = fast_sigmoid,
    reset: Reset = reset_by_subtraction,
) -> tuple[LeakyState, Float[Array, "*batch units"]]:
    r"""Step Lapicque's circuit once: :func:`leaky_step` in physical units.

    .. math::
        u = \Big(1 - \frac{\Delta}{R C}\Big) v + \frac{\Delta}{C} i, \quad s = [u > \theta],
        \quad v' = u - \theta s

    Args:
      state: membrane potential after the previous step.
      drive: current i.
      resistance: R, a number or one a unit. Under a constant current v tends to R i.
      capacitance: C, a number or one a unit.
      time_step: Δ, at most R C; the step is an explicit Euler step of first order in Δ.
      threshold: θ, a number or one a unit; must be exceeded, equality does not fire.
      surrogate: spike function of u - θ.
      reset: what a spike does to u; the formula shows the default.

    Returns:
      The next state, in the dtype of ``state``; spikes, exactly 0 or 1, in that of ``drive``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the state has another shape than ``drive``, or a parameter is out of range.

    Differs: snntorch resets one step later and there takes an undecayed threshold off.
    """
    where = "lapicque_step"
    require_state(where, drive, "leaky_init", v=state.v)
    require_positive(where, time_step=time_step)
    numbers = {"resistance": resistance, "capacitance": capacitance}
    for argument, value in numbers.items():
        if isinstance(value, int | float):
            require_positive(where, **{argument: value})
    if isinstance(resistance, int | float) and isinstance(capacitance, int | float):
        constant = resistance * capacitance
        needs = f"at most R C, which is {constant}, or the step overshoots"
        require(time_step <= constant, where, "time_step", time_step, needs)
    wide = wide_dtype(drive, state.v)
    r, c = (per_unit(where, name, value, drive, wide) for name, value in numbers.items())
    decay = jnp.broadcast_to((1 - time_step / (r * c)).ravel(), drive.shape[-1:])
    state, spikes = leaky_step(
        state,
        time_step / c * drive.astype(wide),
        decay,
        threshold=threshold,
        surrogate=surrogate,
        reset=reset,
    )
    return state, spikes.astype(drive.dtype)


class LapicqueCell(nn.RNNCellBase):
    """One step of Lapicque's circuits, for ``nn.RNN``; see :func:`lapicque_step`.

    Attributes:
      resistance: R.
      capacitance: C.
      time_step: Δ.
      threshold: θ.
      surrogate: spike function of the distance from the threshold.
      reset: what a spike does to the potential.
      param_dtype: dtype of the state.
    """

    resistance: float = 1.0
    capacitance: float = 10.0
    time_step: float = 1.0
    threshold: float = 1.0
    surrogate: SpikeFunction = fast_sigmoid
    reset: Reset = reset_by_subtraction
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, carry: LeakyState, inputs: Float[Array, "*batch units"]
    ) -> tuple[LeakyState, Float[Array, "*batch units"]]:
        """Take the state and one step's drive; return the next state and the spikes."""
        require_inputs("LapicqueCell", inputs)
        return lapicque_step(
            carry,
            inputs,
            self.resistance,
            self.capacitance,
            time_step=self.time_step,
            threshold=self.threshold,
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
