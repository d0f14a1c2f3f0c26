r"""Hedge back-propagation: every layer has a classifier, and those that do well are heard more.

How deep a network should be for a stream is not known before, and a deep one learns slowly at
first. Here one network holds all depths:

.. math::
    F(x) = \sum_l \alpha_l f_l(x), \quad f_l = \operatorname{softmax}(h_l \Theta_l), \quad
    h_l = \phi_l(h_{l-1})

After each prediction weights and classifiers descend the hedged loss, and the hedge follows the
losses:

.. math::
    \nabla \sum_l \alpha_l L(f_l(x), y), \qquad
    \alpha_l \leftarrow \max\big(\alpha_l \beta^{L(f_l(x), y)},\ s / n\big), \quad
    \alpha \leftarrow \alpha / \textstyle\sum_l \alpha_l

===  ======================================================================
α    ``weights`` of the n classifiers
β    ``discount``
s    ``floor``
L    ``loss``
φ    ``HedgedNetwork.layers``
===  ======================================================================

Source: "Online Deep Learning: Learning Deep Neural Networks on the Fly" (2018), section 3.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype
from jaxnn.train._state import TrainState
from jaxnn.train._step import Metrics, PerExample, Step, _update


def hedge_weights(
    weights: Float[Array, " n"],
    losses: Float[Array, " _"],
    *,
    discount: Float[Array, ""] | float = 0.99,
    floor: Float[Array, ""] | float = 0.2,
) -> Float[Array, " n"]:
    r"""Lower the weights of those who lost, but none below a floor.

    .. math:: \alpha_l \leftarrow \max\big(\alpha_l \beta^{L_l},\ s / n\big), \quad
        \alpha \leftarrow \alpha / \textstyle\sum_l \alpha_l

    From weights that sum to 1 and losses of at least 0, none ends below s / (n (1 + s)).

    Args:
      weights: α, which sum to 1.
      losses: L of each.
      discount: β, in (0, 1].
      floor: s, in [0, 1].

    Returns:
      The new weights, which sum to 1.

    Raises:
      TypeError: an array is not one of floating-point numbers.
      ValueError: the shapes differ, or a number is out of its range.

    Example:
      >>> losses = jnp.array([0.0, 2.0])
      >>> hedge_weights(jnp.array([0.5, 0.5]), losses, discount=0.5, floor=0.25).tolist()
      [0.800000011920929, 0.20000000298023224]
    """
    where = "hedge_weights"
    require_array(where, weights=weights, losses=losses)
    require(weights.ndim == 1, where, "weights", weights, "shape (n,)")
    require(losses.shape == weights.shape, where, "losses", losses, f"shape {weights.shape}")
    _require_options(where, discount, floor)
    wide = accumulation_dtype(weights.dtype)
    kept = jnp.exp(losses.astype(wide) * jnp.log(jnp.asarray(discount, wide)))
    raised = jnp.maximum(weights.astype(wide) * kept, jnp.asarray(floor, wide) / weights.size)
    # Where every weight has underflowed, all are as good.
    raised = jnp.where(jnp.sum(raised) > 0, raised, jnp.ones_like(raised))
    return (raised / jnp.sum(raised)).astype(weights.dtype)


class HedgedNetwork(nn.Module):
    """Layers, each followed by a classifier, and the classifiers' weighted prediction.

    Called with inputs it gives the logarithm of the mixture F, so that it is evaluated as any
    classifier. The weights are a variable of the collection ``hedge``, uniform at first and
    changed by the step of :func:`make_hedge_step`; with parameters alone they are uniform.

    Attributes:
      layers: modules or functions ``(*batch, ...) -> (*batch, ...)``. The paper also has a
        classifier of the input itself: put ``lambda x: x`` first.
      outputs: number of classes.
    """

    layers: Sequence[Callable[[jax.Array], jax.Array]]
    outputs: int

    def setup(self) -> None:
        self.classifiers = [nn.Dense(self.outputs) for _ in self.layers]
        count = len(self.layers)
        weights = jnp.full(count, 1 / count)
        if self.is_initializing() or self.has_variable("hedge", "weights"):
            uniform = weights
            weights = self.variable("hedge", "weights", lambda: uniform).value
        self.weights = weights

    def __call__(self, x: Float[Array, "batch *example"]) -> Float[Array, "batch classes"]:
        """Give the logarithm of the mixture of all classifiers' predictions."""
        return _mixture(self.scores(x), self.weights)

    def scores(self, x: Float[Array, "batch *example"]) -> Float[Array, "n batch classes"]:
        """Give each classifier's logits."""
        found = []
        for layer, classifier in zip(self.layers, self.classifiers, strict=True):
            x = layer(x)
            found.append(classifier(x.reshape(len(x), -1)))
        return jnp.stack(found)


