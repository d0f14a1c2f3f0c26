r"""Attribution by shuffling: the fall in output when a feature is taken from another example.

Source: "Random Forests" (2001), section 10, for the measure; it needs a batch.

=======  ====================================================
f        the function of a batch: a score, or one number for each example
x        the batch, examples along its first axis
π        an order of the examples drawn at random for each feature
g        a feature: the entries that share a number in ``feature_mask``
=======  ====================================================
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, UInt32

from jaxnn._check import require_array, require_key, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import chunked_map
from jaxnn.analysis.attribution._game import grouping


def feature_permutation(
    f: Callable[[jax.Array], jax.Array],
    x: Float[Array, "batch *shape"],
    *,
    key: PRNGKeyArray | UInt32[Array, "2"],
    feature_mask: Int[Array | np.ndarray, "..."] | None = None,
    num_features: int | None = None,
    batch_size: int | None = None,
) -> Float[Array, "..."]:
    r"""Attribute by the fall in output when a feature is shuffled among the examples.

    .. math:: a_g = f(x) - f(x \text{ with } x_{n,g} = x_{π_g(n),g} \text{ in every example } n)

    Unlike its neighbours it takes a whole batch, for what replaces a feature comes from there;
    do not vmap it over examples. It draws one order for each feature: average over keys, with
    ``jax.vmap``, for more.

    Args:
      f: a batch to one number, such as its accuracy, or to one number for each example.
      x: the batch.
      key: random key.
      feature_mask: integers, equal for the entries that make one feature; of the shape of one
        example or of its leading axes. Every entry is its own if ``None``.
      num_features: how many there are, where ``feature_mask`` is traced by jit or vmap.
      batch_size: changed copies of the batch held at once; ``None`` takes 5.

    Returns:
      For each number of ``f(x)`` an array like one example: ``(*shape,)`` for a score,
      ``(batch, *shape)`` for one number an example.

    Raises:
      TypeError: ``x`` or the output of ``f`` is not an array of floats, ``key`` no random key.
      ValueError: shapes disagree, or ``num_features`` is missing.

    Differs: captum draws again until an order moves some example; here any order may come.

    Example:
      >>> x = jnp.array([[1.0, 5.0], [2.0, 5.0]])
      >>> feature_permutation(lambda x: x[:, 1], x, key=jax.random.key(0)).tolist()
      [[0.0, 0.0], [0.0, 0.0]]
    """
    where = "feature_permutation"
    require_array(where, x=x)
    require_rank(where, "x", x, 1, "(batch, ...)")
    require_key(where, key)
    features, spread = grouping(where, x.shape[1:], feature_mask, num_features)
    whole = f(x)
    require_array(where, floating=True, **{"f(x)": whole})
    wide = accumulation_dtype(whole.dtype)
    places = spread(jnp.arange(features))[None]

    def fall(inputs: tuple[jax.Array, jax.Array]) -> jax.Array:
        feature, key = inputs
        shuffled = jnp.where(places == feature, jax.random.permutation(key, x), x)
        return whole.astype(wide) - f(shuffled).astype(wide)

    inputs = jnp.arange(features), jax.random.split(key, features)
    falls = chunked_map(where, fall, inputs, batch_size).astype(whole.dtype)
    each = jax.vmap(spread)(falls.reshape(features, -1).T)
    return each.reshape(*whole.shape, *x.shape[1:])
