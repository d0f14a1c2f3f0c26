import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
