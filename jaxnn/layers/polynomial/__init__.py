"""Polynomials of all inputs together, fitted in closed form.

"Polynomial Regression As an Alternative to Neural Nets" (2018): ``polynomial_features`` and their
``polynomial_exponents``, the least squares of ``fit_polynomial``, whose result
``PolynomialRegression`` takes for parameters, and ``expand_network``, which writes a network of
squared units as the polynomial that it is.
"""

from jaxnn.layers.polynomial._features import polynomial_exponents as polynomial_exponents
from jaxnn.layers.polynomial._features import polynomial_features as polynomial_features
from jaxnn.layers.polynomial._network import expand_network as expand_network
from jaxnn.layers.polynomial._regression import PolynomialRegression as PolynomialRegression
from jaxnn.layers.polynomial._regression import fit_polynomial as fit_polynomial

__all__ = [
    "PolynomialRegression",
    "expand_network",
    "fit_polynomial",
    "polynomial_exponents",
    "polynomial_features",
]
