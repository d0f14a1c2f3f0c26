import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.layers import position


def released_slopes(n):
    """The recursion of the paper's released code."""

    def of_power(n):
        start = 2 ** (-(2 ** -(np.log2(n) - 3)))
        return [start * start**i for i in range(n)]

    if np.log2(n).is_integer():
        return of_power(n)
    closest = 2 ** int(np.floor(np.log2(n)))
    return of_power(closest) + released_slopes(2 * closest)[0::2][: n - closest]


@pytest.mark.parametrize("heads", [1, 2, 3, 8, 12, 16])
def test_slopes_are_those_of_the_released_code(heads):
    np.testing.assert_allclose(position.alibi_slopes(heads), released_slopes(heads), rtol=1e-6)


def test_eight_heads_are_the_papers_example():
    np.testing.assert_array_equal(position.alibi_slopes(8), 0.5 ** np.arange(1, 9))


def test_bias_lowers_far_keys_on_both_sides():
    got = position.alibi_bias(jnp.array([2]), jnp.arange(5), jnp.array([0.5, 0.25]))
    want = [[[-1.0, -0.5, 0.0, -0.5, -1.0]], [[-0.5, -0.25, 0.0, -0.25, -0.5]]]
    np.testing.assert_array_equal(got, want)


def test_leading_axes_come_before_heads():
    steps = jnp.stack([jnp.arange(3), jnp.arange(3) + 4])
    got = position.alibi_bias(steps, steps[:, :2], jnp.array([1.0, 0.5]))
    assert got.shape == (2, 2, 3, 2)
    np.testing.assert_array_equal(got[0], got[1])
