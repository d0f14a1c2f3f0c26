"""Write quantus.json: scores of quantus 0.6.0 and captum 0.9.0 on one small network.

Run with an interpreter that has torch, captum and quantus: ``python make_references.py``.
Where quantus draws at random, the draws are fixed and written down beside the scores.
"""

import itertools
import json
import warnings
from pathlib import Path
from unittest import mock

import captum.metrics
import numpy as np
import quantus
import torch
from quantus.functions import perturb_func, similarity_func

warnings.simplefilter("ignore")
vars(np).setdefault("trapz", np.trapezoid)  # quantus 0.6.0 uses the name that NumPy 2 dropped
SIDE, HIDDEN, CLASSES, EXAMPLES, NEIGHBORS, BASELINE = 4, 5, 3, 4, 3, 0.25
random = np.random.default_rng(0)


def draw(*shape):
    """Draw numbers that are exact in four decimals."""
    return random.normal(size=shape).round(4)


network = torch.nn.Sequential(
    torch.nn.Flatten(),
    torch.nn.Linear(SIDE**2, HIDDEN),
    torch.nn.Tanh(),
    torch.nn.Linear(HIDDEN, CLASSES),
)
weights = {name: draw(*value.shape) for name, value in network.named_parameters()}
network.load_state_dict(
    {name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()}
)
network.eval()
x, a = draw(2, EXAMPLES, 1, SIDE, SIDE)
y = np.array([0, 1, 2, 1])
mask = random.random((EXAMPLES, 1, SIDE, SIDE)) < 0.4
near = x + draw(NEIGHBORS, EXAMPLES, 1, SIDE, SIDE) / 10
squares = np.kron(np.arange(4).reshape(2, 2), np.ones((2, 2), int))
segments = np.array([[0, 0, 1, 1], [0, 2, 2, 1], [0, 2, 2, 1], [3, 3, 3, 1]])


def explain(model=None, inputs=None, targets=None, **_):
    """Give the gradient of the class."""
    inputs = torch.as_tensor(np.asarray(inputs), dtype=torch.float32).requires_grad_()
    with torch.enable_grad():
        picked = network(inputs)[torch.arange(len(inputs)), torch.as_tensor(targets)]
        return torch.autograd.grad(picked.sum(), inputs)[0].numpy()


def to_neighbors():
    """Make a perturbation that gives one neighbor after another."""
    count = itertools.count()
    return lambda arr, **_: near[next(count) % NEIGHBORS].reshape(np.shape(arr)).copy()


def score(metric, attributions=a, **given):
    """Run a metric of quantus without its normalisations."""
    options = {
        "abs": False,
        "normalise": False,
        "disable_warnings": True,
        "return_aggregate": False,
    }
    options |= given
    made = metric(**options)
    got = made(
        model=network,
        x_batch=x.copy(),
        y_batch=y,
        a_batch=attributions.copy(),
        s_batch=mask,
        explain_func=explain,
        device="cpu",
        softmax=False,
    )
    return np.asarray(got, float).tolist()


replace = {"perturb_func_kwargs": {"perturb_baseline": BASELINE}, "perturb_baseline": BASELINE}
move = {"nr_samples": NEIGHBORS, "return_nan_when_prediction_changes": False}
gradients = explain(inputs=x, targets=y)
scores = {}

pairs = list(itertools.combinations(range(SIDE**2), 2))
choices = iter([np.array(pair) for pair in pairs for _ in range(EXAMPLES)])
with mock.patch("numpy.random.choice", side_effect=choices):
    scores["faithfulness_correlation"] = score(
        quantus.FaithfulnessCorrelation, nr_runs=len(pairs), subset_size=2, **replace
    )
scores["faithfulness_estimate"] = score(quantus.FaithfulnessEstimate, features_in_step=2, **replace)
scores["pixel_flipping"] = score(quantus.PixelFlipping, features_in_step=2, **replace)
scores["monotonicity_correlation"] = score(
    quantus.MonotonicityCorrelation, np.abs(a), features_in_step=2, nr_samples=1, **replace
)
scores["non_sensitivity"] = score(
    quantus.NonSensitivity, np.abs(a), features_in_step=1, eps=0.3, **replace
)
scores["region_perturbation"] = score(
    quantus.RegionPerturbation, patch_size=2, regions_evaluation=4, **replace
)
scores["selectivity"] = score(quantus.Selectivity, patch_size=2, **replace)
segmented = mock.patch("quantus.helpers.utils.get_superpixel_segments", return_value=segments)
with segmented:
    scores["irof"] = score(quantus.IROF, **replace)

