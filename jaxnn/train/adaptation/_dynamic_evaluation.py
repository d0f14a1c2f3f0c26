r"""Dynamic evaluation: a model of sequences learns from what it has just been scored on.

A stream comes in segments. Each is scored first and learned from after, by one step:

.. math::
    \theta_i = \theta_{i-1} - \eta\, \frac{g_i}{\sqrt{S} + \epsilon}
    + \min(\lambda R, 1) \odot (\theta_g - \theta_{i-1}), \quad
    S = \langle g^2 \rangle_{\text{training}}, \quad
    R = \frac{\sqrt{S}}{\langle \sqrt{S} \rangle}

so that weights whose gradients were small in training change more, those whose gradients were large
return faster, and none passes by the trained weight on its way back.

===  ======================================================================
θ    parameters; θ_g the trained ones, those that the rule was started with
g    gradient of a segment's loss
S    ``mean_squares``, of each weight; fixed
R    √S over its mean over all weights
η    ``learning_rate``
λ    ``decay``
ε    ``epsilon``
===  ======================================================================

Source: "Dynamic Evaluation of Neural Sequence Models" (2018), section 4.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype

SegmentLoss = Callable[[PyTree, PyTree, Any], tuple[jax.Array, PyTree]]


class DynamicEvaluationState(NamedTuple):
    """What :func:`dynamic_evaluation` holds.

    Attributes:
      trained: θ_g.
      roots: √S like the parameters, or ``None``.
    """

    trained: PyTree
    roots: PyTree


def dynamic_evaluation(
    mean_squares: PyTree | None = None,
    *,
    learning_rate: Float[Array, ""] | float,
    decay: Float[Array, ""] | float = 0.0,
    epsilon: float = 1e-5,
) -> optax.GradientTransformation:
    r"""Make the rule that adapts trained weights, as an optimiser.

    .. math::
        \Delta\theta = -\eta\, \frac{g}{\sqrt{S} + \epsilon}
        + \min(\lambda R, 1) \odot (\theta_g - \theta)

    Without ``mean_squares`` it is plain descent with the same decay for all weights,
    :math:`-\eta g + \min(\lambda, 1) (\theta_g - \theta)`.

    Args:
      mean_squares: S like the parameters, of :func:`mean_squared_gradients`.
      learning_rate: η.
      decay: λ.
      epsilon: ε, added to √S.

    Returns:
      A transformation whose ``init`` is given θ_g and whose ``update`` needs ``params``.

    Raises:
      TypeError: (from ``init``) a parameter is not an array of floating-point numbers.
      ValueError: (from ``init``) ``mean_squares`` is not like the parameters; (from ``update``)
        ``params`` is missing.

    Example:
      >>> tx = dynamic_evaluation(jnp.array([1.0, 9.0]), learning_rate=1.0, decay=0.5, epsilon=0.0)
      >>> state = tx.init(jnp.zeros(2))
      >>> updates, _ = tx.update(jnp.array([1.0, 6.0]), state, jnp.array([4.0, 4.0]))
      >>> updates.tolist()  # -1 - 4/4, and -2 - 4 * 3/4
      [-2.0, -5.0]
    """
    where = "dynamic_evaluation"

    def init(params: PyTree) -> DynamicEvaluationState:
        for leaf in jax.tree.leaves(params):
            require_array(where, params=leaf)
        # A copy: the parameters themselves may be given away to a step that reuses their memory.
        trained = jax.tree.map(jnp.copy, params)
        if mean_squares is None:
            return DynamicEvaluationState(trained, None)
        found, needed = jax.tree.structure(mean_squares), jax.tree.structure(params)
        require(found == needed, where, "mean_squares", found, f"the structure {needed}")
        for s, p in zip(jax.tree.leaves(mean_squares), jax.tree.leaves(params), strict=True):
            require(s.shape == p.shape, where, "mean_squares", s, f"shape {p.shape}")
        return DynamicEvaluationState(trained, jax.tree.map(_root, mean_squares))

    def update(
        updates: PyTree, state: Any, params: PyTree | None = None
    ) -> tuple[PyTree, DynamicEvaluationState]:
        require(params is not None, where, "params", params, "the weights to be adapted")

        def pull(root: Any, g: jax.Array, now: jax.Array, trained: jax.Array) -> jax.Array:
            wide = accumulation_dtype(g.dtype)
            step, back = g.astype(wide), jnp.asarray(decay, wide)
            if root is not None:
                step, back = step / (root.astype(wide) + epsilon), back * (root / mean).astype(wide)
            gap = trained.astype(wide) - now.astype(wide)
            step = jnp.minimum(back, 1) * gap - jnp.asarray(learning_rate, wide) * step
            return step.astype(g.dtype)

        trees = updates, params, state.trained
        if state.roots is None:
            return jax.tree.map(lambda *leaves: pull(None, *leaves), *trees), state
        roots = jax.tree.leaves(state.roots)
        mean = sum(map(jnp.sum, roots), jnp.zeros(())) / sum(root.size for root in roots)
        # No gradients at all in training: nothing to be relative to, and nothing decays.
        mean = jnp.where(mean == 0, 1, mean)
        return jax.tree.map(pull, state.roots, *trees), state

    return optax.GradientTransformation(init, update)


def mean_squared_gradients(
    loss: SegmentLoss, params: PyTree, segments: PyTree, *, carry: PyTree = ()
) -> PyTree:
    r"""Average the squared gradients of the trained model over segments of its training data.

    .. math:: S = \frac{1}{N} \sum_{n=1}^{N} g_n^2, \quad g_n = \nabla_\theta L_n(\theta_g)

    The segments should be like those of the evaluation: gradients of a mean over a batch are
    smaller than those of one segment.

    Args:
      loss: ``(params, carry, segment) -> (loss, carry)``.
      params: θ_g.
      segments: a pytree of arrays whose first axis is over segments in their order.
      carry: the recurrent state before the first.

    Returns:
      S like the parameters, in float32 or wider.

    Raises:
      TypeError: a parameter is not an array of floating-point numbers.
      ValueError: there are no segments, or arrays of several lengths.

    Example:
      >>> loss = lambda w, carry, x: (w * x, carry)
      >>> mean_squared_gradients(loss, jnp.array(2.0), jnp.array([1.0, 3.0])).item()
      5.0
    """
    where = "mean_squared_gradients"
    for leaf in jax.tree.leaves(params):
        require_array(where, params=leaf)
    count = _count(where, segments)

    def add(state: tuple[PyTree, PyTree], segment: Any) -> tuple[tuple[PyTree, PyTree], None]:
        carry, total = state
        gradient, carry = jax.grad(loss, has_aux=True)(params, carry, segment)
        return (
            carry,
            jax.tree.map(lambda t, g: t + jnp.square(g.astype(t.dtype)), total, gradient),
        ), None

    zeros = jax.tree.map(lambda p: jnp.zeros(p.shape, accumulation_dtype(p.dtype)), params)
    (_, total), _ = jax.lax.scan(add, (carry, zeros), segments)
    return jax.tree.map(lambda t: t / count, total)


def evaluate_dynamically(
    loss: SegmentLoss,
    tx: optax.GradientTransformation,
    params: PyTree,
    segments: PyTree,
    *,
    carry: PyTree = (),
) -> tuple[Float[Array, " segments"], PyTree, PyTree]:
    """Score each segment of a stream with the weights so far, then learn from it.

    No segment's score knows of the segment itself. Gradients stay in their segment: they are
    those of backpropagation through time truncated at its start. All runs in one scan.

    Args:
      loss: ``(params, carry, segment) -> (loss, carry)``, the score of a segment and the recurrent
        state after it.
      tx: what makes a step of a gradient: :func:`dynamic_evaluation` or any optimiser.
      params: θ_g.
      segments: a pytree of arrays whose first axis is over segments in their order.
      carry: the recurrent state before the first.

    Returns:
      Each segment's loss, the weights after the last one, and the recurrent state.

    Raises:
      ValueError: there are no segments, or arrays of several lengths.

    Example:
      >>> loss = lambda w, carry, x: ((w - x) ** 2, carry)
      >>> tx = dynamic_evaluation(learning_rate=0.5)  # goes to x at once
      >>> values, w, _ = evaluate_dynamically(loss, tx, jnp.array(0.0), jnp.array([1.0, 1.0, 4.0]))
      >>> values.tolist(), w.item()
      ([1.0, 0.0, 9.0], 4.0)
    """
    _count("evaluate_dynamically", segments)

    def body(state: tuple[PyTree, PyTree, PyTree], segment: Any) -> tuple[Any, jax.Array]:
        params, opt_state, carry = state
        (value, carry), gradient = jax.value_and_grad(loss, has_aux=True)(params, carry, segment)
        updates, opt_state = tx.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state, carry), value

    (params, _, carry), values = jax.lax.scan(body, (params, tx.init(params), carry), segments)
    return values, params, carry


def _root(squares: jax.Array) -> jax.Array:
    return jnp.sqrt(squares.astype(accumulation_dtype(squares.dtype)))


def _count(where: str, segments: PyTree) -> int:
    lengths = {leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(segments)}
    ok = len(lengths) == 1 and min(lengths) > 0
    require(ok, where, "segments", sorted(lengths), "arrays of one length above zero")
    return lengths.pop()
