r"""What a block of a spiking transformer is made of besides attention, and the block itself.

.. math:: x \leftarrow x + \mathrm{mixer}(\mathrm{neurons}(x)), \qquad
          x \leftarrow x + \mathrm{feedforward}(\mathrm{neurons}(x))

Neurons pass low frequencies on and hold high ones back; a token mixer that averages, pooling by
means or attention, adds to that, one that compares neighbours, depth-wise convolution or pooling
by maxima, makes up for it. All slots map spikes ``(time, *batch, height, width, channels)`` to
currents of the same shape.

Source: "Spiking Neural Networks Need High Frequency Information" (2025); with neurons behind the
slots and spikes added, "Spikformer: When Spiking Neural Network Meets Transformer" (2023).
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require, require_count
from jaxnn.layers.spiking._map_layers import (
    ConvolutionNorm,
    batch_norm,
    map_neuron,
    require_trains,
)
from jaxnn.layers.spiking._self_attention import SpikingSelfAttention
from jaxnn.layers.spiking._windows import depthwise_convolution, max_pool


class DepthwiseMixer(nn.Module):
    """Mix places by a depth-wise convolution and a batch normalisation.

    Attributes:
      size: side of the square kernel.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of ``kernel``, ``(size, size, channels)``.
    """

    size: int = 3
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.variance_scaling(
        1.0, "fan_in", "truncated_normal", in_axis=(0, 1), out_axis=(), batch_axis=(2,)
    )

    @nn.compact
    def __call__(
        self, x: Float[Array, "time *batch height width channels"]
    ) -> Float[Array, "time *batch height width channels"]:
        """Map spikes ``(time, *batch, height, width, channels)`` to currents of that shape."""
        require_trains("DepthwiseMixer", x)
        require_count("DepthwiseMixer", size=self.size)
        shape = (self.size, self.size, x.shape[-1])
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        return batch_norm(self, depthwise_convolution(x, kernel))


class PoolMixer(nn.Module):
    """Mix places by pooling and nothing else: there is nothing to learn.

    Attributes:
      pool: :func:`max_pool`, :func:`avg_pool` or alike, called as ``pool(x, size=size)``.
      size: side of the window.
      dtype: computation dtype; ``None`` keeps that of the input.
      param_dtype: not used.
    """

    pool: Callable[..., jax.Array] = max_pool
    size: int = 3
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "time *batch height width channels"]
    ) -> Float[Array, "time *batch height width channels"]:
        """Pool maps ``(time, *batch, height, width, channels)``."""
        require_trains("PoolMixer", x)
        return self.pool(x if self.dtype is None else x.astype(self.dtype), size=self.size)


class SpikingFeedForward(nn.Module):
    """Mix the channels of each place: two maps, normalised, with neurons between.

    Attributes:
      expansion: hidden channels over channels.
      neuron: factory of the neurons, called as ``neuron(time_axis=0, name="neuron")``.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    expansion: int = 4
    neuron: Callable[..., nn.Module] = map_neuron
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "time *batch height width channels"]
    ) -> Float[Array, "time *batch height width channels"]:
        """Map spikes ``(time, *batch, height, width, channels)`` to currents of that shape."""
        require_trains("SpikingFeedForward", x)
        require_count("SpikingFeedForward", expansion=self.expansion)
        options = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        channels = x.shape[-1]
        h = ConvolutionNorm(self.expansion * channels, kernel_size=1, name="hidden", **options)(x)
        h = self.neuron(time_axis=0, name="neuron")(h)
        return ConvolutionNorm(channels, kernel_size=1, name="output", **options)(h)


class SpikingBlock(nn.Module):
    r"""Mix places, then channels, each beside a shortcut.

    ``"membrane"``: x ← x + f(neurons(x)), with currents x; no spike meets a number that is not
    0 or 1. ``"spike"``: x ← x + neurons(f(x)), with x sums of spikes.

    Attributes:
      mixer: factory of the first slot, called as ``mixer(name=..., dtype=..., param_dtype=...)``;
        ``None`` for none.
      feedforward: factory of the second slot, likewise.
      shortcut: ``"membrane"``, of the paper, or ``"spike"``, of Spikformer.
      keeps: whether the mixer has its shortcut and neurons; where not, ``x ← mixer(x)``, as the
        paper's code has it for pools.
      neuron: factory of the neurons, called as ``neuron(time_axis=0, name=...)``.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    mixer: Callable[..., nn.Module] | None = SpikingSelfAttention
    feedforward: Callable[..., nn.Module] = SpikingFeedForward
    shortcut: Literal["membrane", "spike"] = "membrane"
    keeps: bool = True
    neuron: Callable[..., nn.Module] = map_neuron
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "time *batch height width channels"]
    ) -> Float[Array, "time *batch height width channels"]:
        """Map ``(time, *batch, height, width, channels)`` to the same shape."""
        require_trains("SpikingBlock", x)
        ok = self.shortcut in ("membrane", "spike")
        require(ok, "SpikingBlock", "shortcut", self.shortcut, '"membrane" or "spike"')
        if self.mixer is not None:
            x = self._slot(x, "mixer", self.mixer, keeps=self.keeps)
        return self._slot(x, "feedforward", self.feedforward)

    def _slot(
        self, x: jax.Array, name: str, factory: Callable[..., nn.Module], *, keeps: bool = True
    ) -> jax.Array:
        inner = factory(name=name, dtype=self.dtype, param_dtype=self.param_dtype)
        if not keeps:
            return inner(x)
        neurons = self.neuron(time_axis=0, name=f"{name}_neuron")
        return x + (inner(neurons(x)) if self.shortcut == "membrane" else neurons(inner(x)))
