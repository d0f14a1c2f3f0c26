import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from jaxnn.analysis import attribution
from tests.analysis.attribution.networks import BASELINE, X, array, f, slope, value

METHODS = (
    "gausslegendre",
    "riemann_left",
    "riemann_right",
    "riemann_middle",
    "riemann_trapezoid",
)


def exact():
    path = X - BASELINE
    return path * integrate.quad_vec(lambda a: slope(BASELINE + a * path), 0, 1)[0]


def test_equals_the_integral_by_adaptive_quadrature():
    got = attribution.integrated_gradients(f, array(X), array(BASELINE))
    np.testing.assert_allclose(got, exact(), atol=2e-6)
    np.testing.assert_allclose(got.sum(), value(X) - value(BASELINE), atol=5e-6)


@pytest.mark.parametrize("method", METHODS[1:])
def test_sums_equal_a_numpy_loop(method):
    n, path = 7, X - BASELINE
    points = {
        "riemann_left": [k / n for k in range(n)],
        "riemann_right": [(k + 1) / n for k in range(n)],
        "riemann_middle": [(k + 0.5) / n for k in range(n)],
        "riemann_trapezoid": [k / (n - 1) for k in range(n)],
    }[method]
    weights = np.ones(n) / n
    if method == "riemann_trapezoid":
        weights = np.r_[0.5, np.ones(n - 2), 0.5] / (n - 1)
    want = path * sum(w * slope(BASELINE + a * path) for a, w in zip(points, weights, strict=True))
    got = attribution.integrated_gradients(
        f, array(X), array(BASELINE), steps=n, method=method, batch_size=3
    )
    np.testing.assert_allclose(got, want, atol=2e-6)
    assert np.abs(want - exact()).max() > 1e-4  # a method that was ignored would be seen


@pytest.mark.parametrize(
    ("method", "order"), [("riemann_left", 1), ("riemann_right", 1), ("riemann_middle", 2)]
)
def test_order_of_convergence(method, order):
    with jax.enable_x64(True):
        x, baseline = jnp.asarray(X), jnp.asarray(BASELINE)
        errors = [
            np.abs(
                attribution.integrated_gradients(f, x, baseline, steps=n, method=method) - exact()
            ).max()
            for n in (64, 128)
        ]
    np.testing.assert_allclose(np.log2(errors[0] / errors[1]), order, atol=0.1)


@pytest.mark.parametrize("batch_size", [1, 4, 10, 25, 100])
def test_chunks_change_nothing(batch_size):
    whole = attribution.integrated_gradients(f, array(X), steps=25, batch_size=25)
    got = attribution.integrated_gradients(f, array(X), steps=25, batch_size=batch_size)
    np.testing.assert_allclose(got, whole, atol=1e-6)


def test_saturated_function_keeps_its_attribution():
    saturated = lambda x: 1 - jax.nn.relu(1 - x)  # noqa: E731
    assert attribution.gradient(saturated, jnp.array(2.0)) == 0
    np.testing.assert_allclose(
        attribution.integrated_gradients(saturated, jnp.array(2.0)), 1.0, atol=1e-6
    )


def test_axioms(key):
    x, baseline = jax.random.normal(key, (2, 3))
    weights = jnp.array([1.0, -2.0, 0.5])
    linear = attribution.integrated_gradients(lambda x: x @ weights + 7, x, baseline, steps=1)
    np.testing.assert_allclose(linear, weights * (x - baseline), atol=1e-6)
    halves = attribution.integrated_gradients(lambda x: x[0] * x[1], x)
    np.testing.assert_allclose(halves, jnp.array([1, 1, 0]) * x[0] * x[1] / 2, atol=1e-6)
    symmetric = attribution.integrated_gradients(lambda x: jnp.sin(x.sum()), jnp.full(3, 0.4), 0.1)
    np.testing.assert_array_equal(symmetric, symmetric[::-1])


def test_baseline_may_be_a_number():
    got = attribution.integrated_gradients(f, array(X), 0.25)
    want = attribution.integrated_gradients(f, array(X), jnp.full(4, 0.25))
    np.testing.assert_array_equal(got, want)
    assert not np.allclose(got, attribution.integrated_gradients(f, array(X)))


def test_completeness_residual_has_the_sign_of_the_excess():
    x, baseline = array(X), array(BASELINE)
    a = attribution.integrated_gradients(f, x, baseline)
    assert abs(attribution.completeness_residual(f, x, a, baseline)) < 1e-5
    residual = attribution.completeness_residual(f, x, a + 0.25, baseline)
    np.testing.assert_allclose(residual, 1.0, atol=1e-5)


@pytest.mark.usefixtures("unchecked")
def test_a_baseline_that_is_the_example_is_refused_outside_jit():
    x = jnp.ones(4)
    with pytest.raises(ValueError, match=r"integrated_gradients: `baseline` .* differ from `x`"):
        attribution.integrated_gradients(f, x, x)
    inside = jax.jit(lambda x: attribution.integrated_gradients(f, x, x))
    np.testing.assert_array_equal(inside(x), jnp.zeros(4))
    np.testing.assert_array_equal(attribution.integrated_gradients(f, 0 * x), jnp.zeros(4))


def test_memory_is_bounded_by_the_chunk():
    """No array of the program holds all points."""

    def largest(jaxpr):
        sizes = [v.aval.size for e in jaxpr.eqns for v in e.outvars]
        for e in jaxpr.eqns:
            sizes += [largest(p.jaxpr) for p in e.params.values() if hasattr(p, "jaxpr")]
        return max(sizes, default=0)

    program = jax.make_jaxpr(
        lambda x: attribution.integrated_gradients(f, x, steps=400, batch_size=5)
    )(array(X))
    assert largest(program.jaxpr) <= 400  # the weights; all gradients would be 400 * 4
    assert "scan" in str(program)


@pytest.mark.parametrize("method", METHODS[:4])
def test_parity_with_captum(method):
    captum_attr = pytest.importorskip("captum.attr")
    torch = pytest.importorskip("torch")
    from tests.analysis.attribution.networks import FIRST, LAST

    first, last = (torch.tensor(w, dtype=torch.float32) for w in (FIRST, LAST))
    theirs = captum_attr.IntegratedGradients(lambda x: torch.tanh(x @ first) @ last)
    rows = [torch.tensor(v, dtype=torch.float32)[None] for v in (X, BASELINE)]
    want = theirs.attribute(rows[0], rows[1], n_steps=50, method=method)[0].numpy()
    got = attribution.integrated_gradients(f, array(X), array(BASELINE), method=method)
    np.testing.assert_allclose(got, want, atol=1e-5)
