r"""A spiking multi-layer perceptron: dense layers, leaky neurons, a membrane as the readout.

The image is shown for some steps; every hidden layer answers with spikes, and the outputs are
leaky integrators that never fire, whose potential averaged over time is the logit. The matrix
products of all steps are one product a layer; with the direct encoding, in which each step
shows the same image, the first layer's is computed once.

Source: "Surrogate Gradient Learning in Spiking Neural Networks" (2019); the direct encoding
"Direct Training for Spiking Neural Networks: Faster, Larger, Better" (2019).
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_positive, require_rank
from jaxnn.layers import spiking
from jaxnn.layers.feedforward import Dense


class SpikingMLP(nn.Module):
    """Dense layers and spiking neurons in alternation, read out by leaky integrators.

    Examples of any shape are flattened. Sows each hidden layer's spikes, ``(batch, time,
    units)``, into ``intermediates`` under ``spikes_0``, ``spikes_1`` ..., and the readout's
    potentials under ``membrane``; with ``rate_weight``, the penalty on spike rates above
    ``rate_target`` into ``losses`` under ``spike_rate``.

    Attributes:
      features: width of each layer; the last is the number of outputs.
      time_steps: how many time steps each example is shown.
      encoding: ``"direct"`` feeds the values as a constant current; ``"rate"`` draws spikes
        with the values in [0, 1] as probabilities when a ``dropout`` key is given, and feeds
        these probabilities, the mean of the spikes, otherwise.
      neuron: factory of a hidden layer's neurons, modules of whole sequences of drives, called
        as ``neuron(time_axis=0, name=...)``; options are bound by ``functools.partial``.
      readout_decay: factor that the readout's potential keeps from step to step.
      rate_target: spikes a step above which a unit is penalised.
      rate_weight: weight of that penalty; none is computed at 0.
      dense: factory of the maps, called as ``dense(features, name=..., ...)``.
      dtype: computation dtype; ``None`` promotes. Potentials are kept in float32.
      param_dtype: dtype the parameters are kept in.
    """

    features: tuple[int, ...]
    time_steps: int = 16
    encoding: Literal["direct", "rate"] = "direct"
    neuron: Callable[..., nn.Module] = spiking.Leaky
    readout_decay: float = 0.9
    rate_target: float = 0.1
    rate_weight: float = 0.0
    dense: Callable[..., nn.Module] = Dense
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch ..."], deterministic: bool | None = None
    ) -> Float[Array, "batch outputs"]:
        """Map ``(batch, ...)`` to ``(batch, features[-1])``.

        ``deterministic=None`` draws input spikes exactly when a ``dropout`` key was given.
        """
        require_array("SpikingMLP", x=x)
        require_rank("SpikingMLP", "x", x, 2, "(batch, ...); add a batch axis with x[None]")
        require(len(self.features) > 1, "SpikingMLP", "features", self.features, "two widths")
        require_positive("SpikingMLP", time_steps=self.time_steps)
        require(
            self.encoding in ("direct", "rate"),
            "SpikingMLP",
            "encoding",
            self.encoding,
            '"direct" or "rate"',
        )
        if deterministic is None:
            deterministic = not self.has_rng("dropout")
        *hidden, outputs = self.features
        options = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = x.reshape(x.shape[0], -1)
        drawn = self.encoding == "rate" and not deterministic
        if drawn:
            x = spiking.rate_encode(self.make_rng("dropout"), x, self.time_steps, time_axis=0)
        elif self.encoding == "rate":
            x = jnp.clip(x, 0, 1)
        for i, width in enumerate(hidden):
            # (time, batch, units) inside: the scan then needs no transposition.
            x = self.dense(width, name=f"dense_{i}", **options)(x)
            if i == 0 and not drawn:
                x = spiking.direct_encode(x, self.time_steps, time_axis=0)
            x = self.neuron(time_axis=0, name=f"neuron_{i}")(x)
            self.sow("intermediates", f"spikes_{i}", jnp.moveaxis(x, 0, 1))
            # Not when initialising, so that what is sown never becomes part of a train state.
            if self.rate_weight and not self.is_initializing():
                penalty = spiking.spike_rate_penalty(x, target=self.rate_target)
                self.sow("losses", "spike_rate", self.rate_weight * penalty)
        x = self.dense(outputs, name=f"dense_{len(hidden)}", **options)(x)
        _, v = spiking.leaky_integrator_sequence(x, self.readout_decay, time_axis=0)
        self.sow("intermediates", "membrane", jnp.moveaxis(v, 0, 1))
        return spiking.membrane_mean(v, time_axis=0)


SURROGATES = {
    "fast_sigmoid": spiking.fast_sigmoid,
    "arctan": spiking.arctan,
    "triangular": spiking.triangular,
    "sigmoid": spiking.sigmoid,
    "gaussian": spiking.gaussian,
    "straight_through": spiking.straight_through,
}
RESETS = {
    "subtract": spiking.reset_by_subtraction,
    "zero": spiking.reset_to_zero,
    "none": spiking.no_reset,
}


@dataclasses.dataclass(frozen=True)
class SpikingMLPConfig:
    """A spiking multi-layer perceptron."""

    hidden: tuple[int, ...] = (128,)
    """Width of each hidden layer."""
    time_steps: int = 16
    """Time steps each example is shown."""
    encoding: Literal["direct", "rate"] = "direct"
    """Constant currents, or spikes drawn with the values as probabilities."""
    decay: float = 0.9
    """Factor that a membrane potential keeps from step to step."""
    learn_decay: bool = False
    """Train one decay for each unit."""
    threshold: float = 1.0
    """Potential above which a unit fires."""
    reset: Literal["subtract", "zero", "none"] = "subtract"
    """What a spike does to its unit's potential."""
    surrogate: Literal[
        "fast_sigmoid", "arctan", "triangular", "sigmoid", "gaussian", "straight_through"
    ] = "fast_sigmoid"
    """Derivative used in place of the spike's."""
    slope: float = 0.0
    """Steepness of the surrogate; its own default if 0."""
    rate_target: float = 0.05
    """Spikes a step above which a unit is penalised."""
    rate_weight: float = 1.0
    """Weight of the penalty on spike rates; 0 for none."""

    def build(self, input_shape: tuple[int, ...], outputs: int) -> SpikingMLP:
        """Make the network for examples of any shape and this many outputs."""
        del input_shape  # flattened, whatever it is
        where = "SpikingMLPConfig"
        require(len(self.hidden) > 0, where, "hidden", self.hidden, "at least one width")
        for width in self.hidden:
            require(width > 0, where, "hidden", self.hidden, "widths above zero")
        require(self.slope >= 0, where, "slope", self.slope, "0 or a number above it")
        require_positive(where, time_steps=self.time_steps, threshold=self.threshold)
        require(0 < self.decay < 1, where, "decay", self.decay, "a factor inside (0, 1)")
        require(
            0 <= self.rate_target <= 1, where, "rate_target", self.rate_target, "a rate in [0, 1]"
        )
        surrogate: Callable[..., jax.Array] = SURROGATES[self.surrogate]
        if self.slope:
            surrogate = functools.partial(surrogate, slope=self.slope)
        neuron = functools.partial(
            spiking.Leaky,
            decay=self.decay,
            learn_decay=self.learn_decay,
            threshold=self.threshold,
            reset=RESETS[self.reset],
            surrogate=surrogate,
        )
        return SpikingMLP(
            features=(*self.hidden, outputs),
            time_steps=self.time_steps,
            encoding=self.encoding,
            neuron=neuron,
            rate_target=self.rate_target,
            rate_weight=self.rate_weight,
        )
