r"""Convolutions of spike maps: neurons, a convolution, a normalisation, and perhaps a pool.

.. math:: y = \mathrm{pool}(\mathrm{norm}(K * s)), \qquad s = \mathrm{neurons}(x)

What passes from layer to layer are currents; spikes only exist between a layer's neurons and its
convolution, so that currents can be added to one another (membrane shortcuts). Time is the first
axis of ``(time, *batch, height, width, channels)``: all steps are convolved at once, as a larger
batch, and normalised together.

Sources: "Spiking Neural Networks Need High Frequency Information" (2025), section on the
embeddings; normalising over time and batch alike "Spiking Deep Residual Networks" (2021).
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float

from jaxnn._check import require_array, require_count, require_rank
from jaxnn.layers.spiking._leaky import Leaky
from jaxnn.layers.spiking._reset import Reset, reset_to_zero
from jaxnn.layers.spiking._surrogate import SpikeFunction, sigmoid
from jaxnn.layers.spiking._windows import convolution, max_pool

TRAINS = "(time, *batch, height, width, channels)"
SLOPED_SIGMOID = functools.partial(sigmoid, slope=2.0)  # of a potential twice as large


def fixed_reset_to_zero(u: jax.Array, s: jax.Array, theta: jax.Array | float) -> jax.Array:
    """Reset to zero, with no gradient through the spikes."""
    return reset_to_zero(u, jax.lax.stop_gradient(s), theta)


def map_neuron(
    *,
    tau: float = 2.0,
    threshold: float = 1.0,
    surrogate: SpikeFunction = SLOPED_SIGMOID,
    reset: Reset = fixed_reset_to_zero,
    time_axis: int = 0,
    name: str | None = None,
) -> nn.Module:
    r"""Make the leaky neurons of the family's convolutional networks.

    .. math:: u = v + (x - v) / \tau, \quad s = [u > \theta], \quad v' = u (1 - s)

    :class:`Leaky` with decay 1 - 1/τ, whose drive is x itself, not x/τ: its potential is τ times
    as large, and so is its threshold. The gradient does not see the reset.

    Args:
      tau: τ in steps, at least 1.
      threshold: θ.
      surrogate: spike function of τ (u - θ).
      reset: what a spike does to the potential.
      time_axis: where time is.
      name: of the submodule.

    Raises:
      ValueError: ``tau`` is below 1 or ``threshold`` not positive.

    Differs: spikingjelly's ``LIFNode``, whose equation this is, also fires at equality.
    """
    return Leaky(
        decay=1 - 1 / tau,
        threshold=tau * threshold,
        surrogate=surrogate,
        reset=reset,
        time_axis=time_axis,
        name=name,
    )


class ConvolutionNorm(nn.Module):
    """A convolution without offset, and a batch normalisation; ``kernel`` as in ``nn.Conv``."""

    features: int
    kernel_size: int = 3
    strides: int = 1
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Map ``(..., height, width, inputs)`` to ``(..., rows, columns, features)``."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, self.param_dtype)
        x, kernel = promote_dtype(x, kernel, dtype=self.dtype)
        return batch_norm(self, convolution(x, kernel, strides=self.strides))


def batch_norm(module: nn.Module, x: jax.Array) -> jax.Array:
    """Normalise over all axes but the last, by the batch while its statistics are collected."""
    return nn.BatchNorm(
        use_running_average=not module.is_mutable_collection("batch_stats"),
        momentum=0.9,  # of torch: the default of 0.99 lags behind in short trainings
        dtype=x.dtype,
        param_dtype=module.param_dtype,  # pyright: ignore[reportAttributeAccessIssue]
        name="norm",
    )(x)


class SpikingConv(nn.Module):
    """Neurons, a convolution, a batch normalisation, a pool: currents to currents.

    Attributes:
      features: channels of the result.
      kernel_size: side of the square kernel.
      strides: of the convolution.
      pool: called as ``pool(currents)``, for example ``functools.partial(max_pool, strides=2)``;
        none if ``None``.
      neuron: factory of the neurons, called as ``neuron(time_axis=0, name="neuron")``; ``None``
        for none, where the input is spikes or an image.
      dtype: computation dtype; ``None`` promotes. Potentials are kept in float32.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of ``kernel``, which has the layout of ``nn.Conv``.
    """

    features: int
    kernel_size: int = 3
    strides: int = 1
    pool: Callable[[jax.Array], jax.Array] | None = None
    neuron: Callable[..., nn.Module] | None = map_neuron
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(
        self, x: Float[Array, "time *batch height width inputs"]
    ) -> Float[Array, "time *batch rows columns features"]:
        """Map ``(time, *batch, height, width, inputs)`` to currents of ``features`` channels."""
        where = "SpikingConv"
        require_trains(where, x)
        require_count(
            where, features=self.features, kernel_size=self.kernel_size, strides=self.strides
        )
        if self.neuron is not None:
            x = self.neuron(time_axis=0, name="neuron")(x)
        x = ConvolutionNorm(
            self.features,
            kernel_size=self.kernel_size,
            strides=self.strides,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            kernel_init=self.kernel_init,
            name="conv",
        )(x)
        return x if self.pool is None else self.pool(x)


class SpikingPatchEmbedding(nn.Module):
    """Two convolutions of spike maps and a shortcut of one tap: a stage's first layer.

    The first convolution and the shortcut read the same spikes, and both are pooled; the second
    convolution reads the spikes that the first one's currents make. Pooling by maxima is the
    paper's Embed-Max, which keeps high frequencies; without a pool the map keeps its size.

    Attributes:
      features: channels of the result.
      pool: as in :class:`SpikingConv`; maxima of 3 by 3 at every second place by default.
      kernel_size: side of both kernels.
      neuron: factory of the neurons, called as ``neuron(time_axis=0, name=...)``.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    features: int
    pool: Callable[[jax.Array], jax.Array] | None = functools.partial(max_pool, strides=2)
    kernel_size: int = 3
    neuron: Callable[..., nn.Module] = map_neuron
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "time *batch height width inputs"]
    ) -> Float[Array, "time *batch rows columns features"]:
        """Map currents ``(time, *batch, height, width, inputs)`` to currents."""
        require_trains("SpikingPatchEmbedding", x)
        layer = functools.partial(
            SpikingConv, self.features, dtype=self.dtype, param_dtype=self.param_dtype
        )
        spikes = self.neuron(time_axis=0, name="neuron")(x)
        y = layer(self.kernel_size, pool=self.pool, neuron=None, name="first")(spikes)
        y = layer(self.kernel_size, neuron=self.neuron, name="second")(y)
        return y + layer(1, pool=self.pool, neuron=None, name="shortcut")(spikes)


def require_trains(where: str, x: jax.Array) -> None:
    """Raise unless ``x`` is a sequence of maps."""
    require_array(where, x=x)
    require_rank(where, "x", x, 4, TRAINS)
