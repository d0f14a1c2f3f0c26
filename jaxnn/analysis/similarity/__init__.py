"""How alike units are: what of one the others know already.

``variance_inflation`` tells how well each unit is a weighted sum of the others, whose rise from
layer to layer "Polynomial Regression As an Alternative to Neural Nets" (2018) reports.
"""

from jaxnn.analysis.similarity._variance_inflation import variance_inflation as variance_inflation

__all__ = ["variance_inflation"]
