"""Rows of the scores of ``analysis.faithfulness``; the function explained is the same for all."""

import jax.numpy as jnp
import numpy as np

from jaxnn.analysis import attribution, faithfulness
from tests.laws.case import Case, Reject
from tests.laws.cases.attribution import X, f
from tests.laws.makers import normal

HOME = "analysis.faithfulness"
TESTS = "tests/analysis/faithfulness"
WIDE = "a score is float32 whatever the input, and ranks near ties change with rounding"
RANKS = "made of ranks, truth values or counts, which have no gradient"
STEPS = {"gradients": RANKS, "extremes": "no gradient, and no sum that could overflow"}
MASK = np.array([[True, False, True], [False, False, True]])
PARTS = np.array([[0, 0, 1], [2, 2, 1]])


def case(name, function, inputs, reject, *, parity="test_references", scalar=True, **options):
    """Make a row with one bad call, whose function is float32 for all inputs."""
    call, error, match = reject
    exempt = {"bfloat16": WIDE} if scalar else {}
    return Case(
        name=f"{HOME}.{name}",
        function=function,
        inputs=inputs,
        parity=f"{TESTS}/{parity}.py",
        rejects=(Reject(call=call, error=error, match=f"{name}: {match}"),),
        exempt=exempt | options.pop("exempt", {}),
        **options,
    )


def two(key):
    return normal(key, (2, 3), (2, 3))


def three(key):
    return normal(key, (2, 3), (2, 3), (4, 2, 3))


def near(key):
    x, steps = normal(key, (2, 3), (4, 2, 3))
    return x, x[None] + steps


def explain(x):
    """One smooth map of an example."""
    return attribution.gradient(f, x)


def wrong_shape(call):
    return call, ValueError, r"`attributions` is .*\(3,\).* needs the shape \(2, 3\)"


def wrong_neighbors(measure):
    return lambda: measure(explain, X, X), ValueError, r"`neighbors` is .* \(samples, 2, 3\)"


