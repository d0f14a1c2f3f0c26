"""Steps that come to nothing: what is not finite is not kept."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnn.train._state import TrainState
from jaxnn.train._step import Metrics, Step


def skip_nonfinite(step: Step, *, donate: bool = True) -> Step:
    """Make a step that leaves the state as it was where the result would not be finite.

    A step is skipped if its loss is not finite, or if a number of the state that was finite would
    not be so any more: parameters, moments, statistics and averages are looked at, so it does not
    matter which algorithm or optimiser the step is made of. The count of steps and with it the
    random key go on, so that the next batch is tried. :func:`fit` averages metrics over the steps
    that were not skipped, and stops if too many in a row were.

    Args:
      step: any step; its metrics must have none called ``skipped``.
      donate: reuse the state's memory, as in :func:`make_step`.

    Returns:
      ``step(state, batch) -> (state, metrics)`` with the metric ``skipped``, 0 or 1; the others
      are 0 if skipped.

    Raises:
      ValueError: (at the first call) the step's metrics have one called ``skipped``.

    Example:
      >>> safe = train.skip_nonfinite(train.make_step(losses.cross_entropy))
      >>> state, metrics = safe(state, batch_with_nan)
      >>> float(metrics["skipped"])
      1.0
    """

    def guarded(state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        new, metrics = step(state, batch)
        if "skipped" in metrics:
            raise ValueError(
                "skip_nonfinite: `step` has a metric `skipped`; it needs other names, and a step "
                "is made safe once."
            )
        good = jnp.asarray(True)
        if "loss" in metrics:
            good &= jnp.all(jnp.isfinite(metrics["loss"]))
        for before, after in zip(jax.tree.leaves(state), jax.tree.leaves(new), strict=True):
            if jnp.issubdtype(after.dtype, jnp.inexact):
                good &= jnp.all(jnp.isfinite(after) | ~jnp.isfinite(before))
        kept = jax.tree.map(lambda old, young: jnp.where(good, young, old), state, new)
        metrics = {k: jnp.where(good, value, 0) for k, value in metrics.items()}
        skipped = (~good).astype(jnp.float32)
        return kept.replace(step=new.step), metrics | {"skipped": skipped}

    return jax.jit(guarded, donate_argnums=(0,) if donate else ())
