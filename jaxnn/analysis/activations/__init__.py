"""Reading and changing what a model computes on its way.

Every intermediate value has a name, the path of the linen module that returns it, such as
``"blocks_0/attention"``; ``capture`` returns the values by name, ``patch`` replaces them by
name, and ``cut`` makes two functions of a model, up to a name and from it on, for any
transform: the gradient at a layer is ``jax.grad`` of the second, its integrated gradients are
``attribution.integrated_gradients`` of it. ``sites`` lists what can be replaced, ``gradients``
differentiates at all of it in one backward pass; ``ablation`` makes replacements that take
information away (zero, mean, resample); ``activation_patching`` measures one replacement after
the other, of all values, in one compiled program: "Locating and Editing Factual Associations in
GPT" (2022). ``path_patching`` measures what each part hands directly to each other one, the
edges of the circuit: "Localizing Model Behavior with Path Patching" (2023).

A module that returns several arrays gives one name each, ``"cell/0"``, ``"cell/1"``; one that
is called several times counts its calls, ``"encoder:0"``, ``"encoder:1"``; a value sown into
the collection "intermediates" is captured as ``"blocks_0/hidden"``.

What is no linen module is a function that names its values itself:

    def network(params, x, tap):
        hidden = tap("hidden", jnp.tanh(x @ params["up"]))
        return hidden @ params["down"]

    outputs, values = capture(network, params, x)
"""

from jaxnn.analysis.activations._intermediates import capture as capture
from jaxnn.analysis.activations._intermediates import cut as cut
from jaxnn.analysis.activations._intermediates import patch as patch
from jaxnn.analysis.activations._paths import Paths as Paths
from jaxnn.analysis.activations._paths import path_patching as path_patching
from jaxnn.analysis.activations._sites import Gradients as Gradients
from jaxnn.analysis.activations._sites import ablation as ablation
from jaxnn.analysis.activations._sites import activation_patching as activation_patching
from jaxnn.analysis.activations._sites import gradients as gradients
from jaxnn.analysis.activations._sites import sites as sites

__all__ = [
    "Gradients",
    "Paths",
    "ablation",
    "activation_patching",
    "capture",
    "cut",
    "gradients",
    "patch",
    "path_patching",
    "sites",
]
