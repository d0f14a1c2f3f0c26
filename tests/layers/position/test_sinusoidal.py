import jax.numpy as jnp
import numpy as np

from jaxnn.layers import position


def test_equals_the_paper_entry_by_entry():
    got = position.sinusoidal_embedding(jnp.arange(5), 6)
    want = np.zeros((5, 6))
    for p in range(5):
        for i in range(3):
            want[p, 2 * i] = np.sin(p / 10_000 ** (2 * i / 6))
            want[p, 2 * i + 1] = np.cos(p / 10_000 ** (2 * i / 6))
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_a_step_is_one_rotation_wherever_it_starts():
    """The paper's reason for the form: PE(p + k) is a linear function of PE(p)."""
    start = position.sinusoidal_embedding(jnp.arange(6), 8).reshape(6, 4, 2)
    later = position.sinusoidal_embedding(jnp.arange(6) + 3, 8).reshape(6, 4, 2)
    turns = np.exp(-3j * 10_000.0 ** (-np.arange(4) / 4))
    # sin + i cos = i e^{-ip}, so a step of 3 multiplies by e^{-3i}.
    np.testing.assert_allclose(
        later[..., 0] + 1j * later[..., 1],
        (start[..., 0] + 1j * start[..., 1]) * turns[None],
        atol=1e-5,
    )


def test_two_dimensions_equal_the_paper_entry_by_entry():
    rows, columns = jnp.indices((3, 4))
    got = position.sinusoidal_embedding_2d(rows, columns, 12)
    omega = 1 / 10_000 ** (np.arange(3) / 2)
    for r in range(3):
        for c in range(4):
            waves = [np.sin(c * omega), np.cos(c * omega), np.sin(r * omega), np.cos(r * omega)]
            np.testing.assert_allclose(got[r, c], np.concatenate(waves), atol=1e-5)


def test_the_smallest_two_dimensional_embedding_is_finite():
    assert jnp.isfinite(position.sinusoidal_embedding_2d(jnp.ones(2), jnp.ones(2), 4)).all()


def test_real_positions_keep_their_dtype_and_whole_ones_become_float32():
    assert position.sinusoidal_embedding(jnp.ones(2, jnp.bfloat16), 4).dtype == jnp.bfloat16
    assert position.sinusoidal_embedding(jnp.ones(2, int), 4).dtype == jnp.float32
