"""Activations x s(x), whose gate s closes to the left and opens to the right, and their kin."""

import math

import jax
import jax.numpy as jnp
from jax.nn import gelu, relu, sigmoid, silu, softplus

from jaxnn.layers.activations._entry import (
    INF,
    exp,
    neg,
    pos,
    root,
    root_gate,
    row,
    sech,
    softclip,
    split,
)

PI = math.pi
erf, Phi = jax.lax.erf, jax.scipy.stats.norm.cdf


def collapsing(x):
    """Multiply out the exponential where it grows."""
    shrinking = jnp.exp(neg(x) + jnp.exp(neg(x)))
    above = pos(x) / (1 - pos(x) * jnp.exp(-(pos(x) + exp(x))))
    return split(x, above, neg(x) * shrinking / (shrinking - neg(x)))


def tanh_soft_3(x, a):
    """Take the exponential out of the logarithm where it grows."""
    safe = jnp.where(x > 0, x, 1.0)
    above = safe + jnp.log(jnp.exp(-safe) + jnp.tanh(a * safe))
    return split(x, above, jnp.log1p(jnp.exp(neg(x)) * jnp.tanh(a * neg(x))))


def acon_c(x, p, q, beta):
    """Give a smooth maximum of p x and q x."""
    return (p - q) * x * sigmoid(beta * (p - q) * x) + q * x


def smooth_unit(x, a, b):
    """Give the mean of a leaky rectifier over normal noise of deviation 1 / b."""
    bump = jnp.exp(-((b * x) ** 2) / 2) / (b * math.sqrt(2 * PI))
    return a * x + (1 - a) * (x * Phi(b * x) + bump)


