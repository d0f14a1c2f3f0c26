import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis.dynamics import grokking_steps


def test_steps_are_those_of_a_loop():
    """Curves that dip below their threshold again, reach it exactly, or never."""
    rng = np.random.default_rng(0)
    train, test = rng.integers(0, 11, (2, 50, 20)) / 10
    got = grokking_steps(jnp.asarray(train), jnp.asarray(test), test_threshold=1.0, every=5)
    for i in range(50):
        for curve, threshold, step in (
            (train[i], 0.99, got.memorized[i]),
            (test[i], 1.0, got.generalized[i]),
        ):
            want = next((5 * t for t, a in enumerate(curve) if a >= threshold), np.inf)
            assert step == want
    assert np.isinf(got.generalized).any()


def test_delay_of_what_is_never_mastered():
    up, flat = jnp.array([0.0, 1.0, 1.0]), jnp.zeros(3)
    assert grokking_steps(up, flat).delay == np.inf
    assert np.isnan(grokking_steps(flat, up).delay)
    assert np.isnan(grokking_steps(flat, flat).delay)
    assert grokking_steps(up, jnp.ones(3)).delay == -1


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="grokking_steps: `every` is 0; it needs a finite number"):
        grokking_steps(jnp.ones(3), jnp.ones(3), every=0)
