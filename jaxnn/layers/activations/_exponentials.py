"""Activations that are a line above zero and bend towards a level, or back, below."""

import math

import jax
import jax.numpy as jnp
from jax.nn import elu, relu, sigmoid

from jaxnn.layers.activations._entry import INF, exp, neg, pos, power, row, softclip, split

LN2 = math.log(2)
SCALE, ALPHA = 1.0507009873554805, 1.6732632423543772
erf = jax.lax.erf


def below(x, scale, rate):
    """Give an exponential's rise from -scale to 0, for the half below zero."""
    return scale * jnp.expm1(rate * neg(x))


def soft_exponential(x, a):
    """Go from a logarithm at a = -1 over the line at 0 to the exponential at 1."""
    down = jnp.where(a < 0, a, -1.0)
    inner = jnp.maximum(1 - down * (x + down), 1e-6)
    up = jnp.where(a > 0, a, 1.0)
    rising = (exp(up * x) - 1) / up + up
    return jnp.where(a < 0, -jnp.log(inner) / down, jnp.where(a > 0, rising, x))


def rsig_elu(x, a, b):
    """Steepen above 1."""
    return jnp.where(x > 1, x * (1 + a * sigmoid(x)), split(x, x, below(x, b, 1.0)))


def ls_relu(x, a, b):
    """Slow down to a logarithm above b, and to a level below zero."""
    top = jnp.abs(jnp.log1p(jnp.asarray(a * b)) - b)
    tail = jnp.log1p(a * pos(x)) + top
    return jnp.where(x > b, tail, split(x, x, x / (1 + jnp.abs(x))))


def pelu(x, a, b):
    """Match the slopes of both halves."""
    return split(x, a / b * x, below(x, a, 1 / b))


