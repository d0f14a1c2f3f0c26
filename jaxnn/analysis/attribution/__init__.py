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
Features Through Propagating Activation Differences" (2017);
``layerwise_relevance`` hands the output down by rules that a table gives to layers
(``EpsilonRule`` ... ``IdentityRule``; ``EPSILON_PLUS`` is such a table), ``sensitivity`` and
``simple_taylor`` are its neighbours in "Methods for Interpreting and Understanding Deep Neural
Networks" (2018); ``dynamic_weights`` is the linear map that a dynamically linear network is at
the example, "B-cos Networks: Alignment is All We Need for Interpretability" (2022).

By perturbation, of entries or of groups of them (``feature_mask``): ``feature_ablation`` and,
over a batch, ``feature_permutation``; ``shapley_values``, ``shapley_sampling``, "Polynomial
calculation of the Shapley value based on sampling" (2009), and ``kernel_shap``, "A Unified
Approach to Interpreting Model Predictions" (2017); ``lime``, "'Why Should I Trust You?':
Explaining the Predictions of Any Classifier" (2016); ``rise``, "RISE: Randomized Input Sampling
for Explanation of Black-box Models" (2018).

At a layer, which ``activations.cut`` gives as two functions: ``grad_cam`` and
``guided_grad_cam``, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
Localization" (2017); ``conductance``, "How Important Is a Neuron?" (2018);
``internal_influence``, "Influence-Directed Explanations for Deep Convolutional Networks" (2018);
``through``, the network with its gradient through chosen units alone. All other methods apply
to ``lambda h: after(h, x)`` at ``before(x)``, or to one unit of ``before``, as they are.

Of attention weights, which ``activations.capture`` gives: ``attention_rollout``, "Quantifying
Attention Flow in Transformers" (2020), and ``head_summary``. What a unit answers to:
``maximize_activation``, from the starts of ``facet_means`` it is "Multifaceted Feature
Visualization" (2016).
"""

from jaxnn.analysis.attribution._attention import HeadSummary as HeadSummary
from jaxnn.analysis.attribution._attention import attention_rollout as attention_rollout
from jaxnn.analysis.attribution._attention import head_summary as head_summary
from jaxnn.analysis.attribution._conductance import conductance as conductance
from jaxnn.analysis.attribution._conductance import internal_influence as internal_influence
from jaxnn.analysis.attribution._conductance import through as through
from jaxnn.analysis.attribution._deeplift import deeplift as deeplift
from jaxnn.analysis.attribution._deeplift import deeplift_shap as deeplift_shap
from jaxnn.analysis.attribution._dynamic import dynamic_weights as dynamic_weights
from jaxnn.analysis.attribution._feature_ablation import feature_ablation as feature_ablation
from jaxnn.analysis.attribution._feature_permutation import (
    feature_permutation as feature_permutation,
)
from jaxnn.analysis.attribution._grad_cam import grad_cam as grad_cam
from jaxnn.analysis.attribution._grad_cam import guided_grad_cam as guided_grad_cam
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
from jaxnn.analysis.attribution._maximize import facet_means as facet_means
from jaxnn.analysis.attribution._maximize import maximize_activation as maximize_activation
from jaxnn.analysis.attribution._occlusion import occlusion as occlusion
from jaxnn.analysis.attribution._relevance import EPSILON_ALPHA2_BETA1 as EPSILON_ALPHA2_BETA1
from jaxnn.analysis.attribution._relevance import EPSILON_PLUS as EPSILON_PLUS
from jaxnn.analysis.attribution._relevance import layerwise_relevance as layerwise_relevance
from jaxnn.analysis.attribution._relevance_rules import AlphaBetaRule as AlphaBetaRule
from jaxnn.analysis.attribution._relevance_rules import EpsilonRule as EpsilonRule
from jaxnn.analysis.attribution._relevance_rules import FlatRule as FlatRule
from jaxnn.analysis.attribution._relevance_rules import GammaRule as GammaRule
from jaxnn.analysis.attribution._relevance_rules import IdentityRule as IdentityRule
from jaxnn.analysis.attribution._relevance_rules import WSquareRule as WSquareRule
from jaxnn.analysis.attribution._relevance_rules import ZBoxRule as ZBoxRule
from jaxnn.analysis.attribution._relevance_rules import ZPlusRule as ZPlusRule
from jaxnn.analysis.attribution._rise import rise as rise
from jaxnn.analysis.attribution._rise import rise_masks as rise_masks
from jaxnn.analysis.attribution._shapley import shapley_sampling as shapley_sampling
from jaxnn.analysis.attribution._shapley import shapley_values as shapley_values
from jaxnn.analysis.attribution._smooth import smooth as smooth
from jaxnn.analysis.attribution._taylor import sensitivity as sensitivity
from jaxnn.analysis.attribution._taylor import simple_taylor as simple_taylor

__all__ = [
    "AlphaBetaRule",
    "EPSILON_ALPHA2_BETA1",
    "EPSILON_PLUS",
    "EpsilonRule",
    "FlatRule",
    "GammaRule",
    "HeadSummary",
    "IdentityRule",
    "WSquareRule",
    "ZBoxRule",
    "ZPlusRule",
    "attention_rollout",
    "completeness_residual",
    "conductance",
    "deconvolution",
    "deeplift",
    "deeplift_shap",
    "dynamic_weights",
    "facet_means",
    "feature_ablation",
    "feature_permutation",
    "grad_cam",
    "gradient",
    "gradient_shap",
    "guided_backpropagation",
    "guided_grad_cam",
    "head_summary",
    "input_x_gradient",
    "integrated_gradients",
    "internal_influence",
    "kernel_shap",
    "layerwise_relevance",
    "lime",
    "maximize_activation",
    "occlusion",
    "rise",
    "rise_masks",
    "sensitivity",
    "shapley_sampling",
    "shapley_values",
    "simple_taylor",
    "smooth",
    "through",
]
