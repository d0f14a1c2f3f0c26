"""Whether attributions name what the function really uses.

``deletion_curve`` and ``insertion_curve`` remove or insert the entries in the order that an
attribution gives; "RISE: Randomized Input Sampling for Explanation of Black-box Models"
(2018), and before it "Evaluating the visualization of what a Deep Neural Network has learned"
(2015).
"""

from jaxnn.analysis.faithfulness._curves import deletion_curve as deletion_curve
from jaxnn.analysis.faithfulness._curves import insertion_curve as insertion_curve

__all__ = ["deletion_curve", "insertion_curve"]
