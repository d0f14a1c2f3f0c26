"""Rows of ``analysis.information``.

Measures stay float32 for bfloat16 input, by design; the rows cast them.
"""

from functools import partial

import jax
import jax.numpy as jnp

from jaxnn.analysis import information
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import normal

HOME = "analysis.information"
DISCRETE = "tests/analysis/information/test_discrete.py"
PLANE = "tests/analysis/information/test_plane.py"
NEIGHBOURS = "tests/analysis/information/test_neighbours.py"
Y = jnp.arange(9) % 3
X = jnp.ones((9, 2))
COUNTED = {"gradients": "counting has no gradient"}
WHOLE = {**COUNTED, "extremes": "whole numbers are always finite"}


def apart(key):
    """Make values that are far from each other, so that rounding changes no order."""
    (noise,) = normal(key, (9, 2))
    return (jnp.argsort(noise.ravel()).reshape(9, 2).astype(jnp.float32) ** 2 / 16,)


def floats(name, argument, call):
    """Make the call that gives integers where floats are needed."""
    return Reject(
        call=lambda: call(X.astype(int)), error=TypeError, match=f"{name}: `{argument}` .*floating"
    )


def plane_case(name, bad, held=(), **options):
    """Make the row of one estimator of the information plane."""
    estimator, held = getattr(information, name), dict(held)
    return Case(
        name=f"{HOME}.{name}",
        function=lambda t: [a.astype(t.dtype) for a in estimator(t, Y, **held)],
        parity=PLANE,
        rejects=(
            floats(name, "t", lambda t: estimator(t, Y)),
            Reject(
                call=lambda: estimator(X, Y[:2]),
                error=ValueError,
                match=rf"{name}: `labels` is .*\(2,\).* needs shape \(9,\)",
            ),
            bad,
        ),
        **options,
    )


def option(name, argument, function, **options):
    """Make the call with one bad option."""
    return Reject(
        call=lambda: function(X, **options), error=ValueError, match=f"{name}: `{argument}` is"
    )


def neighbour_case(name, call, **options):
    """Make the row of an estimator by nearest neighbours."""
    return Case(
        name=f"{HOME}.{name}",
        function=lambda x: call(x, neighbours=2).astype(x.dtype),
        parity=NEIGHBOURS,
        equals={"a few at a time": lambda x: call(x, neighbours=2, batch_size=2)},
        rejects=(
            floats(name, "x", call),
            Reject(
                call=lambda: call(X, neighbours=9),
                error=ValueError,
                match=f"{name}: `x` is .* more than 9 samples",
            ),
            Reject(
                call=lambda: call(X[:, :0]),
                error=ValueError,
                match=f"{name}: `x` is .* needs shape",
            ),
        ),
        **options,
    )


