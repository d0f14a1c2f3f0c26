r"""Modern Hopfield networks: a memory whose update is attention, and whose energy only falls.

A state moves to the average of the stored patterns that the softmax of its products with them
weighs. With a large β it ends at one pattern, with a small one at the average of all, and in
between at that of a few alike. One update from queries, read out through values, is softmax
attention; further updates clean up the query first.

Source: "Hopfield Networks is All You Need" (2020), sections 2 and 3.

===========  ==================================================
ξ            ``query``, the states, ``(*batch, queries, heads, width)``
x            ``key``, the stored patterns, ``(*batch, keys, key_heads, width)``
v            ``value``, ``(*batch, keys, key_heads, value_width)``
β            ``scale``, inverse temperature; 1/√width if not given
N, M         the number of patterns, and the largest of their norms
===========  ==================================================
"""

import functools
import math
from typing import Any, Literal, overload

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.typing import Dtype, Initializer
from jax import lax
from jaxtyping import Array, Bool, Float

from jaxnn._check import require, require_array, require_count, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.attention._dot_product import (
    Key,
    Output,
    Query,
    Value,
    Weights,
    dot_product_attention,
)
from jaxnn.layers.attention._multi_head import MultiHeadAttention
from jaxnn.layers.attention._products import check_attention


@overload
def hopfield_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    steps: int = 1,
    tolerance: float | None = None,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: Literal[False] = False,
) -> Output: ...
@overload
def hopfield_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    steps: int = 1,
    tolerance: float | None = None,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: Literal[True],
) -> tuple[Output, Weights]: ...
def hopfield_attention(
    query: Query,
    key: Key,
    value: Value,
    *,
    steps: int = 1,
    tolerance: float | None = None,
    mask: Bool[Array, "..."] | None = None,
    bias: Float[Array, "..."] | None = None,
    is_causal: bool = False,
    scale: float | None = None,
    dropout_rate: float = 0.0,
    dropout_key: jax.Array | None = None,
    return_weights: bool = False,
) -> Output | tuple[Output, Weights]:
    r"""Move states towards the stored patterns, then read the values of those they are near.

    .. math:: w_{ij} = \mathrm{softmax}_j(\beta\,\xi_i \cdot x_j), \quad
        \xi_i \leftarrow \sum_j w_{ij} x_j, \quad y_i = \sum_j w_{ij} v_j

    ξ is replaced ``steps - 1`` times and y read with the last weights, so that one step is
    :func:`dot_product_attention`. With values equal to keys, y is ξ after ``steps`` updates.

    The paper's layer for the association of two sets is :class:`MultiHeadAttention` with this
    function in its slot: ``MultiHeadAttention(4, attention=functools.partial(hopfield_attention,
    steps=3))(states, context=patterns)``. The β of a head that learns is the size of its query
    projection.

    Args:
      query: ξ.
      key: x; with fewer heads, each serves a run of ``heads / key_heads`` query heads.
      value: v, one for each key.
      steps: number of updates, the one that reads the values included.
      tolerance: a state that an update moved by no more than this stays there, each query of
        each head for itself; ``None`` for ``steps`` updates of all. The time taken is that of
        ``steps`` either way, so that derivatives can be taken backwards.
      mask: True where a query may attend to a key; broadcasts to the weights.
      bias: added to the logits of every update; broadcasts to the weights.
      is_causal: whether query i attends to keys 0 ... i only, counted from the first of both.
      scale: β.
      dropout_rate: share of the weights dropped in the last update, the others scaled up.
      dropout_key: random key, needed if ``dropout_rate`` is not zero.
      return_weights: whether to return ``(output, weights)``, those of the last update.

    Returns:
      What :func:`dot_product_attention` returns.

    Raises:
      TypeError: an argument is not an array of floating-point numbers, or ``mask`` of booleans.
      ValueError: shapes disagree, or ``steps`` or ``tolerance`` is not above zero.

    Example:
      >>> stored = jnp.array([[[1.0, 1.0]], [[1.0, -1.0]]])
      >>> state = jnp.array([[[0.9, 0.25]]])
      >>> hopfield_attention(state, stored, stored, scale=8.0)[0, 0, 1].item() > 0.96
      True
      >>> hopfield_attention(state, stored, stored, scale=8.0, steps=2)[0, 0, 1].item() > 0.9999
      True
    """
    where = "hopfield_attention"
    check_attention(where, query, key, value, mask, bias, scale, dropout_rate, dropout_key)
    require_count(where, steps=steps)
    if tolerance is not None:
        require_positive(where, tolerance=tolerance)
    attend = functools.partial(
        dot_product_attention, mask=mask, bias=bias, is_causal=is_causal, scale=scale
    )

    def update(carry, _):
        state, moving = carry
        new = attend(state, key, key).astype(state.dtype)
        new = jnp.where(moving, new, state)
        if tolerance is not None:
            change = (new - state).astype(accumulation_dtype(state.dtype))
            moving = jnp.sum(change**2, axis=-1, keepdims=True) > tolerance**2
        return (new, moving), None

    state = query
    if steps > 1:
        moving = jnp.ones((*query.shape[:-1], 1), bool)
        (state, _), _ = lax.scan(update, (query, moving), length=steps - 1)
    options = {"dropout_rate": dropout_rate, "dropout_key": dropout_key}
    if return_weights:
        return attend(state, key, value, return_weights=True, **options)
    return attend(state, key, value, **options)


