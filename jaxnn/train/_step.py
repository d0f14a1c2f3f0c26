"""Steps ``(state, batch) -> (state, metrics)``: of back-propagation, or of any gradients."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from jaxnn._check import require, require_count
from jaxnn.train._policy import Policy
from jaxnn.train._state import TrainState

Metrics: TypeAlias = dict[str, jax.Array]
Step: TypeAlias = Callable[[TrainState, Any], tuple[TrainState, Metrics]]
PerExample: TypeAlias = Callable[[Any, Any], jax.Array]


def make_step(
    loss: PerExample,
    *,
    metrics: Mapping[str, PerExample] | None = None,
    accumulate_steps: int = 1,
    policy: Policy | None = None,
    rngs: tuple[str, ...] = ("dropout",),
    donate: bool = True,
) -> Step:
    """Build a jit-compiled step that minimises the mean of a per-example loss.

    Everything the model sows into the collection ``losses`` (regularisers, balancing terms) is
    added to the mean. Its other non-parameter collections are updated and kept in the state.

    Optimisers that search along a line, such as ``optax.lbfgs()``, are given the loss as a
    function of the parameters; make their batches all of the data. Those that ask for gradients
    elsewhere, ``optax.contrib.sam(..., opaque_mode=True)``, are given them on the same batch.

    Args:
      loss: ``(outputs, targets) -> value per example``.
      metrics: further per-example functions whose means are reported, by name.
      accumulate_steps: split each batch into this many parts, one after the other, and average
        their gradients: the update of the whole batch in a part's memory. (Statistics over the
        batch, as in batch normalisation, are each part's own.)
      policy: mixed precision; ``None`` computes in the parameters' dtype.
      rngs: names of the random streams the model is given; a module with dropout is
        deterministic when it gets none.
      donate: reuse the state's memory. The state passed in is dead afterwards.

    Returns:
      ``step(state, (x, y)) -> (state, {"loss": ..., ...})``; the metrics are arrays on the
      device, read them only when needed.

    Raises:
      ValueError: a metric is called ``loss``, or (at the first call) the batch does not divide
        into ``accumulate_steps`` parts.
    """
    reported = dict(metrics or {})
    require("loss" not in reported, "make_step", "metrics", reported, "names other than 'loss'")
    require_count("make_step", accumulate_steps=accumulate_steps)

    def objective(
        params: PyTree, state: TrainState, collections: dict, batch: Any, key: jax.Array
    ) -> tuple[jax.Array, tuple[dict, Metrics]]:
        x, y = batch if state.layout is None else state.layout.constrain_batch(batch)
        if policy is not None:
            params, x = policy.to_compute(params), policy.to_compute(x)
        if state.layout is not None:
            params = state.layout.gather(params)
        keys = dict(zip(rngs, jax.random.split(key, len(rngs)), strict=True)) if rngs else {}
        outputs, updated = state.apply_fn(
            {"params": params, **collections}, x, rngs=keys, mutable=[*collections, "losses"]
        )
        if policy is not None:
            outputs = policy.to_output(outputs)
        values = {"loss": loss(outputs, y)} | {k: f(outputs, y) for k, f in reported.items()}
        means = {name: jnp.mean(value) for name, value in values.items()}
        updated = dict(updated)
        for term in jax.tree.leaves(updated.pop("losses", {})):
            means["loss"] = means["loss"] + jnp.sum(term).astype(means["loss"].dtype)
        return means["loss"], (updated, means)

    differentiate = jax.grad(objective, has_aux=True)

    def accumulated(state: TrainState, batch: Any, key: jax.Array) -> tuple[PyTree, dict, Metrics]:
        parts = jax.tree.map(lambda leaf: _split(leaf, accumulate_steps), batch)

        def part(collections: dict, inputs: tuple[Any, jax.Array]) -> tuple[dict, Any]:
            grads, (collections, means) = differentiate(state.params, state, collections, *inputs)
            return collections, (grads, means)

        # The first part runs outside the scan and gives the accumulators their shapes.
        keys = jax.random.split(key, accumulate_steps)
        first = jax.tree.map(lambda leaf: leaf[0], (parts, keys))
        rest = jax.tree.map(lambda leaf: leaf[1:], (parts, keys))
        collections, total = part(state.collections, first)

        def body(carry: tuple[dict, Any], inputs: tuple[Any, jax.Array]) -> tuple[Any, None]:
            collections, new = part(carry[0], inputs)
            return (collections, jax.tree.map(jnp.add, carry[1], new)), None

        (collections, total), _ = jax.lax.scan(body, (collections, total), rest)
        grads, means = jax.tree.map(lambda leaf: leaf / accumulate_steps, total)
        return grads, collections, means

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        if accumulate_steps == 1:
            grads, (collections, means) = differentiate(
                state.params, state, state.collections, batch, key
            )
        else:
            grads, collections, means = accumulated(state, batch, key)

        def value(params: PyTree) -> jax.Array:
            return objective(params, state, state.collections, batch, key)[0]

        def gradient(params: PyTree, index: Any = None) -> PyTree:
            if accumulate_steps == 1:
                return differentiate(params, state, state.collections, batch, key)[0]
            return accumulated(state.replace(params=params), batch, key)[0]

        # Optimisers that search along a line ask for values, those that look for flat minima for
        # gradients elsewhere; the others do without them.
        extra = {"value": means["loss"], "grad": grads, "value_fn": value, "grad_fn": gradient}
        return _update(state, grads, collections, **extra), means

    return jax.jit(step, donate_argnums=(0,) if donate else ())


def make_gradient_step(
    gradients: Callable[[PyTree, Any, jax.Array], tuple[PyTree, Metrics]], *, donate: bool = True
) -> Step:
    """Build a jit-compiled step from gradients that another rule than back-propagation makes.

    Args:
      gradients: ``(params, batch, key) -> (gradients, metrics)``, the gradients in the form of
        the parameters, for example from :func:`jaxnn.train.local_learning.eprop`.
      donate: reuse the state's memory. The state passed in is dead afterwards.

    Returns:
      ``step(state, batch) -> (state, metrics)`` for :func:`fit`, or a loop of one's own.

    Raises:
      ValueError: at the first call, the gradients are not in the form of the parameters.
    """

    def step(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        key = jax.random.fold_in(state.key, state.step)
        grads, metrics = gradients(state.params, batch, key)
        found, needed = jax.tree.structure(grads), jax.tree.structure(state.params)
        require(found == needed, "make_gradient_step", "gradients", found, f"the form {needed}")
        return _update(state, grads, state.collections), metrics

    return jax.jit(step, donate_argnums=(0,) if donate else ())


def _update(state: TrainState, grads: PyTree, collections: dict, **extra: Any) -> TrainState:
    """Take the optimiser's step, and the average's."""
    update = optax.with_extra_args_support(state.tx).update
    parameters = inspect.signature(update).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        extra.pop("grad_fn", None)  # a search along a line would hand it to the loss
    else:
        extra = {name: value for name, value in extra.items() if name in parameters}
    updates, opt_state = update(grads, state.opt_state, state.params, **extra)
    state = state.replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        opt_state=opt_state,
        collections=collections,
    )
    if state.ema is not None and state.ema_decay is not None:
        keep = state.ema_decay
        ema = jax.tree.map(lambda a, p: keep * a + (1 - keep) * p, state.ema, state.params)
        state = state.replace(ema=ema)
    return state.in_place()


def _split(leaf: jax.Array, parts: int) -> jax.Array:
    require(
        leaf.ndim > 0 and leaf.shape[0] % parts == 0,
        "make_step",
        "batch",
        leaf,
        f"a first axis that divides into accumulate_steps={parts} parts",
    )
    return leaf.reshape(parts, leaf.shape[0] // parts, *leaf.shape[1:])
