"""Taking weights out of a network, by masks: pytrees of booleans like the parameters, True = kept.

``magnitude_masks`` removes the smallest, one-shot or in rounds; ``sap_masks`` lets a sparsity
index say how many each round, as "Pruning Deep Neural Networks from a Sparsity Perspective"
(2023) does; ``random_masks`` are a baseline. ``apply_masks`` sets the weights, and
``keep_pruned`` wraps an optimiser so that they stay at zero. A round of lottery-ticket pruning
("The Lottery Ticket Hypothesis", 2019) is

    masks = pruning.magnitude_masks(trained, 0.2 + 0.8 * sparsity_so_far, masks=masks)
    params = pruning.apply_masks(initial, masks)
    tx = pruning.keep_pruned(optax.adam(1e-3), masks)
"""

from jaxnn.train.pruning._keep import KeepPrunedState as KeepPrunedState
from jaxnn.train.pruning._keep import keep_pruned as keep_pruned
from jaxnn.train.pruning._masks import apply_masks as apply_masks
from jaxnn.train.pruning._masks import magnitude_masks as magnitude_masks
from jaxnn.train.pruning._masks import random_masks as random_masks
from jaxnn.train.pruning._sap import sap_count as sap_count
from jaxnn.train.pruning._sap import sap_masks as sap_masks

__all__ = [
    "KeepPrunedState",
    "apply_masks",
    "keep_pruned",
    "magnitude_masks",
    "random_masks",
    "sap_count",
    "sap_masks",
]
