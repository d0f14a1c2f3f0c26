"""Rows of ``analysis.attribution``; the function attributed is the same for all."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.analysis import attribution
from tests.laws.case import Case, Reject
from tests.laws.makers import normal

HOME = "analysis.attribution"
TESTS = "tests/analysis/attribution"
X = jnp.ones((2, 3))
W = np.random.default_rng(0).normal(size=(2, 3)).astype(np.float32)


def f(x):
    """One smooth number of a (2, 3) array."""
    return jnp.sum(jnp.tanh(x) * jnp.asarray(W, x.dtype)) + jnp.tanh(x[0, 0] * x[1, 2])


def many(method, **options):
    """Make the call that gives a function of many outputs to a method."""
    return Reject(
        call=lambda: method(lambda x: x, X, **options),
        error=ValueError,
        match=rf"{method.__name__}: `f\(x\)` is .*\(2, 3\).* needs shape \(\)",
    )


def whole(method, **options):
    """Make the call that gives an integer example to a method."""
    return Reject(
        call=lambda: method(f, X.astype(int), **options),
        error=TypeError,
        match=rf"{method.__name__}: `x` .*floating-point",
    )


CASES = [
    Case(
        name=f"{HOME}.gradient",
        function=lambda x: attribution.gradient(f, x),
        inputs=lambda key: normal(key, (2, 3)),
        parity=f"{TESTS}/test_gradient.py",
        equals={"grad": jax.grad(f)},
        rejects=(many(attribution.gradient), whole(attribution.gradient)),
    ),
    Case(
        name=f"{HOME}.input_x_gradient",
        function=lambda x: attribution.input_x_gradient(f, x),
        inputs=lambda key: normal(key, (2, 3)),
        parity=f"{TESTS}/test_gradient.py",
        equals={"product": lambda x: x * jax.grad(f)(x)},
        rejects=(many(attribution.input_x_gradient), whole(attribution.input_x_gradient)),
    ),
    Case(
        name=f"{HOME}.integrated_gradients",
        function=lambda x, b: attribution.integrated_gradients(f, x, b, steps=7, batch_size=3),
        inputs=lambda key: normal(key, (2, 3), (2, 3)),
        parity=f"{TESTS}/test_integrated_gradients.py",
        equals={
            "one at a time": lambda x, b: attribution.integrated_gradients(
                f, x, b, steps=7, batch_size=1
            )
        },
        rejects=(
            many(attribution.integrated_gradients),
            whole(attribution.integrated_gradients),
            Reject(
                call=lambda: attribution.integrated_gradients(f, X, X[0]),
                error=ValueError,
                match=r"integrated_gradients: `baseline` is .*\(3,\).* the shape \(2, 3\)",
            ),
            Reject(
                call=lambda: attribution.integrated_gradients(f, X, method="simpson"),
                error=ValueError,
                match="integrated_gradients: `method` is 'simpson'; it needs one of gauss",
            ),
            Reject(
                call=lambda: attribution.integrated_gradients(f, X, steps=0),
                error=ValueError,
                match="integrated_gradients: `steps` is 0",
            ),
            Reject(
                call=lambda: attribution.integrated_gradients(f, X, batch_size=0),
                error=ValueError,
                match="integrated_gradients: `batch_size` is 0",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.completeness_residual",
        function=lambda x, a, b: attribution.completeness_residual(f, x, a, b),
        inputs=lambda key: normal(key, (2, 3), (2, 3), (2, 3)),
        parity=f"{TESTS}/test_integrated_gradients.py",
        rejects=(
            Reject(
                call=lambda: attribution.completeness_residual(f, X, X[0]),
                error=ValueError,
                match=r"completeness_residual: `attributions` is .*\(3,\).* needs the shape",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.gradient_shap",
        function=lambda x, b, key: attribution.gradient_shap(f, x, b, key=key, samples=4),
        inputs=lambda key: (*normal(key, (2, 3), (5, 2, 3)), key),
        key=2,
        parity=f"{TESTS}/test_gradient_shap.py",
        rejects=(
            many(attribution.gradient_shap, baselines=X[None], key=jax.random.key(0)),
            Reject(
                call=lambda: attribution.gradient_shap(f, X, X, key=jax.random.key(0)),
                error=ValueError,
                match=r"gradient_shap: `baselines` is .* needs the shape \(count, 2, 3\)",
            ),
            Reject(
                call=lambda: attribution.gradient_shap(f, X, X[None], key=0),
                error=TypeError,
                match="gradient_shap: `key` is 0; it needs a random key",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.smooth",
        function=lambda x, key: attribution.smooth(attribution.gradient)(
            f, x, key=key, stdev=0.2, samples=4
        ),
        inputs=lambda key: (*normal(key, (2, 3)), key),
        key=1,
        parity=f"{TESTS}/test_smooth.py",
        rejects=(
            Reject(
                call=lambda: attribution.smooth(attribution.gradient, statistic="median"),
                error=ValueError,
                match="smooth: `statistic` is 'median'; it needs one of mean, square, variance",
            ),
            Reject(
                call=lambda: attribution.smooth(attribution.gradient)(
                    f, X, key=jax.random.key(0), stdev=0.0
                ),
                error=ValueError,
                match=r"smooth: `stdev` is 0\.0",
            ),
            Reject(
                call=lambda: attribution.smooth(attribution.gradient)(f, X, key=3, stdev=1.0),
                error=TypeError,
                match="smooth: `key` is 3; it needs a random key",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.occlusion",
        function=lambda x, b: attribution.occlusion(f, x, window=(1, 2), baseline=b),
        inputs=lambda key: normal(key, (2, 3), (2, 3)),
        parity=f"{TESTS}/test_occlusion.py",
        rejects=(
            many(attribution.occlusion, window=1),
            Reject(
                call=lambda: attribution.occlusion(f, X, window=(1, 4)),
                error=ValueError,
                match=r"occlusion: `window` is \(1, 4\); it needs at most the shape",
            ),
            Reject(
                call=lambda: attribution.occlusion(f, X, window=1, stride=2),
                error=ValueError,
                match="occlusion: `stride` is 2; it needs at most the window",
            ),
            Reject(
                call=lambda: attribution.occlusion(f, X, window=(1, 1, 1)),
                error=ValueError,
                match="occlusion: `window` .* a positive int, or 2 of them",
            ),
        ),
    ),
]
