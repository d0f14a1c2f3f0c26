r"""Elastic weight consolidation: old tasks hold the weights that matter to them, each by a spring.

.. math::
    F_i = \Big\langle \mathbb{E}_{y \sim p(y|x)} \Big(\frac{\partial \log p(y|x)}{\partial
    \theta_i}\Big)^2 \Big\rangle_x, \qquad
    L(\theta) = L_{\text{new}}(\theta)
    + \sum_k \frac{\lambda}{2} \sum_i F_{k,i} (\theta_i - \theta^*_{k,i})^2

===  ==============================================================
θ    ``params``, a pytree of arrays
F    ``Anchor.fisher``, the diagonal of the Fisher information at θ*
θ*   ``Anchor.params``, where the training of an old task ended
λ    ``strength``
===  ==============================================================

Source: "Overcoming catastrophic forgetting in neural networks" (2017), equation 3.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from jaxnn._check import require, require_array, require_count
from jaxnn._numeric import accumulation_dtype


class Anchor(NamedTuple):
    """What an old task leaves behind.

    Attributes:
      params: θ*, the parameters after its training.
      fisher: F like the parameters, of :func:`fisher_diagonal`.
    """

    params: PyTree
    fisher: PyTree


def fisher_diagonal(
    log_likelihood: Callable[[PyTree, Any], jax.Array],
    params: PyTree,
    examples: PyTree,
    *,
    chunk: int = 32,
) -> PyTree:
    r"""Average the squared gradients of examples' log-likelihoods.

    Of a classifier, let ``log_likelihood`` give the log-probabilities of all classes: the
    expectation over y ~ p(y|x) is then exact,

    .. math:: F_i = \Big\langle \sum_y p(y|x)
        \Big(\frac{\partial \log p(y|x)}{\partial \theta_i}\Big)^2 \Big\rangle_x

    with one gradient a class. Or let it give one number, the log-likelihood of an outcome that
    is part of the example: sampled from the model, which estimates the same, or the label that
    was given, which makes the "empirical" Fisher information.

    Args:
      log_likelihood: ``(params, example) -> log-probabilities``, ``(classes,)``, or one number.
      params: θ, floating-point arrays.
      examples: a pytree of arrays with examples on the first axis; one example is the same
        without it.
      chunk: how many examples' gradients are held at once.

    Returns:
      F like ``params``, in float32 or wider.

    Raises:
      TypeError: a parameter is not an array of floating-point numbers.
      ValueError: ``chunk`` is no count, there are no examples or arrays of several lengths, or
        ``log_likelihood`` gives more than a vector.

    Example:
      >>> log_likelihood = lambda params, x: jax.nn.log_sigmoid(jnp.array([1.0, -1.0]) * params * x)
      >>> fisher_diagonal(log_likelihood, jnp.array(0.0), jnp.array([1.0, 3.0])).item()
      1.25
    """
    where = "fisher_diagonal"
    require_count(where, chunk=chunk)
    for leaf in jax.tree.leaves(params):
        require_array(where, floating=True, params=leaf)
    lengths = {leaf.shape[0] if leaf.ndim else 0 for leaf in jax.tree.leaves(examples)}
    ok = len(lengths) == 1 and min(lengths) > 0
    require(ok, where, "examples", sorted(lengths), "arrays of one length above zero")
    count = lengths.pop()
    one = jax.tree.map(lambda leaf: leaf[0], examples)
    shape = jax.eval_shape(log_likelihood, params, one).shape
    needs = "shape (classes,), or one number"
    require(len(shape) <= 1, where, "log_likelihood", shape, needs)

    def squares(example: PyTree) -> PyTree:
        if not shape:
            return jax.tree.map(_square, jax.grad(log_likelihood)(params, example))
        values = jax.lax.stop_gradient(log_likelihood(params, example))
        rows = jax.jacrev(log_likelihood)(params, example)
        share = jnp.exp(values.astype(accumulation_dtype(values.dtype)))
        return jax.tree.map(lambda row: jnp.tensordot(share, _square(row), axes=1), rows)

    def total(part: PyTree) -> PyTree:
        return jax.tree.map(lambda leaf: jnp.sum(leaf, axis=0), jax.vmap(squares)(part))

    def add(summed: PyTree, part: PyTree) -> tuple[PyTree, None]:
        return jax.tree.map(jnp.add, summed, total(part)), None

    whole = count // chunk
    summed = jax.tree.map(lambda p: jnp.zeros(p.shape, accumulation_dtype(p.dtype)), params)
    if whole:
        parts = jax.tree.map(
            lambda leaf: leaf[: whole * chunk].reshape(whole, chunk, *leaf.shape[1:]), examples
        )
        summed, _ = jax.lax.scan(add, summed, parts)
    if count % chunk:
        summed, _ = add(summed, jax.tree.map(lambda leaf: leaf[whole * chunk :], examples))
    return jax.tree.map(lambda leaf: leaf / count, summed)


def consolidation_penalty(
    params: PyTree, anchors: Sequence[Anchor], *, strength: Float[Array, ""] | float = 1.0
) -> Float[Array, ""]:
    r"""Give the energy of the springs that hold the parameters to those of old tasks.

    .. math:: \frac{\lambda}{2} \sum_k \sum_i F_{k,i} (\theta_i - \theta^*_{k,i})^2

    Add it to the new task's mean loss. If that is the mean over n examples of a task whose old
    ones had n too, λ = 1 is Laplace's approximation of learning them together.

    Args:
      params: θ.
      anchors: one for each old task; none give zero.
      strength: λ.

    Returns:
      One number, in float32 or wider.

    Raises:
      ValueError: an anchor is not like the parameters.

    Example:
      >>> anchor = Anchor(params=jnp.array([1.0, 0.0]), fisher=jnp.array([2.0, 0.0]))
      >>> consolidation_penalty(jnp.array([4.0, 9.0]), [anchor], strength=0.5).item()
      4.5
    """
    where = "consolidation_penalty"
    total = jnp.zeros((), jnp.float32)
    for k, anchor in enumerate(anchors):
        for name, tree in anchor._asdict().items():
            found, needed = jax.tree.structure(tree), jax.tree.structure(params)
            argument = f"anchors[{k}].{name}"
            require(found == needed, where, argument, found, f"the structure {needed}")
            for leaf, like in zip(jax.tree.leaves(tree), jax.tree.leaves(params), strict=True):
                require(leaf.shape == like.shape, where, argument, leaf, f"shape {like.shape}")
        energies = jax.tree.map(_energy, params, anchor.params, anchor.fisher)
        for energy in jax.tree.leaves(energies):
            total = total + energy
    return 0.5 * jnp.asarray(strength, total.dtype) * total


def _square(leaf: jax.Array) -> jax.Array:
    return jnp.square(leaf.astype(accumulation_dtype(leaf.dtype)))


def _energy(now: jax.Array, then: jax.Array, fisher: jax.Array) -> jax.Array:
    wide = accumulation_dtype(now.dtype)
    return jnp.sum(fisher.astype(wide) * jnp.square(now.astype(wide) - then.astype(wide)))
