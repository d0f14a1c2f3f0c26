import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.layers import position


def test_adds_the_row_of_each_position(key):
    module, x = position.PositionEmbedding(6), jax.random.normal(key, (2, 4, 3))
    variables = module.init(key, x)
    table = np.asarray(variables["params"]["embedding"])
    assert table.shape == (6, 3)
    np.testing.assert_array_equal(module.apply(variables, x), np.asarray(x) + table[None, :4])
    steps = jnp.array([[5, 0, 0, 2], [1, 1, 3, 4]])
    got = module.apply(variables, x, steps)
    np.testing.assert_array_equal(got, np.asarray(x) + table[np.asarray(steps)])
    np.testing.assert_array_equal(
        module.apply(variables, x, steps[0]), np.asarray(x) + table[np.asarray(steps[0])][None]
    )


def test_a_position_past_the_table_is_loud(key):
    module, x = position.PositionEmbedding(6), jnp.ones((1, 2, 3))
    got = module.apply(module.init(key, x), x, jnp.array([5, 6]))
    assert jnp.isfinite(got[0, 0]).all()
    assert jnp.isnan(got[0, 1]).all()
