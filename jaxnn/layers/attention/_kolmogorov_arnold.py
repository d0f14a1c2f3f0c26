r"""Kolmogorov-Arnold attention: a learned operator on the rows of logits, where softmax was.

Learned functions of single logits are summed over the keys to r numbers, and a linear map
takes these to the N weights. The weights need be neither positive nor of any sum. The operator
belongs to keys at N fixed places, such as the patches of an image.

Source: "Kolmogorov-Arnold Attention: Is Learnable Attention Better For Vision Transformers?"
(2025): the operator of low rank, with Fourier series for functions.

===========  ==================================================================
q            ``query``, ``(*batch, queries, heads, width)``
k            ``key``, ``(*batch, keys, key_heads, width)``
v            ``value``, ``(*batch, keys, key_heads, value_width)``
c            ``coefficients``, ``(operators, functions, keys, rank)``
W            ``projection``, ``(operators, rank, keys)``
B            ``basis``: rows ``(n, keys)`` to ``(n, functions, keys)``
b            ``bias``, broadcast to ``(*batch, heads, queries, keys)``
s            ``scale``, 1/√width if not given
G            ``terms`` of a Fourier series; it has 2 G functions
===========  ==================================================================
"""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, overload

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Bool, Float

from jaxnn._check import require, require_array, require_count
from jaxnn.layers.attention._dot_product import Key, Output, Query, Value, Weights
from jaxnn.layers.attention._products import (
    allowed_pairs,
    attention_logits,
    check_attention,
    drop_weights,
    weighted_values,
)
from jaxnn.layers.feedforward import dense
from jaxnn.layers.kan import fourier_basis, kan_layer

Coefficients = Float[Array, "operators functions keys rank"]
Projection = Float[Array, "operators rank keys"]


