r"""Collinear attention: a key is the query itself, scaled, so that turning them apart always loses.

Source: "Cure the headache of Transformers via Collinear Constrained Attention" (2023),
equations 8 to 12. Rotary positions turn query and key against each other. If they do not start
out collinear, some turn brings them closer, and the logit grows with distance: the order of
near and far is upset. Here key n is, for query m, the product of q and t: the same direction in
each plane of rotation.

===========  ==============================================================
q            ``query``, ``(*batch, time, heads, width)``; planes (j, j + width/2)
t            ``scale``, ``(*batch, time, heads, width / 2)``, not negative
θ            the angles of rotary positions, one for each plane
===========  ==============================================================
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.attention._multi_head import MultiHeadAttention
from jaxnn.layers.position import rotary_embedding


def collinear_query_key(
    query: Float[Array, "*batch queries heads width"],
    scale: Float[Array, "*batch keys key_heads half"],
) -> tuple[Float[Array, "*batch queries heads width"], Float[Array, "*batch keys key_heads width"]]:
    r"""Make the pair whose products, once turned by rotary positions, are the collinear logits.

    .. math:: a_{mn} = \sum_j t_{nj}\, |q_{mj}|^2 \cos((m - n) \theta_j)

    where :math:`|q_{mj}|^2` is the squared length of q in plane j. Keys that differ from query
    to query would cost a key for each pair; the same numbers come from the query
    :math:`(|q_j|^2, 0)` and the key :math:`(t_j, 0)` in each plane.

    Args:
      query: q.
      scale: t.

    Returns:
      A query and a key, to be turned by :func:`jaxnn.layers.position.rotary_embedding` and given
      to any attention function.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the width is odd, or that of ``scale`` is not half of it.

    Example:
      >>> query, key = collinear_query_key(jnp.ones((1, 1, 4)), jnp.ones((1, 1, 2)))
      >>> print(query[0, 0], key[0, 0])
      [2. 2. 0. 0.] [1. 1. 0. 0.]
    """
    where = "collinear_query_key"
    require_array(where, query=query, scale=scale)
    require_rank(where, "query", query, 3, "(*batch, time, heads, width)")
    half, odd = divmod(query.shape[-1], 2)
    require(odd == 0, where, "query", query, "an even width, its last axis")
    require(
        scale.ndim == query.ndim and scale.shape[-1] == half,
        where,
        "scale",
        scale,
        f"shape {(*query.shape[:-3], 'time', 'heads', half)}, half the width of `query`",
    )
    return _squares(query), jnp.concatenate([scale, jnp.zeros_like(scale)], axis=-1)


def _squares(query):
    wide = query.astype(accumulation_dtype(query.dtype))
    first, second = jnp.split(wide * wide, 2, axis=-1)
    squares = (first + second).astype(query.dtype)
    return jnp.concatenate([squares, jnp.zeros_like(squares)], axis=-1)


class CollinearAttention(MultiHeadAttention):
    """Multi-head attention with collinear queries and keys; see :func:`collinear_query_key`.

    The submodule ``key`` gives t, half as wide as the keys of :class:`MultiHeadAttention`,
    through a ReLU.

    Attributes:
      rotary: turns queries and keys, called as ``rotary(x, positions)``; the mechanism is made
        for it.
    """

    rotary: Callable[[jax.Array, jax.Array], jax.Array] | None = rotary_embedding

    def _project(self, name: str, x: jax.Array, heads: int, width: int) -> jax.Array:
        project = functools.partial(super()._project, name, x, heads)
        require(
            self.normalize_qk is False and self.rotary is not None,
            "CollinearAttention",
            "normalize_qk" if self.normalize_qk else "rotary",
            self.normalize_qk or self.rotary,
            "rotary positions and neither queries nor keys normalised",
        )
        if name == "query":
            return _squares(project(width))
        if name == "key":
            scale = jax.nn.relu(project(width // 2))
            return jnp.concatenate([scale, jnp.zeros_like(scale)], axis=-1)
        return project(width)
