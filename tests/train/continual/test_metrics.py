"""The measures of continual learning against sums written out, and cases worked by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.train import continual

R = jnp.array([[0.9, 0.2, 0.3], [0.5, 0.8, 0.4], [0.6, 0.7, 0.95]])
UNTRAINED = jnp.array([0.11, 0.12, 0.13])


def test_worked_by_hand():
    assert continual.average_accuracy(R).item() == pytest.approx((0.6 + 0.7 + 0.95) / 3)
    assert continual.forgetting(R).item() == pytest.approx((0.3 + 0.1) / 2)
    assert continual.backward_transfer(R).item() == pytest.approx((-0.3 - 0.1) / 2)
    forward = continual.forward_transfer(R, UNTRAINED).item()
    assert forward == pytest.approx((0.2 - 0.12 + 0.4 - 0.13) / 2)


def test_sums_written_out_from_the_papers():
    random = np.random.default_rng(0)
    seeds, tasks = 3, 5
    matrices = random.uniform(size=(seeds, tasks, tasks))
    start = random.uniform(size=(seeds, tasks))
    got = [
        f(jnp.asarray(matrices, jnp.float32))
        for f in (continual.average_accuracy, continual.forgetting, continual.backward_transfer)
    ]
    got.append(
        continual.forward_transfer(
            jnp.asarray(matrices, jnp.float32), jnp.asarray(start, jnp.float32)
        )
    )
    for seed in range(seeds):
        r, b = matrices[seed], start[seed]
        last = tasks - 1
        want = [sum(r[last, j] for j in range(tasks)) / tasks]
        fallen = [max(r[i, j] for i in range(last)) - r[last, j] for j in range(last)]
        want.append(sum(fallen) / last)
        want.append(sum(r[last, j] - r[j, j] for j in range(last)) / last)
        want.append(sum(r[j - 1, j] - b[j] for j in range(1, tasks)) / last)
        np.testing.assert_allclose([g[seed] for g in got], want, rtol=1e-5)


def test_forgetting_is_from_the_best_and_transfer_from_the_diagonal():
    """A task that got better after its own training: forgotten more than transfer says."""
    better = jnp.array([[0.5, 0.0, 0.0], [0.9, 0.5, 0.0], [0.4, 0.5, 0.5]])
    assert continual.forgetting(better).item() == pytest.approx(0.25)
    assert continual.backward_transfer(better).item() == pytest.approx(-0.05)


def test_bfloat16_keeps_its_dtype():
    low = jax.jit(continual.forgetting)(R.astype(jnp.bfloat16))
    assert low.dtype == jnp.bfloat16
    assert float(low) == pytest.approx(0.2, abs=0.005)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: continual.forgetting(R[:2]), ValueError, "forgetting: `accuracy` is an array"),
        (lambda: continual.forgetting(R[:1, :1]), ValueError, "two tasks or more"),
        (lambda: continual.average_accuracy([[1.0]]), TypeError, "average_accuracy: `accuracy`"),
        (
            lambda: continual.forward_transfer(R, UNTRAINED[:2]),
            ValueError,
            r"forward_transfer: `untrained` .* it needs shape \(3,\)",
        ),
    ],
)
def test_what_is_no_matrix_of_tasks_is_refused(call, error, match):
    with pytest.raises(error, match=match):
        call()
