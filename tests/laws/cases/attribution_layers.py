"""Rows of ``analysis.attribution``: at a layer, the network given in two functions."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.analysis import attribution
from tests.laws.case import Case, Reject
from tests.laws.cases.attribution import HOME, TESTS, W, X, f
from tests.laws.makers import normal

KERNEL = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)


def before(x):
    """A layer's value, (2, 4), of a (2, 3) array."""
    return jnp.tanh(x @ jnp.asarray(KERNEL, x.dtype))


def after(h, x):
    """One number of the layer's value and, around it, of the example."""
    return jnp.tanh(h[:, :3] * jnp.asarray(W, h.dtype)).sum() + jnp.tanh(x[0, 0] * h[1, 3])


def two(key):
    return normal(key, (2, 3), (2, 3))


def along(method):
    """Make the rejections of a method that integrates along the line."""
    name = method.__name__
    return (
        Reject(
            call=lambda: method(before, lambda h, x: h, X),
            error=ValueError,
            match=rf"{name}: `f\(x\)` is .*\(2, 4\).* needs shape \(\)",
        ),
        Reject(
            call=lambda: method(before, after, X.astype(int)),
            error=TypeError,
            match=rf"{name}: `x` .*floating-point",
        ),
        Reject(
            call=lambda: method(before, after, X, X[0]),
            error=ValueError,
            match=rf"{name}: `baseline` is .*\(3,\).* the shape \(2, 3\)",
        ),
    )


CASES = [
    Case(
        name=f"{HOME}.grad_cam",
        function=lambda h: attribution.grad_cam(f, h, rectify=False),
        inputs=lambda key: normal(key, (2, 3)),
        parity=f"{TESTS}/test_grad_cam.py",
        rejects=(
            Reject(
                call=lambda: attribution.grad_cam(lambda h: h, X),
                error=ValueError,
                match=r"grad_cam: `f\(x\)` is .* needs shape \(\)",
            ),
            Reject(
                call=lambda: attribution.grad_cam(jnp.sum, X[0]),
                error=ValueError,
                match=r"grad_cam: `value` .* needs shape \(\*positions, channels\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.guided_grad_cam",
        function=attribution.guided_grad_cam,
        inputs=lambda key: normal(key, (2, 3), (4, 6, 2)),
        parity=f"{TESTS}/test_grad_cam.py",
        rejects=(
            Reject(
                call=lambda: attribution.guided_grad_cam(X, X[0]),
                error=ValueError,
                match="guided_grad_cam: `guided` .* needs the 2 axes of `cam` or more",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.conductance",
        function=lambda x, b: attribution.conductance(before, after, x, b, steps=4),
        inputs=two,
        parity=f"{TESTS}/test_conductance.py",
        rejects=along(attribution.conductance),
    ),
    Case(
        name=f"{HOME}.internal_influence",
        function=lambda x, b: attribution.internal_influence(before, after, x, b, steps=4),
        inputs=two,
        parity=f"{TESTS}/test_conductance.py",
        rejects=along(attribution.internal_influence),
    ),
    Case(
        name=f"{HOME}.through",
        function=lambda x: jax.grad(attribution.through(before, after, (1, 3)))(x),
        inputs=lambda key: normal(key, (2, 3)),
        parity=f"{TESTS}/test_conductance.py",
        exempt={"gradients": "its gradient is not that of its values, and is meant not to be"},
        rejects=(
            Reject(
                call=lambda: attribution.through(lambda x: x.astype(int), after, 0)(X),
                error=TypeError,
                match=r"through: `before\(x\)` .*floating-point",
            ),
        ),
    ),
]
