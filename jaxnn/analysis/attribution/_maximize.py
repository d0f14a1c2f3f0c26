r"""Activation maximisation: an input that a unit answers to, by gradient ascent.

.. math:: x \leftarrow x + m \odot U\left(\nabla_x \left[ f(s(x))
   - λ_2 \sum_i x_i^2 - λ_v \sum_{i \sim j} |x_i - x_j| \right]\right)

A unit that answers to several kinds of input has several such inputs; which one is found
depends on the start. Multifaceted feature visualisation starts from means of inputs of one kind
each.

Sources: "Visualizing Higher-Layer Features of a Deep Network" (2009); "Multifaceted Feature
Visualization: Uncovering the Different Types of Features Learned By Each Neuron in Deep Neural
Networks" (2016), sections 2 and 3, for the starts, the total variation, the jitter and the
updates that grow from the center.

========  ==================================================================
f         the function, one example to one number: a unit's activation
x         the input being changed; i ~ j are neighbours in space
U         an optimiser's update
s         a shift by at most ``jitter`` places along each axis of space
λ_2       ``l2``
λ_v       ``total_variation``
m         a Gaussian around the center that widens until it is one everywhere
========  ==================================================================
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PRNGKeyArray, UInt32

from jaxnn._check import require, require_array, require_count, require_key, require_positive
from jaxnn._numeric import accumulation_dtype
from jaxnn.analysis._function import scalar


def maximize_activation(
    f: Callable[[jax.Array], jax.Array],
    start: Float[Array, "*shape"],
    *,
    steps: int = 200,
    tx: optax.GradientTransformation | None = None,
    l2: float = 0.0,
    total_variation: float = 0.0,
    jitter: int = 0,
    center: float | None = None,
    bounds: tuple[float, float] | None = None,
    key: PRNGKeyArray | UInt32[Array, "2"] | None = None,
) -> Float[Array, "*shape"]:
    r"""Change an input so that a unit's activation grows.

    .. math:: m_t(r) = \exp\left(-\frac{r^2 (1 - t / T)^2}{2 σ^2}\right)

    Space is the first two axes of ``start``, or its only one; others are channels.

    Args:
      f: one example to one number, best before a squashing non-linearity.
      start: where the ascent starts; each start leads to one input, ``jax.vmap`` to many.
      steps: of the optimiser, T.
      tx: optimiser; Adam at 0.05 if ``None``.
      l2: weight of the sum of squares that is held against the activation.
      total_variation: weight of the sum of the distances of neighbours in space.
      jitter: places by which the input is shifted, around the edges, before each step.
      center: σ, with r the distance from the center, 1 at the middle of an edge: updates are
        first made around the center and everywhere in the end. Everywhere at once if ``None``.
      bounds: the least and the greatest value an entry may have.
      key: random key of the shifts; needed with ``jitter``.

    Returns:
      An array like ``start``. The ascent is in float32 or wider.

    Raises:
      TypeError: ``start`` or the output of ``f`` is not an array of floating-point numbers, or
        ``key`` is no random key.
      ValueError: ``f`` returns more than one number, or an option cannot be used.

    Example:
      >>> f = lambda x: x[0] - x[1]
      >>> maximize_activation(f, jnp.zeros(2), bounds=(-1.0, 1.0)).tolist()
      [1.0, -1.0]
    """
    where = "maximize_activation"
    require_array(where, start=start)
    require_count(where, steps=steps)
    for argument, value in {"l2": l2, "total_variation": total_variation}.items():
        require(value >= 0, where, argument, value, "a number that is not negative")
    whole = isinstance(jitter, int) and jitter >= 0
    require(whole, where, "jitter", jitter, "a whole number that is not negative")
    if jitter:
        require(key is not None, where, "key", key, "a random key, for `jitter` draws")
        require_key(where, key)
    if center is not None:
        require_positive(where, center=center)
    if bounds is not None:
        ok = len(bounds) == 2 and bounds[0] < bounds[1]
        require(ok, where, "bounds", bounds, "the least and the greatest value")
    f, tx = scalar(where, f), optax.adam(0.05) if tx is None else tx
    dtype, space = start.dtype, tuple(range(min(start.ndim, 2)))
    distance = _distances(start.shape, space)

    def objective(x: jax.Array, shift: jax.Array | None) -> jax.Array:
        seen = x if shift is None else jnp.roll(x, shift, space)
        value = f(seen.astype(dtype)).astype(x.dtype)
        if l2:
            value -= l2 * jnp.sum(x**2)
        if total_variation:
            value -= total_variation * sum(jnp.sum(jnp.abs(jnp.diff(x, axis=a))) for a in space)
        return value

    def step(carry: tuple[jax.Array, Any], t: jax.Array) -> tuple[tuple[jax.Array, Any], None]:
        x, state = carry
        shift = None
        if jitter and key is not None:
            draw = jax.random.fold_in(key, t)
            shift = jax.random.randint(draw, (len(space),), -jitter, jitter + 1)
        slope = jax.grad(objective)(x, shift)
        updates, state = tx.update(-slope, state, x)
        if center is not None:
            remaining = (1 - t / (steps - 1 or 1)).astype(x.dtype)
            mask = jnp.exp(-((jnp.asarray(distance, x.dtype) * remaining / center) ** 2) / 2)
            updates = jax.tree.map(lambda u: mask * u, updates)
        x = jnp.asarray(optax.apply_updates(x, updates))
        return (x if bounds is None else jnp.clip(x, *bounds), state), None

    x = start.astype(accumulation_dtype(dtype))
    (x, _), _ = jax.lax.scan(step, (x, tx.init(x)), jnp.arange(steps))
    return x.astype(dtype)


def _distances(shape: tuple[int, ...], space: tuple[int, ...]) -> np.ndarray:
    """Give each entry's distance from the center in space, 1 at the middle of an edge."""
    square = np.zeros(shape)
    for axis in space:
        places = np.linspace(-1, 1, shape[axis]) if shape[axis] > 1 else np.zeros(1)
        square += places.reshape([-1 if a == axis else 1 for a in range(len(shape))]) ** 2
    return np.sqrt(square)


