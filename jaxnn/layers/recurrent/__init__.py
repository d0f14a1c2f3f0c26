"""Recurrences beside the spiking ones.

``linear_recurrence`` is what the family is made of: a diagonal linear recurrence, step by step
or by an associative scan. ``diagonal_state_space`` is the recurrence between two matrix products,
``LRU`` the linear recurrent unit. A module maps a stretch of time, from one step to the whole
sequence, and gives the state to go on from.

``dynamical_system`` is the common form of linear attention (``attention_system``), selective state
spaces and gated recurrences: "Understanding the differences in Foundation Models: Attention, State
Space Models, and Recurrent Neural Networks" (2024).

``GraphRNNCell`` (``graph_rnn_step``) has its units in the layers of a graph (``directed_layers``):
"Investigating Sparsity in Recurrent Neural Networks" (2024).

``HGRN`` forgets by gates whose lower bounds (``forget_bounds``) grow with depth, over
``hierarchical_recurrence``: "Hierarchically Gated Recurrent Neural Network for Sequence
Modeling" (2023).

``LowRankGRUCell`` and ``LowRankLSTMCell`` have thin recurrent kernels and a diagonal
(``low_rank_products``): "Low-rank passthrough neural networks" (2016).

``SelectiveSSM`` and ``selective_state_space`` let the input set the step of time: "Mamba:
Linear-Time Sequence Modeling with Selective State Spaces" (2023).

``DeltaNet`` (``delta_rule``) and ``SelfReferential`` (``self_referential``) change matrices as they
run: "A Modern Self-Referential Weight Matrix That Learns to Modify Itself" (2022).

``LSSL`` is a dense linear system, as a recurrence (``state_space_scan``) or a convolution:
"Combining Recurrent, Convolutional, and Continuous-time Models with Linear State-Space Layers"
(2021).

``S4D`` (``s4d``) has diagonal systems, likewise a convolution and a recurrence: "On the
Parameterization and Initialization of Diagonal State Space Models" (2022).

``RWKVTimeMix`` (``wkv``) and ``RWKVChannelMix`` run one or more perspectives on time beside each
other: "Enhancing Transformer RNNs with Multiple Temporal Perspectives" (2024).

``run_stretches`` runs any of them, or a network of spiking layers, one stretch of time after
another, to save memory in training or to cut the gradient.
"""

