r"""How far attributions move when the example moves a little.

Sources: "On the (In)fidelity and Sensitivity of Explanations" (2019), max-sensitivity; "On the
Robustness of Interpretability Methods" (2018), local Lipschitz; "Methods for Interpreting and
Understanding Deep Neural Networks" (2018), continuity; "Rethinking Stability for
Attribution-based Explanations" (2022), relative stability; "Framework for Evaluating
Faithfulness of Local Explanations" (2022), consistency and sufficiency.

=======  ====================================================
x        the example
z        one of its ``neighbors``, ``(samples, *shape)``
e        ``explain``, from an example to its attributions
=======  ====================================================

Draw neighbors in a cube of half-width r by
``x + r * jax.random.uniform(key, (10, *x.shape), minval=-1.0)``. Quantus leaves out neighbors
with another predicted class: choose them so, or explain one output throughout.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxnn._check import require, require_array, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype, ratio
from jaxnn.analysis._function import chunked_map
from jaxnn.analysis.faithfulness._entries import check_neighbors, length, over_neighbors

Explain = Callable[[jax.Array], jax.Array]


def max_sensitivity(
    explain: Explain,
    x: Float[Array, "*shape"],
    neighbors: Float[Array, "samples *shape"],
    *,
    batch_size: int | None = None,
) -> Float[Array, ""]:
    r"""Give the largest change of the attributions, relative to their length.

    .. math:: \max_z \|e(z) - e(x)\| / \|e(x)\|

    Args:
      explain: one example to its attributions.
      x: the example.
      neighbors: examples close to it.
      batch_size: neighbors explained at once; ``None`` takes 5.

    Returns:
      A number in float32 or wider; the change itself where all attributions are zero.

    Raises:
      TypeError: an argument is not an array of floats.
      ValueError: ``neighbors`` does not hold examples like ``x``.

    Example:
      >>> max_sensitivity(jnp.square, jnp.ones(1), jnp.array([[1.5], [1.0]])).item()
      1.25
    """
    return jnp.max(_changes("max_sensitivity", explain, x, neighbors, batch_size))


def avg_sensitivity(
    explain: Explain,
    x: Float[Array, "*shape"],
    neighbors: Float[Array, "samples *shape"],
    *,
    batch_size: int | None = None,
) -> Float[Array, ""]:
    r"""Give the mean change of the attributions, relative to their length.

    .. math:: \mathbb{E}_z \|e(z) - e(x)\| / \|e(x)\|

    Arguments and errors are those of :func:`max_sensitivity`.

    Example:
      >>> avg_sensitivity(jnp.square, jnp.ones(1), jnp.array([[1.5], [1.0]])).item()
      0.625
    """
    return jnp.mean(_changes("avg_sensitivity", explain, x, neighbors, batch_size))


def _changes(
    where: str, explain: Explain, x: jax.Array, neighbors: jax.Array, batch_size: int | None
) -> jax.Array:
    """Give the length of each change over that of the attributions of ``x``."""
    check_neighbors(where, "neighbors", x, neighbors)
    here = explain(x)
    size = length(here)
    size = jnp.where(size > 0, size, 1)

    def change(_: jax.Array, there: jax.Array) -> jax.Array:
        return length(there - here) / size

    return over_neighbors(where, change, explain, x, neighbors, batch_size)


def local_lipschitz(
    explain: Explain,
    x: Float[Array, "*shape"],
    neighbors: Float[Array, "samples *shape"],
    *,
    batch_size: int | None = None,
) -> Float[Array, ""]:
    r"""Give the largest change of the attributions for the distance moved.

    .. math:: \max_z \|e(z) - e(x)\| / \|z - x\|

    With translated images as neighbors this is continuity.

    Args:
      explain: one example to its attributions.
      x: the example.
      neighbors: examples close to it; one equal to it counts as zero.
      batch_size: neighbors explained at once; ``None`` takes 5.

    Returns:
      A number in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floats.
      ValueError: ``neighbors`` does not hold examples like ``x``.

    Differs: quantus' ``Continuity`` has the sum of magnitudes above the line, the Euclidean
    length below it.

    Example:
      >>> local_lipschitz(jnp.square, jnp.ones(1), jnp.array([[1.5], [1.0]])).item()
      2.5
    """
    where = "local_lipschitz"
    check_neighbors(where, "neighbors", x, neighbors)
    here = explain(x)

    def change(z: jax.Array, there: jax.Array) -> jax.Array:
        return ratio(length(there - here), length(z - x))

    return jnp.max(over_neighbors(where, change, explain, x, neighbors, batch_size))


def relative_stability(
    explain: Explain,
    x: Float[Array, "*shape"],
    neighbors: Float[Array, "samples *shape"],
    *,
    of: Callable[[jax.Array], jax.Array] | None = None,
    relative: bool = True,
    epsilon: float = 1e-6,
    batch_size: int | None = None,
) -> Float[Array, ""]:
    r"""Give the largest relative change of the attributions for that of something else.

    .. math:: \max_z \frac{\|(e(x) - e(z)) / e(x)\|}
       {\max(\|(h(x) - h(z)) / h(x)\|, \epsilon)}

    with h the example itself (relative input stability), a hidden representation (relative
    representation stability), or, with ``relative=False`` and no division by h(x), the logits
    (relative output stability). The larger, the less stable.

    Args:
      explain: one example to its attributions.
      x: the example.
      neighbors: examples close to it.
      of: one example to h; the example itself if ``None``.
      relative: divide the change of h by h(x), entry by entry.
      epsilon: least denominator, and what an entry equal to zero is divided by.
      batch_size: neighbors explained at once; ``None`` takes 5.

    Returns:
      A number in float32 or wider.

    Raises:
      TypeError: an argument is not an array of floats.
      ValueError: ``neighbors`` does not hold examples like ``x``, or ``epsilon`` is not above
        zero.

    Example:
      >>> relative_stability(jnp.square, jnp.ones(1), jnp.array([[1.5]])).item()
      2.5
    """
    where = "relative_stability"
    check_neighbors(where, "neighbors", x, neighbors)
    require_positive(where, epsilon=epsilon)
    h = (lambda x: x) if of is None else of

    def change(before: jax.Array, after: jax.Array, relative: bool) -> jax.Array:
        wide = accumulation_dtype(before.dtype)
        before, after = before.astype(wide), after.astype(wide)
        scale = jnp.where(before == 0, epsilon, before) if relative else jnp.ones_like(before)
        return length((before - after) / scale)

    attributed, seen = explain(x), h(x)

    def stability(z: jax.Array, there: jax.Array) -> jax.Array:
        return change(attributed, there, True) / jnp.maximum(change(seen, h(z), relative), epsilon)

    return jnp.max(over_neighbors(where, stability, explain, x, neighbors, batch_size))


def consistency(
    attributions: Float[Array, "examples *shape"],
    classes: Int[Array, " examples"],
    *,
    radius: float = 0.0,
) -> Float[Array, " examples"]:
    """Give the share of examples explained alike that are classified alike.

    At radius zero, attributions are alike if equal: make them discrete first, say signs of the
    few largest. This is consistency; with a radius above zero it is sufficiency.

    Args:
      attributions: those of many examples.
      classes: the predicted class of each.
      radius: Euclidean distance within which attributions are alike.

    Returns:
      For each example, the share among the others alike, in float32; zero if there is none.

    Raises:
      TypeError: ``attributions`` is not an array of floats, or ``classes`` not one of integers.
      ValueError: ``classes`` does not have one class an example, or ``radius`` is below zero.

    Gradient: none.

    Example:
      >>> a = jnp.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.1]])
      >>> consistency(a, jnp.array([3, 3, 4])).tolist()
      [1.0, 1.0, 0.0]
      >>> consistency(a, jnp.array([3, 3, 4]), radius=0.2).tolist()
      [0.5, 0.5, 0.0]
    """
    where = "consistency"
    require_array(where, attributions=attributions)
    require_rank(where, "attributions", attributions, 1, "(examples, *shape)")
    require_array(where, floating=False, classes=classes)
    if not jnp.issubdtype(classes.dtype, jnp.integer):
        raise TypeError(f"{where}: `classes` has dtype {classes.dtype}; it needs integers.")
    needs = f"shape {attributions.shape[:1]}, the class of each example"
    require(classes.shape == attributions.shape[:1], where, "classes", classes, needs)
    require(radius >= 0, where, "radius", radius, "zero or more")
    count = len(classes)
    flat = attributions.reshape(count, -1)
    index = jnp.arange(count)

    def row(one: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        a, label, place = one
        alike = jax.vmap(lambda b: length(a - b))(flat) <= radius
        alike &= index != place
        same = jnp.sum(alike & (classes == label))
        return same.astype(jnp.float32) / jnp.maximum(jnp.sum(alike), 1).astype(jnp.float32)

    return chunked_map(where, row, (flat, classes, index), None)
