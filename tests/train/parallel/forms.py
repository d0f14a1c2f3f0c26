"""Every form of parallelism, on two small models, each compiled once and run for three steps."""

import functools
from typing import NamedTuple

import jax
import numpy as np
import optax

from jaxnn import models, train
from jaxnn.train import losses, parallel

STEPS = 3
BATCH = 16
# Parameters of any size are split, so that few are missed.
MIN_SIZE = 16
ADAM = optax.adam(1e-2)


class Toy(NamedTuple):
    model: object
    x: np.ndarray
    y: np.ndarray
    rules: tuple


@functools.cache
def toy(name):
    rng = np.random.default_rng(0)
    # No two kinds of kernel have one shape: the collectives are told apart by it.
    if name == "mlp":
        x = rng.normal(size=(BATCH, 16)).astype(np.float32)
        y = rng.integers(0, 8, BATCH).astype(np.int32)
        return Toy(models.MLP((24, 40, 8), dropout_rate=0.2), x, y, parallel.MLP_RULES)
    x = rng.integers(0, 64, (BATCH, 8)).astype(np.int32)
    model = models.Transformer(
        64, features=16, depth=1, num_heads=4, hidden_features=48, dropout_rate=0.2
    )
    return Toy(model, x, np.roll(x, -1, axis=1), parallel.TRANSFORMER_RULES)


# Which mesh, whether the model's own table is used, and the axis parameters are spread over.
FORMS = {
    "data 8": ("data=8", False, None),
    "fsdp 8": ("data=8", False, "data"),
    "model 4": ("model=4", True, None),
    "data 2 x model 4": ("data=2,model=4", True, None),
    "fsdp 4 x model 2": ("data=4,model=2", True, "data"),
    "data 2 x fsdp 4": ("data=2,fsdp=4", False, "fsdp"),
    "data 2 x fsdp 2 x model 2": ("data=2,fsdp=2,model=2", True, "fsdp"),
}


# All on the cheap one; of the other a choice of them.
ALL = [
    *(("mlp", form) for form in FORMS),
    *(("transformer", form) for form in ("fsdp 8", "data 2 x model 4", "fsdp 4 x model 2")),
]


def layout_of(name, form):
    mesh, tensor, axis = FORMS[form]
    rules = toy(name).rules if tensor else ()
    if axis is not None:
        rules = parallel.fully_sharded(rules, axis=axis, min_size=MIN_SIZE)
    return parallel.Layout(parallel.make_mesh(mesh), rules)


@functools.cache
def step_of():
    return train.make_step(losses.cross_entropy)


def new_state(name, layout=None, seed=0):
    return train.create_state(
        toy(name).model, ADAM, toy(name).x[:1], key=jax.random.key(seed), layout=layout
    )


@functools.cache
def fresh(name):
    """The state all forms start from, never consumed."""
    return new_state(name)


def placed(name, form):
    """The same, moved: what making it in place gives has a test of its own."""
    return fresh(name) if form is None else parallel.shard_state(fresh(name), layout_of(name, form))


class Trained(NamedTuple):
    losses: list
    gradients: dict  # of the first step, taken from Adam's first moment
    params: dict
    states: list  # shardings before, and after each step
    wanted: object
    hlo: str


@functools.cache
def trained(name, form=None):
    """Train for three steps; what is compiled ahead refuses a state that has drifted."""
    layout = None if form is None else layout_of(name, form)
    state = placed(name, form)
    batch = (toy(name).x, toy(name).y)
    wanted = None if layout is None else layout.shardings(state)
    if layout is not None:
        batch = parallel.shard_batch(batch, layout)
    program = (
        step_of() if layout is not None else train.make_step(losses.cross_entropy, donate=False)
    )
    step = program.lower(state, batch).compile()
    values, gradients, seen = [], {}, [jax.tree.map(lambda leaf: leaf.sharding, state)]
    for number in range(STEPS):
        state, metrics = step(state, batch)
        values.append(float(metrics["loss"]))
        seen.append(jax.tree.map(lambda leaf: leaf.sharding, state))
        if number == 0:
            gradients = jax.tree.map(lambda m: np.asarray(m) / 0.1, state.opt_state[0].mu)
    params = jax.tree.map(np.asarray, state.params)
    return Trained(values, gradients, params, seen, wanted, step.as_text())
