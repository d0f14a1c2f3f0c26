import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.analysis import faithfulness


def loop(f, x, a, baseline, counts, insert):
    """Replace entry by entry, by the definition."""
    before, after = (baseline, x) if insert else (x, baseline)
    order = np.argsort(-a.ravel(), kind="stable")
    curve = []
    for count in counts:
        changed = before.reshape(a.size, -1).copy()
        changed[order[:count]] = after.reshape(a.size, -1)[order[:count]]
        curve.append(f(changed.reshape(x.shape)))
    return curve


@pytest.mark.parametrize("insert", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (3, 2), (3,)])
def test_equals_a_loop(insert, shape):
    rng = np.random.default_rng(0)
    x, baseline, w = rng.normal(size=(3, 3, 4))
    a = rng.normal(size=(3, 4) if shape == (3, 4) else (3,))
    curve = faithfulness.insertion_curve if insert else faithfulness.deletion_curve
    steps = a.size if shape != (3, 2) else 2
    got = curve(
        lambda x: jnp.sum(jnp.tanh(x * jnp.asarray(w, jnp.float32))),
        *(jnp.asarray(v, jnp.float32) for v in (x, a)),
        baseline=jnp.asarray(baseline, jnp.float32),
        steps=steps,
    )
    counts = [0, 2, 3] if shape == (3, 2) else range(a.size + 1)  # 1.5 rounds to even
    want = loop(lambda x: np.tanh(x * w).sum(), x, a, baseline, counts, insert)
    np.testing.assert_allclose(got, want, atol=1e-5)


def test_the_true_order_has_the_smallest_area_under_deletion_and_largest_under_insertion(key):
    x = jnp.array([1.0, 5.0, 2.0, 3.0])
    orders = [x, -x, jnp.array([3.0, 1.0, 2.0, 0.0])]
    deletion = [faithfulness.deletion_curve(jnp.sum, x, a, steps=4).sum() for a in orders]
    insertion = [faithfulness.insertion_curve(jnp.sum, x, a, steps=4).sum() for a in orders]
    assert np.argmin(deletion) == np.argmax(insertion) == 0
    assert np.argmax(deletion) == np.argmin(insertion) == 1