def hopfield_energy(
    state: Float[Array, "*batch width"],
    patterns: Float[Array, "patterns width"],
    *,
    scale: float | None = None,
) -> Float[Array, "*batch"]:
    r"""Measure the energy of states, which no update of :func:`hopfield_attention` raises.

    .. math:: E(\xi) = -\tfrac{1}{\beta} \log \sum_j e^{\beta\,\xi \cdot x_j}
        + \tfrac12 \xi \cdot \xi + \tfrac{1}{\beta} \log N + \tfrac12 M^2

    Its derivative is ξ less its update.

    Args:
      state: ξ.
      patterns: the stored x, the same for all states; ``jax.vmap`` for one set each.
      scale: β; 1/√width if not given, as in attention.

    Returns:
      One number for each state, in its dtype: from 0 to 2 M² for averages of the patterns.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the widths disagree, or there is no pattern.

    Example:
      >>> hopfield_energy(jnp.array([1.0, 0.0]), jnp.array([[1.0, 0.0]])).item()
      0.0
    """
    where = "hopfield_energy"
    require_array(where, state=state, patterns=patterns)
    require_rank(where, "state", state, 1, "(*batch, width)")
    require(
        patterns.ndim == 2 and patterns.shape[0] > 0 and patterns.shape[1] == state.shape[-1],
        where,
        "patterns",
        patterns,
        f"shape (patterns, {state.shape[-1]}), at least one",
    )
    if scale is not None:
        require_positive(where, scale=scale)
    beta = 1 / math.sqrt(state.shape[-1]) if scale is None else scale
    wide = accumulation_dtype(state.dtype)
    xi, x = state.astype(wide), patterns.astype(wide)
    logits = beta * jnp.einsum("...d,nd->...n", xi, x)
    near = (jax.nn.logsumexp(logits, axis=-1) - math.log(x.shape[0])) / beta
    largest = jnp.max(jnp.sum(x**2, axis=-1))
    return (jnp.sum(xi**2, axis=-1) / 2 - near + largest / 2).astype(state.dtype)


