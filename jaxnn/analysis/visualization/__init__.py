"""Figures: arrays in, a matplotlib ``Figure`` out, or drawn into axes that are given.

Nothing is shown or kept: figures belong to no global list, settings outside stay as they
were, and matplotlib is imported when the first figure is drawn. ``to_svg`` writes a figure
as a small, repeatable element for a page. The views are those that users of captum, pykan,
snntorch and "A Multiscale Visualization of Attention in the Transformer Model" (2019) know.
"""

from jaxnn.analysis.visualization._attention import attention_maps as attention_maps
from jaxnn.analysis.visualization._attribution import attribution_panels as attribution_panels
from jaxnn.analysis.visualization._attribution import color_scale as color_scale
from jaxnn.analysis.visualization._attribution import feature_bars as feature_bars
from jaxnn.analysis.visualization._attribution import feature_swarm as feature_swarm
from jaxnn.analysis.visualization._bars import confusion_matrix as confusion_matrix
from jaxnn.analysis.visualization._bars import sparsity_bars as sparsity_bars
from jaxnn.analysis.visualization._circuit import circuit_graph as circuit_graph
from jaxnn.analysis.visualization._curves import compare_curves as compare_curves
from jaxnn.analysis.visualization._curves import curve as curve
from jaxnn.analysis.visualization._curves import learning_curves as learning_curves
from jaxnn.analysis.visualization._curves import (
    predicted_against_true as predicted_against_true,
)
from jaxnn.analysis.visualization._kan import kan_edges as kan_edges
from jaxnn.analysis.visualization._kan import kan_network as kan_network
from jaxnn.analysis.visualization._layers import similarity_map as similarity_map
from jaxnn.analysis.visualization._layers import unit_map as unit_map
from jaxnn.analysis.visualization._series import attribution_series as attribution_series
from jaxnn.analysis.visualization._spiking import spike_raster as spike_raster
from jaxnn.analysis.visualization._style import INKS as INKS
from jaxnn.analysis.visualization._style import style as style
from jaxnn.analysis.visualization._svg import to_svg as to_svg
from jaxnn.analysis.visualization._text import attribution_text as attribution_text
from jaxnn.analysis.visualization._views import attention_lines as attention_lines
from jaxnn.analysis.visualization._views import attention_neurons as attention_neurons

__all__ = [
    "INKS",
    "attention_lines",
    "attention_maps",
    "attention_neurons",
    "attribution_panels",
    "attribution_series",
    "attribution_text",
    "circuit_graph",
    "color_scale",
    "compare_curves",
    "confusion_matrix",
    "curve",
    "feature_bars",
    "feature_swarm",
    "kan_edges",
    "kan_network",
    "learning_curves",
    "predicted_against_true",
    "similarity_map",
    "sparsity_bars",
    "spike_raster",
    "style",
    "to_svg",
    "unit_map",
]
