r"""The feed-forward block of which only the k largest hidden units of each token speak.

Source: "The Lazy Neuron Phenomenon: On Emergence of Activation Sparsity in Transformers"
(2022): trained ReLU blocks leave few units active, and keeping just k of them on purpose (its
Top-k Transformer) costs little and makes the network steadier.

===========  ==========================================
x            input, ``(*batch, features)``
U, a         ``up_kernel`` (features, hidden), ``up_bias``
D, c         ``down_kernel`` (hidden, outputs), ``down_bias``
S            the k largest entries of φ(x U + a), token by token
===========  ==========================================
"""

import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.dtypes import promote_dtype
from flax.typing import Dtype
from jax import lax
from jaxtyping import Array, Float, Int

from jaxnn._check import require, require_array, require_count, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.feedforward._dense import Dense, dense

Compute = Literal["dense", "gathered"]


def keep_top_k(h: Float[Array, "*batch units"], k: int) -> Float[Array, "*batch units"]:
    """Keep the k largest entries of the last axis and set the others to zero.

    Exactly k are kept: of equal entries, those that come first. Gradients flow to the kept
    entries, unchanged, and to no others.

    Args:
      h: any leading axes, then units.
      k: number of entries kept, at most ``units``.

    Returns:
      An array of the shape and dtype of ``h``.

    Raises:
      TypeError: ``h`` is not an array of floating-point numbers.
      ValueError: ``k`` is not a whole number from 1 to ``units``.

    Example:
      >>> keep_top_k(jnp.array([3.0, 1.0, 2.0, 2.0]), 2).tolist()
      [3.0, 0.0, 2.0, 0.0]
    """
    return _spread(*_top_k("keep_top_k", h, k), h.shape[-1])


def top_k_feed_forward(
    x: Float[Array, "*batch features"],
    up_kernel: Float[Array, "features hidden"],
    up_bias: Float[Array, " hidden"] | None,
    down_kernel: Float[Array, "hidden outputs"],
    down_bias: Float[Array, " outputs"] | None,
    *,
    k: int,
    activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
    compute: Compute | None = None,
) -> Float[Array, "*batch outputs"]:
    r"""Apply the two-layer block to the last axis, through the k largest hidden units only.

    .. math:: h = \phi(x U + a), \quad y = \sum_{i \in S(h)} h_i D_i + c

    The sum is computed in one of two ways, equal but for rounding. ``"dense"`` multiplies all
    of D by hidden units that are mostly zero: right for many tokens at once, as in training,
    where rows of D would be fetched anew for each token. ``"gathered"`` fetches the k rows of
    D that each token needs and leaves the others where they are: right for the one token a
    step of decoding. ``None`` takes ``"gathered"`` while all tokens together fetch at most as
    many rows as D has, which is where the two were measured to cost the same.

    Where fewer than k units of a ReLU block are above zero, the sum is that of the whole
    block: a lazy network decodes this way unchanged.

    Args:
      x: any leading axes, then features.
      up_kernel: U, widening.
      up_bias: a, or ``None``.
      down_kernel: D, narrowing.
      down_bias: c, or ``None``.
      k: number of hidden units kept for each token.
      activation: the element-wise φ.
      compute: how the sum is computed; by the number of tokens if ``None``. Under ``vmap``
        the mapped axis is not counted: say which you want.

    Returns:
      An array in the dtype of ``x``; products accumulate in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: sizes disagree, ``k`` is not from 1 to ``hidden``, or ``compute`` is unknown.
    """
    hidden = activation(dense(x, up_kernel, up_bias))
    values, units = _top_k("top_k_feed_forward", hidden, k)
    tokens = math.prod(x.shape[:-1])
    if _chosen("top_k_feed_forward", compute, tokens, k, hidden.shape[-1]) == "gathered":
        return _sum_rows(values, units, down_kernel, down_bias)
    return dense(_spread(values, units, hidden.shape[-1]), down_kernel, down_bias)


def _top_k(where, h, k):
    """Give the k largest entries and their places."""
    require_array(where, h=h)
    require_rank(where, "h", h, 1, "(*batch, units)")
    require_count(where, k=k)
    require(k <= h.shape[-1], where, "k", k, f"at most {h.shape[-1]}, the number of units")
    return lax.top_k(h, k)


def _spread(values, units, width):
    """Put the values back in their places among zeros."""
    # Not a comparison with the k-th largest value: of equal entries, only some are kept.
    empty = jnp.zeros((*values.shape[:-1], width), values.dtype)
    return jnp.put_along_axis(empty, units, values, axis=-1, inplace=False)


def _chosen(where, compute, tokens, k, hidden):
    known = (None, "dense", "gathered")
    require(compute in known, where, "compute", compute, 'None, "dense" or "gathered"')
    return compute or ("gathered" if tokens * k <= hidden else "dense")


