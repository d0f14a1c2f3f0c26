"""Optimisers as ``optax.GradientTransformation``; what optax has is optax's.

``perp_grad`` takes the direction that merely scales the weights out of gradients: "Grokking at the
Edge of Numerical Stability" (2025).
"""

from jaxnn.train.optimizers._adamw import warmup_cosine_adamw as warmup_cosine_adamw
from jaxnn.train.optimizers._perp_grad import perp_grad as perp_grad

__all__ = ["perp_grad", "warmup_cosine_adamw"]
