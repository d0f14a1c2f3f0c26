import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import attribution


def loop(f, x, window, stride, baseline):
    """Slide the window by the definition; the last position may overhang."""
    total, count = np.zeros(x.shape), np.zeros(x.shape)
    starts = []
    for size, extent, step in zip(x.shape, window, stride, strict=True):
        axis = [0]
        while axis[-1] + extent < size:
            axis.append(axis[-1] + step)
        starts.append(axis)
    for corner in itertools.product(*starts):
        under = tuple(slice(c, c + w) for c, w in zip(corner, window, strict=True))
        covered = x.copy()
        covered[under] = baseline
        total[under] += f(x) - f(covered)
        count[under] += 1
    assert (count > 0).all()
    return total / count


@pytest.mark.parametrize(
    ("shape", "window", "stride"),
    [
        ((5,), (2,), (1,)),
        ((4, 5), (2, 3), (2, 2)),
        ((4, 5, 3), (3, 2, 3), (1, 2, 3)),
        ((3, 4), (3, 4), (1, 1)),
    ],
)
def test_equals_a_loop_over_windows(shape, window, stride):
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=shape), rng.normal(size=shape)
    got = attribution.occlusion(
        lambda x: jnp.sin(jnp.sum(x * jnp.asarray(w, jnp.float32))),
        jnp.asarray(x, jnp.float32),
        window=window,
        stride=stride,
        baseline=0.5,
        batch_size=7,
    )
    want = loop(lambda x: np.sin(np.sum(x * w)), x, window, stride, 0.5)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_single_entries_of_a_linear_function_get_their_term():
    w = jnp.array([[1.0, -2.0], [0.0, 3.0]])
    x, baseline = jnp.full((2, 2), 2.0), jnp.array([[0.0, 1.0], [1.0, 1.0]])
    got = attribution.occlusion(lambda x: jnp.sum(w * x), x, window=1, baseline=baseline)
    np.testing.assert_allclose(got, w * (x - baseline), atol=1e-6)
