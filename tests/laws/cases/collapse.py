"""Rows of ``analysis.collapse``.

Measures stay float32 for bfloat16 input, by design; the rows cast them.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.analysis import collapse
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import normal, uniform

HOME = "analysis.collapse"
MEANS = "tests/analysis/collapse/test_means.py"
FRAMES = "tests/analysis/collapse/test_frames.py"
LINEAR = "tests/analysis/collapse/test_linear_network.py"
UNCONSTRAINED = "tests/analysis/collapse/test_unconstrained.py"
Y = jnp.arange(9) % 3
X, V = jnp.ones((9, 4)), jnp.ones((3, 4))


def rejects(name):
    """Make the bad calls of a measure on labelled activations."""
    measure = getattr(collapse, name)
    return (
        Reject(
            call=lambda: measure(X.astype(int), Y, num_classes=3),
            error=TypeError,
            match=f"{name}: `features` .*floating-point",
        ),
        Reject(
            call=lambda: measure(X, Y[:2], num_classes=3),
            error=ValueError,
            match=rf"{name}: `labels` is .*\(2,\).* needs shape \(9,\)",
        ),
        Reject(
            call=lambda: measure(X, X[:, 0], num_classes=3),
            error=TypeError,
            match=f"{name}: `labels` has dtype float32; it needs integers",
        ),
        Reject(
            call=lambda: measure(X, Y, num_classes=1),
            error=ValueError,
            match=f"{name}: `num_classes` is 1; it needs a whole number above one",
        ),
    )


def spread(key):
    """Make three clouds of three samples each."""
    (x,) = normal(key, (9, 4))
    return (x + 3 * jnp.eye(3, 4)[Y],)


def frame_case(name, argument="vectors", **options):
    """Make the row of a measure of vectors in rows."""
    measure = getattr(collapse, name)
    return Case(
        name=f"{HOME}.{name}",
        function=lambda v: measure(v).astype(v.dtype),
        inputs=lambda key: normal(key, (3, 4)),
        parity=FRAMES,
        rejects=(
            Reject(
                call=lambda: measure(V.astype(int)),
                error=TypeError,
                match=f"{name}: `{argument}` .*floating-point",
            ),
            Reject(
                call=lambda: measure(V[0]),
                error=ValueError,
                match=rf"{name}: `{argument}` is .*\(4,\).* needs shape",
            ),
        ),
        **options,
    )


CASES = [
    Plain(name=f"{HOME}.ClassMeans", reason="what class_means returns", parity=MEANS),
    Plain(name=f"{HOME}.LinearCollapse", reason="a tuple of results", parity=LINEAR),
    Case(
        name=f"{HOME}.class_means",
        function=lambda x: [a.astype(x.dtype) for a in collapse.class_means(x, Y, num_classes=3)],
        inputs=spread,
        parity=MEANS,
        rejects=rejects("class_means"),
    ),
    Case(
        name=f"{HOME}.within_class_variability",
        function=lambda x: collapse.within_class_variability(x, Y, num_classes=3).astype(x.dtype),
        inputs=spread,
        parity=MEANS,
        rejects=rejects("within_class_variability"),
    ),
    Case(
        name=f"{HOME}.class_distance_variance",
        function=lambda x: collapse.class_distance_variance(x, Y, num_classes=3).astype(x.dtype),
        inputs=spread,
        parity=MEANS,
        rejects=rejects("class_distance_variance"),
        exempt={"extremes": "classes in one place are infinitely spread, by definition"},
    ),
    Case(
        name=f"{HOME}.nearest_centre",
        function=collapse.nearest_centre,
        inputs=lambda key: normal(key, (5, 4), (3, 4)),
        parity=MEANS,
        rejects=(
            Reject(
                call=lambda: collapse.nearest_centre(X, V[:, :2]),
                error=ValueError,
                match=r"nearest_centre: `features` is .*\(9, 4\).* needs shape \(\*batch, 2\)",
            ),
        ),
        exempt={
            "gradients": "a choice has no gradient",
            "extremes": "class numbers are always finite",
        },
    ),
    Case(
        name=f"{HOME}.nearest_centre_agreement",
        function=lambda x, c, z: collapse.nearest_centre_agreement(x, c, z).astype(x.dtype),
        inputs=lambda key: normal(key, (5, 4), (3, 4), (5, 3)),
        parity=MEANS,
        rejects=(
            Reject(
                call=lambda: collapse.nearest_centre_agreement(X, V, X),
                error=ValueError,
                match=r"nearest_centre_agreement: `outputs` is .* needs shape \(9, 3\)",
            ),
        ),
        exempt={"gradients": "counting has no gradient"},
    ),
    frame_case("equinorm"),
    frame_case("equiangularity"),
    frame_case("stable_rank", "x"),
    frame_case("effective_rank", "x"),
    Case(
        name=f"{HOME}.frame_distance",
        function=lambda v, g: collapse.frame_distance(v, g).astype(v.dtype),
        inputs=lambda key: normal(key, (3, 4), (3, 3)),
        parity=FRAMES,
        rejects=(
            Reject(
                call=lambda: collapse.frame_distance(V, jnp.eye(4)),
                error=ValueError,
                match=r"frame_distance: `gram` is .*\(4, 4\).* needs shape \(3, 3\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.self_duality",
        function=lambda w, m: collapse.self_duality(w, m).astype(w.dtype),
        inputs=lambda key: normal(key, (3, 4), (3, 4)),
        parity=FRAMES,
        rejects=(
            Reject(
                call=lambda: collapse.self_duality(V, X),
                error=ValueError,
                match=r"self_duality: `means` is .*\(9, 4\).* needs the shape \(3, 4\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.simplex_etf",
        function=lambda key: collapse.simplex_etf(3, 4, key=key),
        inputs=lambda key: (key,),
        key=0,
        parity=FRAMES,
        rejects=(
            Reject(
                call=lambda: collapse.simplex_etf(4, 2),
                error=ValueError,
                match="simplex_etf: `width` is 2; it needs at least 3",
            ),
            Reject(
                call=lambda: collapse.simplex_etf(1),
                error=ValueError,
                match="simplex_etf: `num_classes` is 1; it needs at least two",
            ),
            Reject(
                call=lambda: collapse.simplex_etf(3, key=np.zeros(2)),
                error=TypeError,
                match="simplex_etf: `key` .*random key",
            ),
        ),
        exempt={
            "gradients": "its only argument is a random key",
            "extremes": "its only argument is a random key",
            "bfloat16": "its only argument is a random key; dtype is an option",
        },
    ),
    Case(
        name=f"{HOME}.linear_network_collapse",
        function=lambda n: [
            a.astype(n.dtype)
            for a in collapse.linear_network_collapse(
                n, weight_decays=[5e-3, 1e-2], feature_decay=1e-2
            )
        ],
        inputs=lambda key: (uniform(key, (3,), 5.0, 20.0),),
        parity=LINEAR,
        rejects=(
            Reject(
                call=lambda: collapse.linear_network_collapse(
                    Y, weight_decays=[1.0], feature_decay=1.0
                ),
                error=TypeError,
                match="linear_network_collapse: `counts` .*floating-point",
            ),
            Reject(
                call=lambda: collapse.linear_network_collapse(
                    V[0], weight_decays=[], feature_decay=1.0
                ),
                error=ValueError,
                match=r"linear_network_collapse: `weight_decays` is \[\]; it needs one for each",
            ),
            Reject(
                call=lambda: collapse.linear_network_collapse(
                    V[0], weight_decays=[1.0], feature_decay=0.0
                ),
                error=ValueError,
                match=r"linear_network_collapse: `feature_decay` is 0\.0",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.unconstrained_features",
        function=lambda w, t, b: collapse.unconstrained_features(
            w, jax.nn.softmax(t), feature_decay=0.1, bias=b
        ).astype(w.dtype),
        inputs=lambda key: normal(key, (3, 4), (2, 3), (3,)),
        parity=UNCONSTRAINED,
        rejects=(
            Reject(
                call=lambda: collapse.unconstrained_features(V, Y, feature_decay=1.0),
                error=TypeError,
                match="unconstrained_features: `targets` .*floating-point",
            ),
            Reject(
                call=lambda: collapse.unconstrained_features(V, X, feature_decay=1.0),
                error=ValueError,
                match=r"unconstrained_features: `targets` is .*\(9, 4\).* shape \(samples, 3\)",
            ),
            Reject(
                call=lambda: collapse.unconstrained_features(V, V.T, feature_decay=0.0),
                error=ValueError,
                match=r"unconstrained_features: `feature_decay` is 0\.0",
            ),
            Reject(
                call=lambda: collapse.unconstrained_features(V, V.T, feature_decay=1.0, bias=V[0]),
                error=ValueError,
                match=r"unconstrained_features: `bias` is .* needs shape \(3,\)",
            ),
        ),
    ),
]
