"""Activations that are none of the others: bumps, waves, powers, exponentials, quotients."""

import math

import jax.numpy as jnp
from jax.nn import softplus

from jaxnn.layers.activations._entry import INF, exp, log_cosh, neg, pos, row, split

PI = math.pi
ROOT_HALF = math.sqrt(0.5)
MEXICAN = 2 / (math.sqrt(3) * PI**0.25)


def sinc(x):
    """Give sin(x) / x."""
    return jnp.sinc(x / PI)


def sinh(x):
    """Give the hyperbolic sine, held where the exponential is."""
    return split(x, (exp(pos(x)) - jnp.exp(-pos(x))) / 2, (jnp.exp(neg(x)) - exp(-neg(x))) / 2)


def sym_exp(x):
    """Keep digits near zero, and hold the exponential far from it."""
    return split(x, jnp.expm1(jnp.minimum(pos(x), 60.0)), -jnp.expm1(jnp.minimum(-neg(x), 60.0)))


def modified_arcsinh(x):
    """Keep the root's infinite slope at zero out of the product."""
    away = x != 0
    size = jnp.where(away, jnp.abs(x), 1.0)
    return jnp.where(away, jnp.sign(x) * jnp.arcsinh(size) * jnp.sqrt(size) / 12, 0.0)


def hc_lsh(x):
    """Take the growing factor out of the logarithms."""
    half = jnp.exp(-pos(x) / 2)
    ratio = half * (1 + half**2) / (1 + half**4)
    return split(
        x, log_cosh(x) + jnp.log1p(pos(x) * ratio), jnp.log1p(jnp.exp(2 * neg(x))) - math.log(2)
    )


def spocu(x, a, b, c, d):
    """Give a polynomial step, held at both ends."""

    def step(u):
        u = jnp.clip(u, 0.0, d)
        return u**3 * (u**5 - 2 * u**4 + 2)

    return a * step(x / c + b) - a * step(jnp.asarray(b))


def mexican_hat(x, a):
    """Put a hat at a and one at -a."""
    u = (jnp.abs(x) - a) ** 2
    return MEXICAN * (1 - u) * jnp.exp(-u / 2)


def radial_pieces(x, a, b):
    """Put a bump at 0 and one at ±2a."""
    size = jnp.abs(x)
    return jnp.exp(-((jnp.where(size > a, size - 2 * a, x) / b) ** 2))


def rational(x, a0, a1, a2, a3, b1, b2):
    """Give a cubic over a quadratic."""
    return (a0 + x * (a1 + x * (a2 + x * a3))) / (1 + x * (b1 + x * b2))