hole = np.flatnonzero(mask[0])
scores["noisy_linear_imputation"] = perturb_func.noisy_linear_imputation(
    x[0], hole, noise=0.0
).tolist()

for name, metric in (
    ("max_sensitivity", quantus.MaxSensitivity),
    ("avg_sensitivity", quantus.AvgSensitivity),
    ("local_lipschitz", quantus.LocalLipschitzEstimate),
    ("relative_input_stability", quantus.RelativeInputStability),
    ("relative_output_stability", quantus.RelativeOutputStability),
):
    scores[name] = score(metric, gradients, perturb_func=to_neighbors(), **move)
scores["relative_representation_stability"] = score(
    quantus.RelativeRepresentationStability,
    gradients,
    perturb_func=to_neighbors(),
    layer_names=["2"],
    **move,
)

signs = np.sign(a)
signs[..., 1:, :] = 0
signs[..., 2:] = 0
scores["consistency"] = score(quantus.Consistency, signs, discretise_func=lambda a: str(a))
scores["sufficiency"] = score(
    quantus.Sufficiency,
    threshold=5.5,
    distance_func=lambda u, v, V: np.linalg.norm(u - v),
    normalise_func=lambda d: d,
)

scores["pointing_game"] = score(quantus.PointingGame)
scores["relevance_mass_accuracy"] = score(quantus.RelevanceMassAccuracy, np.abs(a))
scores["relevance_rank_accuracy"] = score(quantus.RelevanceRankAccuracy)
scores["top_k_intersection"] = score(quantus.TopKIntersection, k=5)
scores["attribution_localisation"] = score(
    quantus.AttributionLocalisation, positive_attributions=True
)
scores["localization_auc"] = score(quantus.AUC)
scores["complexity"] = score(quantus.Complexity, np.abs(a))
scores["sparseness"] = score(quantus.Sparseness, np.abs(a))
scores["spearman"] = [similarity_func.correlation_spearman(*(v.ravel() for v in (a[0], x[0])))]
scores["ssim"] = [similarity_func.ssim(a[0, 0], x[0, 0], win_size=3)]

steps = torch.tensor(np.moveaxis(near - x, 0, 1).reshape(-1, *x.shape[1:])).float()
inputs, slopes = torch.tensor(x).float(), torch.tensor(a).float()
for name, normalize in (("infidelity", False), ("infidelity_normalized", True)):
    scores[name] = captum.metrics.infidelity(
        network,
        lambda inputs: (steps, inputs - steps),
        inputs,
        slopes,
        target=torch.tensor(y),
        n_perturb_samples=NEIGHBORS,
        normalize=normalize,
    ).tolist()


def first(inputs):
    """Give the tensor that captum wraps in a tuple, at times."""
    return (inputs[0] if isinstance(inputs, tuple) else inputs).detach()


scores["sensitivity_max"] = captum.metrics.sensitivity_max(
    lambda inputs, target: (torch.tensor(explain(inputs=first(inputs), targets=target)),),
    inputs,
    lambda inputs: first(inputs) + steps,
    n_perturb_samples=NEIGHBORS,
    target=torch.tensor(y),
).tolist()

given = {
    "weights": {name: value.tolist() for name, value in weights.items()},
    "x": x.tolist(),
    "y": y.tolist(),
    "a": a.tolist(),
    "signs": signs.tolist(),
    "mask": mask.astype(int).tolist(),
    "near": near.round(5).tolist(),
    "squares": squares.tolist(),
    "segments": segments.tolist(),
}


def short(value):
    """Round to what float32 can be compared with."""
    return [short(v) for v in value] if isinstance(value, list) else round(float(value), 7)


scores = {name: short(value) for name, value in scores.items()}
text = json.dumps({"given": given, "scores": scores}, separators=(",", ":"))
Path(__file__).with_name("quantus.json").write_text(text + "\n")
