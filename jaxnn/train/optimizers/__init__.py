"""Optimisers as ``optax.GradientTransformation``; what optax has is optax's."""

from jaxnn.train.optimizers._adamw import warmup_cosine_adamw as warmup_cosine_adamw

__all__ = ["warmup_cosine_adamw"]