@overload
def kolmogorov_arnold_attention(
    query: Query,
    key: Key,
    value: Value,
    coefficients: Coefficients,
    projection: Projection,
    *,
    basis: Callable[[jax.Array], jax.Array] | None = None,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: Literal[False] = False,
) -> Output: ...
@overload
def kolmogorov_arnold_attention(
    query: Query,
    key: Key,
    value: Value,
    coefficients: Coefficients,
    projection: Projection,
    *,
    basis: Callable[[jax.Array], jax.Array] | None = None,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: Literal[True],
) -> tuple[Output, Weights]: ...
def kolmogorov_arnold_attention(
    query: Query,
    key: Key,
    value: Value,
    coefficients: Coefficients,
    projection: Projection,
    *,
    basis: Callable[[jax.Array], jax.Array] | None = None,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: bool = False,
) -> Output | tuple[Output, Weights]:
    r"""Attend with weights that a learned operator makes of each row of logits.

    .. math:: a_{ij} = s\,q_i \cdot k_j + b_{ij}, \quad
        h_{ip} = \sum_{j,f} c_{fjp} B_f(a_{ij}), \quad
        w_{ij} = \sum_p W_{pj} h_{ip}, \quad y_i = \sum_j w_{ij} v_j

    Args:
      query: q.
      key: k, as many as the operator is for; with fewer heads, each serves a run of
        ``heads / key_heads`` query heads.
      value: v, one for each key.
      coefficients: c, of one operator for all heads or of one for each.
      projection: W, of as many.
      basis: B, as in :func:`jaxnn.layers.kan.kan_layer`; cos a ... cos G a, sin a ... sin G a
        if ``None``.
      mask: True where a query may attend to a key. Elsewhere the key's logit counts in no sum
        and its weight is 0.
      bias: b, added to the logits; broadcasts to the weights.
      is_causal: whether query i attends to keys 0 ... i only, counted from the first of both.
      scale: s.
      dropout_rate: share of the weights dropped, the others scaled up.
      dropout_key: random key, needed if ``dropout_rate`` is not zero.
      return_weights: whether to return ``(output, weights)``.

    Returns:
      An array in the dtype of ``value``; the operator is applied in float32 or wider. A query
      that may attend to nothing gets zeros. The weights are those before dropout, ``(*batch,
      heads, queries, keys)``, in the dtype of ``query``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers, or ``mask`` of booleans.
      ValueError: shapes disagree, or the operator is for another number of keys.

    Example:
      >>> query = key = jnp.zeros((3, 1, 2))
      >>> cosine, even = jnp.ones((1, 2, 3, 1)), jnp.ones((1, 1, 3)) / 9
      >>> value = jnp.array([0.0, 3.0, 6.0])[:, None, None]
      >>> kolmogorov_arnold_attention(query, key, value, cosine, even).round(4)[:, 0, 0].tolist()
      [3.0, 3.0, 3.0]
    """
    where = "kolmogorov_arnold_attention"
    check_attention(where, query, key, value, mask, bias, scale, dropout_rate, dropout_key)
    _check_operator(where, query.shape[-2], key, coefficients, projection)
    functions = coefficients.shape[1]
    if basis is None:
        needs = "an even number of functions, as many cosines as sines"
        require(functions % 2 == 0, where, "coefficients", coefficients, needs)
        basis = functools.partial(fourier_basis, terms=functions // 2)
    logits = attention_logits(query, key, bias, scale)
    allowed = allowed_pairs(logits.shape, mask, is_causal)
    weights = _operate(logits, allowed, coefficients, projection, basis)
    output = weighted_values(drop_weights(weights, dropout_rate, dropout_key), value)
    return (output, weights.astype(query.dtype)) if return_weights else output


def _check_operator(where, heads, key, coefficients, projection):
    require_array(where, coefficients=coefficients, projection=projection)
    require(
        coefficients.ndim == 4 and coefficients.shape[0] in (1, heads),
        where,
        "coefficients",
        coefficients,
        f"shape (1 or {heads}, functions, keys, rank)",
    )
    operators, _, places, rank = coefficients.shape
    require(
        key.shape[-3] == places,
        where,
        "key",
        key,
        f"{places} positions, which the operator in `coefficients` is for",
    )
    shape = (operators, rank, places)
    require(projection.shape == shape, where, "projection", projection, f"shape {shape}")


def _operate(logits, allowed, coefficients, projection, basis):
    """Apply the operators to the last axis of ``(*batch, heads, queries, keys)``."""
    operators = coefficients.shape[0]
    heads, keys = logits.shape[-3], logits.shape[-1]

    def rows_of(x):
        # (operators, rows, keys): all heads that share an operator go through it together.
        x = jnp.moveaxis(x, -3, 0)
        return x.reshape(operators, math.prod(x.shape[:-1]) // operators, keys)

    def one(rows, open_, c, w):
        def values(rows):
            made = basis(rows)
            return made if open_ is None else jnp.where(open_[:, None, :], made, 0)

        weights = dense(kan_layer(rows, c, basis=values), w)
        return weights if open_ is None else jnp.where(open_, weights, 0)

    rows, open_ = rows_of(logits), None if allowed is None else rows_of(allowed)
    c, w = coefficients.astype(logits.dtype), projection.astype(logits.dtype)
    weights = jax.vmap(one, in_axes=(0, None if open_ is None else 0, 0, 0))(rows, open_, c, w)
    weights = weights.reshape(heads, *logits.shape[:-3], *logits.shape[-2:])
    return jnp.moveaxis(weights, 0, -3)


class KolmogorovArnoldAttention(nn.Module):
    """The attention with its parameters ``coefficients`` and ``projection``.

    It fits the ``attention`` slot of :class:`MultiHeadAttention` and of the models:

    - ``VisionTransformer(..., attention=KolmogorovArnoldAttention(16))``: one module, which all
      blocks share (the paper's universal mode); its parameters are the model's ``attention``;
    - ``VisionTransformer(..., attention=KolmogorovArnoldAttention.blockwise(16))``: each block
      has its own (blockwise mode), below its ``attention`` as ``weights``.

    At the start outputs have the variance of values that are independent.

    Attributes:
      keys: N, the number of keys.
      num_heads: operators, one for each head; one for all if ``None``.
      rank: r.
      terms: G, of the Fourier series.
      basis: takes rows ``(n, keys)`` to ``(n, functions, keys)``; the Fourier functions if
        ``None``.
      param_dtype: dtype the parameters are kept in.
      coefficients_init: initialiser of ``coefficients``; hidden sums of variance 1 if ``None``.
      projection_init: initialiser of ``projection``; weights of variance 1/N if ``None``.
    """

    keys: int
    num_heads: int | None = None
    rank: int = 12
    terms: int = 3
    basis: Callable[[jax.Array], jax.Array] | None = None
    param_dtype: Dtype = jnp.float32
    coefficients_init: Initializer | None = None
    projection_init: Initializer | None = None

    @classmethod
    def blockwise(cls, *args: Any, **attributes: Any) -> Callable[..., Any]:
        """Make an attention function with parameters of its own wherever it is put.

        Called inside a module, it makes a submodule ``weights`` of these attributes there.
        """

        def attend(query, key, value, *, return_weights=False, **options):
            module = cls(*args, name="weights", **attributes)
            return module(query, key, value, return_weights=return_weights, **options)

        return attend

    @nn.compact
    def __call__(
        self,
        query: Query,
        key: Key,
        value: Value,
        *,
        mask: Bool[Array, "..."] | None = None,
        bias: Float[Array, "..."] | None = None,
        is_causal: bool = False,
        scale: float | None = None,
        dropout_rate: float = 0.0,
        dropout_key: jax.Array | None = None,
        return_weights: bool = False,
    ) -> Any:
        """Attend as :func:`kolmogorov_arnold_attention` does, with these parameters."""
        where = type(self).__name__
        require_count(where, keys=self.keys, rank=self.rank, terms=self.terms)
        require_array(where, query=query)
        heads = query.shape[-2]
        fits = self.num_heads in (None, heads)
        require(fits, where, "num_heads", self.num_heads, f"the {heads} heads of `query`")
        if self.basis is None:
            functions = 2 * self.terms
        else:
            rows = jax.ShapeDtypeStruct((1, self.keys), query.dtype)
            functions = jax.eval_shape(self.basis, rows).shape[-2]
        shape = (self.num_heads or 1, functions, self.keys, self.rank)
        # A cosine and a sine have the squares' sum 1; other functions are near enough.
        hidden_init = nn.initializers.normal(math.sqrt(2 / (functions * self.keys)))
        coefficients = self.param(
            "coefficients", self.coefficients_init or hidden_init, shape, self.param_dtype
        )
        weights_init = nn.initializers.normal(1 / math.sqrt(self.rank * self.keys))
        projection = self.param(
            "projection",
            self.projection_init or weights_init,
            (shape[0], self.rank, self.keys),
            self.param_dtype,
        )
        attend: Any = kolmogorov_arnold_attention
        return attend(
            query,
            key,
            value,
            coefficients,
            projection,
            basis=self.basis,
            mask=mask,
            bias=bias,
            is_causal=is_causal,
            scale=scale,
            dropout_rate=dropout_rate,
            dropout_key=dropout_key,
            return_weights=return_weights,
        )
