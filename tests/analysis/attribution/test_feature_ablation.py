import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import attribution
from tests.analysis.attribution.games import BASELINE, MASK, X, array, f, value


def test_equals_a_loop_over_features():
    got = attribution.feature_ablation(f, array(X), baseline=array(BASELINE), feature_mask=MASK)
    want = np.zeros((2, 3))
    for number in np.unique(MASK):
        want[number == MASK] = value(X) - value(np.where(number == MASK, BASELINE, X))
    np.testing.assert_allclose(got, want, atol=2e-6)


def test_single_entries_are_windows_of_one():
    got = attribution.feature_ablation(f, array(X), baseline=0.5, batch_size=4)
    want = attribution.occlusion(f, array(X), window=1, baseline=0.5)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_a_mask_of_leading_axes_hides_all_that_lies_behind():
    x, rows = array(X), np.array([1, 0])
    got = attribution.feature_ablation(jnp.sum, x, feature_mask=rows)
    np.testing.assert_allclose(got, np.repeat(X.sum(1, keepdims=True), 3, 1), atol=1e-6)


def test_masks_of_their_own_under_vmap():
    masks = jnp.asarray(np.stack([np.unique(MASK, return_inverse=True)[1].reshape(2, 3)] * 2))
    masks = masks.at[1].set(jnp.array([[0, 0, 0], [1, 1, 2]]))
    got = jax.vmap(
        lambda m: attribution.feature_ablation(f, array(X), feature_mask=m, num_features=3)
    )(masks)
    for row, mask in zip(got, np.asarray(masks), strict=True):
        want = attribution.feature_ablation(f, array(X), feature_mask=mask)
        np.testing.assert_allclose(row, want, atol=1e-6)


@pytest.mark.usefixtures("unchecked")
def test_errors_name_the_mask():
    x = array(X)
    with pytest.raises(ValueError, match=r"feature_ablation: `feature_mask` .* \(2, 3\) of one"):
        attribution.feature_ablation(f, x, feature_mask=np.zeros(3, int))
    with pytest.raises(TypeError, match=r"feature_ablation: `feature_mask` .* integers"):
        attribution.feature_ablation(f, x, feature_mask=np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"`feature_mask` .* needs `num_features`"):
        jax.jit(lambda m: attribution.feature_ablation(f, x, feature_mask=m))(MASK)
    with pytest.raises(ValueError, match=r"`feature_mask` .* from 0 to num_features - 1 = 1"):
        attribution.feature_ablation(f, x, feature_mask=MASK, num_features=2)
    with pytest.raises(ValueError, match="`num_features` is 2; it needs None unless"):
        attribution.feature_ablation(f, x, num_features=2)
