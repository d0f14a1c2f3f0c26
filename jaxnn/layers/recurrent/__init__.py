"""Recurrences beside the spiking ones.

``linear_recurrence`` is what the family is made of: a diagonal linear recurrence, step by step
or by an associative scan. ``diagonal_state_space`` is the recurrence between two matrix products,
``LRU`` the linear recurrent unit. A module maps a stretch of time, from one step to the whole
sequence, and gives the state to go on from.

``HGRN`` forgets by gates whose lower bounds (``forget_bounds``) grow with depth, over
``hierarchical_recurrence``: "Hierarchically Gated Recurrent Neural Network for Sequence
Modeling" (2023).

``LowRankGRUCell`` and ``LowRankLSTMCell`` have thin recurrent kernels and a diagonal
(``low_rank_products``): "Low-rank passthrough neural networks" (2016).
"""

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
from jaxnn.layers.recurrent._unit import LRU as LRU
from jaxnn.layers.recurrent._unit import diagonal_state_space as diagonal_state_space

__all__ = [
    "HGRN",
    "LRU",
    "LowRankGRUCell",
    "LowRankLSTMCell",
    "diagonal_state_space",
    "forget_bounds",
    "hierarchical_recurrence",
    "linear_recurrence",
    "linear_recurrence_step",
    "low_rank_gru_step",
    "low_rank_lstm_step",
    "low_rank_products",
]