def _sum_rows(
    values: Float[Array, "*batch k"],
    units: Int[Array, "*batch k"],
    kernel: Float[Array, "hidden outputs"],
    bias: Float[Array, " outputs"] | None,
) -> Float[Array, "*batch outputs"]:
    """Sum the rows of ``kernel`` at ``units``, weighted by ``values``."""
    require_array("top_k_feed_forward", down_kernel=kernel)
    wide = accumulation_dtype(values.dtype)
    tokens, k = math.prod(values.shape[:-1]), values.shape[-1]
    values_Nk, units_Nk = values.reshape(tokens, k), units.reshape(tokens, k)
    # Indices of `top_k` lie inside: no need to clip them.
    rows_NkO = kernel.at[units_Nk].get(mode="promise_in_bounds")
    y = jnp.einsum("nk,nko->no", values_Nk, rows_NkO, preferred_element_type=wide)
    if bias is not None:
        require_array("top_k_feed_forward", down_bias=bias)
        shape = kernel.shape[1:]
        require(
            bias.shape == shape, "top_k_feed_forward", "down_bias", bias, f"shape {tuple(shape)}"
        )
        y = y + bias.astype(wide)[None, :]
    return y.astype(values.dtype).reshape(*values.shape[:-1], kernel.shape[1])


class TopKFeedForward(nn.Module):
    """The block with its parameters, in the submodules ``up`` and ``down``.

    Parameters are those of :class:`~jaxnn.layers.feedforward.FeedForward`, so either loads the
    other's. The kept units are sown into ``intermediates`` as ``hidden``, ``(*batch, hidden)``.

    Attributes:
      k: number of hidden units kept for each token.
      hidden_features: width between the two maps; 4 times the input's if ``None``.
      features: output width; the input's if ``None``.
      activation: element-wise non-linearity.
      compute: how the second map is computed; see :func:`top_k_feed_forward`. Parameters do
        not depend on it: train with one, decode with the other.
      dropout_rate: applied to the kept units when a ``dropout`` key is given.
      dense: factory of the two maps, called as ``dense(features, name=..., ...)``; other than
        :class:`~jaxnn.layers.feedforward.Dense`, only with ``compute="dense"``.
      use_bias: whether the maps have biases.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    k: int
    hidden_features: int | None = None
    features: int | None = None
    activation: Callable[[jax.Array], jax.Array] = jax.nn.relu
    compute: Compute | None = None
    dropout_rate: float = 0.0
    dense: Callable[..., nn.Module] = Dense
    use_bias: bool = True
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch features"], deterministic: bool | None = None
    ) -> Float[Array, "*batch outputs"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``.

        ``deterministic=None`` drops units exactly when a ``dropout`` key was given.
        """
        where = "TopKFeedForward"
        require_array(where, x=x)
        width = self.hidden_features or 4 * x.shape[-1]
        require_count(where, hidden_features=width)
        compute = _chosen(where, self.compute, math.prod(x.shape[:-1]), self.k, width)
        if self.dense is not Dense:
            require(
                self.compute == "dense",
                where,
                "compute",
                self.compute,
                '"dense" when `dense` is given: the rows of another map cannot be fetched',
            )
        options: dict[str, Any] = {
            "use_bias": self.use_bias,
            "dtype": self.dtype,
            "param_dtype": self.param_dtype,
        }
        hidden = self.activation(self.dense(width, name="up", **options)(x))
        values, units = _top_k(where, hidden, self.k)
        if deterministic is None:
            deterministic = not self.has_rng("dropout")
        if self.is_mutable_collection("intermediates"):
            self.sow("intermediates", "hidden", _spread(values, units, width))
        values = nn.Dropout(self.dropout_rate)(values, deterministic=deterministic)
        features = self.features or x.shape[-1]
        if compute == "gathered":
            return _SumRows(features, width, name="down", **options)(values, units)
        return self.dense(features, name="down", **options)(_spread(values, units, width))


class _SumRows(nn.Module):
    """What ``Dense`` is to :func:`dense`, for :func:`_sum_rows`; the parameters are the same."""

    features: int
    inputs: int
    use_bias: bool
    dtype: Dtype | None
    param_dtype: Dtype

    @nn.compact
    def __call__(self, values: jax.Array, units: jax.Array) -> jax.Array:
        """Sum the rows at ``units``, weighted by ``values``."""
        shape = (self.inputs, self.features)
        kernel = self.param("kernel", Dense.kernel_init, shape, self.param_dtype)
        bias = None
        if self.use_bias:
            bias = self.param("bias", Dense.bias_init, shape[1:], self.param_dtype)
        values, kernel, bias = promote_dtype(values, kernel, bias, dtype=self.dtype)
        return _sum_rows(values, units, kernel, bias)
