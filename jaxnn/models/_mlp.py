"""The multi-layer perceptron: affine maps with a non-linearity between them."""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn.layers.feedforward import Dense


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
