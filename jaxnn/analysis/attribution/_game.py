r"""What the methods by perturbation share: an example as a game of its features.

A feature is a group of entries that come and go together; a coalition is a set of features.
Its value is the output with the features outside of it replaced by the baseline.

=======  ====================================================
f        the function, one example to one number
x, x'    the example and ``baseline``, any shape
S        a coalition; v(S) = f(x where S, x' elsewhere)
n        features
=======  ====================================================
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnn._check import require, require_array, require_count
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import CHUNK, fill, scalar


class Game(NamedTuple):
    """An example as a game.

    Attributes:
      features: how many there are.
      spread: from one number for each feature to an array like the example.
      value: from an array like the example, True where it is kept, to the output, in float32
        or wider.
      empty: value of no feature.
      full: value of all.
    """

    features: int
    spread: Callable[[jax.Array], jax.Array]
    value: Callable[[jax.Array], jax.Array]
    empty: jax.Array
    full: jax.Array


def game(
    where: str,
    f: Callable[[jax.Array], jax.Array],
    x: jax.Array,
    baseline: jax.Array | float | None,
    feature_mask: jax.Array | np.ndarray | None,
    num_features: int | None,
) -> Game:
    """Make the game of one example."""
    require_array(where, x=x)
    start = fill(where, x, baseline)
    features, spread = grouping(where, x.shape, feature_mask, num_features)
    f = scalar(where, f)
    wide = accumulation_dtype(x.dtype)

    def value(kept: jax.Array) -> jax.Array:
        return f(jnp.where(kept, x, start)).astype(wide)

    return Game(features, spread, value, f(start).astype(wide), f(x).astype(wide))


def grouping(
    where: str,
    shape: tuple[int, ...],
    feature_mask: jax.Array | np.ndarray | None,
    num_features: int | None,
) -> tuple[int, Callable[[jax.Array], jax.Array]]:
    """Count the features of an example and make the function that spreads their numbers."""
    size = int(np.prod(shape))
    require(size > 0, where, "x", shape, "at least one entry")
    if feature_mask is None:
        needs = "None unless `feature_mask` is given"
        require(num_features is None, where, "num_features", num_features, needs)
        return size, lambda values: values.reshape(shape)
    require_array(where, floating=False, feature_mask=feature_mask)
    if not jnp.issubdtype(feature_mask.dtype, jnp.integer):
        needs = "it needs integers, equal for the entries of one feature."
        raise TypeError(f"{where}: `feature_mask` has dtype {feature_mask.dtype}; {needs}")
    needs = f"the shape {shape} of one example, or that of its leading axes"
    leading = feature_mask.shape == shape[: feature_mask.ndim]
    require(leading, where, "feature_mask", feature_mask, needs)
    groups: jax.Array | np.ndarray = feature_mask
    if num_features is not None:
        require_count(where, num_features=num_features)
        if not isinstance(feature_mask, Tracer):
            needs = f"numbers from 0 to num_features - 1 = {num_features - 1}"
            known = np.min(feature_mask) >= 0 and np.max(feature_mask) < num_features
            require(bool(known), where, "feature_mask", feature_mask, needs)
    else:
        needs = "`num_features` with it under jit or vmap, where its values are not known"
        require(not isinstance(feature_mask, Tracer), where, "feature_mask", feature_mask, needs)
        found, inverse = np.unique(np.asarray(feature_mask), return_inverse=True)
        num_features, groups = len(found), inverse.reshape(feature_mask.shape).astype(np.int32)

    def spread(values: jax.Array) -> jax.Array:
        each = values[groups]
        return jnp.broadcast_to(each.reshape(each.shape + (1,) * (len(shape) - each.ndim)), shape)

    return num_features, spread


def share(batch_size: int | None, copies: int) -> int:
    """Give how many lots of ``copies`` may be held at once: at least one."""
    return max(1, (CHUNK if batch_size is None else batch_size) // copies)
