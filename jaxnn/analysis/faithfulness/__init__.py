"""Whether attributions name what the function really uses.

All but ``evaluate``, ``consistency`` and ``diff_roar`` are functions of one example; vmap them.
``evaluate`` makes the table of methods against measures.

The output as entries go: ``deletion_curve`` and ``insertion_curve`` remove or insert them in the
order that an attribution gives; "RISE: Randomized Input Sampling for Explanation of Black-box
Models" (2018), and before it "Evaluating the visualization of what a Deep Neural Network has
learned" (2015), with ``region_perturbation`` for squares and superpixels (selectivity, IROF).
``noisy_linear_imputation`` fills in removed pixels for "A Consistent and Efficient Evaluation
Strategy for Attribution Methods" (2022), ROAD; ``keep_ranked`` makes the datasets of "A Benchmark
for Interpretability Methods in Deep Neural Networks" (2019), ROAR, and ``diff_roar`` compares two
as "Do Input Gradients Highlight Discriminative Features?" (2021) does.

Attributions against falls in output: ``faithfulness_correlation`` (sensitivity-n),
``faithfulness_estimate``, ``monotonicity``, ``monotonicity_correlation``, and ``infidelity``, "On
the (In)fidelity and Sensitivity of Explanations" (2019).

Under small changes: ``max_sensitivity`` and ``avg_sensitivity`` of that paper,
``local_lipschitz`` (continuity), ``relative_stability`` of inputs, outputs or representations,
``consistency`` (sufficiency) over many examples.

Against a mask: ``pointing_game``, ``relevance_mass_accuracy`` (attribution localisation, focus),
``relevance_rank_accuracy`` (top-k intersection), ``localization_auc``. Spread: ``complexity``;
``sparsity.gini`` is sparseness.

Against a destroyed model: ``randomize_parameters``, "Sanity Checks for Saliency Maps" (2018),
with ``spearman`` or ``ssim``. Axioms: ``non_sensitivity``, ``input_invariance``;
``attribution.completeness_residual`` is completeness.
"""

from jaxnn.analysis.faithfulness._axioms import input_invariance as input_invariance
from jaxnn.analysis.faithfulness._axioms import non_sensitivity as non_sensitivity
from jaxnn.analysis.faithfulness._complexity import complexity as complexity
from jaxnn.analysis.faithfulness._correlations import (
    faithfulness_correlation as faithfulness_correlation,
)
from jaxnn.analysis.faithfulness._correlations import faithfulness_estimate as faithfulness_estimate
from jaxnn.analysis.faithfulness._correlations import monotonicity as monotonicity
from jaxnn.analysis.faithfulness._correlations import (
    monotonicity_correlation as monotonicity_correlation,
)
from jaxnn.analysis.faithfulness._curves import deletion_curve as deletion_curve
from jaxnn.analysis.faithfulness._curves import insertion_curve as insertion_curve
from jaxnn.analysis.faithfulness._evaluation import evaluate as evaluate
from jaxnn.analysis.faithfulness._imputation import (
    noisy_linear_imputation as noisy_linear_imputation,
)
from jaxnn.analysis.faithfulness._infidelity import infidelity as infidelity
from jaxnn.analysis.faithfulness._localization import localization_auc as localization_auc
from jaxnn.analysis.faithfulness._localization import pointing_game as pointing_game
from jaxnn.analysis.faithfulness._localization import (
    relevance_mass_accuracy as relevance_mass_accuracy,
)
from jaxnn.analysis.faithfulness._localization import (
    relevance_rank_accuracy as relevance_rank_accuracy,
)
from jaxnn.analysis.faithfulness._randomization import randomize_parameters as randomize_parameters
from jaxnn.analysis.faithfulness._randomization import spearman as spearman
from jaxnn.analysis.faithfulness._randomization import ssim as ssim
from jaxnn.analysis.faithfulness._regions import region_perturbation as region_perturbation
from jaxnn.analysis.faithfulness._retraining import diff_roar as diff_roar
from jaxnn.analysis.faithfulness._retraining import keep_ranked as keep_ranked
from jaxnn.analysis.faithfulness._stability import avg_sensitivity as avg_sensitivity
from jaxnn.analysis.faithfulness._stability import consistency as consistency
from jaxnn.analysis.faithfulness._stability import local_lipschitz as local_lipschitz
from jaxnn.analysis.faithfulness._stability import max_sensitivity as max_sensitivity
from jaxnn.analysis.faithfulness._stability import relative_stability as relative_stability

__all__ = [
    "avg_sensitivity",
    "complexity",
    "consistency",
    "deletion_curve",
    "diff_roar",
    "evaluate",
    "faithfulness_correlation",
    "faithfulness_estimate",
    "infidelity",
    "input_invariance",
    "insertion_curve",
    "keep_ranked",
    "local_lipschitz",
    "localization_auc",
    "max_sensitivity",
    "monotonicity",
    "monotonicity_correlation",
    "noisy_linear_imputation",
    "non_sensitivity",
    "pointing_game",
    "randomize_parameters",
    "region_perturbation",
    "relative_stability",
    "relevance_mass_accuracy",
    "relevance_rank_accuracy",
    "spearman",
    "ssim",
]
