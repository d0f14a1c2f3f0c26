"""Many methods against many measures, in one program."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_rank
from jaxnn.analysis._function import CHUNK


def evaluate(
    methods: Mapping[str, Callable[..., jax.Array]],
    metrics: Mapping[str, Callable[..., jax.Array]],
    x: Float[Array, "examples *shape"],
    *rest: Any,
    batch_size: int | None = None,
) -> dict[str, dict[str, jax.Array]]:
    """Measure the attributions of each method by each metric, for a batch of examples.

    Each method explains each example once. Everything is one program, compiled at each call:
    under the caller's own ``jax.jit`` calls share it.

    Args:
      methods: from one example, and its entries of ``rest``, to attributions, by name.
      metrics: from attributions, the example and its entries of ``rest`` to scores, by name.
      x: examples.
      rest: what else belongs to each: labels, masks, keys; trees of arrays with the examples as
        their first axis.
      batch_size: examples at once; ``None`` takes 5.

    Returns:
      For each method, for each metric, the scores of all examples.

    Raises:
      TypeError: ``x`` is not an array of floats.
      ValueError: an array of ``rest`` is not as long as ``x``, or there is nothing to do.

    Example:
      >>> methods = {"slope": lambda x: jax.grad(lambda x: jnp.sum(x**2))(x), "value": lambda x: x}
      >>> metrics = {"mass": lambda a, x: a.sum()}
      >>> table = evaluate(methods, metrics, jnp.array([[1.0, 2.0], [3.0, 4.0]]))
      >>> table["slope"]["mass"].tolist(), table["value"]["mass"].tolist()
      ([6.0, 14.0], [3.0, 7.0])
    """
    where = "evaluate"
    require_array(where, x=x)
    require_rank(where, "x", x, 1, "(examples, *shape)")
    require(len(methods) > 0, where, "methods", methods, "one method at least")
    require(len(metrics) > 0, where, "metrics", metrics, "one metric at least")
    for leaf in jax.tree.leaves(rest):
        ok = leaf.shape[:1] == x.shape[:1]
        require(ok, where, "rest", leaf, f"the examples of `x`, {len(x)}, as its first axis")

    def one(example: tuple[Any, ...]) -> dict[str, dict[str, jax.Array]]:
        return {name: score(method(*example), example) for name, method in methods.items()}

    def score(attributions: jax.Array, example: tuple[Any, ...]) -> dict[str, jax.Array]:
        return {name: metric(attributions, *example) for name, metric in metrics.items()}

    @jax.jit
    def table(x: jax.Array, rest: tuple[Any, ...]) -> dict[str, dict[str, jax.Array]]:
        return jax.lax.map(one, (x, *rest), batch_size=CHUNK if batch_size is None else batch_size)

    return table(x, rest)
