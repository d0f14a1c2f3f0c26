r"""The alpha neuron: two opposite currents shape each input into a pulse that rises and falls.

The potential is not summed up step by step but read off two exponential filters of the input,
one slow and exciting, one fast and inhibiting, whose difference is the alpha function.

===  =================================================================
e    ``state.excitation``, slow current
h    ``state.inhibition``, fast current, the negative of the input's
v    ``state.v``, membrane potential, of the step itself
i    ``drive``
α    ``slow_decay``, factor that e keeps
β    ``fast_decay``, factor that h keeps, below α
θ    ``threshold``
===  =================================================================

Source: "Training Spiking Neural Networks Using Lessons From Deep Learning" (2023), appendix B, and
its program snntorch, whose ``Alpha`` this is, delayed reset included.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from jaxnn._check import require
from jaxnn.layers.spiking._parameters import (
    PerUnit,
    per_unit,
    require_decay,
    require_inputs,
    require_state,
    require_threshold,
    wide_dtype,
)
from jaxnn.layers.spiking._surrogate import SpikeFunction, fast_sigmoid


class AlphaState(NamedTuple):
    """State of alpha neurons.

    Attributes:
      excitation: slow current, ``(*batch, units)``.
      inhibition: fast current of the other sign, ``(*batch, units)``.
      v: membrane potential of the last step, not yet reset, ``(*batch, units)``.
    """

    excitation: jax.Array
    inhibition: jax.Array
    v: jax.Array


def alpha_init(shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> AlphaState:
    """Make the resting state, no currents and no potential.

    Args:
      shape: ``(*batch, units)``, the shape of one step's drive.
      dtype: what the state is kept in.

    Returns:
      The state before the first step.
    """
    return AlphaState(*(jnp.zeros(shape, dtype) for _ in AlphaState._fields))


def alpha_step(
    state: AlphaState,
    drive: Float[Array, "*batch units"],
    slow_decay: PerUnit,
    fast_decay: PerUnit,
    *,
    threshold: PerUnit = 1.0,
    surrogate: SpikeFunction = fast_sigmoid,
) -> tuple[AlphaState, Float[Array, "*batch units"]]:
    r"""Step an alpha population once; a unit that fired in the step before starts from rest.

    .. math::
        e' = (1 - r)(\alpha e + i), \quad h' = (1 - r)(\beta h - i), \quad
        v' = \tau (e' + h'), \quad s = [v' > \theta]

    with r = [v > θ], the spike of the step before, and
    :math:`\tau = 1 + \ln\alpha / (\ln\beta - \ln\alpha)`. An input shows one step later, since
    at its own step the two currents cancel; input in the step after a spike is lost.

    Args:
      state: currents and potential after the previous step.
      drive: input i.
      slow_decay: α, a number or one a unit, inside (0, 1).
      fast_decay: β, a number or one a unit, below α.
      threshold: θ, a number or one a unit; must be exceeded, equality does not fire.
      surrogate: spike function of v' - θ. No gradient flows through the reset r.

    Returns:
      The next state, in the dtype of ``state``; spikes, exactly 0 or 1, in that of ``drive``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the state has another shape than ``drive``, or a parameter is out of range.
    """
    where = "alpha_step"
    require_state(where, drive, "alpha_init", **state._asdict())
    require_decay(where, slow_decay=slow_decay, fast_decay=fast_decay)
    require_threshold(where, threshold)
    for argument, value in (("slow_decay", slow_decay), ("fast_decay", fast_decay)):
        ok = not isinstance(value, int | float) or 0 < value < 1
        require(ok, where, argument, value, "a factor inside (0, 1)")
    if isinstance(slow_decay, int | float) and isinstance(fast_decay, int | float):
        ok = fast_decay < slow_decay
        require(ok, where, "fast_decay", fast_decay, f"a factor below `slow_decay`, {slow_decay}")
    wide = wide_dtype(drive, *state)
    slow = per_unit(where, "slow_decay", slow_decay, drive, wide)
    fast = per_unit(where, "fast_decay", fast_decay, drive, wide)
    theta = per_unit(where, "threshold", threshold, drive, wide)
    i = drive.astype(wide)
    # Decided by the potential itself, as snntorch does, so that the state holds no spikes.
    kept = (state.v.astype(wide) <= theta).astype(wide)
    e = kept * (slow * state.excitation.astype(wide) + i)
    h = kept * (fast * state.inhibition.astype(wide) - i)
    tau = 1 + jnp.log(slow) / (jnp.log(fast) - jnp.log(slow))
    v = tau * (e + h)
    spikes = surrogate(v - theta)
    after = (new.astype(old.dtype) for new, old in zip((e, h, v), state, strict=True))
    return AlphaState(*after), spikes.astype(drive.dtype)


class AlphaCell(nn.RNNCellBase):
    """One step of alpha units, for ``nn.RNN``; see :func:`alpha_step`.

    Attributes:
      slow_decay: α, inside (0, 1).
      fast_decay: β, below α.
      threshold: θ.
      surrogate: spike function of the distance from the threshold.
      param_dtype: dtype of the state.
    """

    slow_decay: float = 0.9
    fast_decay: float = 0.8
    threshold: float = 1.0
    surrogate: SpikeFunction = fast_sigmoid
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, carry: AlphaState, inputs: Float[Array, "*batch units"]
    ) -> tuple[AlphaState, Float[Array, "*batch units"]]:
        """Take the state and one step's drive; return the next state and the spikes."""
        require_inputs("AlphaCell", inputs)
        return alpha_step(
            carry,
            inputs,
            self.slow_decay,
            self.fast_decay,
            threshold=self.threshold,
            surrogate=self.surrogate,
        )

    @nn.nowrap
    def initialize_carry(self, rng: jax.Array, input_shape: tuple[int, ...]) -> AlphaState:
        """Make the resting state for drives of ``input_shape``; the key is not used."""
        return alpha_init(input_shape, self.param_dtype)

    @property
    def num_feature_axes(self) -> int:
        """One: the units."""
        return 1