CASES = [
    case(
        "faithfulness_correlation",
        lambda x, a, key: faithfulness.faithfulness_correlation(
            f, x, a, subset_size=2, key=key, samples=6
        ),
        lambda key: (*two(key), key),
        (
            lambda: faithfulness.faithfulness_correlation(f, X, X, subset_size=7),
            ValueError,
            "`subset_size` is 7; it needs at most the 6 entries",
        ),
        key=2,
    ),
    case(
        "faithfulness_estimate",
        lambda x, a: faithfulness.faithfulness_estimate(f, x, a),
        two,
        wrong_shape(lambda: faithfulness.faithfulness_estimate(f, X, X[0])),
    ),
    case(
        "monotonicity",
        lambda x, a: faithfulness.monotonicity(f, x, a),
        two,
        wrong_shape(lambda: faithfulness.monotonicity(f, X, X[0])),
        parity="test_metrics",
        exempt=STEPS,
    ),
    case(
        "monotonicity_correlation",
        lambda x, a, r: faithfulness.monotonicity_correlation(f, x, a, r),
        three,
        (
            lambda: faithfulness.monotonicity_correlation(f, X, X, X),
            ValueError,
            r"`replacements` is .* \(samples, 2, 3\)",
        ),
        exempt=STEPS,
    ),
    case(
        "infidelity",
        lambda x, a, p: faithfulness.infidelity(f, x, a, p, normalize=True),
        three,
        wrong_shape(lambda: faithfulness.infidelity(f, X, X[0], X[None])),
    ),
    case(
        "region_perturbation",
        lambda x, a, b: faithfulness.region_perturbation(f, x, a, PARTS, baseline=b),
        lambda key: normal(key, (2, 3), (2, 3), (2, 3)),
        wrong_shape(lambda: faithfulness.region_perturbation(f, X, X[0], PARTS)),
        scalar=False,
        differentiable=(0, 2),  # the order is a constant of the attributions
    ),
    case(
        "noisy_linear_imputation",
        lambda x, key: faithfulness.noisy_linear_imputation(x, jnp.asarray(MASK), key=key),
        lambda key: (*normal(key, (2, 3)), key),
        (
            lambda: faithfulness.noisy_linear_imputation(X, jnp.ones(3, bool)),
            ValueError,
            r"`removed` is .* the height and width of `x`, \(2, 3\)",
        ),
        scalar=False,
        key=1,
    ),
    case(
        "keep_ranked",
        lambda x, a, b: faithfulness.keep_ranked(x, a, fraction=0.5, baseline=b),
        lambda key: normal(key, (2, 3), (2, 3), (2, 3)),
        (
            lambda: faithfulness.keep_ranked(X, X, fraction=30),
            ValueError,
            "`fraction` is 30; it needs a number from 0 to 1",
        ),
        parity="test_metrics",
        scalar=False,
        differentiable=(0, 2),
    ),
    case(
        "diff_roar",
        lambda x, a: faithfulness.diff_roar(lambda x: jnp.tanh(x).mean(), x, a, fraction=0.5),
        lambda key: normal(key, (3, 2), (3, 2)),
        (
            lambda: faithfulness.diff_roar(jnp.sum, X, X[:1], fraction=0.5),
            ValueError,
            "`attributions` is .* the examples of `x`, 2",
        ),
        parity="test_metrics",
        scalar=False,
        differentiable=(0,),
    ),
    *(
        case(name, lambda x, z, m=m: m(explain, x, z), near, wrong_neighbors(m))
        for name, m in (
            ("max_sensitivity", faithfulness.max_sensitivity),
            ("avg_sensitivity", faithfulness.avg_sensitivity),
            ("local_lipschitz", faithfulness.local_lipschitz),
        )
    ),
    case(
        "relative_stability",
        lambda x, z: faithfulness.relative_stability(explain, x, z, of=jnp.sin),
        near,
        wrong_neighbors(faithfulness.relative_stability),
        exempt={"extremes": "divides by attributions, which may be as small as they like"},
    ),
    case(
        "consistency",
        lambda a: faithfulness.consistency(a, jnp.array([0, 1, 1, 0]), radius=2.0),
        lambda key: normal(key, (4, 3)),
        (
            lambda: faithfulness.consistency(X, jnp.zeros(3, int)),
            ValueError,
            r"`classes` is .* shape \(2,\), the class of each example",
        ),
        exempt=STEPS,
    ),
    case(
        "relevance_mass_accuracy",
        lambda a: faithfulness.relevance_mass_accuracy(jnp.abs(a), jnp.asarray(MASK)),
        lambda key: normal(key, (2, 3)),
        (
            lambda: faithfulness.relevance_mass_accuracy(X, MASK.astype(int)),
            TypeError,
            "`mask` has dtype int.*truth values",
        ),
    ),
    *(
        case(
            name,
            lambda a, m=m: m(a, jnp.asarray(MASK)),
            lambda key: normal(key, (2, 3)),
            (
                lambda m=m: m(X, MASK[0]),
                ValueError,
                r"`mask` is .*\(3,\).* the shape \(2, 3\) of `attributions`",
            ),
            exempt=STEPS,
        )
        for name, m in (
            ("pointing_game", faithfulness.pointing_game),
            ("relevance_rank_accuracy", faithfulness.relevance_rank_accuracy),
            ("localization_auc", faithfulness.localization_auc),
        )
    ),
    case(
        "complexity",
        faithfulness.complexity,
        lambda key: normal(key, (2, 3)),
        (
            lambda: faithfulness.complexity(X.astype(int)),
            TypeError,
            "`attributions` .* floating-point",
        ),
    ),
    case(
        "randomize_parameters",
        lambda p, new: faithfulness.randomize_parameters(p, new, ["b", "a"]),
        lambda key: tuple({"a": a, "b": a[0]} for a in two(key)),
        (
            lambda: faithfulness.randomize_parameters({"a": X}, {"a": X}, ["b"]),
            ValueError,
            "`paths` is 'b'; it needs the start of one of a",
        ),
        parity="test_metrics",
        scalar=False,
    ),
    case(
        "spearman",
        faithfulness.spearman,
        two,
        (
            lambda: faithfulness.spearman(X, X[0]),
            ValueError,
            r"`second` is .* the shape \(2, 3\)",
        ),
        exempt=STEPS,
    ),
    case(
        "ssim",
        lambda a, b: faithfulness.ssim(a, b, window=3),
        lambda key: normal(key, (4, 5), (4, 5)),
        (
            lambda: faithfulness.ssim(X, X),
            ValueError,
            "`first` is .* each at least window = 7",
        ),
    ),
    case(
        "non_sensitivity",
        lambda x, a: faithfulness.non_sensitivity(f, x, a, threshold=0.3),
        two,
        wrong_shape(lambda: faithfulness.non_sensitivity(f, X, X[0])),
        exempt=STEPS,
    ),
    case(
        "input_invariance",
        lambda x, s: faithfulness.input_invariance(attribution.input_x_gradient, f, x, s),
        two,
        (
            lambda: faithfulness.input_invariance(attribution.gradient, f, X, X[0]),
            ValueError,
            r"`shift` is .* a number or shape \(2, 3\)",
        ),
        parity="test_metrics",
    ),
    case(
        "evaluate",
        lambda x, s: faithfulness.evaluate(
            {"slope": lambda x, s: s * attribution.gradient(f, x)},
            {"square": lambda a, x, s: jnp.sum(a**2), "first": lambda a, x, s: a[0, 0]},
            x,
            s,
        ),
        lambda key: normal(key, (3, 2, 3), (3, 2, 3)),
        (
            lambda: faithfulness.evaluate({}, {"a": jnp.add}, X),
            ValueError,
            "`methods` is {}; it needs one method at least",
        ),
        parity="test_metrics",
        scalar=False,
    ),
]
