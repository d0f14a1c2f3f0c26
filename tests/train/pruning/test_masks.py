import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from jaxnn.train import pruning

RNG = np.random.default_rng(0)
PARAMS = {
    "a": {"kernel": jnp.asarray(RNG.normal(size=(4, 5)), jnp.float32), "bias": jnp.zeros(5)},
    "b": {"kernel": jnp.asarray(3 * RNG.normal(size=(5, 2)), jnp.float32), "bias": jnp.ones(2)},
}


def kernels(tree):
    return [np.asarray(tree[name]["kernel"]) for name in ("a", "b")]


def test_global_masks_remove_the_smallest_of_all():
    masks = pruning.magnitude_masks(PARAMS, 0.4)
    magnitudes = np.abs(np.concatenate([k.ravel() for k in kernels(PARAMS)]))
    kept = np.concatenate([m.ravel() for m in kernels(masks)])
    assert (~kept).sum() == 12
    assert magnitudes[~kept].max() < magnitudes[kept].min()
    assert masks["a"]["bias"].all()
    assert masks["b"]["bias"].all()


def test_layer_masks_remove_the_same_fraction_of_each():
    for mask, kernel in zip(
        kernels(pruning.magnitude_masks(PARAMS, 0.4, scope="layer")), kernels(PARAMS), strict=True
    ):
        assert (~mask).sum() == 0.4 * mask.size
        assert np.abs(kernel[~mask]).max() < np.abs(kernel[mask]).min()


def test_neuron_masks_remove_the_same_fraction_of_each_column():
    masks = kernels(pruning.magnitude_masks(PARAMS, 0.5, scope="neuron"))
    for mask, kernel in zip(masks, kernels(PARAMS), strict=True):
        for column in range(kernel.shape[1]):
            m, k = mask[:, column], np.abs(kernel[:, column])
            assert (~m).sum() == round(0.5 * len(k))  # 2 of 4, and 2.5 of 5 rounds to even
            assert k[~m].max() < k[m].min()


@pytest.mark.parametrize("scope", ["global", "layer", "neuron"])
def test_what_is_pruned_stays_pruned_and_counts(scope):
    first = pruning.magnitude_masks(PARAMS, 0.4, scope=scope)
    # Regrown beyond all others: they must not come back.
    regrown = jax.tree.map(lambda p, m: jnp.where(m, p, 100.0), PARAMS, first)
    second = pruning.magnitude_masks(regrown, 0.6, scope=scope, masks=first)
    for before, after in zip(kernels(first), kernels(second), strict=True):
        assert not (after & ~before).any()
    want = pruning.magnitude_masks(PARAMS, 0.6, scope=scope)
    np.testing.assert_array_equal(kernels(second)[0], kernels(want)[0])


def test_ties_leave_the_exact_count():
    masks = pruning.magnitude_masks({"w": jnp.ones((4, 4))}, 0.25)
    np.testing.assert_array_equal(np.asarray(masks["w"]).sum(), 12)


def test_sparsity_may_be_traced():
    program = jax.jit(pruning.magnitude_masks)
    for sparsity in (0.0, 0.3, 0.9):
        want = pruning.magnitude_masks(PARAMS, sparsity)
        for got, mask in zip(kernels(program(PARAMS, sparsity)), kernels(want), strict=True):
            np.testing.assert_array_equal(got, mask)


def test_prunable_chooses_by_path():
    masks = pruning.magnitude_masks(PARAMS, 0.5, prunable=lambda path, _: path == "b/kernel")
    assert kernels(masks)[0].all()
    assert kernels(masks)[1].sum() == 5


def test_apply_masks_zeroes_and_stops_gradients():
    masks = pruning.magnitude_masks(PARAMS, 0.5)
    pruned = pruning.apply_masks(PARAMS, masks)
    for got, mask, kernel in zip(kernels(pruned), kernels(masks), kernels(PARAMS), strict=True):
        np.testing.assert_array_equal(got, np.where(mask, kernel, 0))
    slope = jax.grad(lambda p: pruning.apply_masks(p, masks)["a"]["kernel"].sum())(PARAMS)
    np.testing.assert_array_equal(slope["a"]["kernel"], masks["a"]["kernel"])