def facet_means(
    inputs: Float[Array | np.ndarray, "examples *shape"],
    codes: Float[Array | np.ndarray, "examples width"],
    *,
    key: PRNGKeyArray | UInt32[Array, "2"],
    facets: int = 10,
    nearest: int = 15,
    components: int = 50,
    perplexity: float = 30.0,
) -> Float[np.ndarray, "facets *shape"]:
    """Sort inputs that a unit answers to into kinds, and give each kind's mean.

    Codes are reduced to ``components`` by principal components, laid out in the plane by t-SNE
    and clustered by k-means; the mean is over the inputs nearest to a cluster's center. Each is
    a start for :func:`maximize_activation`. Runs on the host, by scikit-learn.

    Args:
      inputs: those the unit answers to most.
      codes: what a late layer makes of each.
      key: random key, for t-SNE and k-means.
      facets: clusters.
      nearest: inputs to a mean, or all of a cluster that has fewer.
      components: kept of the codes, at most as many as there are.
      perplexity: of t-SNE: about how many neighbours count; below the number of inputs.

    Returns:
      One mean a facet, that of the largest cluster first.

    Raises:
      TypeError: an argument is not an array of floating-point numbers, or no random key.
      ValueError: codes and inputs differ in number, or there are too few.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    where = "facet_means"
    require_array(where, inputs=inputs, codes=codes)
    require_key(where, key)
    require_count(where, facets=facets, nearest=nearest, components=components)
    count = len(inputs)
    ok = codes.ndim == 2 and len(codes) == count
    require(ok, where, "codes", codes, f"shape ({count}, width), a row for each of `inputs`")
    require(facets <= count, where, "facets", facets, f"at most the {count} inputs")
    ok = 0 < perplexity < count
    require(ok, where, "perplexity", perplexity, f"a number above 0 and below the {count} inputs")
    images, table = np.asarray(inputs), np.asarray(codes, np.float64)
    seed = int(np.random.default_rng(np.asarray(jax.random.key_data(key))).integers(2**31))
    reduced = PCA(min(components, *table.shape), random_state=seed).fit_transform(table)
    with threadpool_limits(1):  # on a busy machine threads wait for each other, twentyfold
        plane = TSNE(perplexity=perplexity, random_state=seed).fit_transform(reduced)
        clusters: Any = KMeans(facets, n_init="auto", random_state=seed).fit(plane)
    sizes = np.bincount(clusters.labels_, minlength=facets)
    means = []
    for facet in np.argsort(-sizes, kind="stable"):
        members = np.flatnonzero(clusters.labels_ == facet)
        away = np.linalg.norm(plane[members] - clusters.cluster_centers_[facet], axis=1)
        means.append(images[members[np.argsort(away, kind="stable")[:nearest]]].mean(0))
    return np.stack(means)
