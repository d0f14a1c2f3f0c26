"""A network of Kolmogorov-Arnold layers, after "KAN: Kolmogorov-Arnold Networks" (2024)."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import partial

import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn.layers.kan import Basis, BasisName, KANLayer


class KAN(nn.Module):
    """Kolmogorov-Arnold layers in a chain; no biases or activations stand between them.

    The layers are the submodules ``layers_0``, ``layers_1``, ... With ``layers.kan`` its
    grids can be moved and refined, its edges drawn, scored, pruned and replaced by formulas.
    The outputs of each hidden layer are sown into ``intermediates`` as ``hidden_0``, ...

    Attributes:
      features: widths of the layers; the last is the number of outputs.
      grid: intervals of each spline's grid.
      degree: degree of the splines.
      grid_range: where the uniform grids begin and end.
      basis: functions on the edges, splines or others, by name; see ``layers.kan.make_basis``.
        With the ``layer`` ``layers.kan.SelectableKANLayer``, the pool of which to select.
      input_range: maps inputs linearly from this range onto ``grid_range`` first; ``None``
        leaves them. Splines see no difference between inputs outside their grid, so scale or
        standardise inputs that leave ``grid_range``.
      regularization: λ of the paper's penalty on edges, sown into the collection ``losses``.
      layer: factory of the layers, called as ``layer(features, grid=..., name=..., ...)``.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    features: tuple[int, ...]
    grid: int = 5
    degree: int = 3
    grid_range: tuple[float, float] = (-1.0, 1.0)
    basis: BasisName | Basis | Sequence[BasisName | Basis] = "bspline"
    input_range: tuple[float, float] | None = None
    regularization: float = 0.0
    layer: Callable[..., nn.Module] = KANLayer
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "batch ..."]) -> Float[Array, "batch outputs"]:
        """Map examples of any shape, flattened, to ``(batch, features[-1])``."""
        require_array("KAN", x=x)
        require_rank("KAN", "x", x, 2, "(batch, ...)")
        require(len(self.features) > 0, "KAN", "features", self.features, "at least one width")
        x = x.reshape(x.shape[0], math.prod(x.shape[1:]))
        if self.input_range is not None:
            (low, high), (start, end) = self.input_range, self.grid_range
            require(
                low < high, "KAN", "input_range", self.input_range, "a lower end below its upper"
            )
            x = (x - low) * ((end - start) / (high - low)) + start
        for i, width in enumerate(self.features):
            x = self.layer(
                width,
                grid=self.grid,
                degree=self.degree,
                grid_range=self.grid_range,
                basis=self.basis,
                regularization=self.regularization,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=f"layers_{i}",
            )(x)
            if i < len(self.features) - 1:
                self.sow("intermediates", f"hidden_{i}", x)
        return x


@dataclasses.dataclass(frozen=True)
class KANConfig:
    """A Kolmogorov-Arnold network."""

    hidden: tuple[int, ...] = (32,)
    """Width of each hidden layer."""
    grid: int = 5
    """Intervals of each spline's grid."""
    degree: int = 3
    """Degree of the splines; 3 is cubic."""
    grid_range: tuple[float, float] = (-1.0, 1.0)
    """Where the grids begin and end."""
    basis: BasisName = "bspline"
    """Functions on the edges; all have as many as the splines of this grid and degree."""
    scale_inputs: bool = False
    """Whether to map ``input_range`` linearly onto ``grid_range`` first."""
    input_range: tuple[float, float] = (0.0, 1.0)
    """Range of the inputs, for ``scale_inputs``."""
    regularization: float = 0.0
    """Weight of the penalty on edges; 0 for none."""
    entropy: float = 1.0
    """Weight in it of the entropy, that few edges be used, against their size."""

    def build(self, input_shape: tuple[int, ...], outputs: int) -> KAN:
        """Make the network for examples of any shape and this many outputs."""
        del input_shape  # flattened, whatever it is
        for width in self.hidden:
            require(width > 0, "KANConfig", "hidden", self.hidden, "widths above zero")
        for name in ("grid_range", "input_range"):
            low, high = span = getattr(self, name)
            require(low < high, "KANConfig", name, span, "a lower end below its upper")
        require(self.grid >= 1, "KANConfig", "grid", self.grid, "a positive integer")
        require(self.degree >= 0, "KANConfig", "degree", self.degree, "an integer >= 0")
        return KAN(
            features=(*self.hidden, outputs),
            grid=self.grid,
            degree=self.degree,
            grid_range=self.grid_range,
            basis=self.basis,
            input_range=self.input_range if self.scale_inputs else None,
            regularization=self.regularization,
            layer=partial(KANLayer, entropy=self.entropy),
        )
