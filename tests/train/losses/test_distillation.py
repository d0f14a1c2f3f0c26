import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from jaxnn.train import losses


@pytest.fixture
def pair():
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 5)).astype(np.float32), rng.normal(size=(7, 5)).astype(np.float32)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_equals_scipy(pair, temperature):
    student, teacher = (x.astype(np.float64) / temperature for x in pair)
    want = -(temperature**2) * np.sum(softmax(teacher, -1) * log_softmax(student, -1), -1)
    got = losses.distillation(*map(jnp.asarray, pair), temperature=temperature)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_a_sure_teacher_is_a_label(pair):
    labels = jnp.arange(7) % 5
    got = losses.distillation(jnp.asarray(pair[0]), 100 * jax.nn.one_hot(labels, 5))
    np.testing.assert_allclose(got, losses.cross_entropy(jnp.asarray(pair[0]), labels), rtol=1e-5)


def test_gradient_is_the_distance_of_probabilities(pair):
    """Zero where they agree; none for the teacher."""
    student, teacher = map(jnp.asarray, pair)
    loss = lambda z, t: jnp.sum(losses.distillation(z, t, temperature=2.0))  # noqa: E731
    to_student, to_teacher = jax.jit(jax.grad(loss, (0, 1)))(student, teacher)
    want = 2 * (softmax(pair[0] / 2, -1) - softmax(pair[1] / 2, -1))
    np.testing.assert_allclose(to_student, want, atol=1e-6)
    np.testing.assert_array_equal(to_teacher, 0)
    # A constant added to all logits changes no probability.
    np.testing.assert_allclose(jax.grad(loss)(teacher + 1.0, teacher), 0, atol=1e-6)


def test_bfloat16_logits_give_float32_losses(pair):
    z, t = (jnp.asarray(x, jnp.bfloat16) for x in pair)
    got = losses.distillation(z, t)
    z, t = (np.asarray(x, np.float64) for x in (z, t))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, -np.sum(softmax(t, -1) * log_softmax(z, -1), -1), rtol=1e-5)
