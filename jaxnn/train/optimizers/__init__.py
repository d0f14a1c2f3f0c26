"""Optimisers as ``optax.GradientTransformation``, and what changes a gradient on its way to one.

What optax has is optax's.

``perp_grad`` takes the direction that merely scales the weights out of gradients: "Grokking at the
Edge of Numerical Stability" (2025). ``tract`` gives a first layer's kernel the gradient that moves
its outputs along theirs: "TrAct: Making First-layer Pre-Activations Trainable" (2024).
"""

from jaxnn.train.optimizers._adamw import warmup_cosine_adamw as warmup_cosine_adamw
from jaxnn.train.optimizers._perp_grad import perp_grad as perp_grad
from jaxnn.train.optimizers._tract import tract as tract

__all__ = ["perp_grad", "tract", "warmup_cosine_adamw"]