# One entry an item, filled line by line: a table, not code.
# fmt: off
ROWS = (
    row("elu", lambda x, a: elu(x, a), "where(x > 0, x, a * (exp(x) - 1))", (-1, INF), True,
        "Fast and Accurate Deep Network Learning by Exponential Linear Units (ELUs) (2015)", a=1.0),
    row("reu", lambda x: split(x, x, x * jnp.exp(neg(x))), "where(x > 0, x, x * exp(x))",
        (-0.367879, INF), False, "§3.6.49"),
    row("apical_dendrite", lambda x, a, b: pos(x) * jnp.exp(-a * pos(x) + b),
        "max(0, x) * exp(-a * x + b)", (0, 1), False,
        "Non-linear Neurons with Human-like Apical Dendrite Activations (2020)", a=1.0, b=1.0),
    row("leaky_apical_dendrite", lambda x, a, b, c: pos(x) * jnp.exp(-a * pos(x) + b) + c * neg(x),
        "c * min(0, x) + max(0, x) * exp(-a * x + b)", (-INF, 1), False,
        "Non-linear Neurons with Human-like Apical Dendrite Activations (2020)", a=1.0, b=1.0,
        c=0.01),
    row("sigmoid_linear_unit", lambda x: split(x, x, jnp.tanh(x)),
        "where(x > 0, x, (1 - exp(-2 * x)) / (1 + exp(-2 * x)))", (-1, INF), True, "§3.6.52"),
    row("swish_relu", lambda x, a, b: split(x, x, x * sigmoid(b * x - jnp.log(a))),
        "where(x > 0, x, x / (1 + a * exp(-b * x)))", (-0.661508, INF), False, "§3.6.53", a=0.5,
        b=0.7),
    row("max_sig", lambda x: jnp.maximum(x, sigmoid(x)), "max(x, sigmoid(x))", (0, INF), True,
        "§3.7"),
    row("max_tanh", lambda x: split(x, x, jnp.tanh(x)), "max(x, tanh(x))", (-1, INF), True,
        "§3.7.1"),
    row("tanh_linear_unit", lambda x: split(x, x, jnp.tanh(x / 2)),
        "where(x > 0, x, 2 / (1 + exp(-x)) - 1)", (-1, INF), True, "§3.7.1"),
    row("difference_elu",
        lambda x, a, b: split(x, x, a * (x * jnp.exp(neg(x)) - b * jnp.exp(b * neg(x)))),
        "where(x > 0, x, a * (x * exp(x) - b * exp(b * x)))", (-0.137542, INF), False, "§3.7.3",
        a=0.3, b=0.1),
    row("poly_lu", lambda x: split(x, x, neg(x) / (1 - neg(x))), "where(x > 0, x, 1 / (1 - x) - 1)",
        (-1, INF), True, "§3.7.4"),
    row("power_linear_unit", lambda x, a: split(x, x, jnp.expm1(-a * jnp.log1p(-neg(x)))),
        "where(x > 0, x, (1 - min(x, 0))**(-a) - 1)", (-1, INF), True, "§3.7.6", a=1.5),
    row("selu", jax.nn.selu,
        "1.0507009873554805 * where(x > 0, x, 1.6732632423543772 * (exp(x) - 1))",
        (-SCALE * ALPHA, INF), True, "Self-Normalizing Neural Networks (2017)"),
    row("leaky_selu", lambda x, c: SCALE * split(x, x, below(x, ALPHA, 1.0) + c * x),
        "1.0507009873554805 * where(x > 0, x, 1.6732632423543772 * (exp(x) - 1) + c * x)",
        (-INF, INF), True, "§3.7.12", c=0.01),
    row("serlu", lambda x, a, b: a * split(x, x, b * x * jnp.exp(neg(x))),
        "a * where(x > 0, x, b * x * exp(x))", (-1.152430, INF), False, "§3.7.13", a=1.07862,
        b=2.90427),
    row("scaled_scaled_elu", lambda x, c: SCALE * split(x, x, below(x, ALPHA, c)),
        "1.0507009873554805 * where(x > 0, x, 1.6732632423543772 * (exp(c * x) - 1))",
        (-SCALE * ALPHA, INF), True, "§3.7.14", c=0.5),
    row("rsig_elu", lambda x, a: rsig_elu(x, a, a),
        "where(x > 1, x * sigmoid(x) * a + x, where(x > 0, x, a * (exp(x) - 1)))", (-0.5, INF),
        True, "§3.7.15", a=0.5),
    row("rsig_elu_double", rsig_elu,
        "where(x > 1, x * sigmoid(x) * a + x, where(x > 0, x, b * (exp(x) - 1)))", (-0.25, INF),
        True, "§3.7.19", a=0.5, b=0.25),
    row("hard_srelu_e", lambda x, a: split(x, a * x * softclip((x + 1) / 2) + x, below(x, a, 1.0)),
        "where(x > 0, a * x * max(0, min(1, (x + 1) / 2)) + x, a * (exp(x) - 1))", (-0.5, INF),
        True, "§3.7.16", a=0.5),
    row("elish", lambda x: split(x, x, jnp.expm1(neg(x))) * sigmoid(x),
        "where(x > 0, x / (1 + exp(-x)), (exp(x) - 1) / (1 + exp(-x)))", (-0.171573, INF), False,
        "The Quest for the Golden Activation Function (2018)"),
    row("hard_elish", lambda x: split(x, x, jnp.expm1(neg(x))) * softclip((x + 1) / 2),
        "where(x > 0, x, exp(x) - 1) * max(0, min(1, (x + 1) / 2))", (-0.099673, INF), False,
        "The Quest for the Golden Activation Function (2018)"),
    row("ls_relu", ls_relu,
        "where(x > b, log(1 + a * max(x, 0)) + abs(log(1 + a * b) - b), where(x > 0, x, x / (1 "
        "+ abs(x))))", (-1, INF), True, "§3.7.20", a=1.0, b=1.0),
    row("isrlu", lambda x, a: split(x, x, x / jnp.sqrt(1 + a * neg(x) ** 2)),
        "where(x > 0, x, x / sqrt(1 + a * x**2))", (-1, INF), True,
        "Improving Deep Learning by Inverse Square Root Linear Units (ISRLUs) (2017)", a=1.0),
    row("parametric_reu", lambda x, a, b: split(x, a * x, a * x * jnp.exp(b * neg(x))),
        "where(x > 0, a * x, a * x * exp(b * x))", (-0.367879, INF), False, "§4.2.9", "all", a=1.0,
        b=1.0),
    row("parametric_tanh_linear_unit", lambda x, a, b: split(x, x, a * jnp.tanh(b * neg(x))),
        "where(x > 0, x, a * tanh(b * x))", (-1, INF), True, "§4.2.30", "all", a=1.0, b=1.0),
    row("tangent_linear_unit", lambda x, a: split(x, x, jnp.tanh(jnp.maximum(neg(x), a))),
        "where(x > 0, x, where(x > a, tanh(x), tanh(a)))", (-0.635149, INF), True, "§4.2.31", "all",
        a=-0.75),
    row("parametric_tangent_linear_unit",
        lambda x, a, b: jnp.where(x > b, x, jnp.tanh(jnp.maximum(x, a))),
        "where(x > b, x, where(x > a, tanh(x), tanh(a)))", (-0.635149, INF), True, "§4.2.32", "all",
        a=-0.75, b=1.0),
    row("tanh_based_relu", lambda x, b: split(x, x, jnp.tanh(b * neg(x))),
        "where(x > 0, x, tanh(b * x))", (-1, INF), True, "§4.2.35", "all", b=1.0),
    row("pelu", pelu, "where(x > 0, a / b * x, a * (exp(x / b) - 1))", (-1, INF), True,
        "Parametric Exponential Linear Unit for Deep Convolutional Neural Networks (2016)", "all",
        a=1.0, b=1.0),
    row("fast_elu", lambda x, a: split(x, x, below(x, a, 1.0)),
        "where(x > 0, x, a * (2**(x / log(2)) - 1))", (-1, INF), True, "§4.2.46", "all", a=1.0),
    row("fast_elu_shifted", lambda x, a, b: split(x, x, below(x, a, 1.0)) + b,
        "where(x > 0, x + b, a * (2**(x / log(2)) - 1) + b)", (-1, INF), True, "§4.2.47", "all",
        a=1.0, b=0.0),
    row("multiple_pelu", lambda x, a, b: split(x, x, below(x, a, b)),
        "where(x > 0, x, a * (exp(b * x) - 1))", (-1, INF), True,
        "Improving Deep Neural Network with Multiple Parametric Exponential Linear Units (2016)",
        "all", a=1.0, b=1.0),
    row("p_e2_relu", lambda x, a, b: a * relu(x) + b * elu(x) - (1 - a - b) * elu(-x),
        "a * max(0, x) + b * elu(x) + (1 - a - b) * (-elu(-x))", (-INF, INF), True, "§4.2.49",
        "all", a=0.4, b=0.3),
    row("p_e2_identity", lambda x, a: a * x + (1 - a) * (elu(x) - elu(-x)),
        "a * x + (1 - a) * (elu(x) - elu(-x))", (-INF, INF), True, "§4.2.49", "all", a=0.5),
    row("soft_exponential", soft_exponential,
        "where(a < 0, -log(max(1 - a * (x + a), 1e-6)) / (a + (a == 0)), where(a > 0, (exp(a * "
        "x) - 1) / (a + (a == 0)) + a, x))", (-1.5, INF), True,
        "A Continuum among Logarithmic, Linear, and Exponential Functions, and Its Potential to "
        "Improve Generalization in Neural Networks (2016)", "all", a=0.5),
    row("celu", lambda x, a: split(x, x, below(x, a, 1 / a)),
        "max(0, x) + min(0, a * (exp(x / a) - 1))", (-1, INF), True,
        "Continuously Differentiable Exponential Linear Units (2017)", "all", a=1.0),
    row("erf_relu", lambda x, a: split(x, x, a * erf(neg(x))), "where(x > 0, x, a * erf(x))",
        (-1, INF), True, "§4.2.52", "all", a=1.0),
    row("parametric_selu", lambda x, a, b: a * split(x, x, below(x, b, 1.0)),
        "where(x > 0, a * x, a * b * (exp(x) - 1))", (-SCALE * ALPHA, INF), True, "§4.2.53", "all",
        a=SCALE, b=ALPHA),
    row("leaky_parametric_selu", lambda x, a, b, c: split(x, a * x, a * below(x, b, 1.0) + c * x),
        "where(x > 0, a * x, a * b * (exp(x) - 1) + c * x)", (-INF, INF), True, "§4.2.54", "a b",
        a=SCALE, b=ALPHA, c=0.01),
    row("repositioned_parametric_selu",
        lambda x, a, b, c, m: split(x, a * x, a * below(x, b, 1.0) + c * x) + m,
        "where(x > 0, a * x, a * b * (exp(x) - 1) + c * x) + m", (-INF, INF), True, "§4.2.55",
        "a b m", a=SCALE, b=ALPHA, c=0.01, m=0.0),
    row("horizontally_shifted_elu", lambda x, a, b: split(x + b, x + b, below(x + b, a, 1.0)),
        "where(x + b > 0, x + b, a * (exp(x + b) - 1))", (-1, INF), True, "§4.2.56", a=1.0, b=0.1),
    row("vertically_shifted_elu", lambda x, a, b: split(x, x, below(x, a, 1.0)) + b,
        "where(x > 0, x + b, a * (exp(x) - 1) + b)", (-0.9, INF), True, "§4.2.56", a=1.0, b=0.1),
    row("horizontally_shifted_pelu", lambda x, a, b, c: pelu(x + c, a, b),
        "where(x + c > 0, a / b * (x + c), a * (exp((x + c) / b) - 1))", (-1, INF), True, "§4.2.56",
        "all", a=1.0, b=1.0, c=0.0),
    row("vertically_shifted_pelu", lambda x, a, b, c: pelu(x, a, b) + c,
        "where(x > 0, a / b * x + c, a * (exp(x / b) - 1) + c)", (-1, INF), True, "§4.2.56", "all",
        a=1.0, b=1.0, c=0.0),
    row("deformable_elu",
        lambda x, a, b: split(x, x, a * (power(1 + (1 - b) * neg(x), 1 / (1 - b)) - 1)),
        "where(x > 0, x, a * (max(1 + (1 - b) * x, 0)**(1 / (1 - b)) - 1))", (-1, INF), True,
        "§4.2.59", "a", a=1.0, b=0.9),
    row("first_power_with_sign", lambda x, a, b: split(x, a * x, a * x / (1 - b * neg(x))),
        "a * x * where(x > 0, 1, 1 / (1 - b * min(x, 0)))", (-1, INF), True, "§4.2.61", "all",
        a=1.0, b=1.0),
)
# fmt: on
