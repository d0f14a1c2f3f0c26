r"""Spiking networks for images: a convolutional one, and the spiking transformers.

The image is shown as a constant current (direct encoding), whose first convolution is computed
once for all steps; the sums of all later layers are one product for all steps.

Sources: "Spiking Neural Networks Need High Frequency Information" (2025), whose Max-Former is
:class:`SpikingTransformer` with depth-wise convolutions in the early stages and attention in the
last; with attention everywhere and shortcuts of spikes it is close to "Spikformer: When Spiking
Neural Network Meets Transformer" (2023). Convolutional networks: "Direct Training for Spiking
Neural Networks: Faster, Larger, Better" (2019).
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_positive
from jaxnn.layers import spiking
from jaxnn.layers.feedforward import Dense


class SpikingConvNet(nn.Module):
    """Convolutions, spikes and pools in alternation, read out by leaky integrators.

    Layer i is a :class:`~jaxnn.layers.spiking.SpikingConv` named ``convs_i``, whose neurons fire
    on the currents of the one before; the last spikes are flattened and mapped by ``head``, and
    the outputs' potentials, averaged over time, are the logits. The last spikes, ``(batch, time,
    height, width, channels)``, are sown into ``intermediates`` as ``spikes``. Applying it without
    collecting ``batch_stats`` needs those collected in training.

    Attributes:
      outputs: number of logits.
      features: channels of each convolution.
      time_steps: how many steps the image is shown.
      pool: pooling of 2 by 2 after each convolution, called as ``pool(currents, size=2,
        strides=2)``; none if ``None``, and none on maps of one row or column.
      kernel_size: side of the kernels.
      readout_decay: factor that the readout's potential keeps from step to step.
      neuron: factory of the neurons, called as ``neuron(time_axis=0, name=...)``.
      dtype: computation dtype; ``None`` promotes. Potentials are kept in float32.
      param_dtype: dtype the parameters are kept in.
    """

    outputs: int
    features: Sequence[int] = (32, 64)
    time_steps: int = 4
    pool: Callable[..., jax.Array] | None = spiking.max_pool
    kernel_size: int = 3
    readout_decay: float = 0.9
    neuron: Callable[..., nn.Module] = spiking.map_neuron
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width *channels"]
    ) -> Float[Array, "batch outputs"]:
        """Map ``(batch, height, width)``, or with channels last, to ``(batch, outputs)``."""
        where = "SpikingConvNet"
        x = _images(where, x)
        require_count(where, outputs=self.outputs, time_steps=self.time_steps)
        require(len(self.features) > 0, where, "features", self.features, "at least one width")
        options = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        layer = functools.partial(spiking.SpikingConv, kernel_size=self.kernel_size, **options)
        x = x[None]
        for i, width in enumerate(self.features):
            pooled = self.pool is not None and min(x.shape[-3:-1]) > 1
            pool = functools.partial(self.pool, size=2, strides=2) if pooled else None  # pyright: ignore
            x = layer(width, pool=pool, neuron=self.neuron if i else None, name=f"convs_{i}")(x)
            if i == 0:
                x = _repeat(x, self.time_steps)
        x = self.neuron(time_axis=0, name="neuron")(x)
        self.sow("intermediates", "spikes", jnp.moveaxis(x, 0, 1))
        x = Dense(self.outputs, name="head", **options)(x.reshape(*x.shape[:2], -1))
        _, v = spiking.leaky_integrator_sequence(x, self.readout_decay, time_axis=0)
        return spiking.membrane_mean(v, time_axis=0)


class SpikingTransformer(nn.Module):
    """Stages of spiking blocks, each on a map of half the size of the one before.

    A convolution, ``stem``, turns the image into currents, once for all steps. Stage i is an
    embedding ``embeddings_i``, which halves the map except in the first stage, and the blocks
    ``blocks_i_0`` ...; the mean over the places makes the last spikes, whose rates ``head`` reads.
    These rates are sown into ``intermediates`` as ``features``. Applying it without collecting
    ``batch_stats`` needs those collected in training.

    Attributes:
      outputs: number of logits.
      features: channels of each stage.
      depths: blocks of each stage.
      mixers: factory of each stage's token mixers, called as ``mixer(name=..., dtype=...,
        param_dtype=...)``; ``None`` for blocks without.
      time_steps: how many steps the image is shown.
      pool: halves the maps, called as ``pool(currents, strides=2)``.
      shortcut: what passes the blocks by, currents (``"membrane"``) or spikes; see
        :class:`~jaxnn.layers.spiking.SpikingBlock`.
      feedforward: factory of the blocks' second slot.
      neuron: factory of the neurons outside of mixers and feed-forward networks, which have their
        own, called as ``neuron(time_axis=0, name=...)``.
      dtype: computation dtype; ``None`` promotes. Potentials are kept in float32.
      param_dtype: dtype the parameters are kept in.
    """

    outputs: int
    features: Sequence[int] = (16, 32)
    depths: Sequence[int] = (1, 1)
    mixers: Sequence[Callable[..., nn.Module] | None] = (
        spiking.DepthwiseMixer,
        spiking.SpikingSelfAttention,
    )
    time_steps: int = 4
    pool: Callable[..., jax.Array] = spiking.max_pool
    shortcut: Literal["membrane", "spike"] = "membrane"
    feedforward: Callable[..., nn.Module] = spiking.SpikingFeedForward
    neuron: Callable[..., nn.Module] = spiking.map_neuron
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width *channels"]
    ) -> Float[Array, "batch outputs"]:
        """Map ``(batch, height, width)``, or with channels last, to ``(batch, outputs)``."""
        where = "SpikingTransformer"
        x = _images(where, x)
        stages = len(self.features)
        require_count(where, outputs=self.outputs, time_steps=self.time_steps)
        require(stages > 0, where, "features", self.features, "at least one width")
        needs = f"{stages} of them, one for each of `features`"
        require(len(self.depths) == stages, where, "depths", self.depths, needs)
        require(len(self.mixers) == stages, where, "mixers", self.mixers, needs)
        options: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        x = spiking.SpikingConv(self.features[0], neuron=None, name="stem", **options)(x[None])
        x = _repeat(x, self.time_steps)
        options["neuron"] = self.neuron
        for i, (width, depth, mixer) in enumerate(
            zip(self.features, self.depths, self.mixers, strict=True)
        ):
            pool = functools.partial(self.pool, strides=2) if i else None
            x = spiking.SpikingPatchEmbedding(width, pool=pool, name=f"embeddings_{i}", **options)(
                x
            )
            if self.shortcut == "spike":
                x = self.neuron(time_axis=0, name=f"neurons_{i}")(x)
            for j in range(depth):
                x = spiking.SpikingBlock(
                    mixer,
                    self.feedforward,
                    shortcut=self.shortcut,
                    name=f"blocks_{i}_{j}",
                    **options,
                )(x)
        x = self.neuron(time_axis=0, name="neuron")(jnp.mean(x, (-3, -2)))
        x = jnp.mean(x, 0)
        self.sow("intermediates", "features", x)
        head = Dense(self.outputs, dtype=self.dtype, param_dtype=self.param_dtype, name="head")
        return head(x)


def _images(where: str, x: jax.Array) -> jax.Array:
    require_array(where, x=x)
    needs = "images (batch, height, width) or with channels last"
    require(x.ndim in (3, 4), where, "x", x, needs)
    return x if x.ndim == 4 else x[..., None]


def _repeat(x: jax.Array, steps: int) -> jax.Array:
    """Show the currents ``(1, batch, ...)`` for some steps."""
    return spiking.direct_encode(x[0], steps, time_axis=0)


POOLS = {"max": spiking.max_pool, "avg": spiking.avg_pool}
MIXERS: dict[str, Callable[..., nn.Module] | None] = {
    "depthwise": spiking.DepthwiseMixer,
    "attention": spiking.SpikingSelfAttention,
    "max": functools.partial(spiking.PoolMixer, spiking.max_pool),
    "avg": functools.partial(spiking.PoolMixer, spiking.avg_pool),
    "none": None,
}
Mixer = Literal["depthwise", "attention", "max", "avg", "none"]


@dataclasses.dataclass(frozen=True)
class SpikingConvNetConfig:
    """A convolutional spiking network."""

    features: tuple[int, ...] = (32, 64)
    """Channels of each convolution."""
    time_steps: int = 4
    """Time steps each image is shown."""
    pool: Literal["max", "avg"] = "max"
    """How maps are halved after each convolution."""
    tau: float = 2.0
    """Time constant of the neurons, in steps."""
    threshold: float = 1.0
    """Potential above which a unit fires."""

    def build(self, input_shape: tuple[int, ...], outputs: int) -> SpikingConvNet:
        """Make the network for images (height, width[, channels]) and this many outputs."""
        where = "SpikingConvNetConfig"
        _check_config(where, self, input_shape)
        return SpikingConvNet(
            outputs=outputs,
            features=self.features,
            time_steps=self.time_steps,
            pool=POOLS[self.pool],
            neuron=functools.partial(spiking.map_neuron, tau=self.tau, threshold=self.threshold),
        )


@dataclasses.dataclass(frozen=True)
class SpikingTransformerConfig:
    """A spiking transformer: Max-Former as it is, Spikformer with attention in all stages."""

    features: tuple[int, ...] = (16, 32)
    """Channels of each stage; each but the first halves the map."""
    depths: tuple[int, ...] = (1, 1)
    """Blocks of each stage."""
    early_mixer: Mixer = "depthwise"
    """Token mixer of all stages but the last."""
    last_mixer: Mixer = "attention"
    """Token mixer of the last stage."""
    num_heads: int = 4
    """Number of attention heads."""
    shortcut: Literal["membrane", "spike"] = "membrane"
    """What passes the blocks by: currents, or spikes."""
    pool: Literal["max", "avg"] = "max"
    """How maps are halved between stages."""
    time_steps: int = 4
    """Time steps each image is shown."""
    tau: float = 2.0
    """Time constant of the neurons, in steps."""
    threshold: float = 1.0
    """Potential above which a unit fires."""

    def build(self, input_shape: tuple[int, ...], outputs: int) -> SpikingTransformer:
        """Make the network for images (height, width[, channels]) and this many outputs."""
        where = "SpikingTransformerConfig"
        _check_config(where, self, input_shape)
        require_count(where, num_heads=self.num_heads)
        stages = len(self.features)
        ok = len(self.depths) == stages and min(self.depths) >= 0
        require(ok, where, "depths", self.depths, f"{stages} numbers, one for each of `features`")
        names = (*(self.early_mixer,) * (stages - 1), self.last_mixer)
        for width, name in zip(self.features, names, strict=True):
            ok = name != "attention" or width % self.num_heads == 0
            needs = f"a divisor of the {width} channels of a stage with attention"
            require(ok, where, "num_heads", self.num_heads, needs)
        neuron = functools.partial(spiking.map_neuron, tau=self.tau, threshold=self.threshold)
        attention = functools.partial(
            spiking.SpikingSelfAttention,
            self.num_heads,
            neuron=neuron,
            attention_neuron=functools.partial(neuron, threshold=self.threshold / 2),
        )
        mixers = MIXERS | {"attention": attention}
        return SpikingTransformer(
            outputs=outputs,
            features=self.features,
            depths=self.depths,
            mixers=tuple(mixers[name] for name in names),
            time_steps=self.time_steps,
            pool=POOLS[self.pool],
            shortcut=self.shortcut,
            feedforward=functools.partial(spiking.SpikingFeedForward, neuron=neuron),
            neuron=neuron,
        )


def _check_config(
    where: str, config: SpikingConvNetConfig | SpikingTransformerConfig, shape: tuple[int, ...]
) -> None:
    ok = len(shape) in (2, 3) and min(shape) > 0
    require(ok, where, "input_shape", shape, "images (height, width) or with channels last")
    require(len(config.features) > 0, where, "features", config.features, "at least one width")
    for width in config.features:
        require(width > 0, where, "features", config.features, "widths above zero")
    require_positive(where, time_steps=config.time_steps, threshold=config.threshold)
    require(config.tau >= 1, where, "tau", config.tau, "a number of steps of at least 1")
