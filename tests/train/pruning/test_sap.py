import jax.numpy as jnp
import numpy as np
import pytest

from jaxnn.train import pruning

RNG = np.random.default_rng(0)


def bound(w):
    """The retained count of the paper for p = 1, q = 2: squared sum over sum of squares."""
    return jnp.sum(jnp.abs(w)) ** 2 / jnp.maximum(jnp.sum(w**2), 1e-30)


def test_count_follows_the_formula_and_its_limits():
    for retained, size, gamma, beta in [
        (70.5, 100, 1.0, 0.9),
        (3.0, 100, 1.0, 0.9),
        (50.0, 200, 0.5, 0.9),
        (50.0, 200, 2.0, 0.3),
        (10.0, 10, 1.0, 0.9),
        (12.0, 10, 1.0, 0.9),
    ]:
        want = max(0, int(np.floor(size * min(gamma * (1 - retained / size), beta))))
        assert pruning.sap_count(retained, size, gamma=gamma, beta=beta) == want
    assert pruning.sap_count(0.0, 0) == 0


@pytest.mark.parametrize("scope", ["global", "layer", "neuron"])
def test_rounds_equal_a_numpy_loop(scope):
    params = {"a": RNG.laplace(size=(6, 4)), "b": RNG.normal(size=(5, 3)), "bias": np.ones(4)}
    groups = {
        "global": [[("a", i) for i in range(24)] + [("b", i) for i in range(15)]],
        "layer": [[("a", i) for i in range(24)], [("b", i) for i in range(15)]],
        "neuron": [
            [(name, row * width + column) for row in range(rows)]
            for name, rows, width in (("a", 6, 4), ("b", 5, 3))
            for column in range(width)
        ],
    }[scope]
    arrays = {name: jnp.asarray(value, jnp.float32) for name, value in params.items()}
    kept = {name: np.ones(value.size, bool) for name, value in params.items()}
    masks = None
    for _ in range(3):
        masks = pruning.sap_masks(arrays, bound, masks=masks, scope=scope)
        for group in groups:
            left = [place for place in group if kept[place[0]][place[1]]]
            w = np.array([abs(params[name].ravel()[i]) for name, i in left])
            # The index with the present d, not the simplified form that drops it.
            d = len(w)
            index = 1 - d**-0.5 * w.sum() / np.sqrt((w**2).sum())
            r = d * (1 - index) ** 2
            # Nine digits, for one weight left gives 0 up to rounding.
            c = int(np.floor(d * min(round(1 - r / d, 9), 0.9)))
            for place in np.argsort(w)[:c]:
                kept[left[place][0]][left[place][1]] = False
        for name in ("a", "b"):
            np.testing.assert_array_equal(np.asarray(masks[name]).ravel(), kept[name])
    assert masks["bias"].all()
    assert 0 < kept["a"].sum() < 24


def test_equal_weights_are_left_alone():
    masks = pruning.sap_masks({"w": jnp.full((4, 4), -2.0)}, bound)
    assert masks["w"].all()
