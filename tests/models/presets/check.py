"""What every preset is held to, given a hub's folder and what the hub's library made of it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from safetensors.numpy import load_file

from tests.models.presets.make_references import POSITIONS, VALID

TOLERANCE = 1e-4


def run(model, params, tokens):
    """Give the logits of a batch without padding, with padding, and read token by token.

    The three share two compiled programs.
    """
    tokens, valid = jnp.asarray(tokens), jnp.asarray(VALID)

    # Parameters are arguments: constants would be folded, which takes long to compile.
    @jax.jit
    def whole(params, positions):
        return model.apply({"params": params}, tokens, valid=valid, positions=positions)

    @jax.jit
    def step(params, cache, token, valid):
        variables = {"params": params, "cache": cache}
        return model.apply(variables, token, valid=valid, mutable=["cache"])

    empty = functools.partial(model.apply, mutable=["cache"])
    _, state = jax.eval_shape(empty, {"params": params}, tokens)
    cache = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), state["cache"])
    logits = []
    for t in range(tokens.shape[1]):
        y, state = step(params, cache, tokens[:, t : t + 1], valid[:, t : t + 1])
        cache = state["cache"]
        logits.append(y)
    return whole(params, jnp.asarray(POSITIONS)), jnp.concatenate(logits, axis=1)


def worst(got, want):
    """Give the largest difference at a valid token."""
    return float(np.max(np.abs(np.asarray(got) - want)[VALID]))


def check_table(config, *inputs, **overrides):
    """Hold the table of a configuration against the parameters its model makes."""
    model = config.build(**overrides)
    inputs = inputs or (jnp.zeros((1, 2), jnp.int32),)
    made = jax.eval_shape(functools.partial(model.init, jax.random.key(0)), *inputs)["params"]
    shapes = {"/".join(path): x.shape for path, x in flatten_dict(made).items()}
    assert {k: v for entry in config.table().entries for k, v in entry.params.items()} == shapes


def check_round_trip(config, params, folder, tmp_path):
    """Write what was read: each tensor has the bytes it had."""
    written = load_file(config.to_safetensors(params, tmp_path / "out"))
    want = load_file(folder / "model.safetensors")
    assert set(written) == set(want)
    for name, x in want.items():
        assert written[name].dtype == x.dtype
        assert written[name].tobytes() == x.tobytes(), name
    assert type(config).from_json(config.to_json(tmp_path)) == config
