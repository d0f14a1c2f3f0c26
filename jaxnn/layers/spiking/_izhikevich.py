r"""Izhikevich's neuron: two equations that show most firing behaviours of cortical cells.

===  ==================================================================
v    ``state.v``, membrane potential in millivolts
u    ``state.recovery``
I    ``drive``, input current
a    rate of the recovery, 1/ms
b    how strongly the recovery follows v
c    potential after a spike, mV
d    what a spike adds to the recovery
Δ    ``time_step`` in milliseconds
===  ==================================================================

Source: "Simple Model of Spiking Neurons" (2003), with its published values of a to d.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxnn._check import require_positive
from jaxnn.layers.spiking._parameters import require_inputs, require_state, wide_dtype
from jaxnn.layers.spiking._surrogate import SpikeFunction, fast_sigmoid

PEAK = 30.0  # mV, where a spike is cut off


class IzhikevichParameters(NamedTuple):
    """The four numbers of a behaviour.

    Attributes:
      a: rate of the recovery, 1/ms.
      b: how strongly the recovery follows the potential.
      c: potential after a spike, mV.
      d: what a spike adds to the recovery.
    """

    a: float = 0.02
    b: float = 0.2
    c: float = -65.0
    d: float = 8.0


# Named as in the paper's figure 2.
REGULAR_SPIKING = IzhikevichParameters()
INTRINSICALLY_BURSTING = IzhikevichParameters(c=-55.0, d=4.0)
CHATTERING = IzhikevichParameters(c=-50.0, d=2.0)
FAST_SPIKING = IzhikevichParameters(a=0.1, d=2.0)
LOW_THRESHOLD_SPIKING = IzhikevichParameters(b=0.25, d=2.0)
THALAMO_CORTICAL = IzhikevichParameters(b=0.25, d=0.05)
RESONATOR = IzhikevichParameters(a=0.1, b=0.26, d=2.0)


class IzhikevichState(NamedTuple):
    """State of Izhikevich neurons.

    Attributes:
      v: membrane potential after the last step and its reset, mV, ``(*batch, units)``.
      recovery: the slow variable u, ``(*batch, units)``.
    """

    v: jax.Array
    recovery: jax.Array


def izhikevich_init(
    shape: tuple[int, ...],
    dtype: DTypeLike = jnp.float32,
    *,
    parameters: IzhikevichParameters = REGULAR_SPIKING,
) -> IzhikevichState:
    """Make the state the paper starts from: v = -65 mV and u = b v.

    Args:
      shape: ``(*batch, units)``, the shape of one step's drive.
      dtype: what the state is kept in.
      parameters: of the behaviour; only b is used.

    Returns:
      The state before the first step.
    """
    v = jnp.full(shape, -65.0, dtype)
    return IzhikevichState(v=v, recovery=jnp.asarray(parameters.b, v.dtype) * v)


def izhikevich_step(
    state: IzhikevichState,
    drive: Float[Array, "*batch units"],
    *,
    parameters: IzhikevichParameters = REGULAR_SPIKING,
    time_step: float = 0.5,
    surrogate: SpikeFunction = fast_sigmoid,
) -> tuple[IzhikevichState, Float[Array, "*batch units"]]:
    r"""Step an Izhikevich population once, by explicit Euler.

    .. math::
        v' = v + \Delta (0.04 v^2 + 5 v + 140 - u + I), \quad
        u' = u + \Delta\, a (b v' - u), \quad s = [v' > 30\,\mathrm{mV}]

    and where a unit fired, v becomes c and u grows by d. As in the paper's program, the recovery
    follows the potential of the same step, cut off at the peak.

    Args:
      state: potential and recovery after the previous step.
      drive: I; about 10 makes most behaviours show.
      parameters: a, b, c and d.
      time_step: Δ in milliseconds; up to 0.5 is stable near rest.
      surrogate: spike function of the distance from the peak in mV; its slope is per mV.

    Returns:
      The next state, in the dtype of ``state``; spikes, exactly 0 or 1, in that of ``drive``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the state has another shape than ``drive``, or ``time_step`` is not positive.
    """
    where = "izhikevich_step"
    require_state(where, drive, "izhikevich_init", v=state.v, recovery=state.recovery)
    require_positive(where, time_step=time_step)
    a, b, c, d = parameters
    wide = wide_dtype(drive, *state)
    v, u = state.v.astype(wide), state.recovery.astype(wide)
    v = v + time_step * (0.04 * v**2 + 5 * v + 140 - u + drive.astype(wide))
    spikes = surrogate(v - PEAK)
    # The upstroke is quadratic: past the peak its height means nothing, and would overflow u.
    u = u + time_step * a * (b * jnp.minimum(v, PEAK) - u)
    v = jnp.where(spikes > 0, c, v)
    u = u + d * spikes
    after = IzhikevichState(v.astype(state.v.dtype), u.astype(state.recovery.dtype))
    return after, spikes.astype(drive.dtype)


class IzhikevichCell(nn.RNNCellBase):
    """One step of Izhikevich units, for ``nn.RNN``; see :func:`izhikevich_step`.

    Attributes:
      parameters: a, b, c and d, such as ``CHATTERING``.
      time_step: Δ in milliseconds.
      surrogate: spike function of the distance from the peak in mV.
      param_dtype: dtype of the state.
    """

    parameters: IzhikevichParameters = REGULAR_SPIKING
    time_step: float = 0.5
    surrogate: SpikeFunction = fast_sigmoid
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, carry: IzhikevichState, inputs: Float[Array, "*batch units"]
    ) -> tuple[IzhikevichState, Float[Array, "*batch units"]]:
        """Take the state and one step's drive; return the next state and the spikes."""
        require_inputs("IzhikevichCell", inputs)
        return izhikevich_step(
            carry,
            inputs,
            parameters=self.parameters,
            time_step=self.time_step,
            surrogate=self.surrogate,
        )

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> IzhikevichState:
        """Make the starting state for drives of ``input_shape``; the key is not used."""
        return izhikevich_init(input_shape, self.param_dtype, parameters=self.parameters)

    @property
    def num_feature_axes(self) -> int:
        """One: the units."""
        return 1
