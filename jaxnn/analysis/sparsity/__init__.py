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

``massive_activations`` flags entries far above the median, ``median_ratio`` measures the largest,
and ``fit_emergence`` fits how it grows in training: "Hidden Dynamics of Massive Activations in
Transformer Training" (2025).

Units by what they do: ``ngram_detectors``, ``positional_information`` and ``suppressed_tokens``, of
"Neurons in Large Language Models: Dead, N-gram, Positional" (2023).

Units by what they add to a feed-forward network's output: ``truncate_units`` drops those that add
little, ``cett`` measures the loss, ``cett_threshold`` and ``ppl_p_sparsity`` find how many may go,
and ``fit_activation_law`` fits how that changes with data, of "Sparsing Law: Towards Large Language
Models with Greater Activation Sparsity" (2024).

Fractions and indices are float32 (or wider) whatever the input: bfloat16 cannot tell a
sparsity of 0.999 from 1.
"""

from jaxnn.analysis.sparsity._counts import activation_sparsity as activation_sparsity
from jaxnn.analysis.sparsity._counts import dead_units as dead_units
from jaxnn.analysis.sparsity._counts import spike_rate as spike_rate
from jaxnn.analysis.sparsity._counts import weight_sparsity as weight_sparsity
from jaxnn.analysis.sparsity._indices import gini as gini
from jaxnn.analysis.sparsity._indices import hoyer as hoyer
from jaxnn.analysis.sparsity._massive import Emergence as Emergence
from jaxnn.analysis.sparsity._massive import fit_emergence as fit_emergence
from jaxnn.analysis.sparsity._massive import massive_activations as massive_activations
from jaxnn.analysis.sparsity._massive import median_ratio as median_ratio
from jaxnn.analysis.sparsity._neurons import NGramDetectors as NGramDetectors
from jaxnn.analysis.sparsity._neurons import ngram_detectors as ngram_detectors
from jaxnn.analysis.sparsity._neurons import positional_information as positional_information
from jaxnn.analysis.sparsity._neurons import suppressed_tokens as suppressed_tokens
from jaxnn.analysis.sparsity._outliers import infinity_norm as infinity_norm
from jaxnn.analysis.sparsity._outliers import kurtosis as kurtosis
from jaxnn.analysis.sparsity._pq import pq_bound as pq_bound
from jaxnn.analysis.sparsity._pq import pq_index as pq_index
from jaxnn.analysis.sparsity._sinks import attention_sink as attention_sink
from jaxnn.analysis.sparsity._support import softmax_support as softmax_support
from jaxnn.analysis.sparsity._truncation import ActivationLaw as ActivationLaw
from jaxnn.analysis.sparsity._truncation import PPLSparsity as PPLSparsity
from jaxnn.analysis.sparsity._truncation import cett as cett
from jaxnn.analysis.sparsity._truncation import cett_threshold as cett_threshold
from jaxnn.analysis.sparsity._truncation import fit_activation_law as fit_activation_law
from jaxnn.analysis.sparsity._truncation import ppl_p_sparsity as ppl_p_sparsity
from jaxnn.analysis.sparsity._truncation import truncate_units as truncate_units

__all__ = [
    "ActivationLaw",
    "Emergence",
    "NGramDetectors",
    "PPLSparsity",
    "activation_sparsity",
    "attention_sink",
    "cett",
    "cett_threshold",
    "dead_units",
    "fit_activation_law",
    "fit_emergence",
    "gini",
    "hoyer",
    "infinity_norm",
    "kurtosis",
    "massive_activations",
    "median_ratio",
    "ngram_detectors",
    "positional_information",
    "ppl_p_sparsity",
    "pq_bound",
    "pq_index",
    "softmax_support",
    "spike_rate",
    "suppressed_tokens",
    "truncate_units",
    "weight_sparsity",
]
