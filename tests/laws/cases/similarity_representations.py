"""Rows of ``analysis.similarity``: measures of whole representations, and of units.

Measures stay float32 for bfloat16 input, by design; the rows cast them.
"""

import functools

import jax.numpy as jnp

from jaxnn.analysis import similarity
from tests.laws.case import Case, Plain, Reject
from tests.laws.makers import normal

HOME = "analysis.similarity"
PARITY = "tests/analysis/similarity/test_representations.py"
UNITS = "tests/analysis/similarity/test_units.py"
TOPOLOGY = "tests/analysis/similarity/test_topology_and_order.py"
HOST = "runs on the host, as its docstring says"
TRACED = ("jit", "vmap", "gradients", "extremes", "bfloat16", "compiles_once")
X = jnp.ones((4, 3))
NO_GRADIENT = {
    "gradients": "has none, as its docstring says; it changes in jumps or at crossings",
    "extremes": "has no gradient; what never changes is tested beside its values",
}


def narrow(function):
    """Give floats back in the dtype of the first argument."""

    @functools.wraps(function)
    def cast(*arrays):
        value = function(*arrays)
        return value.astype(arrays[0].dtype) if value.dtype == jnp.float32 else value

    return cast


def pair(name, rejects=(), exempt=None, **options):
    """Make the row of a measure of two representations."""
    measure = getattr(similarity, name)
    keywords = options.pop("keywords", {})
    return Case(
        name=f"{HOME}.{name}",
        function=narrow(lambda x, y: measure(x, y, **keywords)),
        inputs=lambda key: normal(key, (9, 3), (9, 2)),
        parity=PARITY,
        exempt=exempt or {},
        rejects=(
            Reject(
                call=lambda: measure(X, jnp.ones((5, 2))),
                error=ValueError,
                match=rf"{name}: `y` is .*\(5, 2\).* the 4 examples of `x`",
            ),
            Reject(
                call=lambda: measure(jnp.ones((4, 2, 2)), X),
                error=ValueError,
                match=rf"{name}: `x` is .*\(4, 2, 2\).* shape \(examples, units\)",
            ),
            Reject(
                call=lambda: measure(X, X.astype(int)),
                error=TypeError,
                match=f"{name}: `y` .*floating-point",
            ),
            *rejects,
        ),
        **options,
    )


def neighbour(name, **options):
    """Make the row of a measure that counts neighbours."""
    measure = getattr(similarity, name)
    k = Reject(
        call=lambda: measure(X, X, k=4),
        error=ValueError,
        match=f"{name}: `k` is 4; .* fewer neighbours than the 4 examples",
    )
    options = {"exempt": NO_GRADIENT} | options
    return pair(name, keywords={"k": 3}, rejects=(k,), **options)


def gram_pair(name, least=2):
    """Make the row of a measure of two matrices over pairs of examples."""
    measure = getattr(similarity, name)
    keywords = {"comparison": "pearson"} if name == "compare_dissimilarities" else {}
    word = "three" if least == 3 else least

    def inputs(key):
        return tuple(x @ x.T for x in normal(key, (6, 3), (6, 2)))

    return Case(
        name=f"{HOME}.{name}",
        function=narrow(lambda a, b: measure(a, b, **keywords)),
        inputs=inputs,
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: measure(X, X),
                error=ValueError,
                match=f"{name}: `first` .* square matrix of at least {word} examples",
            ),
            Reject(
                call=lambda: measure(jnp.eye(4), jnp.eye(5)),
                error=ValueError,
                match=rf"{name}: `second` .* the shape \(4, 4\) of `first`",
            ),
        ),
    )


def pair_of_units(name, misuse, match, exempt=None, keywords=None):
    """Make the row of a function of two arrays of units, or of their similarity."""
    call = getattr(similarity, name)
    arrays = 2 if name == "unit_correlation" else 1

    def function(*inputs):
        value = call(*inputs, **(keywords or {}))
        return value.similarity if name == "semi_match" else value

    return Case(
        name=f"{HOME}.{name}",
        function=narrow(function),
        inputs=lambda key: normal(key, (7, 3), (7, 4))[:arrays],
        parity=UNITS,
        exempt=exempt or {},
        rejects=(
            Reject(
                call=lambda: misuse(call),
                error=ValueError,
                match=f"(?s){name}: {match}",
            ),
        ),
    )


