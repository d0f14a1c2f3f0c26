"""The training state: everything a step reads and writes, as one pytree."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct
from flax.training import train_state
from jaxtyping import PyTree

from jaxnn._check import require, require_key

# Collections that a forward pass fills anew each time; they are outputs, not state.
TRANSIENT = ("intermediates", "losses", "perturbations")


class TrainState(train_state.TrainState):
    """Flax's state, extended with the random key, other variables and a parameter average.

    Attributes:
      key: the run's random key; step ``n`` uses ``fold_in(key, n)``, so that a run resumed at
        ``n`` draws what an uninterrupted one would.
      collections: variables other than parameters, by collection (``batch_stats`` ...).
      ema: exponential moving average of the parameters, or ``None``.
      ema_decay: share of the average kept at each step.
      layout: where the arrays lie among several devices, a
        :class:`jaxnn.train.parallel.Layout`; ``None`` on one.
    """

    # Fields are Any, as for every pytree: JAX also fills them with shapes, specs and tracers.
    step: Any
    params: Any = struct.field(pytree_node=True)
    key: Any
    collections: dict[str, Any]
    ema: Any = None
    ema_decay: float | None = struct.field(pytree_node=False, default=None)
    layout: Any = struct.field(pytree_node=False, default=None)

    @property
    def variables(self) -> dict[str, PyTree]:
        """All variables as ``apply_fn`` takes them, with the parameters being trained."""
        return {"params": self.params, **self.collections}

    @property
    def evaluation_variables(self) -> dict[str, PyTree]:
        """All variables, with the averaged parameters where an average is kept."""
        params = self.params if self.ema is None else self.ema
        return {"params": params, **self.collections}

    def in_place(self) -> "TrainState":
        """Hold every array, inside a compiled function, to where the layout has it."""
        return self if self.layout is None else self.layout.constrain(self)


def create_state(
    model: nn.Module,
    tx: optax.GradientTransformation,
    example: Any,
    *,
    key: jax.Array,
    ema_decay: float | None = None,
    variables: Mapping[str, Any] | None = None,
    layout: Any = None,
) -> TrainState:
    """Initialise a model and its optimiser, or the optimiser alone for variables given.

    Args:
      model: a linen module called with one input.
      tx: the optimiser.
      example: an input batch of any size; only its shape and dtype matter.
      key: random key, typed or legacy; it stays usable (the state keeps one derived from it).
      ema_decay: keep an average of the parameters with this decay, e.g. 0.999.
      variables: where to start, e.g. those of a network trained or pruned before; they are
        copied. The model initialises its own if ``None``.
      layout: a :class:`jaxnn.train.parallel.Layout`; each device then makes its own part of the
        state, and none ever holds the whole.

    Returns:
      A state at step 0. Steps made with donation consume it: use the state they return.

    Raises:
      TypeError: ``key`` is not a random key.
      ValueError: ``ema_decay`` is outside (0, 1), or the model has no parameters.
    """
    require_key("create_state", key)
    if ema_decay is not None:
        require(
            0 < ema_decay < 1, "create_state", "ema_decay", ema_decay, "a number in (0, 1) or None"
        )

    if variables is not None:
        variables = {name: dict(tree) for name, tree in variables.items()}
    recipe = _Recipe(model, tx, ema_decay, layout)
    state = _make(recipe, key, example, variables)
    require(
        bool(jax.tree.leaves(state.params)), "create_state", "model", model, "parameters to train"
    )
    return state


@dataclasses.dataclass(frozen=True, eq=False)
class _Recipe:
    """What a state is made from, compared by identity: a model need not be hashable."""

    model: nn.Module
    tx: optax.GradientTransformation
    ema_decay: float | None
    layout: Any

    def __hash__(self) -> int:
        return hash((id(self.model), id(self.tx), self.ema_decay, self.layout))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Recipe)
            and self.model is other.model
            and self.tx is other.tx
            and self.ema_decay == other.ema_decay
            and self.layout == other.layout
        )


# One program for all initialisers, compiled once for all seeds; its outputs share no buffers,
# so all can be donated.
@functools.partial(jax.jit, static_argnums=0)
def _make(
    recipe: _Recipe, key: jax.Array, example: Any, given: dict[str, Any] | None
) -> TrainState:
    model, tx = recipe.model, recipe.tx
    init_key, run_key = jax.random.split(key)
    if given is None:
        variables = dict(model.init(init_key, example))
    else:
        variables = jax.tree.map(jnp.copy, given)
    params = variables.pop("params", {})
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        apply_fn=model.apply,
        params=params,
        tx=tx,
        opt_state=tx.init(params),
        key=run_key,
        collections={k: v for k, v in variables.items() if k not in TRANSIENT},
        ema=None if recipe.ema_decay is None else params,
        ema_decay=recipe.ema_decay,
        layout=recipe.layout,
    ).in_place()
