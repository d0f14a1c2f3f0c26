"""How few of many numbers matter: activations, weights, units, spikes.

Counts of (almost) zeros: ``activation_sparsity``, ``weight_sparsity``, ``dead_units``,
``spike_rate``. Indices that need no threshold and ignore scale, from 0 for equal magnitudes
to (almost) 1 for a single one: ``hoyer`` and ``gini``, compared in "Comparing Measures of
Sparsity" (2009), and ``pq_index`` with the bound on how many weights to keep, ``pq_bound``,
of "Pruning Deep Neural Networks from a Sparsity Perspective" (2023).

Outliers, the other side of it: ``kurtosis`` and ``infinity_norm`` of activations, of
"Quantizable Transformers: Removing Outliers by Helping Attention Heads Do Nothing" (2023), and
``attention_sink``, the weight that all queries give to one key, of "When Attention Sink Emerges
in Language Models: An Empirical View" (2025).

``softmax_support``, the count of weights that hold most of the mass, tells the regimes of
attention heads in "Hopfield Networks is All You Need" (2020).

Fractions and indices are float32 (or wider) whatever the input: bfloat16 cannot tell a
sparsity of 0.999 from 1.
"""

from jaxnn.analysis.sparsity._counts import activation_sparsity as activation_sparsity
from jaxnn.analysis.sparsity._counts import dead_units as dead_units
from jaxnn.analysis.sparsity._counts import spike_rate as spike_rate
from jaxnn.analysis.sparsity._counts import weight_sparsity as weight_sparsity
from jaxnn.analysis.sparsity._indices import gini as gini
from jaxnn.analysis.sparsity._indices import hoyer as hoyer
from jaxnn.analysis.sparsity._outliers import infinity_norm as infinity_norm
from jaxnn.analysis.sparsity._outliers import kurtosis as kurtosis
from jaxnn.analysis.sparsity._pq import pq_bound as pq_bound
from jaxnn.analysis.sparsity._pq import pq_index as pq_index
from jaxnn.analysis.sparsity._sinks import attention_sink as attention_sink
from jaxnn.analysis.sparsity._support import softmax_support as softmax_support

__all__ = [
    "activation_sparsity",
    "attention_sink",
    "dead_units",
    "gini",
    "hoyer",
    "infinity_norm",
    "kurtosis",
    "pq_bound",
    "pq_index",
    "softmax_support",
    "spike_rate",
    "weight_sparsity",
]
