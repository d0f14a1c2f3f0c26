r"""Relative positions in buckets: attention logits are shifted by a trained number per distance.

Source: "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer"
(2020), section 2.1, with the buckets of its released code: half of them hold one distance each,
the others ever more, in equal steps of the logarithm, up to ``max_distance``.

===========  ==================================================
r            ``relative_positions``, key less query
n            ``num_buckets``, of each direction
e            distances with a bucket of their own, n/2
D            ``max_distance``
===========  ==================================================
"""

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.typing import Dtype, Initializer
from jaxtyping import Array, Float, Integer

from jaxnn._check import require, require_array, require_count, require_rank


def relative_position_bucket(
    relative_positions: Integer[Array, "..."],
    *,
    num_buckets: int = 32,
    max_distance: int = 128,
    is_causal: bool = False,
) -> Integer[Array, "..."]:
    r"""Give the bucket of each distance.

    .. math:: \operatorname{bucket}(d) = \begin{cases} d & d < e \\
        \min\left(n - 1, e + \left\lfloor (n - e) \frac{\ln(d / e)}{\ln(D / e)} \right\rfloor\right)
        & d \ge e \end{cases}

    for the distance d of a key that is not after the query. Keys after it have buckets of their
    own, the second half, so that n is half of ``num_buckets``; or, causal, all bucket 0.

    Args:
      relative_positions: r, of any shape.
      num_buckets: of both directions together, or of the only one.
      max_distance: D; all further keys share the last bucket.
      is_causal: whether later keys have no buckets, because nothing attends to them.

    Returns:
      Whole numbers from 0 to ``num_buckets - 1``, int32.

    Raises:
      TypeError: ``relative_positions`` is not an array of whole numbers.
      ValueError: ``num_buckets`` is too small or odd, or ``max_distance`` is not beyond the
        distances with a bucket of their own.

    Example:
      >>> relative_position_bucket(jnp.array([0, -1, 1, -20, -1000])).tolist()
      [0, 1, 17, 10, 15]
    """
    where = "relative_position_bucket"
    _require_integers(where, relative_positions=relative_positions)
    require_count(where, num_buckets=num_buckets, max_distance=max_distance)
    sides = 1 if is_causal else 2
    require(
        num_buckets % sides == 0 and num_buckets >= 2 * sides,
        where,
        "num_buckets",
        num_buckets,
        "at least two buckets in each direction, as many in one as in the other",
    )
    buckets = num_buckets // sides
    exact = buckets // 2
    require(
        max_distance > exact,
        where,
        "max_distance",
        max_distance,
        f"a distance beyond the {exact} that have a bucket of their own",
    )
    starts = jnp.asarray(_bucket_starts(buckets, max_distance), jnp.int32)
    relative = relative_positions.astype(jnp.int32)
    distance = jnp.maximum(-relative, 0) if is_causal else jnp.abs(relative)
    bucket = jnp.searchsorted(starts, distance, side="right").astype(jnp.int32)
    return bucket if is_causal else bucket + buckets * (relative > 0).astype(jnp.int32)


def _bucket_starts(buckets, max_distance):
    """List the least distance of bucket 1, 2 ..., by whole numbers, free of rounding."""
    exact = buckets // 2
    wide = buckets - exact
    starts = list(range(1, exact + 1))
    for step in range(1, wide):
        # The least d with d / e >= (D / e)^(step / wide).
        bound, start = exact ** (wide - step) * max_distance**step, starts[-1]
        while start**wide < bound:
            start += 1
        starts.append(start)
    return np.asarray(starts)


class RelativePositionBias(nn.Module):
    """Make a bias for the attention logits from a trained table of distances and heads.

    The parameter ``embedding``, ``(num_buckets, num_heads)``, is laid out as T5's. One module
    may serve all blocks of a network, as in T5.

    Attributes:
      num_heads: number of attention heads.
      num_buckets: of both directions together, or of the only one.
      max_distance: distance from which all share a bucket.
      is_causal: whether all buckets are for keys before the query.
      dtype: dtype of the bias; that of the parameter if ``None``.
      param_dtype: dtype the parameter is kept in.
      embedding_init: initialiser of ``embedding``.
    """

    num_heads: int
    num_buckets: int = 32
    max_distance: int = 128
    is_causal: bool = False
    dtype: Dtype | None = None
    param_dtype: Dtype = jnp.float32
    embedding_init: Initializer = nn.initializers.normal(0.02)

    @nn.compact
    def __call__(
        self,
        query_positions: Integer[Array, "*batch queries"],
        key_positions: Integer[Array, "*batch keys"],
    ) -> Float[Array, "*batch heads queries keys"]:
        """Map positions to a ``bias`` ``(*batch, heads, queries, keys)``."""
        where = "RelativePositionBias"
        require_count(where, num_heads=self.num_heads)
        _require_integers(where, query_positions=query_positions, key_positions=key_positions)
        require_rank(where, "query_positions", query_positions, 1, "(*batch, queries)")
        require(
            key_positions.ndim == query_positions.ndim
            and key_positions.shape[:-1] == query_positions.shape[:-1],
            where,
            "key_positions",
            key_positions,
            f"leading axes {query_positions.shape[:-1]}, as `query_positions`",
        )
        shape = (self.num_buckets, self.num_heads)
        embedding = self.param("embedding", self.embedding_init, shape, self.param_dtype)
        bucket = relative_position_bucket(
            key_positions[..., None, :] - query_positions[..., :, None],
            num_buckets=self.num_buckets,
            max_distance=self.max_distance,
            is_causal=self.is_causal,
        )
        bias = jnp.moveaxis(jnp.take(embedding, bucket, axis=0), -1, -3)
        return bias if self.dtype is None else bias.astype(self.dtype)


def _require_integers(where, **arrays):
    require_array(where, floating=False, **arrays)
    for argument, value in arrays.items():
        if not jnp.issubdtype(value.dtype, jnp.integer):
            raise TypeError(f"{where}: `{argument}` has dtype {value.dtype}; it needs integers.")