class HopfieldPooling(nn.Module):
    """Summarise a sequence or a set by what learned states retrieve from it.

    The states are the parameter ``queries``, ``(num_queries, features)``; the submodule
    ``attention`` projects them to queries, and the inputs to keys and values.

    Attributes:
      num_queries: number of summaries.
      num_heads: number of heads.
      steps: updates of the states.
      tolerance: see :func:`hopfield_attention`.
      scale: β of each head; 1/√width if ``None``.
      qkv_features: width of all heads together; the input's if ``None``.
      features: width of a summary; the input's if ``None``.
      dropout_rate: share of the weights dropped when a ``dropout`` key is given.
      queries_init: initialiser of the states.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    num_queries: int = 1
    num_heads: int = 1
    steps: int = 1
    tolerance: float | None = None
    scale: float | None = None
    qkv_features: int | None = None
    features: int | None = None
    dropout_rate: float = 0.0
    queries_init: Initializer = nn.initializers.normal(1.0)
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "*batch time features"],
        *,
        mask: Bool[Array, "..."] | None = None,
        deterministic: bool | None = None,
    ) -> Float[Array, "*batch queries outputs"]:
        """Map ``(*batch, time, inputs)`` to ``(*batch, num_queries, features)``.

        ``mask``, broadcast to ``(*batch, heads, num_queries, time)``, is False for padding.
        ``deterministic=None`` drops weights exactly when a ``dropout`` key was given.
        """
        where = "HopfieldPooling"
        require_array(where, x=x)
        require_rank(where, "x", x, 2, "(*batch, time, features)")
        require_count(where, num_queries=self.num_queries)
        shape = (self.num_queries, x.shape[-1])
        states = self.param("queries", self.queries_init, shape, self.param_dtype)
        states = jnp.broadcast_to(states.astype(x.dtype), (*x.shape[:-2], *shape))
        return _attention(self)(states, x, mask=mask, deterministic=deterministic)


class HopfieldLayer(nn.Module):
    """Look inputs up among learned stored patterns.

    The patterns are the parameter ``patterns``, ``(num_patterns, pattern_features)``; the
    submodule ``attention`` projects them to keys and values, and the inputs to queries.

    Attributes:
      num_patterns: number of stored patterns.
      pattern_features: width of a stored pattern; the input's if ``None``.
      num_heads: number of heads.
      steps: updates of the inputs' states.
      tolerance: see :func:`hopfield_attention`.
      scale: β of each head; 1/√width if ``None``.
      qkv_features: width of all heads together; the input's if ``None``.
      features: output width; the input's if ``None``.
      dropout_rate: share of the weights dropped when a ``dropout`` key is given.
      patterns_init: initialiser of the patterns.
      dtype: computation dtype; ``None`` promotes.
      param_dtype: dtype the parameters are kept in.
    """

    num_patterns: int
    pattern_features: int | None = None
    num_heads: int = 1
    steps: int = 1
    tolerance: float | None = None
    scale: float | None = None
    qkv_features: int | None = None
    features: int | None = None
    dropout_rate: float = 0.0
    patterns_init: Initializer = nn.initializers.normal(1.0)
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch features"], deterministic: bool | None = None
    ) -> Float[Array, "*batch outputs"]:
        """Map ``(*batch, inputs)`` to ``(*batch, features)``, each entry on its own.

        ``deterministic=None`` drops weights exactly when a ``dropout`` key was given.
        """
        where = "HopfieldLayer"
        require_array(where, x=x)
        require_rank(where, "x", x, 1, "(*batch, features)")
        require_count(where, num_patterns=self.num_patterns)
        shape = (self.num_patterns, self.pattern_features or x.shape[-1])
        patterns = self.param("patterns", self.patterns_init, shape, self.param_dtype)
        # All inputs are queries to one memory: its keys and values are projected once.
        rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        y = _attention(self)(rows, patterns.astype(x.dtype), deterministic=deterministic)
        return y.reshape(*x.shape[:-1], y.shape[-1])


def _attention(module: Any) -> MultiHeadAttention:
    """Make the attention of either module, by its attributes."""
    require_count(type(module).__name__, steps=module.steps)
    attend = functools.partial(
        hopfield_attention, steps=module.steps, tolerance=module.tolerance, scale=module.scale
    )
    return MultiHeadAttention(
        module.num_heads,
        module.qkv_features,
        module.features,
        attention=attend,
        dropout_rate=module.dropout_rate,
        dtype=module.dtype,
        param_dtype=module.param_dtype,
        name="attention",
    )