# One entry an item, filled line by line: a table, not code.
# fmt: off
ROWS = (
    row("silu", silu, "x / (1 + exp(-x))", (-0.278465, INF), False,
        "Sigmoid-Weighted Linear Units for Neural Network Function Approximation in "
        "Reinforcement Learning (2017)"),
    row("gelu", lambda x: gelu(x, approximate=False), "x * (1 + erf(x / sqrt(2))) / 2",
        (-0.169971, INF), False, "Gaussian Error Linear Units (GELUs) (2016)"),
    row("gelu_tanh", lambda x: gelu(x, approximate=True),
        "x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))", (-0.170041, INF), False,
        "Gaussian Error Linear Units (GELUs) (2016)"),
    row("gelu_sigmoid", lambda x: x * sigmoid(1.702 * x), "x * sigmoid(1.702 * x)", (-0.16361, INF),
        False, "Gaussian Error Linear Units (GELUs) (2016)"),
    row("symmetric_gelu", lambda x, a: a * x * erf(x * math.sqrt(0.5)), "a * x * erf(x / sqrt(2))",
        (0, INF), False, "§3.3.2", a=1.0),
    row("cauchy_linear_unit", lambda x: x * jnp.arctan2(jnp.ones_like(x), -x) / PI,
        "x * (arctan(x) / pi + 1 / 2)", (-1 / PI, INF), True, "§3.3.3"),
    row("laplace_linear_unit",
        lambda x: split(x, x * (1 - jnp.exp(-pos(x)) / 2), x * jnp.exp(neg(x)) / 2),
        "x * where(x > 0, 1 - exp(-x) / 2, exp(x) / 2)", (-0.183940, INF), False, "§3.3.4"),
    row("collapsing_linear_unit", collapsing, "x / (1 - x * exp(-(x + exp(x))))", (-0.377159, INF),
        False, "§3.3.5"),
    row("triple_state_swish",
        lambda x, a, b: silu(x) * (sigmoid(x) + sigmoid(x - a) + sigmoid(x - b)),
        "x / (1 + exp(-x)) * (1 / (1 + exp(-x)) + 1 / (1 + exp(a - x)) + 1 / (1 + exp(b - x)))",
        (-0.127577, INF), False, "§3.3.6", a=1.0, b=2.0),
    row("generalized_swish", lambda x: x * sigmoid(exp(-x)), "x * sigmoid(exp(-x))", (-INF, INF),
        True, "§3.3.7"),
    row("gish", lambda x: x * jnp.log1p(-jnp.expm1(-exp(x))), "x * log(2 - exp(-exp(x)))",
        (-0.278159, INF), False, "§3.3.10"),
    row("logish", lambda x: x * jnp.log1p(sigmoid(x)), "x * log(1 + sigmoid(x))", (-0.252769, INF),
        False, "§3.3.11"),
    row("log_logish", lambda x: -x * jnp.expm1(-exp(x)), "x * (1 - exp(-exp(x)))", (-0.312183, INF),
        False, "§3.3.12"),
    row("exp_expish", lambda x: x * jnp.exp(-exp(-x)), "x * exp(-exp(-x))", (-0.09726, INF), False,
        "§3.3.13"),
    row("self_arctan", lambda x: x * jnp.arctan(x), "x * arctan(x)", (0, INF), False, "§3.3.14"),
    row("parametric_logish", lambda x, a, b: a * x * jnp.log1p(sigmoid(b * x)),
        "a * x * log(1 + sigmoid(b * x))", (-0.025277, INF), False, "§3.3.15", a=1.0, b=10.0),
    row("phish", lambda x: x * jnp.tanh(gelu(x, approximate=False)), "x * tanh(gelu(x))", (0, INF),
        False, "§3.3.16"),
    row("suish", lambda x: split(x, x, x * jnp.exp(neg(x))), "max(x, x * exp(-abs(x)))",
        (-0.367879, INF), False, "§3.3.17"),
    row("ts_relu", lambda x: x * jnp.tanh(sigmoid(x)), "x * tanh(sigmoid(x))", (-0.274243, INF),
        False, "§3.3.18"),
    row("tbs_relu", lambda x: x * jnp.tanh(jnp.tanh(x / 2)),
        "x * tanh((1 - exp(-x)) / (1 + exp(-x)))", (0, INF), False, "§3.3.19"),
    row("double_silu", lambda x: x * sigmoid(silu(x)), "x / (1 + exp(-x / (1 + exp(-x))))",
        (-INF, INF), True, "§3.3.22"),
    row("modified_silu", lambda x: silu(x) + jnp.exp(-x * x - 1) / 4,
        "x * sigmoid(x) + exp(-x**2 - 1) / 4", (-0.264269, INF), False, "§3.3.23"),
    row("tanh_silu", lambda x: jnp.tanh(silu(x)), "tanh(x * sigmoid(x))", (-0.271483, 1), False,
        "§3.3.24"),
    row("arctan_silu", lambda x: jnp.arctan(silu(x)), "arctan(x * sigmoid(x))",
        (-0.271584, 1.570796), False, "§3.3.25"),
    row("swat", lambda x: x * sigmoid(jnp.arctan(x)), "x / (1 + exp(-arctan(x)))", (-INF, INF),
        True, "§3.3.26"),
    row("rectified_sech", lambda x: x * sech(x), "x / cosh(x)", (-0.662743, 0.662743), False,
        "§3.3.27"),
    row("lisht", lambda x: x * jnp.tanh(x), "x * tanh(x)", (0, INF), False,
        "LiSHT: Non-Parametric Linearly Scaled Hyperbolic Tangent Activation Function for "
        "Neural Networks (2019)"),
    row("mish", jax.nn.mish, "x * tanh(log(1 + exp(x)))", (-0.308843, INF), False,
        "Mish: A Self Regularized Non-Monotonic Activation Function (2019)"),
    row("smish", lambda x, a, b: a * x * jnp.tanh(jnp.log1p(sigmoid(b * x))),
        "a * x * tanh(log(1 + sigmoid(b * x)))", (-0.249994, INF), False, "§3.3.30", a=1.0, b=1.0),
    row("tanh_exp", lambda x: x * jnp.tanh(exp(x)), "x * tanh(exp(x))", (-0.353286, INF), False,
        "TanhExp: A Smooth Activation Function with High Convergence Speed for Lightweight "
        "Neural Networks (2020)"),
    row("serf", lambda x: x * erf(softplus(x)), "x * erf(log(1 + exp(x)))", (-0.348437, INF), False,
        "§3.3.32"),
    row("eanaf", lambda x: x * sigmoid(x - math.log(2)), "x * exp(x) / (exp(x) + 2)",
        (-0.157185, INF), False, "§3.3.33"),
    row("sin_sig", lambda x: x * jnp.sin(PI / 2 * sigmoid(x)), "x * sin(pi / 2 * sigmoid(x))",
        (-0.429178, INF), False, "§3.3.34"),
    row("flatted_t_swish", lambda x, t: relu(x) * sigmoid(x) + t,
        "where(x > 0, x / (1 + exp(-x)), 0) + t", (-0.2, INF), True, "§3.6.46", t=-0.2),
    row("relu_swish", lambda x: relu(x) * sigmoid(x), "where(x > 0, x / (1 + exp(-x)), 0)",
        (0, INF), True, "§3.6.46"),
    row("optimal_activation", lambda x: relu(x) + silu(x), "max(0, x) + x * sigmoid(x)",
        (-0.278465, INF), False, "§3.6.47"),
    row("power_function_linear_unit", lambda x: x * root_gate(x),
        "x / 2 * (1 + x / sqrt(1 + x**2))", (-0.150142, INF), False, "§3.7.7"),
    row("faster_power_function_linear_unit", lambda x: split(x, x, 2 * x * root_gate(x)),
        "where(x > 0, x, x + x**2 / sqrt(1 + x**2))", (-0.300283, INF), False, "§3.7.8"),
    row("swim", lambda x, a: x * (1 + a * x / root(x)) / 2, "x / 2 * (1 + a * x / sqrt(1 + x**2))",
        (-INF, INF), True, "§4.4.14", "all", a=0.5),
    row("swish", lambda x, beta: x * sigmoid(beta * x), "x * sigmoid(beta * x)", (-0.278465, INF),
        False, "Searching for Activation Functions (2017)", "all", beta=1.0),
    row("adaptive_hybrid", lambda x, a, b: a * x * sigmoid(b * x), "a * x * sigmoid(b * x)",
        (-0.278465, INF), False, "§4.4.2", "all", a=1.0, b=1.0),
    row("parametric_shifted_silu", lambda x, a, b: x * (sigmoid(a * x) - b) / (1 - b),
        "x * (sigmoid(a * x) - b) / (1 - b)", (-0.189079, INF), False, "§4.4.3", "all", a=1.0,
        b=0.1),
    row("e_swish", lambda x, a: a * silu(x), "a * x * sigmoid(x)", (-0.348081, INF), False,
        "E-swish: Adjusting Activations to Different Network Depths (2018)", a=1.25),
    row("acon_b", lambda x, a, b: acon_c(x, 1.0, b, a),
        "(1 - b) * x * sigmoid(a * (1 - b) * x) + b * x", (-INF, INF), True,
        "Activate or Not: Learning Customized Activation (2020)", "all", a=1.0, b=0.25),
    row("acon_c", acon_c, "(p - q) * x * sigmoid(beta * (p - q) * x) + q * x", (-0.278465, INF),
        False, "Activate or Not: Learning Customized Activation (2020)", "all", p=1.0, q=0.0,
        beta=1.0),
    row("self_circulating_gate", lambda x, a: x * jnp.tanh(a * sigmoid(x)),
        "x * tanh(a * sigmoid(x))", (-0.138688, INF), False, "§4.4.7", "all", a=0.5),
    row("tbs_relu_learnable", lambda x, a: x * jnp.tanh(a * jnp.tanh(x / 2)),
        "x * tanh(a * (1 - exp(-x)) / (1 + exp(-x)))", (0, INF), False, "§4.4.8", "all", a=0.5),
    row("pats", lambda x, a: x * jnp.arctan(a * PI * sigmoid(x)), "x * arctan(a * pi * sigmoid(x))",
        (-0.518759, INF), False, "§4.4.9", a=0.625),
    row("adaptive_quadratic", lambda x, a, b: x * softclip(a * x + b),
        "where(x > (1 - b) / a, x, where(x > -b / a, a * x**2 + b * x, 0))", (-0.25, INF), False,
        "§4.4.10", "all", a=0.25, b=0.5),
    row("sin_lu", lambda x, a, b: (x + a * jnp.sin(b * x)) * sigmoid(x),
        "(x + a * sin(b * x)) * sigmoid(x)", (-0.497371, INF), False, "§4.4.11", "all", a=1.0,
        b=1.0),
    row("cos_lu", lambda x, a, b: (x + a * jnp.cos(b * x)) * sigmoid(x),
        "(x + a * cos(b * x)) * sigmoid(x)", (-0.289273, INF), False, "§4.16", "all", a=1.0, b=1.0),
    row("erf_act", lambda x, a, b: x * erf(a * exp(b * x)), "x * erf(a * exp(b * x))",
        (-0.405281, INF), False, "§4.4.12", "all", a=0.75, b=0.75),
    row("parametric_serf", lambda x, a, b: x * erf(a * softplus(b * x)),
        "x * erf(a * log(1 + exp(b * x)))", (-0.506007, INF), False, "§4.4.13", "all", a=1.25,
        b=0.85),
    row("parametric_gelu", lambda x, a: x * Phi(x / a), "x * Phi(x / a)", (-0.169971, INF), False,
        "§4.9", "all", a=1.0),
    row("parametric_flatted_t_swish", lambda x, t: relu(x) * sigmoid(x) + t,
        "where(x > 0, x / (1 + exp(-x)), 0) + t", (-0.2, INF), True, "§4.10", "all", t=-0.2),
    row("parametric_flatten_p_mish", lambda x, p: relu(x) * jnp.tanh(softplus(x)) + p,
        "where(x > 0, x * tanh(log(1 + exp(x))), 0) + p", (-0.2, INF), True, "§4.11", "all",
        p=-0.2),
    row("tanh_soft_1", lambda x, a: jnp.tanh(a * x) * softplus(x), "tanh(a * x) * log(1 + exp(x))",
        (-0.223785, INF), False, "§4.3.5", "all", a=0.87),
    row("tanh_soft_2", lambda x, b, c: x * jnp.tanh(b * exp(c * x)), "x * tanh(b * exp(c * x))",
        (-0.359226, INF), False, "§4.3.5", "all", b=0.75, c=0.75),
    row("tanh_soft_3", tanh_soft_3, "log(1 + exp(x) * tanh(a * x))", (-0.309377, INF), False,
        "§4.3.5", "all", a=0.85),
    row("logmoid", lambda x, a, b: x * jnp.log1p(a * sigmoid(b * x)),
        "x * log(1 + a * sigmoid(b * x))", (-0.252769, INF), False, "§4.16", "all", a=1.0, b=1.0),
    row("leaf", lambda x, a, b, c, d: (a * x + b) * sigmoid(c * x) + d,
        "(a * x + b) * sigmoid(c * x) + d", (-0.278465, INF), False, "§4.23", "all", a=1.0, b=0.0,
        c=1.0, d=0.0),
    row("eis_2", lambda x, b: x * softplus(x) / jnp.sqrt(b + x * x),
        "x * log(1 + exp(x)) / sqrt(b + x**2)", (-0.232155, INF), False, "§4.26", "all", b=1.0),
    row("eis_3", lambda x, d, e: x * sigmoid(e * x - jnp.log(d)), "x / (1 + d * exp(-e * x))",
        (-0.278465, INF), False, "§4.26", "all", d=1.0, e=1.0),
    row("aria_2", lambda x, a, b: x * jnp.exp(-a * softplus(-b * x)), "x * (1 + exp(-b * x))**(-a)",
        (-0.069978, INF), False, "§4.38", a=1.5, b=2.0),
    row("te_lu", lambda x, a: x * jnp.tanh(jax.nn.elu(a * x)), "x * tanh(elu(a * x))", (0, INF),
        False, "§4.2.34", "all", a=1.0),
    row("swish_plus", lambda x, e: x * root_gate(x, e), "x / 2 * (1 + x / sqrt(x**2 + e))",
        (-0.150142, INF), False, "§4.55", e=1.0),
    row("smooth_maximum_unit",
        lambda x, a, b: ((1 + a) * x + (1 - a) * x * erf(b * (1 - a) * x)) / 2,
        "((1 + a) * x + (1 - a) * x * erf(b * (1 - a) * x)) / 2", (-INF, INF), True, "§4.2.7",
        "all", a=0.25, b=1.0),
    row("smooth_activation_unit", smooth_unit,
        "a * x + (1 - a) * (x * Phi(b * x) + exp(-b**2 * x**2 / 2) / (b * sqrt(2 * pi)))",
        (-INF, INF), True, "§4.2.6", "all", a=0.15, b=1.0),
)
# fmt: on
