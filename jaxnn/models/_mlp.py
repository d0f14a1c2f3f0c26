"""Multi-layer perceptrons: affine maps with a non-linearity between them, plain or residual.

Source of the residual one: "Scaling MLPs: A Tale of Inductive Bias" (2023).
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn.layers.feedforward import Dense, InvertedBottleneck


class MLP(nn.Module):
    """Affine maps of the given widths; all but the last are followed by the activation.

    Examples of any shape are flattened. Each hidden layer's activations are sown into
    ``intermediates`` under the names ``hidden_0``, ``hidden_1`` ...

    Attributes:
      features: width of each layer; the last is the number of outputs.
      activation: element-wise non-linearity.
      dropout_rate: applied to hidden units when a ``dropout`` key is given.
      dense: factory of the maps, called as ``dense(features, name=..., ...)``.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    features: tuple[int, ...]
    activation: Callable[[jax.Array], jax.Array] = jax.nn.gelu
    dropout_rate: float = 0.0
    dense: Callable[..., nn.Module] = Dense
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch ..."], deterministic: bool | None = None
    ) -> Float[Array, "batch outputs"]:
        """Map ``(batch, ...)`` to ``(batch, features[-1])``.

        ``deterministic=None`` drops units exactly when a ``dropout`` key was given.
        """
        require_array("MLP", x=x)
        require_rank("MLP", "x", x, 2, "(batch, ...); add a batch axis with x[None]")
        require(len(self.features) > 0, "MLP", "features", self.features, "at least one width")
        if deterministic is None:
            deterministic = not self.has_rng("dropout")
        *hidden, outputs = self.features
        options = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        # Spelled out: -1 is undefined for an empty batch.
        x = x.reshape(x.shape[0], math.prod(x.shape[1:]))
        for i, width in enumerate(hidden):
            x = self.activation(self.dense(width, name=f"dense_{i}", **options)(x))
            self.sow("intermediates", f"hidden_{i}", x)
            x = nn.Dropout(self.dropout_rate)(x, deterministic=deterministic)
        return self.dense(outputs, name=f"dense_{len(hidden)}", **options)(x)


class ResidualMLP(nn.Module):
    """A map into a stream, residual blocks that add to it, and a map out of it.

    Examples of any shape are flattened. Submodules are ``inputs``, ``blocks_0`` ... and
    ``outputs``. With the default block it is the inverted-bottleneck network of "Scaling MLPs"
    (2023), which has no normalisation before ``outputs``.

    Attributes:
      outputs: number of outputs.
      features: width of the stream.
      depth: number of blocks.
      block: factory of the blocks, called as ``block(name=..., dtype=..., param_dtype=...)``;
        a block maps ``(batch, features)`` to the same shape, its own residual included, and
        takes ``deterministic=`` if the network is given it.
      dense: factory of the first and the last map.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    outputs: int
    features: int = 128
    depth: int = 6
    block: Callable[..., nn.Module] = InvertedBottleneck
    dense: Callable[..., nn.Module] = Dense
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch ..."], deterministic: bool | None = None
    ) -> Float[Array, "batch outputs"]:
        """Map ``(batch, ...)`` to ``(batch, outputs)``.

        ``deterministic=None`` drops units exactly when a ``dropout`` key was given.
        """
        where = "ResidualMLP"
        require_array(where, x=x)
        require_rank(where, "x", x, 2, "(batch, ...); add a batch axis with x[None]")
        require_count(where, outputs=self.outputs, features=self.features, depth=self.depth)
        options: dict[str, Any] = {"dtype": self.dtype, "param_dtype": self.param_dtype}
        # Parts without dropout need not know the word.
        said = {} if deterministic is None else {"deterministic": deterministic}
        x = x.reshape(x.shape[0], math.prod(x.shape[1:]))
        x = self.dense(self.features, name="inputs", **options)(x)
        for i in range(self.depth):
            x = self.block(name=f"blocks_{i}", **options)(x, **said)
        return self.dense(self.outputs, name="outputs", **options)(x)


ACTIVATIONS = {
    "gelu": jax.nn.gelu,
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
}


@dataclasses.dataclass(frozen=True)
class MLPConfig:
    """A multi-layer perceptron."""

    hidden: tuple[int, ...] = (128, 128)
    """Width of each hidden layer."""
    activation: Literal["gelu", "relu", "silu", "tanh"] = "gelu"
    """Non-linearity between the layers."""
    dropout: float = 0.3
    """Share of hidden units dropped in training."""

    def build(self, input_shape: tuple[int, ...], outputs: int) -> MLP:
        """Make the network for examples of any shape and this many outputs."""
        del input_shape  # flattened, whatever it is
        for width in self.hidden:
            require(width > 0, "MLPConfig", "hidden", self.hidden, "widths above zero")
        known = f"one of {', '.join(ACTIVATIONS)}"
        activation = self.activation
        require(activation in ACTIVATIONS, "MLPConfig", "activation", activation, known)
        require(0 <= self.dropout < 1, "MLPConfig", "dropout", self.dropout, "a share in [0, 1)")
        return MLP(
            features=(*self.hidden, outputs),
            activation=ACTIVATIONS[self.activation],
            dropout_rate=self.dropout,
        )


@dataclasses.dataclass(frozen=True)
class ResidualMLPConfig:
    """A multi-layer perceptron of residual inverted bottlenecks."""

    width: int = 128
    """Width of the stream that the blocks add to."""
    depth: int = 6
    """Number of blocks."""
    expansion: int = 4
    """Width inside a block, in widths of the stream."""
    activation: Literal["gelu", "relu", "silu", "tanh"] = "gelu"
    """Non-linearity inside the blocks."""
    dropout: float = 0.0
    """Share of units dropped in training, inside the blocks and where they add."""

    def build(self, input_shape: tuple[int, ...], outputs: int) -> ResidualMLP:
        """Make the network for examples of any shape and this many outputs."""
        del input_shape  # flattened, whatever it is
        where = "ResidualMLPConfig"
        require_count(where, width=self.width, depth=self.depth, expansion=self.expansion)
        known = f"one of {', '.join(ACTIVATIONS)}"
        require(self.activation in ACTIVATIONS, where, "activation", self.activation, known)
        require(0 <= self.dropout < 1, where, "dropout", self.dropout, "a share in [0, 1)")
        block = functools.partial(
            InvertedBottleneck,
            self.expansion * self.width,
            activation=ACTIVATIONS[self.activation],
            dropout_rate=self.dropout,
        )
        return ResidualMLP(outputs=outputs, features=self.width, depth=self.depth, block=block)
