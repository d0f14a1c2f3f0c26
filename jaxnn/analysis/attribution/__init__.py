"""How much each entry of an input contributes to one output of a function.

Every method takes a function of one example, an array in and one number out, and the example;
it returns an array of the example's shape. ``jax.vmap`` makes it a batch:

    f = lambda x: model.apply(variables, x[None])[0, digit]
    jax.jit(jax.vmap(lambda x: attribution.integrated_gradients(f, x)))(images)

Inputs are single arrays: flatten a pytree with ``jax.flatten_util.ravel_pytree`` first.
``gradient`` and ``input_x_gradient`` read the slope at the example. ``integrated_gradients``
is "Axiomatic Attribution for Deep Networks" (2017), ``gradient_shap`` its expectation over
baselines; ``smooth`` averages any of them over noise, as "SmoothGrad" (2017) does;
``occlusion`` hides windows, as "Visualizing and Understanding Convolutional Networks" (2014);
``deconvolution`` is that paper's way back through ReLUs, ``guided_backpropagation`` that of
"Striving for Simplicity: The All Convolutional Net" (2015);
``deeplift`` and ``deeplift_shap`` pass on differences from a baseline, "Learning Important
Features Through Propagating Activation Differences" (2017).

By perturbation, of entries or of groups of them (``feature_mask``): ``feature_ablation`` and,
over a batch, ``feature_permutation``; ``shapley_values``, ``shapley_sampling``, "Polynomial
calculation of the Shapley value based on sampling" (2009), and ``kernel_shap``, "A Unified
Approach to Interpreting Model Predictions" (2017); ``lime``, "'Why Should I Trust You?':
Explaining the Predictions of Any Classifier" (2016); ``rise``, "RISE: Randomized Input Sampling
for Explanation of Black-box Models" (2018).
"""

from jaxnn.analysis.attribution._deeplift import deeplift as deeplift
from jaxnn.analysis.attribution._deeplift import deeplift_shap as deeplift_shap
from jaxnn.analysis.attribution._feature_ablation import feature_ablation as feature_ablation
from jaxnn.analysis.attribution._feature_permutation import (
    feature_permutation as feature_permutation,
)
from jaxnn.analysis.attribution._gradient import gradient as gradient
from jaxnn.analysis.attribution._gradient import input_x_gradient as input_x_gradient
from jaxnn.analysis.attribution._gradient_shap import gradient_shap as gradient_shap
from jaxnn.analysis.attribution._guided import deconvolution as deconvolution
from jaxnn.analysis.attribution._guided import guided_backpropagation as guided_backpropagation
from jaxnn.analysis.attribution._integrated_gradients import (
    completeness_residual as completeness_residual,
)
from jaxnn.analysis.attribution._integrated_gradients import (
    integrated_gradients as integrated_gradients,
)
from jaxnn.analysis.attribution._kernel_shap import kernel_shap as kernel_shap
from jaxnn.analysis.attribution._lime import lime as lime
from jaxnn.analysis.attribution._occlusion import occlusion as occlusion
from jaxnn.analysis.attribution._rise import rise as rise
from jaxnn.analysis.attribution._rise import rise_masks as rise_masks
from jaxnn.analysis.attribution._shapley import shapley_sampling as shapley_sampling
from jaxnn.analysis.attribution._shapley import shapley_values as shapley_values
from jaxnn.analysis.attribution._smooth import smooth as smooth

__all__ = [
    "completeness_residual",
    "deconvolution",
    "deeplift",
    "deeplift_shap",
    "feature_ablation",
    "feature_permutation",
    "gradient",
    "gradient_shap",
    "guided_backpropagation",
    "input_x_gradient",
    "integrated_gradients",
    "kernel_shap",
    "lime",
    "occlusion",
    "rise",
    "rise_masks",
    "shapley_sampling",
    "shapley_values",
    "smooth",
]
