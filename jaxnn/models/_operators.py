"""Neural operators: networks that map functions on a grid to functions.

Unlike the other models these return functions, ``(batch, *space, outputs)`` or values at given
places; they have no configs, the command line's tasks being classification and regression.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn.layers.operator import MgConv, SpectralConv, deep_onet


class MgNO(nn.Module):
    r"""Multigrid operator layers in a chain, and a linear read-out at each place.

    The network of "MgNO: Efficient Parameterization of Linear Operators via Multigrid" (2024):
    no lifting, no projection. The layers are the submodules ``layers_0``, ``layers_1``, ...

    Attributes:
      features: channels between the layers.
      depth: how many layers.
      outputs: channels of the result.
      levels: grids of each cycle.
      axes: of space.
      boundary: ``"dirichlet"``, ``"neumann"`` or ``"periodic"``.
      activation: σ of each layer; with ``None`` and ``use_local=False`` the network is linear.
      use_local: whether layers add an affine map at each place.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    features: int = 24
    depth: int = 5
    outputs: int = 1
    levels: int = 5
    axes: int = 2
    boundary: Literal["dirichlet", "neumann", "periodic"] = "dirichlet"
    activation: Callable[[jax.Array], jax.Array] | None = nn.gelu
    use_local: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "... inputs"]) -> Float[Array, "... outputs"]:
        """Map ``(*batch, *space, inputs)`` to ``(*batch, *space, outputs)``."""
        require_count("MgNO", features=self.features, depth=self.depth, outputs=self.outputs)
        for layer in range(self.depth):
            x = MgConv(
                self.features,
                levels=self.levels,
                axes=self.axes,
                boundary=self.boundary,
                activation=self.activation,
                use_local=self.use_local,
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=f"layers_{layer}",
            )(x)
        return nn.Dense(
            self.outputs,
            use_bias=False,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="readout",
        )(x)


class FNO(nn.Module):
    r"""Fourier layers between a lifting and a projection at each place.

    .. math:: v \leftarrow \sigma(W v + \mathcal{K} v), \qquad \text{without } σ \text{ at last}

    After "Fourier Neural Operator for Parametric Partial Differential Equations" (2021), with
    the places' coordinates beside the input and room after the domain's end where it does not
    repeat. The submodules are ``lift``, ``spectral_0``, ``local_0``, ..., ``project``,
    ``readout``.

    Attributes:
      features: channels of v.
      modes: m for each axis of space.
      depth: how many layers.
      outputs: channels of the result.
      projection: width of the hidden layer of the projection.
      padding: share of each axis that is added, as zeros, to its end; 0 for periodic domains.
      use_places: whether coordinates in [0, 1) stand beside the input.
      activation: σ.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    features: int = 32
    modes: Sequence[int] = (12, 12)
    depth: int = 4
    outputs: int = 1
    projection: int = 128
    padding: float = 0.0
    use_places: bool = True
    activation: Callable[[jax.Array], jax.Array] = nn.gelu
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "... inputs"]) -> Float[Array, "... outputs"]:
        """Map ``(*batch, *space, inputs)`` to ``(*batch, *space, outputs)``."""
        where = "FNO"
        axes = len(self.modes)
        require_array(where, x=x)
        require_rank(where, "x", x, axes + 1, f"(*batch, {axes} axes of space, inputs)")
        require_count(where, features=self.features, depth=self.depth, outputs=self.outputs)
        require(0 <= self.padding < 1, where, "padding", self.padding, "a share in [0, 1)")

        def dense(features: int, name: str) -> nn.Dense:
            return nn.Dense(features, dtype=self.dtype, param_dtype=self.param_dtype, name=name)

        space = x.shape[-1 - axes : -1]
        if self.use_places:
            x = jnp.concatenate([x, _places(x, space)], axis=-1)
        v = dense(self.features, "lift")(x)
        ends = [(0, round(self.padding * size)) for size in space]
        v = jnp.pad(v, [(0, 0)] * (x.ndim - 1 - axes) + ends + [(0, 0)])
        for layer in range(self.depth):
            spectral = SpectralConv(
                self.features,
                tuple(self.modes),
                dtype=self.dtype,
                param_dtype=self.param_dtype,
                name=f"spectral_{layer}",
            )
            v = spectral(v) + dense(self.features, f"local_{layer}")(v)
            if layer + 1 < self.depth:
                v = self.activation(v)
        inside = tuple(slice(0, size) for size in space)
        v = v[(..., *inside, slice(None))]
        v = self.activation(dense(self.projection, "project")(v))
        return dense(self.outputs, "readout")(v)


def _places(x: jax.Array, space: Sequence[int]) -> jax.Array:
    """Give the coordinates of each place in [0, 1), a channel for each axis."""
    axes = [jnp.arange(size, dtype=jnp.float32) / size for size in space]
    grid = jnp.stack(jnp.meshgrid(*axes, indexing="ij"), axis=-1).astype(x.dtype)
    return jnp.broadcast_to(grid, (*x.shape[:-1], len(space)))


class DeepONet(nn.Module):
    r"""A branch network of the function, a trunk network of the place, their inner product.

    After "Learning nonlinear operators via DeepONet based on the universal approximation
    theorem of operators" (2021); see ``layers.operator.deep_onet``. The submodules are
    ``branch_0``, ..., ``trunk_0``, ...

    Attributes:
      branch: widths of the hidden layers of the branch.
      trunk: widths of the hidden layers of the trunk.
      basis: p, how many products are summed.
      outputs: numbers at each place.
      activation: between layers, and after the trunk's last one.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    branch: Sequence[int] = (128,)
    trunk: Sequence[int] = (128, 128)
    basis: int = 64
    outputs: int = 1
    activation: Callable[[jax.Array], jax.Array] = nn.gelu
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch ..."], places: Float[Array, "points axes"]
    ) -> Float[Array, "batch points outputs"]:
        """Map functions at fixed sensors, ``(batch, ...)``, to their images at ``places``."""
        where = "DeepONet"
        require_array(where, x=x, places=places)
        require_rank(where, "x", x, 2, "(batch, ...)")
        require(places.ndim == 2, where, "places", places, "shape (points, axes)")
        require_count(where, basis=self.basis, outputs=self.outputs)
        width = self.outputs * self.basis

        def network(z: jax.Array, widths: Sequence[int], name: str) -> jax.Array:
            for layer, features in enumerate((*widths, width)):
                z = self.activation(z) if layer else z
                z = nn.Dense(
                    features,
                    dtype=self.dtype,
                    param_dtype=self.param_dtype,
                    name=f"{name}_{layer}",
                )(z)
            return z

        b = network(x.reshape(x.shape[0], -1), self.branch, "branch")
        t = self.activation(network(places, self.trunk, "trunk"))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.outputs,), self.param_dtype)
        return deep_onet(
            b.reshape(-1, self.outputs, self.basis),
            t.reshape(-1, self.outputs, self.basis),
            bias,
        )