# One entry an item, filled line by line: a table, not code.
# fmt: off
ROWS = (
    row("exponential", lambda x: exp(-x), "exp(-x)", (0, INF), True, "§3.39"),
    row("symexp", sym_exp, "sign(x) * (exp(abs(x)) - 1)", (-INF, INF), True, "§3.14"),
    row("symlog", lambda x: split(x, jnp.log1p(pos(x)), -jnp.log1p(-neg(x))),
        "sign(x) * log(abs(x) + 1)", (-INF, INF), True, "§3.13"),
    row("comb_h_sine", lambda x, a: sinh(a * x) + jnp.arcsinh(a * x),
        "sinh(a * x) + arcsinh(a * x)", (-INF, INF), True, "§3.25", a=1.0),
    row("modified_arcsinh", modified_arcsinh, "arcsinh(x) * sqrt(abs(x)) / 12", (-INF, INF), True,
        "§3.26"),
    row("hyper_sinh", lambda x: split(x, sinh(pos(x)) / 3, neg(x) ** 3 / 4),
        "where(x > 0, sinh(x) / 3, x**3 / 4)", (-INF, INF), True, "§3.27"),
    row("scaled_sinh", lambda x, a, b: a * sinh(b * x), "a * sinh(b * x)", (-INF, INF), True,
        "§4.16.3", "all", a=1.0, b=1.0),
    row("scaled_exponential", lambda x, a, b: a * (exp(b * x) - 1), "a * (exp(b * x) - 1)",
        (-1, INF), True, "§4.16.4", "all", a=1.0, b=1.0),
    row("arctid", lambda x: jnp.arctan(x) ** 2 - x, "arctan(x)**2 - x", (-INF, INF), True, "§3.28"),
    row("e_tanh", lambda x, a: a * exp(x) * jnp.tanh(x), "a * exp(x) * tanh(x)", (-0.300283, INF),
        False, "§3.40", a=1.0),
    row("hc_lsh", hc_lsh, "where(x > 0, log(cosh(x) + max(x, 0) * cosh(x / 2)), log(cosh(x)) + x)",
        (-math.log(2), INF), True, "§3.37"),
    row("sine", lambda x, a: jnp.sin(a * x), "sin(a * x)", (-1, 1), False, "§3.29", a=PI),
    row("sin", jnp.sin, "sin(x)", (-1, 1), False, "§3.29"),
    row("cosine", lambda x: 1 - jnp.cos(x), "1 - cos(x)", (0, 2), False, "§3.30"),
    row("cosid", lambda x: jnp.cos(x) - x, "cos(x) - x", (-INF, INF), True, "§3.31"),
    row("sinp", lambda x, a: jnp.sin(x) - a * x, "sin(x) - a * x", (-INF, INF), True, "§3.32",
        a=1.0),
    row("growing_cosine", lambda x: x * jnp.cos(x), "x * cos(x)", (-INF, INF), False,
        "Growing Cosine Unit: A Novel Oscillatory Activation Function That Can Speedup Training "
        "and Reduce Parameters in Convolutional Neural Networks (2021)"),
    row("amplifying_sine", lambda x: x * jnp.sin(x), "x * sin(x)", (-INF, INF), False, "§3.34"),
    row("sinc", sinc, "sin(x) / x", (-0.217234, 1), False, "§3.35"),
    row("shifted_sine_unit", lambda x: PI * sinc(x - PI), "pi * sin(x - pi) / (x - pi)",
        (-0.68246, 3.141593), False, "§3.35"),
    row("decaying_sine_unit", lambda x: PI / 2 * (sinc(x - PI) - sinc(x + PI)),
        "pi / 2 * (sin(x - pi) / (x - pi) - sin(x + pi) / (x + pi))", (-1.636408, 1.636408), False,
        "§3.36"),
    row("snake", lambda x, a: x + jnp.sin(a * x) ** 2 / a, "x + sin(a * x)**2 / a", (-INF, INF),
        True, "Neural Networks Fail to Learn Periodic Functions and How to Fix It (2020)", "all",
        a=1.0),
    row("polyexp", lambda x, a, b, c, d: (a * x * x + b * x + c) * jnp.exp(-d * x * x),
        "(a * x**2 + b * x + c) * exp(-d * x**2)", (0, 1.369289), False, "§3.38", a=1.0, b=1.0,
        c=1.0, d=1.0),
    row("wave", lambda x, a: (1 - x * x) * jnp.exp(-a * x * x), "(1 - x**2) * exp(-a * x**2)",
        (-0.135335, 1), False, "§3.41", a=1.0),
    row("mexican_hat", mexican_hat,
        "2 / (sqrt(3) * pi**0.25) * where(x < 0, (1 - (x + a)**2) * exp(-(x + a)**2 / 2), (1 - "
        "(x - a)**2) * exp(-(x - a)**2 / 2))", (-0.387053, 0.867325), False, "§3.23", a=4.0),
    row("piecewise_radial", radial_pieces,
        "where(x > a, exp(-(x - 2 * a)**2 / b**2), where(x < -a, exp(-(x + 2 * a)**2 / b**2), "
        "exp(-x**2 / b**2)))", (0, 1), False, "§3.24", a=3.0, b=1.0),
    row("radial_basis", lambda x, a, b: jnp.exp(-((x - a) ** 2) / (2 * b * b)),
        "exp(-(x - a)**2 / (2 * b**2))", (0, 1), False, "§4.8", "all", a=0.0, b=1.0),
    row("tent", lambda x, a: jnp.maximum(0.0, a - jnp.abs(x)), "max(0, a - abs(x))", (0, 1), False,
        "Improved Adversarial Robustness by Reducing Open Space Risk via Tent Activations ""(2019)",
        "all", a=1.0),
    row("hat", lambda x, a: jnp.maximum(0.0, a / 2 - jnp.abs(x - a / 2)),
        "where(x < 0, 0, where(x < a / 2, x, where(x < a, a - x, 0)))", (0, 1), False, "§4.2.28",
        a=2.0),
    row("non_monotonic_cubic", lambda x: x - x**3, "x - x**3", (-INF, INF), False, "§3.42"),
    row("triple", lambda x, a: a * x**3, "a * x**3", (-INF, INF), True, "§3.43", a=1.0),
    row("shifted_quadratic", lambda x: x * x + x, "x**2 + x", (-0.25, INF), False, "§3.44"),
    row("spocu", spocu,
        "a * max(0, min(x / c + b, d))**3 * (max(0, min(x / c + b, d))**5 - 2 * max(0, min(x / "
        "c + b, d))**4 + 2) - a * b**3 * (b**5 - 2 * b**4 + 2)", (-1.583829, 1.509871), True,
        "SPOCU: Scaled Polynomial Constant Unit Activation Function (2020)", a=3.0937, b=0.6653,
        c=4.437, d=1.0),
    row("universal",
        lambda x, a, b, c, d, e: softplus(a * (x + b) + c * x * x) - softplus(d * (x - b)) + e,
        "log(1 + exp(a * (x + b) + c * x**2)) - log(1 + exp(d * (x - b))) + e", (-INF, INF), True,
        "Universal Activation Function For Machine Learning (2020)", "all", a=1.0, b=0.0, c=0.0,
        d=-1.0, e=0.0),
    row("rational", rational, "(a0 + a1 * x + a2 * x**2 + a3 * x**3) / (1 + b1 * x + b2 * x**2)",
        (-INF, INF), False, "Rational neural networks (2020)", "all", a0=0.0218, a1=0.5, a2=1.5957,
        a3=1.1915, b1=0.0, b2=2.383),
    row("cauchy", lambda x, lambda1, lambda2, d: (lambda1 * x + lambda2) / (x * x + d * d),
        "lambda1 * x / (x**2 + d**2) + lambda2 / (x**2 + d**2)", (0.5 - ROOT_HALF, 0.5 + ROOT_HALF),
        False, "Cauchy activation function and XNet (2024)", "all", lambda1=1.0, lambda2=1.0,
        d=1.0),
)
# fmt: on