CASES = [
    Plain(name=f"{HOME}.Bounds", reason="a tuple of two results", parity=PLANE),
    Plain(name=f"{HOME}.Information", reason="a tuple of two results", parity=PLANE),
    Case(
        name=f"{HOME}.bin_uniform",
        function=lambda t: information.bin_uniform(t, bins=4),
        inputs=lambda key: normal(key, (4, 3)),
        parity=DISCRETE,
        rejects=(
            floats("bin_uniform", "t", information.bin_uniform),
            option("bin_uniform", "bins", information.bin_uniform, bins=0),
            option("bin_uniform", "high", information.bin_uniform, high=-1.0),
        ),
        exempt=WHOLE,
    ),
    Case(
        name=f"{HOME}.bin_quantile",
        function=lambda t: information.bin_quantile(t, bins=4),
        inputs=apart,
        parity=DISCRETE,
        rejects=(
            floats("bin_quantile", "t", information.bin_quantile),
            option("bin_quantile", "bins", information.bin_quantile, bins=0),
        ),
        exempt=WHOLE,
    ),
    Case(
        name=f"{HOME}.discrete_states",
        function=information.discrete_states,
        inputs=lambda key: normal(key, (4, 3)),
        parity=DISCRETE,
        rejects=(
            Reject(
                call=lambda: information.discrete_states(X[:0]),
                error=ValueError,
                match="discrete_states: `rows` .*at least one row",
            ),
            Reject(
                call=lambda: information.discrete_states(X.astype(jnp.complex64)),
                error=TypeError,
                match="discrete_states: `rows` has dtype complex64; it needs real numbers",
            ),
        ),
        exempt=WHOLE,
    ),
    Case(
        name=f"{HOME}.discrete_entropy",
        function=lambda t: information.discrete_entropy(jnp.sign(t)).astype(t.dtype),
        inputs=lambda key: normal(key, (7, 2)),
        parity=DISCRETE,
        rejects=(
            Reject(
                call=lambda: information.discrete_entropy(X[:0]),
                error=ValueError,
                match="discrete_entropy: `rows` .*at least one row",
            ),
        ),
        exempt=COUNTED,
    ),
    Case(
        name=f"{HOME}.discrete_mutual_information",
        function=lambda t: information.discrete_mutual_information(
            jnp.sign(t), jnp.sign(t[:, 0])
        ).astype(t.dtype),
        inputs=lambda key: normal(key, (7, 2)),
        parity=DISCRETE,
        rejects=(
            Reject(
                call=lambda: information.discrete_mutual_information(X, Y[:2]),
                error=ValueError,
                match="discrete_mutual_information: `b` .*9 samples, as many as `a`",
            ),
        ),
        exempt=COUNTED,
    ),
    Case(
        name=f"{HOME}.mixture_information",
        function=lambda t: [
            a.astype(t.dtype) for a in information.mixture_information(t, 0.3, batch_size=4)
        ],
        inputs=lambda key: normal(key, (7, 2)),
        parity=PLANE,
        rejects=(
            floats("mixture_information", "t", information.mixture_information),
            option("mixture_information", "variance", information.mixture_information, variance=0),
            option(
                "mixture_information", "batch_size", information.mixture_information, batch_size=0
            ),
        ),
    ),
    plane_case(
        "binned_information",
        option("bin_uniform", "bins", partial(information.binned_information, labels=Y), bins=0),
        inputs=lambda key: normal(key, (9, 2)),
        exempt=COUNTED,
    ),
    plane_case(
        "adaptive_binned_information",
        option(
            "bin_quantile",
            "bins",
            partial(information.adaptive_binned_information, labels=Y),
            bins=0,
        ),
        inputs=apart,
        exempt=COUNTED,
    ),
    plane_case(
        "kde_information",
        option(
            "kde_information",
            "variance",
            partial(information.kde_information, labels=Y),
            variance=0,
        ),
        held={"variance": 0.3},
        inputs=lambda key: normal(key, (9, 2)),
    ),
    plane_case(
        "adaptive_kde_information",
        option(
            "adaptive_kde_information",
            "scale",
            partial(information.adaptive_kde_information, labels=Y),
            scale=0,
        ),
        inputs=apart,
    ),
    Case(
        name=f"{HOME}.information_plane",
        function=lambda t: jax.tree.map(
            lambda a: a.astype(t.dtype),
            information.information_plane(
                {"a": t, "b": t[:, :1]},
                Y,
                estimator=partial(information.kde_information, variance=0.3),
            ),
        ),
        inputs=lambda key: normal(key, (9, 2)),
        parity=PLANE,
        rejects=(
            Reject(
                call=lambda: information.information_plane({}, Y),
                error=ValueError,
                match=r"information_plane: `activations` is \{\}; it needs at least one layer",
            ),
        ),
    ),
    neighbour_case(
        "knn_entropy",
        information.knn_entropy,
        inputs=lambda key: normal(key, (9, 2)),
        exempt={"extremes": "samples in one place have an entropy of minus infinity"},
    ),
    neighbour_case(
        "knn_mutual_information",
        lambda x, **options: information.knn_mutual_information(x, x[::-1], **options),
        inputs=apart,
        exempt=COUNTED,
    ),
    neighbour_case(
        "knn_label_information",
        lambda x, **options: information.knn_label_information(x, Y, **options),
        inputs=apart,
        exempt=COUNTED,
    ),
]
