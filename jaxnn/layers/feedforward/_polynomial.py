r"""The Mu-layer: a network of products and sums only, of second degree in its input.

Source: "Multilinear Operator Networks" (2024), equation 2, with the normalisations, the weight of
the product and the shifts of the authors' code. There is no activation; k layers in a row are
a polynomial of degree 2^k, but for the normalisations.

===========  ====================================================================
x            input, ``(*batch, features)``
A            ``a``, (features, hidden)
D, B         ``d``, (features, rank), and ``b``, (rank, hidden): the second branch, of low rank
C            ``c``, (hidden, outputs)
α            ``alpha``, the weight of the product
S            ``shift``, moves some channels to neighbouring positions
N            ``normalize``, one for each branch
===========  ====================================================================
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype, Initializer
from jax import lax
from jaxtyping import Array, Bool, Float, Num

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.feedforward._dense import Dense, dense
from jaxnn.layers.feedforward._hyper_mixer import _padding
from jaxnn.layers.normalization import LayerNorm


class Affine(NamedTuple):
    """The parameters of one affine map.

    Attributes:
      kernel: weights, ``(inputs, outputs)``.
      bias: offset, ``(outputs,)``, or ``None``.
    """

    kernel: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"] | None = None


def _same(x):
    return x


def mu_layer(
    x: Float[Array, "*batch features"],
    a: Affine,
    b: Affine,
    c: Affine,
    d: Affine,
    alpha: Float[Array, ""] | None = None,
    *,
    shift: Callable[[jax.Array], jax.Array] = _same,
    normalize: tuple[Callable[..., Any], Callable[..., Any]] = (_same, _same),
) -> Float[Array, "*batch outputs"]:
    r"""Multiply two linear maps of the input, add the first, and map the sum.

    .. math:: u = N_1(S(A x)), \quad v = N_2(B \, S(D x)), \quad y = C (u + α \, u \odot v)

    Args:
      x: any leading axes, then features.
      a: A, features to hidden.
      b: B, rank to hidden.
      c: C, hidden to outputs.
      d: D, features to rank.
      alpha: α, one number; 1 if ``None``.
      shift: S, e.g. :func:`spatial_shift`; none by default.
      normalize: N of each branch; none by default, which makes y a polynomial in x.

    Returns:
      An array in the dtype of ``x``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree (raised by :func:`dense`, or here for the two branches).

    Example:
      >>> one = Affine(jnp.ones((1, 1)))
      >>> mu_layer(jnp.array([3.0]), one, one, one, one).tolist()  # x² + x
      [12.0]
    """
    where = "mu_layer"
    left, right = normalize
    u = left(shift(dense(x, *a)))
    v = right(dense(shift(dense(x, *d)), *b))
    needs = f"{u.shape[-1]} outputs, as `a`"
    require(v.shape == u.shape, where, "b", b.kernel, needs)
    wide = accumulation_dtype(x.dtype)
    product = u.astype(wide) * v.astype(wide)
    if alpha is not None:
        require_array(where, alpha=alpha)
        require(alpha.ndim == 0, where, "alpha", alpha, "one number, of shape ()")
        product = alpha.astype(wide) * product
    return dense((u.astype(wide) + product).astype(x.dtype), *c)


def spatial_shift(
    x: Float[Array, "*batch channels"], *, axes: tuple[int, ...] = (-3, -2)
) -> Float[Array, "*batch channels"]:
    """Move groups of channels by one position, each group another way.

    The channels fall into two groups an axis: the first moves one position up along it, the
    second one down. Positions at the border that nothing moves into keep what they had. With
    the two axes of an image it is the four-way shift of MONet and S²-MLP.

    Args:
      x: positions and, last, channels; images are ``(*batch, height, width, channels)``.
      axes: axes of positions to move along.

    Returns:
      An array of the shape and dtype of ``x``.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers.
      ValueError: ``axes`` are none, not axes of positions of ``x``, or twice the same.

    Example:
      >>> spatial_shift(jnp.array([[1.0, 1], [2, 2], [3, 3]]), axes=(-2,)).tolist()
      [[1.0, 2.0], [1.0, 3.0], [2.0, 3.0]]
    """
    where = "spatial_shift"
    require_array(where, x=x)
    positions = [axis % x.ndim for axis in axes if -x.ndim <= axis < x.ndim]
    sound = 0 < len(axes) == len(set(positions)) and x.ndim - 1 not in positions
    needs = f"distinct axes of positions of an array of shape {tuple(x.shape)}"
    require(sound, where, "axes", axes, needs)
    channels, groups = x.shape[-1], 2 * len(axes)
    edges = [channels * i // groups for i in range(groups + 1)]
    parts = []
    for i, (low, high) in enumerate(itertools.pairwise(edges)):
        part, axis = lax.slice_in_dim(x, low, high, axis=x.ndim - 1), positions[i // 2]
        size = x.shape[axis]
        cuts = ((0, 1), (0, size - 1)) if i % 2 == 0 else ((1, size), (size - 1, size))
        if size > 1:
            moved = [lax.slice_in_dim(part, *cut, axis=axis) for cut in cuts]
            part = lax.concatenate(moved, axis)
        parts.append(part)
    return lax.concatenate(parts, x.ndim - 1)


class MuLayer(nn.Module):
    """The layer with its parameters; it stands where a feed-forward block stands.

    Submodules are the affine maps ``a``, ``b``, ``c`` and ``d`` and the normalisations
    ``left_norm`` and ``right_norm``; ``alpha`` is a parameter.

    Attributes:
      hidden_features: width of both branches; the input's if ``None``. The paper's blocks have
        the input's in the layer that shifts, and 3 times it in the one that does not.
      features: output width; the input's if ``None``.
      rank: width of the second branch inside; an eighth of ``hidden_features`` if ``None``.
      shift: moves channels between positions, e.g. :func:`spatial_shift`; ``None`` for none.
      norm: factory of the normalisations, called as ``norm(name=..., dtype=...,
        param_dtype=...)``; ``None`` for none, which makes the layer a polynomial.
      use_bias: whether the maps have biases; those of the branches start at 1, so that the
        product starts with each branch by itself in it.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
      kernel_init: initialiser of the branches' maps.
    """

    hidden_features: int | None = None
    features: int | None = None
    rank: int | None = None
    shift: Callable[[jax.Array], jax.Array] | None = None
    norm: Callable[..., nn.Module] | None = LayerNorm
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    kernel_init: Initializer = nn.initializers.kaiming_normal()

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch features"], deterministic: bool | None = None
    ) -> Float[Array, "*batch outputs"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``; there is nothing to drop."""
        del deterministic
        where = "MuLayer"
        require_array(where, x=x)
        require_rank(where, "x", x, 1, "(*batch, features)")
        hidden = self.hidden_features or x.shape[-1]
        rank = self.rank or max(hidden // 8, 1)
        outputs = self.features or x.shape[-1]
        require_count(where, hidden_features=hidden, rank=rank, features=outputs)
        branch = (self.kernel_init, nn.initializers.ones_init())
        inner = {"a": (x.shape[-1], hidden), "b": (rank, hidden), "d": (x.shape[-1], rank)}
        maps = {name: self._affine(name, shape, *branch) for name, shape in inner.items()}
        last = (Dense.kernel_init, Dense.bias_init)
        maps["c"] = self._affine("c", (hidden, outputs), *last)
        alpha = self.param("alpha", nn.initializers.ones_init(), (), self.param_dtype)
        leaves, tree = jax.tree.flatten((maps, alpha))
        x, *leaves = promote_dtype(x, *leaves, dtype=self.dtype)
        maps, alpha = jax.tree.unflatten(tree, leaves)
        norms: tuple[Any, Any] = (_same, _same)
        if self.norm is not None:
            options = {"dtype": self.dtype, "param_dtype": self.param_dtype}
            left: Any = self.norm(name="left_norm", **options)
            right: Any = self.norm(name="right_norm", **options)
            norms = (left, right)
        return mu_layer(x, **maps, alpha=alpha, shift=self.shift or _same, normalize=norms)

    def _affine(self, name, shape, kernel_init, bias_init) -> Affine:
        """Make one map's parameters, of the names and shapes that ``Dense`` has."""
        options = (self.use_bias, self.param_dtype, kernel_init, bias_init)
        return _Parameters(shape, *options, name=name)()


class _Parameters(nn.Module):
    """The parameters of a ``Dense`` without its product."""

    shape: tuple[int, int]
    use_bias: bool
    param_dtype: Dtype
    kernel_init: Initializer
    bias_init: Initializer

    @nn.compact
    def __call__(self) -> Affine:
        """Give kernel and bias, or kernel and ``None``."""
        kernel = self.param("kernel", self.kernel_init, self.shape, self.param_dtype)
        if not self.use_bias:
            return Affine(kernel)
        return Affine(kernel, self.param("bias", self.bias_init, self.shape[1:], self.param_dtype))


class MuMixer(nn.Module):
    """A shifting :class:`MuLayer` that stands where attention stands in a transformer block.

    With ``feedforward=partial(MuLayer, 3 * width)`` beside it, a
    :class:`~jaxnn.models.TransformerBlock` is the Poly-Block of "Multilinear Operator Networks".
    The submodule is ``layer``.

    Attributes:
      num_heads: unused; there are no heads.
      grid: how tokens lie: ``(height, width)`` row by row, ``None`` for one line.
      rank: width of the second branch inside; an eighth of the features if ``None``.
      norm: factory of the branches' normalisations; ``None`` for none.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    num_heads: int = 1
    grid: tuple[int, ...] | None = None
    rank: int | None = None
    norm: Callable[..., nn.Module] | None = LayerNorm
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch time features"],
        *,
        mask: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
        is_causal: bool = False,
        positions: Num[Array, "..."] | None = None,
        deterministic: bool | None = None,
    ) -> Float[Array, "*batch time features"]:
        """Map ``(*batch, time, features)`` to the same shape.

        ``mask`` may only tell padding, ``(*batch, 1, 1, time)``: what padding would move to its
        neighbours is zero. ``bias`` and ``is_causal`` are refused. ``positions`` are those of
        the grid whatever they are called, and there is nothing to drop.
        """
        del positions, deterministic
        where = "MuMixer"
        require_array(where, x=x)
        require_rank(where, "x", x, 2, "(*batch, time, features)")
        needs = "None: there are no pairs of tokens that it could be added to"
        require(bias is None, where, "bias", bias, needs)
        needs = "False: half of what moves comes from later tokens"
        require(not is_causal, where, "is_causal", is_causal, needs)
        grid = (x.shape[-2],) if self.grid is None else self.grid
        needs = f"sizes whose product is the {x.shape[-2]} tokens of `x`"
        require(math.prod(grid) == x.shape[-2], where, "grid", grid, needs)
        read = None if mask is None else _padding(where, mask, x.shape[:-1])

        def shift(v):
            if read is not None:
                v = jnp.where(read[..., None], v, 0)
            tiles = v.reshape(*v.shape[:-2], *grid, v.shape[-1])
            axes = tuple(range(-1 - len(grid), -1))
            return spatial_shift(tiles, axes=axes).reshape(v.shape)

        return MuLayer(
            rank=self.rank,
            shift=shift,
            norm=self.norm,
            dtype=self.dtype,
            param_dtype=self.param_dtype,
            name="layer",
        )(x)
