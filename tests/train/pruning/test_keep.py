import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnn.train import pruning

PARAMS = {"w": jnp.arange(1.0, 7.0).reshape(2, 3), "b": jnp.ones(3)}
MASKS = {"w": jnp.array([[True, False, True], [False, True, True]]), "b": jnp.ones(3, bool)}


def run(tx, params, steps=5):
    state = tx.init(params)
    for _ in range(steps):
        grads = jax.tree.map(lambda p: jnp.sin(p) + 0.3, params)
        updates, state = jax.jit(tx.update)(grads, state, params)
        params = optax.apply_updates(params, updates)
    return params, state


@pytest.mark.parametrize("inner", [optax.adamw(0.1, weight_decay=0.1), optax.sgd(0.1, 0.9)])
def test_kept_weights_train_as_if_the_others_were_not_there(inner):
    """Element-wise optimisers: every kept entry moves as under the bare optimiser."""
    bare, _ = run(inner, PARAMS)
    got, state = run(pruning.keep_pruned(inner, MASKS), PARAMS)
    want = jax.tree.map(lambda p, m: jnp.where(m, p, 0), bare, MASKS)
    chex.assert_trees_all_close(got, want, rtol=1e-5)
    for leaf in jax.tree.leaves(state.inner):
        if leaf.shape == (2, 3):
            np.testing.assert_array_equal(np.asarray(leaf)[~np.asarray(MASKS["w"])], 0)


def test_pruned_weights_are_exactly_zero_after_one_update():
    params = {"w": jnp.array([[0.1, -3e7, 1e-20]])}
    tx = pruning.keep_pruned(optax.noisy_sgd(0.1, key=0), {"w": jnp.zeros((1, 3), bool)})
    got, _ = run(tx, params, steps=1)
    np.testing.assert_array_equal(got["w"], 0)


def test_masks_may_be_made_of_the_parameters_and_changed_between_rounds():
    tx = pruning.keep_pruned(optax.sgd(0.0), lambda p: pruning.magnitude_masks(p, 0.5))
    state = tx.init(PARAMS)
    np.testing.assert_array_equal(state.masks["w"], PARAMS["w"] > 3)
    state = state._replace(masks=MASKS)
    updates, _ = tx.update(PARAMS, state, PARAMS)
    got = optax.apply_updates(PARAMS, updates)
    np.testing.assert_array_equal(got["w"], jnp.where(MASKS["w"], PARAMS["w"], 0))


def test_a_donated_state_leaves_the_callers_masks():
    tx = pruning.keep_pruned(optax.sgd(0.1), MASKS)
    jax.jit(lambda s: s, donate_argnums=0)(tx.init(PARAMS))
    assert MASKS["w"].sum() == 4


def test_composes_with_chain_and_needs_the_parameters():
    tx = optax.chain(optax.clip(1.0), pruning.keep_pruned(optax.sgd(0.1), MASKS))
    got, _ = run(tx, PARAMS, steps=1)
    np.testing.assert_array_equal(got["w"] == 0, ~MASKS["w"])
    with pytest.raises(ValueError, match="keep_pruned: `params` is None"):
        tx.update(PARAMS, tx.init(PARAMS))
