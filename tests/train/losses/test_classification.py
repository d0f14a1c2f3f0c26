import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp

from jaxnn.train import losses

# Compiled whole: one by one, the operations are some twenty small programs for each shape.
cross_entropy = jax.jit(losses.cross_entropy, static_argnames="label_smoothing")
accuracy = jax.jit(losses.accuracy)


@pytest.fixture
def logits():
    rng = np.random.default_rng(0)
    return 3 * rng.normal(size=(7, 5)).astype(np.float32), rng.integers(0, 5, 7).astype(np.int32)


def test_cross_entropy_equals_scipy(logits):
    z, y = logits
    want = -log_softmax(z.astype(np.float64), axis=-1)[np.arange(7), y]
    np.testing.assert_allclose(cross_entropy(jnp.asarray(z), jnp.asarray(y)), want, rtol=1e-5)


def test_any_leading_axes(logits):
    z, y = logits
    want = cross_entropy(jnp.asarray(z[:6]), jnp.asarray(y[:6]))
    got = cross_entropy(jnp.asarray(z[:6].reshape(2, 3, 5)), jnp.asarray(y[:6].reshape(2, 3)))
    np.testing.assert_allclose(got.reshape(6), want, rtol=1e-6)
    assert cross_entropy(jnp.asarray(z[0]), jnp.asarray(y[0])).shape == ()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_smoothing_is_cross_entropy_against_the_smoothed_distribution(logits, smoothing):
    """The definition itself, with the target distribution written out."""
    z, y = logits
    target = (1 - smoothing) * np.eye(5)[y] + smoothing / 5
    want = -(target * log_softmax(z.astype(np.float64), axis=-1)).sum(-1)
    got = cross_entropy(jnp.asarray(z), jnp.asarray(y), label_smoothing=smoothing)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_gradient_is_softmax_minus_target(logits):
    z, y = logits
    loss = lambda z: jnp.sum(cross_entropy(z, jnp.asarray(y), label_smoothing=0.2))  # noqa: E731
    target = 0.8 * np.eye(5)[y] + 0.2 / 5
    want = np.exp(z - logsumexp(z, axis=-1, keepdims=True)) - target
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(jnp.asarray(z)), want, atol=1e-6)


def test_hand_worked():
    """Two equal logits: one bit, ln 2 nats."""
    got = cross_entropy(jnp.zeros((1, 2)), jnp.array([1]))
    np.testing.assert_allclose(got, np.log(2), rtol=1e-6)


def test_labels_outside_the_classes_give_nan():
    """Also -1, which would index the last class."""
    outputs, targets = jnp.zeros((4, 3)), jnp.array([-1, -3, 3, 2])
    for smoothing in (0.0, 0.1):
        got = cross_entropy(outputs, targets, label_smoothing=smoothing)
        assert np.isnan(got).tolist() == [True, True, True, False]


def test_bytes_as_labels_of_256_classes():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(3, 256)), jnp.float32)
    labels = jnp.array([0, 40, 255], jnp.uint8)
    got = losses.cross_entropy(logits, labels)
    np.testing.assert_allclose(got, -log_softmax(logits, axis=-1)[range(3), labels], rtol=1e-5)
    best = jnp.argmax(logits, axis=-1).astype(jnp.uint8)
    np.testing.assert_array_equal(losses.accuracy(logits, best), 1)


def test_bfloat16_logits_give_float32_losses():
    """Compared with float64 on the same rounded logits."""
    z = (10 * jax.random.normal(jax.random.key(0), (50, 7))).astype(jnp.bfloat16)
    y = jnp.arange(50) % 7
    got = cross_entropy(z, y)
    want = -log_softmax(np.asarray(z, np.float64), axis=-1)[np.arange(50), y]
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert accuracy(z, y).dtype == jnp.float32


def test_accuracy_counts_the_largest_and_the_first_of_a_tie():
    outputs = jnp.array([[1.0, 2.0], [2.0, 1.0], [3.0, 3.0], [3.0, 3.0]])
    got = accuracy(outputs, jnp.array([1, 1, 0, 1]))
    assert got.tolist() == [1.0, 0.0, 1.0, 0.0]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.accuracy])
def test_bad_arguments_are_named(loss):
    name, z, y = loss.__name__, jnp.zeros((4, 3)), jnp.zeros(4, jnp.int32)
    with pytest.raises(ValueError, match=rf"{name}: `targets` is .*\(5,\).* needs shape \(4,\)"):
        loss(z, jnp.zeros(5, jnp.int32))
    with pytest.raises(ValueError, match=rf"{name}: .*one-hot\? Take their argmax"):
        loss(z, jnp.zeros((4, 3), jnp.int32))
    with pytest.raises(TypeError, match=f"{name}: `targets` .*integer class labels"):
        loss(z, y.astype(jnp.float32))
    with pytest.raises(TypeError, match=f"{name}: `outputs` .*floating-point"):
        loss(y[:, None], y)
    with pytest.raises(TypeError, match=f"{name}: `targets` is .*JAX or NumPy array"):
        loss(z, [0, 0, 0, 0])


def test_z_loss_adds_the_squared_log_normaliser(logits):
    """Also to a smoothed loss; a normaliser of one adds nothing."""
    z, y = jnp.asarray(logits[0]), jnp.asarray(logits[1])
    log_z = np.asarray(logsumexp(logits[0].astype(np.float64), axis=-1))
    for smoothing in (0.0, 0.3):
        plain = cross_entropy(z, y, label_smoothing=smoothing)
        got = losses.cross_entropy(z, y, label_smoothing=smoothing, z_loss=0.1)
        np.testing.assert_allclose(got, plain + 0.1 * log_z**2, rtol=1e-5)
    even = z - jax.nn.logsumexp(z, axis=-1, keepdims=True)
    got = losses.cross_entropy(even, y, z_loss=0.1)
    np.testing.assert_allclose(got, cross_entropy(z, y), rtol=1e-5)


def test_bad_z_loss_is_named():
    with pytest.raises(ValueError, match=r"cross_entropy: `z_loss` is .* at least zero"):
        losses.cross_entropy(jnp.zeros((1, 2)), jnp.zeros(1, jnp.int32), z_loss=-1e-4)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_bad_smoothing_is_named(smoothing):
    with pytest.raises(ValueError, match=r"cross_entropy: `label_smoothing` is .* in \[0, 1\)"):
        losses.cross_entropy(jnp.zeros((1, 2)), jnp.zeros(1, jnp.int32), label_smoothing=smoothing)
