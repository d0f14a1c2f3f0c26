import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import collapse

RNG = np.random.default_rng(0)


def array(x):
    return jnp.asarray(x, jnp.float32)


@pytest.mark.parametrize("count", [2, 5])
def test_simplex_frame(key, count):
    want = count / (count - 1) * (np.eye(count) - 1 / count)
    for v in (
        collapse.simplex_etf(count),
        collapse.simplex_etf(count, 12, key=key),
    ):
        np.testing.assert_allclose(v @ v.T, want, atol=1e-6)
        assert collapse.equinorm(v) < 1e-6
        assert collapse.equiangularity(v) < 1e-6
        assert collapse.frame_distance(v, jnp.eye(count) - 1 / count) < 1e-5
    assert collapse.simplex_etf(3, 5, dtype=jnp.bfloat16).dtype == jnp.bfloat16
    turned = collapse.simplex_etf(count, 12, key=key)
    assert jnp.abs(turned[:, count - 1 :]).max() > 0.1


def test_equal_numpy_written_out():
    v, w = RNG.normal(size=(2, 5, 7))
    lengths = np.linalg.norm(v, axis=1)
    np.testing.assert_allclose(
        collapse.equinorm(array(v)), lengths.std() / lengths.mean(), rtol=1e-5
    )
    cosines = (v / lengths[:, None]) @ (v / lengths[:, None]).T
    want = np.mean([abs(cosines[i, j] + 1 / 4) for i in range(5) for j in range(5) if i != j])
    np.testing.assert_allclose(collapse.equiangularity(array(v)), want, rtol=1e-5)
    target = np.diag([1.0, 2, 3, 4, 5])
    gram = v @ v.T
    want = np.linalg.norm(gram / np.linalg.norm(gram) - target / np.linalg.norm(target))
    np.testing.assert_allclose(collapse.frame_distance(array(v), array(target)), want, rtol=1e-5)
    want = np.linalg.norm(v / np.linalg.norm(v) - w / np.linalg.norm(w)) ** 2
    np.testing.assert_allclose(collapse.self_duality(array(v), array(w)), want, rtol=1e-5)
    np.testing.assert_allclose(collapse.self_duality(array(v), array(-3 * v)), 4, rtol=1e-5)


def test_known_values():
    one = jnp.zeros((5, 3)).at[2].set(2.0)
    np.testing.assert_allclose(collapse.equinorm(one), 2, rtol=1e-5)
    np.testing.assert_allclose(collapse.equiangularity(jnp.eye(5)), 1 / 4, rtol=1e-5)
    np.testing.assert_allclose(collapse.frame_distance(jnp.zeros((4, 2)), jnp.eye(4)), 1, rtol=1e-5)
    # Gram matrices of norms 1: 2 - 2 <I / √K, (I - 1/K) / √(K - 1)> with K = 4.
    want = np.sqrt(2 - 2 * np.sqrt(3) / 2)
    np.testing.assert_allclose(
        collapse.frame_distance(collapse.simplex_etf(4), jnp.eye(4)), want, rtol=1e-5
    )


@pytest.mark.parametrize("scale", [1e-15, 1e15])
def test_scale_changes_nothing(scale):
    v = array(RNG.normal(size=(4, 6)))
    for measure in (
        collapse.equinorm,
        collapse.equiangularity,
        lambda v: collapse.frame_distance(v, jnp.eye(4)),
        lambda v: collapse.self_duality(v, jnp.eye(4, 6)),
        collapse.stable_rank,
        collapse.effective_rank,
    ):
        np.testing.assert_allclose(measure(scale * v), measure(v), rtol=1e-5)


def test_ranks_equal_numpy(key):
    x = RNG.normal(size=(9, 4)) @ RNG.normal(size=(4, 6))
    values = np.linalg.svd(x, compute_uv=False)
    p = values[:4] / values.sum()
    np.testing.assert_allclose(
        collapse.stable_rank(array(x)), (values**2).sum() / values[0] ** 2, rtol=1e-5
    )
    np.testing.assert_allclose(collapse.effective_rank(array(x)), np.exp(-p @ np.log(p)), rtol=1e-4)
    for rank in (collapse.stable_rank, collapse.effective_rank):
        np.testing.assert_allclose(rank(3 * collapse.simplex_etf(5, 8, key=key)), 4, rtol=1e-4)
        assert rank(jnp.zeros((3, 3))) == 0
