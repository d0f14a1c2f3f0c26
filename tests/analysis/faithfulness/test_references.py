"""Scores of quantus 0.6.0 and captum 0.9.0, from ``references/make_references.py``."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.analysis import faithfulness, sparsity

FILE = json.loads((Path(__file__).parent / "references" / "quantus.json").read_text())
GIVEN, SCORES = FILE["given"], FILE["scores"]
X, A, NEAR, SIGNS = (
    jnp.asarray(np.asarray(GIVEN[name], np.float32).squeeze(-3))
    for name in ("x", "a", "near", "signs")
)
NEAR = jnp.moveaxis(NEAR, 1, 0)  # (examples, samples, height, width)
Y = jnp.asarray(GIVEN["y"])
MASK = jnp.asarray(np.asarray(GIVEN["mask"], bool).squeeze(1))
W = {name: jnp.asarray(value, jnp.float32) for name, value in GIVEN["weights"].items()}
OFF = 0.25  # the baseline


def hidden(x):
    return jnp.tanh(x.reshape(-1) @ W["1.weight"].T + W["1.bias"])


def logits(x):
    return hidden(x) @ W["3.weight"].T + W["3.bias"]


def output(y):
    return lambda x: logits(x)[y]


def slope(y):
    return jax.grad(output(y))


def curve(x, a, y):
    return faithfulness.deletion_curve(output(y), x, a, baseline=OFF, steps=8)[1:]


def regions(x, a, y):
    squares = np.asarray(GIVEN["squares"])
    return faithfulness.region_perturbation(output(y), x, a, squares, baseline=OFF)


def irof(x, a, y):
    """With quantus' area: over the regions less one, without f(x)."""
    segments = np.asarray(GIVEN["segments"])
    got = faithfulness.region_perturbation(output(y), x, a, segments, baseline=OFF)
    return 4 - jnp.trapezoid(got[1:] / got[0])


def perturb(measure, **options):
    return lambda x, a, y: measure(output(y), x, a, baseline=OFF, **options)


def move(measure, **options):
    return lambda x, y, near: measure(slope(y), x, near, **options)


def infidelity(x, a, y, near, normalize):
    # captum's perturbations are taken off; those of the file are put on
    steps = near - x[None]
    return faithfulness.infidelity(output(y), x, a, steps, normalize=normalize)


def mass(a, mask):
    return faithfulness.relevance_mass_accuracy(jnp.maximum(a, 0), mask)


BY_ENTRIES = {
    "faithfulness_correlation": perturb(faithfulness.faithfulness_correlation, subset_size=2),
    "faithfulness_estimate": perturb(faithfulness.faithfulness_estimate, group_size=2),
    "pixel_flipping": curve,
    "monotonicity_correlation": lambda x, a, y: faithfulness.monotonicity_correlation(
        output(y), x, a, jnp.full((1, *x.shape), OFF), group_size=2
    ),
    # quantus says < where the paper's "is nothing" is <=
    "non_sensitivity": perturb(faithfulness.non_sensitivity, threshold=0.3),
    "region_perturbation": lambda x, a, y: regions(x, a, y)[0] - regions(x, a, y)[1:],
    "selectivity": lambda x, a, y: regions(x, a, y)[1:],
    "irof": irof,
}
BY_NEIGHBORS = {
    "max_sensitivity": move(faithfulness.max_sensitivity),
    "sensitivity_max": move(faithfulness.max_sensitivity),
    "avg_sensitivity": move(faithfulness.avg_sensitivity),
    "local_lipschitz": move(faithfulness.local_lipschitz),
    "relative_input_stability": move(faithfulness.relative_stability),
    "relative_output_stability": move(faithfulness.relative_stability, of=logits, relative=False),
    "relative_representation_stability": move(faithfulness.relative_stability, of=hidden),
}
BY_MASK = {
    "pointing_game": faithfulness.pointing_game,
    "relevance_mass_accuracy": lambda a, m: faithfulness.relevance_mass_accuracy(jnp.abs(a), m),
    "relevance_rank_accuracy": faithfulness.relevance_rank_accuracy,
    "top_k_intersection": lambda a, m: faithfulness.relevance_rank_accuracy(a, m, k=5),
    "attribution_localisation": mass,
    "localization_auc": faithfulness.localization_auc,
    "complexity": lambda a, m: faithfulness.complexity(a),
    "sparseness": lambda a, m: sparsity.gini(a.reshape(-1)),
}


def all_at_once(measures, *examples):
    return jax.jit(jax.vmap(lambda *one: {k: m(*one) for k, m in measures.items()}))(*examples)


def assert_equal_scores(got):
    for name, value in got.items():
        want = np.asarray(SCORES[name])
        assert np.shape(value) == want.shape, name
        # Both are float32; some divide by an output or by attributions close to zero.
        tolerance = 1e-3 if "stability" in name or name == "irof" else 2e-5
        np.testing.assert_allclose(value, want, rtol=tolerance, atol=2e-6, err_msg=name)


def test_what_happens_without_entries():
    assert_equal_scores(all_at_once(BY_ENTRIES, X, A, Y))


def test_what_happens_to_neighbors():
    assert_equal_scores(all_at_once(BY_NEIGHBORS, X, Y, NEAR))


def test_masks_and_spread():
    assert_equal_scores(all_at_once(BY_MASK, A, MASK))


def test_infidelity():
    got = all_at_once(
        {
            "infidelity": lambda *one: infidelity(*one, normalize=False),
            "infidelity_normalized": lambda *one: infidelity(*one, normalize=True),
        },
        *(X, A, Y, NEAR),
    )
    assert_equal_scores(got)


def test_many_examples_and_pairs():
    classes = jnp.argmax(jax.vmap(logits)(X), 1).astype(jnp.int32)
    assert_equal_scores(
        {
            "consistency": faithfulness.consistency(SIGNS, classes),
            "sufficiency": faithfulness.consistency(A, classes, radius=5.5),
            "spearman": faithfulness.spearman(A[0], X[0])[None],
            "ssim": faithfulness.ssim(A[0], X[0], window=3)[None],
        }
    )


def test_imputation():
    got = faithfulness.noisy_linear_imputation(X[0][:, :, None], MASK[0])
    want = np.asarray(SCORES["noisy_linear_imputation"])[0]
    np.testing.assert_allclose(got[:, :, 0], want, atol=1e-5)


def test_every_reference_is_compared():
    others = {
        "infidelity",
        "infidelity_normalized",
        "consistency",
        "sufficiency",
        "spearman",
        "ssim",
    }
    compared = {*BY_ENTRIES, *BY_NEIGHBORS, *BY_MASK, *others, "noisy_linear_imputation"}
    assert compared == set(SCORES)