from jaxnn.layers.recurrent._dynamical import DynamicalSystem as DynamicalSystem
from jaxnn.layers.recurrent._dynamical import attention_normalizer as attention_normalizer
from jaxnn.layers.recurrent._dynamical import attention_system as attention_system
from jaxnn.layers.recurrent._dynamical import dynamical_system as dynamical_system
from jaxnn.layers.recurrent._dynamical import gated_system as gated_system
from jaxnn.layers.recurrent._dynamical import real_gated_system as real_gated_system
from jaxnn.layers.recurrent._dynamical import selective_system as selective_system
from jaxnn.layers.recurrent._dynamical import taylor_features as taylor_features
from jaxnn.layers.recurrent._fast_weights import DeltaNet as DeltaNet
from jaxnn.layers.recurrent._fast_weights import SelfReferential as SelfReferential
from jaxnn.layers.recurrent._fast_weights import delta_rule as delta_rule
from jaxnn.layers.recurrent._fast_weights import delta_rule_step as delta_rule_step
from jaxnn.layers.recurrent._fast_weights import self_referential as self_referential
from jaxnn.layers.recurrent._fast_weights import self_referential_step as self_referential_step
from jaxnn.layers.recurrent._graph import DirectedLayers as DirectedLayers
from jaxnn.layers.recurrent._graph import GraphRNNCell as GraphRNNCell
from jaxnn.layers.recurrent._graph import directed_layers as directed_layers
from jaxnn.layers.recurrent._graph import graph_rnn_step as graph_rnn_step
from jaxnn.layers.recurrent._hierarchical import HGRN as HGRN
from jaxnn.layers.recurrent._hierarchical import forget_bounds as forget_bounds
from jaxnn.layers.recurrent._hierarchical import hierarchical_recurrence as hierarchical_recurrence
from jaxnn.layers.recurrent._linear import linear_recurrence as linear_recurrence
from jaxnn.layers.recurrent._linear import linear_recurrence_step as linear_recurrence_step
from jaxnn.layers.recurrent._low_rank import LowRankGRUCell as LowRankGRUCell
from jaxnn.layers.recurrent._low_rank import LowRankLSTMCell as LowRankLSTMCell
from jaxnn.layers.recurrent._low_rank import low_rank_gru_step as low_rank_gru_step
from jaxnn.layers.recurrent._low_rank import low_rank_lstm_step as low_rank_lstm_step
from jaxnn.layers.recurrent._low_rank import low_rank_products as low_rank_products
from jaxnn.layers.recurrent._rwkv import RWKVChannelMix as RWKVChannelMix
from jaxnn.layers.recurrent._rwkv import RWKVTimeMix as RWKVTimeMix
from jaxnn.layers.recurrent._rwkv import TimeMixState as TimeMixState
from jaxnn.layers.recurrent._rwkv import WKVState as WKVState
from jaxnn.layers.recurrent._rwkv import mix_perspectives as mix_perspectives
from jaxnn.layers.recurrent._rwkv import wkv as wkv
from jaxnn.layers.recurrent._s4d import S4D as S4D
from jaxnn.layers.recurrent._s4d import s4d as s4d
from jaxnn.layers.recurrent._s4d import s4d_discretize as s4d_discretize
from jaxnn.layers.recurrent._s4d import s4d_transition as s4d_transition
from jaxnn.layers.recurrent._selective import SelectiveSSM as SelectiveSSM
from jaxnn.layers.recurrent._selective import SelectiveState as SelectiveState
from jaxnn.layers.recurrent._selective import selective_state_space as selective_state_space
from jaxnn.layers.recurrent._state_space import LSSL as LSSL
from jaxnn.layers.recurrent._state_space import discretize as discretize
from jaxnn.layers.recurrent._state_space import hippo_legs as hippo_legs
from jaxnn.layers.recurrent._state_space import state_space_convolution as state_space_convolution
from jaxnn.layers.recurrent._state_space import state_space_kernel as state_space_kernel
from jaxnn.layers.recurrent._state_space import state_space_scan as state_space_scan
from jaxnn.layers.recurrent._stretches import run_stretches as run_stretches
from jaxnn.layers.recurrent._unit import LRU as LRU
from jaxnn.layers.recurrent._unit import diagonal_state_space as diagonal_state_space

__all__ = [
    "HGRN",
    "LRU",
    "LSSL",
    "S4D",
    "DeltaNet",
    "DirectedLayers",
    "DynamicalSystem",
    "GraphRNNCell",
    "LowRankGRUCell",
    "LowRankLSTMCell",
    "RWKVChannelMix",
    "RWKVTimeMix",
    "SelectiveSSM",
    "SelectiveState",
    "SelfReferential",
    "TimeMixState",
    "WKVState",
    "attention_normalizer",
    "attention_system",
    "delta_rule",
    "delta_rule_step",
    "diagonal_state_space",
    "directed_layers",
    "discretize",
    "dynamical_system",
    "forget_bounds",
    "gated_system",
    "graph_rnn_step",
    "hierarchical_recurrence",
    "hippo_legs",
    "linear_recurrence",
    "linear_recurrence_step",
    "low_rank_gru_step",
    "low_rank_lstm_step",
    "low_rank_products",
    "mix_perspectives",
    "real_gated_system",
    "run_stretches",
    "s4d",
    "s4d_discretize",
    "s4d_transition",
    "selective_state_space",
    "selective_system",
    "self_referential",
    "self_referential_step",
    "state_space_convolution",
    "state_space_kernel",
    "state_space_scan",
    "taylor_features",
    "wkv",
]
