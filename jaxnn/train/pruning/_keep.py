"""An optimiser that keeps pruned weights at zero.

The masks are part of the optimiser's state: they are checkpointed with it, and a later round
changes them with ``state._replace(masks=...)`` without another compilation.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from jaxnn.train.pruning._masks import apply_masks, require_like


class KeepPrunedState(NamedTuple):
    """State of :func:`keep_pruned`.

    Attributes:
      masks: booleans like the parameters, True where a weight is kept.
      inner: state of the wrapped optimiser.
    """

    masks: PyTree
    inner: optax.OptState


def keep_pruned(
    tx: optax.GradientTransformation,
    masks: PyTree | Callable[[PyTree], PyTree],
) -> optax.GradientTransformationExtraArgs:
    """Wrap an optimiser so that it trains the kept weights only and sets the others to zero.

    ``tx`` sees zero gradients for pruned weights, so that its moments hold nothing of them,
    and what it returns for them (weight decay, noise) is replaced by what takes them to
    exactly zero.

    Args:
      tx: any optimiser.
      masks: booleans like the parameters, True where a weight is kept; or a function that
        makes them of the parameters when the state is initialised, e.g.
        ``lambda params: magnitude_masks(params, 0.9)``.

    Returns:
      An optimiser; its state is a :class:`KeepPrunedState`.

    Raises:
      ValueError: ``masks`` is not like the parameters (when initialised or updated), or
        ``update`` is called without ``params``.

    Example:
      >>> params = {"w": jnp.array([1.0, 2.0])}
      >>> tx = keep_pruned(optax.sgd(0.5), {"w": jnp.array([True, False])})
      >>> updates, _ = tx.update({"w": jnp.ones(2)}, tx.init(params), params)
      >>> optax.apply_updates(params, updates)["w"].tolist()
      [0.5, 0.0]
    """
    tx = optax.with_extra_args_support(tx)

    def init(params: PyTree) -> KeepPrunedState:
        made = masks(params) if callable(masks) else masks
        require_like("keep_pruned", made, params)
        # Copied, for a step that donates its state would delete the caller's.
        own = jax.tree.map(lambda mask: jnp.array(mask, bool), made)
        return KeepPrunedState(own, tx.init(params))

    def update(
        updates: PyTree, state: Any, params: PyTree | None = None, **extra: Any
    ) -> tuple[PyTree, KeepPrunedState]:
        if params is None:
            raise ValueError(
                "keep_pruned: `params` is None; it needs the parameters, to take the pruned to "
                "zero. Call `tx.update(updates, state, params)`."
            )
        require_like("keep_pruned", state.masks, params)
        updates, inner = tx.update(apply_masks(updates, state.masks), state.inner, params, **extra)
        updates = jax.tree.map(
            lambda mask, new, old: jnp.where(mask, new.astype(old.dtype), -old),
            state.masks,
            updates,
            params,
        )
        return updates, KeepPrunedState(state.masks, inner)

    return optax.GradientTransformationExtraArgs(init, update)
