"""The map of a measure over all pairs of layers of two networks."""

from collections.abc import Callable, Mapping
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxnn._check import require, require_array
from jaxnn.analysis.similarity._cka import linear_cka

Measure = Callable[[jax.Array, jax.Array], jax.Array]


def layer_map(
    first: Mapping[str, Array],
    second: Mapping[str, Array] | None = None,
    *,
    measure: Measure = linear_cka,
) -> Float[Array, "layers others"]:
    """Compare every layer of one network with every layer of another, in one program.

    Layers of equal shape are compared by one traced call, a row of the map at a time.

    Args:
      first: name to activations ``(examples, ...)``, as
        :func:`jaxnn.analysis.activations.capture` returns; all axes but the first count as
        units.
      second: those of another network, of the same examples; ``first`` itself if ``None``.
      measure: of two arrays ``(examples, units)``, e.g. :func:`linear_cka`,
        :func:`procrustes` or ``functools.partial(mutual_knn, k=5)``; one made anew for each
        call is also compiled anew.

    Returns:
      The measure of each pair, rows and columns in the order of the dictionaries (which is
      sorted once they have passed a ``jax.jit``).

    Raises:
      TypeError: a value is not an array of floating-point numbers.
      ValueError: a dictionary is empty, or the numbers of examples differ.

    Example:
      >>> x = jnp.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
      >>> print(layer_map({"a": x, "b": x[:, :1]}, {"c": 2 * x}).round(4))
      [[1.    ]
       [0.7071]]
    """
    where = "layer_map"
    second = first if second is None else second
    examples = None
    for argument, layers in (("first", first), ("second", second)):
        ok = isinstance(layers, Mapping) and len(layers) > 0
        require(ok, where, argument, layers, "a dictionary of named activations")
        for name, value in layers.items():
            named = f"{argument}[{name!r}]"
            require_array(where, floating=True, **{named: value})
            require(value.ndim > 1, where, named, value, "shape (examples, ...)")
            examples = value.shape[0] if examples is None else examples
            same = value.shape[0] == examples
            require(same, where, named, value, f"the {examples} examples of the others")
    return _map(tuple(first.values()), tuple(second.values()), measure=measure)


# One program when called eagerly; inlined when the caller is being compiled.
@partial(jax.jit, static_argnames="measure", inline=True)
def _map(
    first: tuple[jax.Array, ...], second: tuple[jax.Array, ...], *, measure: Measure
) -> jax.Array:
    """Compare all pairs, those of equal shapes by one trace of the measure."""
    columns = _groups(second)
    values = None
    for row_places, row_layers in _groups(first):
        for places, layers in columns:
            row = partial(_row, measure, layers)
            block = jax.lax.map(row, row_layers)
            if values is None:
                values = jnp.zeros((len(first), len(second)), block.dtype)
            values = values.at[np.ix_(row_places, places)].set(block)
    assert values is not None
    return values


def _row(measure: Measure, layers: jax.Array, x: jax.Array) -> jax.Array:
    """Compare one layer with several of equal shape."""
    return jax.vmap(measure, (None, 0))(x, layers)


def _groups(layers: tuple[jax.Array, ...]) -> list[tuple[list[int], jax.Array]]:
    """Stack the layers of equal shape and dtype, with their places."""
    found: dict[tuple[object, ...], list[tuple[int, jax.Array]]] = {}
    for place, value in enumerate(layers):
        flat = jnp.reshape(value, (value.shape[0], -1))
        found.setdefault((flat.shape, flat.dtype), []).append((place, flat))
    return [
        ([place for place, _ in members], jnp.stack([flat for _, flat in members]))
        for members in found.values()
    ]