def whole_state(x, y):
    """Sum over two batches, given as one."""
    state = similarity.cka_init()
    for half in (slice(0, 5), slice(5, 10)):
        state = similarity.cka_update(state, x[half], y[half])
    return state


CASES = [
    pair("linear_cka"),
    pair("cca"),
    pair(
        "svcca",
        exempt=NO_GRADIENT,
        keywords={"variance": 0.9},
        rejects=(
            Reject(
                call=lambda: similarity.svcca(X, X, variance=1.5),
                error=ValueError,
                match="svcca: `variance` is 1.5; .* up to 1",
            ),
        ),
    ),
    pair("pwcca", exempt=NO_GRADIENT),
    pair("procrustes"),
    pair(
        "rsa",
        keywords={"comparison": "pearson", "metric": "euclidean"},
        rejects=(
            Reject(
                call=lambda: similarity.rsa(X, X, comparison="kendall"),
                error=ValueError,
                match="compare_dissimilarities: `comparison` is 'kendall'",
            ),
        ),
    ),
    neighbour("mutual_knn"),
    neighbour("cycle_knn"),
    neighbour("lcs_knn"),
    neighbour("edit_knn"),
    neighbour("cknna", exempt={}),
    gram_pair("hsic"),
    gram_pair("kernel_cka"),
    gram_pair("compare_dissimilarities", 3),
    Case(
        name=f"{HOME}.nearest",
        function=lambda x: similarity.nearest(x, k=3),
        inputs=lambda key: normal(key, (7, 3)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: similarity.nearest(X, k=0),
                error=ValueError,
                match="nearest: `k` is 0; .* above zero",
            ),
        ),
        exempt=NO_GRADIENT,
    ),
    Case(
        name=f"{HOME}.rbf_kernel",
        function=narrow(similarity.rbf_kernel),
        inputs=lambda key: normal(key, (4, 3)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: similarity.rbf_kernel(X, bandwidth=0.0),
                error=ValueError,
                match="rbf_kernel: `bandwidth` is 0.0",
            ),
        ),
        exempt={"gradients": "the median distance is held constant"},
    ),
    Case(
        name=f"{HOME}.dissimilarity",
        function=narrow(similarity.dissimilarity),
        inputs=lambda key: normal(key, (5, 4)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: similarity.dissimilarity(X, metric="angle"),
                error=ValueError,
                match="dissimilarity: `metric` is 'angle'; .* one of correlation",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.layer_map",
        function=narrow(lambda x, y: similarity.layer_map({"a": x, "b": y, "c": x**2})),
        inputs=lambda key: normal(key, (6, 3), (6, 2)),
        parity=PARITY,
        exempt=dict.fromkeys(NO_GRADIENT, "that of the measure, which has its own row"),
        rejects=(
            Reject(
                call=lambda: similarity.layer_map({}),
                error=ValueError,
                match="layer_map: `first` is {}; .* named activations",
            ),
            Reject(
                call=lambda: similarity.layer_map({"a": X}, {"b": X[:3]}),
                error=ValueError,
                match=r"layer_map: `second\['b'\]` .* the 4 examples",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.cka_update",
        function=lambda x, y: similarity.cka_value(whole_state(x, y)).astype(x.dtype),
        inputs=lambda key: normal(key, (10, 3), (10, 2)),
        parity=PARITY,
        rejects=(
            Reject(
                call=lambda: similarity.cka_update(similarity.cka_init(), X[:3], X[:3]),
                error=ValueError,
                match="cka_update: `x` .* at least 4 examples",
            ),
        ),
    ),
    Plain(name=f"{HOME}.CKAState", reason="the state of `cka_update`", parity=PARITY),
    Plain(name=f"{HOME}.cka_init", reason="zeros, before `cka_update`", parity=PARITY),
    Plain(name=f"{HOME}.cka_value", reason="read from the state of `cka_update`", parity=PARITY),
    pair_of_units("unit_correlation", lambda call: call(X, X[:3]), "`y` .* the 4 examples of `x`"),
    pair_of_units(
        "best_buddies", lambda call: call(X, k=0), "`k` is 0", exempt=NO_GRADIENT, keywords={"k": 2}
    ),
    pair_of_units("semi_match", lambda call: call(X[0]), r"`similarity` .*\(3,\)"),
    pair_of_units(
        "match_units",
        lambda call: call(X[0]),
        r"`similarity` .*\(3,\)",
        exempt=dict.fromkeys(TRACED, HOST),
    ),
    pair_of_units(
        "rosetta_units",
        lambda call: call([X]),
        "`activations` .* two networks or more",
        exempt=dict.fromkeys(TRACED, HOST),
    ),
    Case(
        name=f"{HOME}.merge_features",
        # The distance of the last pair, which comes last, is a constant.
        function=lambda w, b, v: similarity.merge_features(w, b, v, features=3)[:4],
        inputs=lambda key: normal(key, (3, 5), (5,), (5, 2)),
        parity=UNITS,
        exempt={"bfloat16": "float32 distances; the weights keep their dtype, which tests/ holds"},
        rejects=(
            Reject(
                call=lambda: similarity.merge_features(X, X[0], X.T),
                error=ValueError,
                match="merge_features: `features` is None; .* if `threshold` is None",
            ),
            Reject(
                call=lambda: similarity.merge_features(X, X[0], X, features=2),
                error=ValueError,
                match=r"merge_features: `following` .* shape \(3, outputs\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.geo_topological",
        function=narrow(lambda d: similarity.geo_topological(d, lower=0.2, upper=0.7)),
        inputs=lambda key: (jnp.abs(normal(key, (6, 6))[0]),),
        parity=TOPOLOGY,
        exempt={"gradients": "its quantiles are held constant"},
        rejects=(
            Reject(
                call=lambda: similarity.geo_topological(jnp.eye(3), lower=0.8, upper=0.2),
                error=ValueError,
                match="geo_topological: `lower` is 0.8; .* to `upper`, which is 0.2",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.geodesics",
        function=narrow(similarity.geodesics),
        inputs=lambda key: (jnp.abs(normal(key, (6, 6))[0]),),
        parity=TOPOLOGY,
        exempt={"extremes": "lengths are not negative; a factor below zero makes no graph"},
        rejects=(
            Reject(
                call=lambda: similarity.geodesics(X),
                error=ValueError,
                match="geodesics: `dissimilarities` .* a square matrix",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.accessibility",
        function=narrow(similarity.accessibility),
        inputs=lambda key: normal(key, (2, 3, 4)),
        parity=TOPOLOGY,
        rejects=(
            Reject(
                call=lambda: similarity.accessibility(X),
                error=ValueError,
                match=r"accessibility: `correct` .* shape \(models, times, examples\)",
            ),
        ),
    ),
    Case(
        name=f"{HOME}.order_agreement",
        function=lambda c: [v.astype(c.dtype) for v in similarity.order_agreement(c)],
        inputs=lambda key: normal(key, (3, 2, 5)),
        parity=TOPOLOGY,
        rejects=(
            Reject(
                call=lambda: similarity.order_agreement(jnp.ones((1, 2, 5))),
                error=ValueError,
                match="order_agreement: `correct` .* at least 2 models",
            ),
        ),
    ),
    Plain(name=f"{HOME}.OrderAgreement", reason="what `order_agreement` returns", parity=TOPOLOGY),
    Plain(name=f"{HOME}.Matching", reason="what `match_units` returns", parity=UNITS),
    Plain(name=f"{HOME}.MergedFeatures", reason="what `merge_features` returns", parity=UNITS),
]
