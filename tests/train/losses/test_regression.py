import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.train import losses


def pair(*shape):
    rng = np.random.default_rng(0)
    return rng.normal(size=shape).astype(np.float32), rng.normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(6, 3), (2, 4, 3), (3,), (6, 1)])
def test_equal_numpy(shape):
    a, b = pair(*shape)
    square = losses.squared_error(jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_allclose(square, ((a - b) ** 2).mean(-1), rtol=1e-5)
    absolute = losses.absolute_error(jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_allclose(absolute, np.abs(a - b).mean(-1), rtol=1e-5)


def test_hand_worked():
    """No factor of one half; the mean over outputs, not the sum."""
    outputs, targets = jnp.array([[3.0, 0.0]]), jnp.array([[1.0, 1.0]])
    assert losses.squared_error(outputs, targets).tolist() == [2.5]
    assert losses.absolute_error(outputs, targets).tolist() == [1.5]


@pytest.mark.parametrize("loss", [losses.squared_error, losses.absolute_error])
def test_one_output_may_have_flat_targets(loss):
    a, b = pair(6, 1)
    flat = loss(jnp.asarray(a), jnp.asarray(b[:, 0]))
    assert flat.shape == (6,), "not the n x n differences of a broadcast"
    np.testing.assert_array_equal(flat, loss(jnp.asarray(a), jnp.asarray(b)))


@pytest.mark.parametrize("loss", [losses.squared_error, losses.absolute_error])
def test_bfloat16_is_computed_in_float32(loss):
    """257 and 256 differ in float32 but 257 is no bfloat16; 1000.5 - 0.5 needs more digits."""
    outputs = jnp.full((1, 2), 256, jnp.bfloat16)
    got = loss(outputs, jnp.full((1, 2), 1.0, jnp.bfloat16))
    assert got.dtype == jnp.float32
    assert got.tolist() == [255.0**2 if loss is losses.squared_error else 255.0]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("loss", [losses.squared_error, losses.absolute_error])
@pytest.mark.parametrize(
    ("outputs", "targets"),
    [((4, 1), (4, 3)), ((4, 3), (4, 1)), ((4, 3), (4,)), ((4, 3), (3,)), ((4,), (1,)), ((1,), ())],
)
def test_shapes_are_never_broadcast(loss, outputs, targets):
    if outputs == (1,):  # one example of one output: its target may be a number
        assert loss(jnp.ones(outputs), jnp.zeros(targets)).shape == ()
        return
    with pytest.raises(ValueError, match=rf"{loss.__name__}: `targets` is .*shape .* of `outputs`"):
        loss(jnp.ones(outputs), jnp.ones(targets))


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("loss", [losses.squared_error, losses.absolute_error])
def test_integers_are_refused(loss):
    with pytest.raises(TypeError, match=f"{loss.__name__}: `targets` .*floating-point"):
        loss(jnp.ones((2, 1)), jnp.ones((2, 1), jnp.int32))
    with pytest.raises(ValueError, match=f"{loss.__name__}: `targets`"):
        loss(jnp.ones(()), jnp.ones(()))