def make_hedge_step(
    loss: PerExample,
    *,
    metrics: Mapping[str, PerExample] | None = None,
    discount: Float[Array, ""] | float = 0.99,
    floor: Float[Array, ""] | float = 0.2,
    donate: bool = True,
) -> Step:
    r"""Build a jit-compiled step of hedge back-propagation.

    A layer has the gradient of the classifiers at and above it,
    :math:`\sum_{j \ge l} \alpha_j \nabla L(f_j)`, in one backward pass.

    Args:
      loss: ``(logits, targets) -> value per example``; its mean over the batch is L.
      metrics: further per-example functions whose means are reported, by name.
      discount: β.
      floor: s.
      donate: reuse the state's memory. The state passed in is dead afterwards.

    Returns:
      ``step(state, (x, y)) -> (state, metrics)`` for a state of a :class:`HedgedNetwork`. The
      metrics are ``loss`` and those asked for, of the mixture before it learns, and ``depth``, the
      mean place of the weights among the classifiers, the first being 1.

    Raises:
      ValueError: a metric is called ``loss`` or ``depth``, a number is out of its range, or (at
        the first call) the state has no weights.

    Example:
      >>> import optax
      >>> from jaxnn import train
      >>> network = HedgedNetwork([nn.Dense(4), nn.Dense(4)], outputs=2)
      >>> x, y = jnp.ones((1, 3)), jnp.array([1])
      >>> state = train.create_state(network, optax.sgd(0.1), x, key=jax.random.key(0))
      >>> step = make_hedge_step(optax.softmax_cross_entropy_with_integer_labels)
      >>> state, metrics = step(state, (x, y))
      >>> sorted(metrics), state.collections["hedge"]["weights"].shape
      (['depth', 'loss'], (2,))
    """
    where = "make_hedge_step"
    reported = dict(metrics or {})
    names = {"loss", "depth"} & set(reported)
    require(not names, where, "metrics", reported, "names other than 'loss' and 'depth'")
    _require_options(where, discount, floor)

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        x, y = batch
        found = sorted(state.collections)
        ok = "hedge" in found
        require(ok, where, "state", found, "the collection 'hedge' of a HedgedNetwork")
        weights = state.collections["hedge"]["weights"]

        def objective(params: PyTree) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            variables = {"params": params, **state.collections}
            scores: Any = state.apply_fn(variables, x, method="scores")
            each = jax.vmap(lambda logits: jnp.mean(loss(logits, y)))(scores)
            return jnp.sum(weights.astype(each.dtype) * each), (each, scores)

        grads, (each, scores) = jax.grad(objective, has_aux=True)(state.params)
        mixed = _mixture(scores, weights)
        values = {"loss": loss(mixed, y)} | {name: f(mixed, y) for name, f in reported.items()}
        means = {name: jnp.mean(value) for name, value in values.items()}
        means["depth"] = jnp.sum(weights * jnp.arange(1, weights.size + 1, dtype=weights.dtype))
        new = hedge_weights(weights, each, discount=discount, floor=floor)
        return _update(state, grads, {**state.collections, "hedge": {"weights": new}}), means

    return jax.jit(step, donate_argnums=(0,) if donate else ())


def _mixture(scores: jax.Array, weights: jax.Array) -> jax.Array:
    """Give the logarithm of the weighted mean of softmaxes."""
    logs = jax.nn.log_softmax(scores.astype(accumulation_dtype(scores.dtype)), axis=-1)
    share = weights.astype(logs.dtype)[:, None, None]
    return jax.nn.logsumexp(logs, axis=0, b=share).astype(scores.dtype)


def _require_options(where: str, discount: Any, floor: Any) -> None:
    """Check what is a plain number; arrays may be traced."""
    if isinstance(discount, int | float):
        require(0 < discount <= 1, where, "discount", discount, "a number in (0, 1]")
    if isinstance(floor, int | float):
        require(0 <= floor <= 1, where, "floor", floor, "a number in [0, 1]")
