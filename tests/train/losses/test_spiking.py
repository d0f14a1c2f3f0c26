import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.train import losses

LABELS = jnp.array([2, 0], jnp.int32)


@pytest.fixture
def spikes(key):
    """Trains of two examples, of which one unit is silent."""
    values = (jax.random.uniform(key, (2, 7, 3)) < 0.3).astype(jnp.float32)
    return values.at[0, :, 1].set(0.0)


def nll(logits, labels):
    logits = np.asarray(logits, float)
    norm = np.log(np.exp(logits).sum(-1))
    return norm - np.take_along_axis(logits, np.asarray(labels)[..., None], -1)[..., 0]


def first_times(spikes):
    return np.array(
        [
            [next((t for t in range(len(row)) if row[t, c]), len(row)) for c in range(3)]
            for row in np.asarray(spikes)
        ],
        float,
    )


def test_cross_entropies_equal_their_formulas(spikes, key):
    v = jax.random.normal(key, (2, 7, 3))
    steps = np.mean([nll(spikes[:, t], LABELS) for t in range(7)], axis=0)
    times = first_times(spikes)
    assert (times == 7).any()
    assert len(np.unique(times)) >= 3
    for loss, outputs, want in (
        (losses.rate_cross_entropy, spikes, steps),
        (losses.count_cross_entropy, spikes, nll(spikes.sum(1), LABELS)),
        (losses.membrane_cross_entropy, v, nll(v.max(1), LABELS)),
        (losses.first_spike_cross_entropy, spikes, nll(-times, LABELS)),
    ):
        np.testing.assert_allclose(loss(outputs, LABELS), want, rtol=1e-5)
        first = loss(jnp.moveaxis(outputs, 1, 0), LABELS, time_axis=0)
        np.testing.assert_allclose(first, want, rtol=1e-5)
        half = loss(outputs.astype(jnp.bfloat16), LABELS)
        assert half.dtype == jnp.float32


def test_squared_errors_equal_their_formulas(spikes, key):
    v = jax.random.normal(key, (2, 7, 3))
    hot = np.eye(3)[np.asarray(LABELS)]
    rates, times = np.asarray(spikes, float).mean(1), first_times(spikes) / 7
    for got, want in (
        (
            losses.rate_squared_error(spikes, LABELS, on_rate=0.8, off_rate=0.1),
            ((rates - (0.1 + 0.7 * hot)) ** 2).mean(-1),
        ),
        (
            losses.membrane_squared_error(v, LABELS, on_potential=2.0, off_potential=-1.0),
            ((np.asarray(v, float) - (3 * hot - 1)[:, None]) ** 2).mean((1, 2)),
        ),
        (
            losses.first_spike_squared_error(spikes, LABELS, on_time=0.2, off_time=0.9),
            ((times - (0.9 - 0.7 * hot)) ** 2).mean(-1),
        ),
    ):
        np.testing.assert_allclose(got, want, rtol=1e-5)


def test_first_spike_gradient_is_the_time_that_a_spike_would_save():
    """Class 0 fires at step 3: a spike one step before it would save one step, and so on."""
    spikes = jnp.zeros((1, 6, 2)).at[0, 3, 0].set(1.0)
    label = jnp.array([0], jnp.int32)
    gradient = jax.grad(lambda s: losses.first_spike_cross_entropy(s, label).sum())(spikes)
    wrong = 1 - np.exp(-3) / (np.exp(-3) + np.exp(-6))  # d loss / d t of the label's class
    # At the spike itself: without it the next would be none, three steps later.
    saved = np.array([3, 2, 1, 3, 0, 0])
    np.testing.assert_allclose(gradient[0, :, 0], -wrong * saved, rtol=1e-4)
    assert (gradient[0, :, 1] > 0).all()  # the other class should stay late


def test_unknown_labels_give_nan(spikes):
    for loss in (losses.rate_cross_entropy, losses.rate_squared_error):
        got = loss(spikes, jnp.array([-1, 0], jnp.int32))
        assert np.isnan(got).tolist() == [True, False]


def test_means_equal_snntorch(spikes, key):
    torch = pytest.importorskip("torch")
    theirs = pytest.importorskip("snntorch.functional")
    v = jax.random.normal(key, (2, 7, 3))
    labels = torch.tensor(np.array(LABELS)).long()
    for ours, their, outputs, factor in (
        (losses.rate_cross_entropy, theirs.ce_rate_loss(), spikes, 1),
        (losses.count_cross_entropy, theirs.ce_count_loss(), spikes, 1),
        (losses.membrane_cross_entropy, theirs.ce_max_membrane_loss(), v, 1),
        (losses.rate_squared_error, theirs.mse_count_loss(), spikes, 7),
        (losses.membrane_squared_error, theirs.mse_membrane_loss(), v, 1),
    ):
        want = their(torch.tensor(np.array(jnp.moveaxis(outputs, 1, 0))), labels).item()
        got = factor * ours(outputs, LABELS).mean()
        np.testing.assert_allclose(got, want, rtol=1e-5)