def test_random_masks_have_the_count_and_no_favourites():
    """As many as by magnitude, in each group; another key, others; magnitudes do not matter."""
    params = {"a": jnp.arange(1.0, 101.0).reshape(10, 10), "b": jnp.ones((10, 4)), "c": jnp.ones(3)}
    draw = jax.jit(lambda key: pruning.random_masks(key, params, 0.7, scope="layer"))
    masks, other = draw(jax.random.key(0)), draw(jax.random.key(1))
    one = jax.tree.map(np.asarray, masks)
    assert [int((~one[name]).sum()) for name in "abc"] == [70, 28, 0]
    assert (one["a"] != np.asarray(other["a"])).any()
    # Each of 100 magnitudes survives as often: five standard errors of 500 draws.
    kept = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(2), 500))["a"]
    rates = np.asarray(kept, float).reshape(500, 100).mean(axis=0)
    assert np.abs(rates - 0.3).max() < 5 * np.sqrt(0.3 * 0.7 / 500)
    # What is gone stays so, and counts.
    more = pruning.random_masks(jax.random.key(3), params, 0.8, scope="layer", masks=masks)
    assert not (np.asarray(more["a"]) & ~one["a"]).any()
    assert int((~np.asarray(more["a"])).sum()) == 80


def hidden(path, leaf):
    """Say whether a parameter of one of Flax's cells is a recurrent kernel."""
    return leaf.ndim == 2 and path.split("/")[-2].startswith("h")


@pytest.mark.parametrize("cell", [nn.SimpleCell(6), nn.GRUCell(6), nn.LSTMCell(6)])
def test_recurrent_kernels_alone_are_pruned_and_stay_zero(cell):
    x = jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32)
    shapes = jax.eval_shape(
        cell.init, jax.random.key(0), cell.initialize_carry(jax.random.key(0), x.shape), x
    )
    params = jax.tree.map(
        lambda leaf: jnp.asarray(RNG.normal(size=leaf.shape), jnp.float32), shapes["params"]
    )
    masks = pruning.magnitude_masks(params, 0.5, prunable=hidden)
    tx = pruning.keep_pruned(optax.adamw(0.1), masks)

    @jax.jit
    def step(params, state):
        carry = cell.initialize_carry(jax.random.key(0), x.shape)
        carry = jax.tree.map(lambda leaf: leaf + 0.5, carry)  # else no recurrent weight matters
        loss = lambda p: jnp.sum(jnp.square(cell.apply({"params": p}, carry, x)[1]))  # noqa: E731
        updates, state = tx.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    start = pruning.apply_masks(params, masks)
    trained, _ = step(*step(start, tx.init(params)))
    gone = 0
    for gate, weights in trained.items():
        mask = np.asarray(masks[gate]["kernel"])
        gone += (~mask).sum()
        assert gate[0] == "h" or mask.all()
        kernel = np.asarray(weights["kernel"])
        assert (kernel[~mask] == 0).all()
        assert (kernel[mask] != np.asarray(start[gate]["kernel"])[mask]).all()
    assert gone == 0.5 * 36 * sum(gate[0] == "h" for gate in trained)


@pytest.mark.slow  # to import it
def test_masks_are_those_of_torch():
    torch = pytest.importorskip("torch")
    prune = pytest.importorskip("torch.nn.utils.prune")
    layers = [torch.nn.Linear(5, 7), torch.nn.Linear(7, 3)]
    params = {
        str(i): {"kernel": jnp.asarray(layer.weight.detach().numpy().T)}
        for i, layer in enumerate(layers)
    }
    ours = pruning.magnitude_masks(params, 0.33)
    prune.global_unstructured(
        [(layer, "weight") for layer in layers], pruning_method=prune.L1Unstructured, amount=0.33
    )
    for i, layer in enumerate(layers):
        theirs = layer.weight_mask.numpy().T.astype(bool)
        np.testing.assert_array_equal(ours[str(i)]["kernel"], theirs)
        again = prune.l1_unstructured(torch.nn.Linear(5, 7), "weight", amount=0.8)
        kernel = jnp.asarray(again.weight_orig.detach().numpy().T)
        alone = pruning.magnitude_masks({"w": kernel}, 0.8, scope="layer")["w"]
        np.testing.assert_array_equal(alone, again.weight_mask.numpy().T.astype(bool))
