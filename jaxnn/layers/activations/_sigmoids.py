"""Bounded activations that run from one level to another, and their kin."""

import math

import jax
import jax.numpy as jnp
from jax.nn import sigmoid, softplus

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

PI, ROOT_HALF = math.pi, math.sqrt(0.5)
erf, Phi = jax.lax.erf, jax.scipy.stats.norm.cdf


def soft_clipping(x, a):
    """Subtract small numbers: right of the middle both terms are large and nearly equal."""
    t = a * x
    left = softplus(t) - softplus(t - a)
    right = a + softplus(-t) - softplus(a - t)
    return jnp.where(x > 0.5, right, left) / a


def smooth_step(x, a):
    """Give a cubic between -a/2 and a/2; the input is held there, and so is the slope."""
    u = softclip(x / a + 0.5)
    return u * u * (3 - 2 * u)


def improved_sigmoid(x, a, b):
    """Go on beyond ±b in lines of slope a."""
    inside = jnp.clip(x, -b, b)
    return sigmoid(inside) + a * (x - inside)


def stac_tanh(x, a, b):
    """Go on beyond ±a in lines of slope b."""
    inside = jnp.clip(x, -a, a)
    return jnp.tanh(inside) + b * (x - inside)


def rel_tanh(x, a, b):
    """Go on beyond a and b in tangents."""
    inside = jnp.clip(x, a, b)
    return jnp.tanh(inside) + (1 - jnp.tanh(inside) ** 2) * (x - inside)


def new_sigmoid(x):
    """Give sinh(x) / sqrt(cosh(2x)) through the tangent, which does not overflow."""
    t = jnp.tanh(x)
    return t / root(t)


def soft_root_sign(x, a, b):
    """Multiply out the exponential where it grows."""
    shrinking = exp(neg(x) / b)
    above = pos(x) / (pos(x) / a + jnp.exp(-pos(x) / b))
    return split(x, above, neg(x) * shrinking / (neg(x) * shrinking / a + 1))


def sqnl(x):
    """Give a parabola on either side of zero, held where it is level."""
    u = jnp.clip(x, -2.0, 2.0)
    return u - u * jnp.abs(u) / 4


# One entry an item, filled line by line: a table, not code.
# fmt: off
ROWS = (
    row("sigmoid", sigmoid, "1 / (1 + exp(-x))", (0, 1), True, "§3.2"),
    row("tanh", jnp.tanh, "(exp(x) - exp(-x)) / (exp(x) + exp(-x))", (-1, 1), True, "§3.2"),
    row("binary_step", lambda x: jnp.where(x >= 0, 1.0, 0.0), "where(x >= 0, 1, 0)", (0, 1), True,
        "§3.1"),
    row("sign", jnp.sign, "sign(x)", (-1, 1), True, "§3.1"),
    row("probit", Phi, "(1 + erf(x / sqrt(2))) / 2", (0, 1), True, "§3.2"),
    row("bipolar_sigmoid", lambda x: jnp.tanh(x / 2), "2 * sigmoid(x) - 1", (-1, 1), True,
        "§3.2.26"),
    row("scaled_sigmoid", lambda x: 2 * jnp.tanh(x / 2), "4 * sigmoid(x) - 2", (-2, 2), True,
        "§3.2"),
    row("shifted_scaled_sigmoid", lambda x, a, b: sigmoid(a * (x - b)),
        "1 / (1 + exp(-a * (x - b)))", (0, 1), True, "§3.2.1", a=0.02, b=600.0),
    row("variant_sigmoid", lambda x, a, b, c: a * sigmoid(b * x) - c, "a / (1 + exp(-b * x)) - c",
        (0, 1), True, "§3.2.2", a=1.0, b=1.0, c=0.0),
    row("scaled_tanh", lambda x, a, b: a * jnp.tanh(b * x), "a * tanh(b * x)", (-1.7159, 1.7159),
        True, "§3.2.3", a=1.7159, b=2 / 3),
    row("bimodal_sigmoid", lambda x, b: (sigmoid(x) + sigmoid(x + b)) / 2,
        "(1 / (1 + exp(-x)) + 1 / (1 + exp(-x - b))) / 2", (0, 1), True, "§3.2.3", b=4.0),
    row("arctan", jnp.arctan, "arctan(x)", (-PI / 2, PI / 2), True, "§3.2.4"),
    row("sigmoid_algebraic",
        lambda x, a: sigmoid(x * (1 + a * jnp.abs(x)) / (1 + jnp.abs(x) * (1 + a * jnp.abs(x)))),
        "1 / (1 + exp(-x * (1 + a * abs(x)) / (1 + abs(x) * (1 + a * abs(x)))))",
        (0.268941, 0.731059), True, "§3.2.5", a=1.0),
    row("triple_state_sigmoid",
        lambda x, a, b: sigmoid(x) * (sigmoid(x) + sigmoid(x - a) + sigmoid(x - b)),
        "(1 / (1 + exp(-x))) * (1 / (1 + exp(-x)) + 1 / (1 + exp(a - x)) + 1 / (1 + exp(b - ""x)))",
        (0, 3), True, "§3.2.6", a=1.0, b=2.0),
    row("improved_sigmoid", improved_sigmoid,
        "where(x > b, a * (x - b) + sigmoid(b), where(x < -b, a * (x + b) + sigmoid(-b), "
        "sigmoid(x)))", (-INF, INF), True, "§3.2.7", a=0.1, b=2.0),
    row("siglin", lambda x, a: sigmoid(x) + a * x, "sigmoid(x) + a * x", (-INF, INF), True,
        "§3.2.8", a=0.1),
    row("penalized_tanh", lambda x, a: split(x, jnp.tanh(x), jnp.tanh(x) / a),
        "where(x > 0, tanh(x), tanh(x) / a)", (-0.25, 1), True, "§3.2.9", a=4.0),
    row("soft_root_sign", soft_root_sign, "x / (x / a + exp(-x / b))", (-2.462456, 2), False,
        "§3.2.10", "all", a=2.0, b=3.0),
    row("soft_clipping", soft_clipping, "log((1 + exp(a * x)) / (1 + exp(a * (x - 1)))) / a",
        (0, 1), True, "§3.2.11", a=10.0),
    row("hexpo",
        lambda x, a, b, c, d: split(x, -a * jnp.expm1(-pos(x) / b), c * jnp.expm1(neg(x) / d)),
        "where(x > 0, -a * (exp(-x / b) - 1), c * (exp(x / d) - 1))", (-1, 1), True, "§3.2.12",
        a=1.0, b=1.0, c=1.0, d=1.0),
    row("softsign", jax.nn.soft_sign, "x / (1 + abs(x))", (-1, 1), True, "§3.2.13"),
    row("smooth_step", smooth_step,
        "where(x > a / 2, 1, where(x < -a / 2, 0, -2 * x**3 / a**3 + 3 * x / (2 * a) + 1 / 2))",
        (0, 1), True, "§3.2.14", a=2.0),
    row("elliott", lambda x: jax.nn.soft_sign(x) / 2 + 0.5, "0.5 * x / (1 + abs(x)) + 0.5", (0, 1),
        True, "§3.2.15"),
    row("sinc_sigmoid", lambda x: jnp.sinc(sigmoid(x) / PI), "sin(sigmoid(x)) / sigmoid(x)",
        (0.841471, 1), True, "§3.2.16"),
    row("sigmoid_gumbel", lambda x: sigmoid(x) * jnp.exp(-exp(-x)), "sigmoid(x) * exp(-exp(-x))",
        (0, 1), True, "§3.2.17"),
    row("new_sigmoid", new_sigmoid, "(exp(x) - exp(-x)) / sqrt(2 * (exp(2 * x) + exp(-2 * x)))",
        (-ROOT_HALF, ROOT_HALF), True, "§3.2.18"),
    row("log_log", lambda x: jnp.exp(-exp(-x)), "exp(-exp(-x))", (0, 1), True, "§3.2.20"),
    row("complementary_log_log", lambda x: -jnp.expm1(-exp(x)), "1 - exp(-exp(x))", (0, 1), True,
        "§3.2.21"),
    row("sech_sig", lambda x: (x + sech(x)) * sigmoid(x), "(x + 1 / cosh(x)) * sigmoid(x)",
        (-0.209743, INF), False, "§3.2.22"),
    row("parametric_sech_sig", lambda x, a: (x + a * sech(x + a)) * sigmoid(x),
        "(x + a / cosh(x + a)) * sigmoid(x)", (-0.164376, INF), False, "§3.2.22", a=1.0),
    row("tanh_sig", lambda x: (x + jnp.tanh(x)) * sigmoid(x), "(x + tanh(x)) * sigmoid(x)",
        (-0.474916, INF), False, "§3.2.23"),
    row("parametric_tanh_sig", lambda x, a: (x + a * jnp.tanh(x + a)) * sigmoid(x),
        "(x + a * tanh(x + a)) * sigmoid(x)", (-0.359135, INF), False, "§3.2.23", a=1.0),
    row("symmetric_multistate", lambda x, a: sigmoid(x) + sigmoid(x + a) - 1,
        "-1 + 1 / (1 + exp(-x)) + 1 / (1 + exp(-x - a))", (-1, 1), True, "§3.2.24", a=-8.0),
    row("rootsig", lambda x, a: a * x / (1 + root(a * x)), "a * x / (1 + sqrt(1 + a**2 * x**2))",
        (-1, 1), True, "§3.2.25", a=1.0),
    row("log_sigmoid", jax.nn.log_sigmoid, "log(1 / (1 + exp(-x)))", (-INF, 0), True, "§3.3.20"),
    row("sigmoid_derivative", lambda x: sigmoid(x) * sigmoid(-x), "exp(-x) / (1 + exp(-x))**2",
        (0, 0.25), False, "§3.3.9"),
    row("derivative_silu", lambda x: sigmoid(x) * (1 + x * sigmoid(-x)),
        "sigmoid(x) * (1 + x * (1 - sigmoid(x)))", (-0.099839, 1.099839), False, "§3.3.21"),
    row("exponential_swish", lambda x: sigmoid(-x), "exp(-x) * sigmoid(x)", (0, 1), True, "§3.3.8"),
    row("hard_sigmoid", lambda x, a, b: softclip(a * x + b), "max(0, min(a * x + b, 1))", (0, 1),
        True, "§3.6.17", a=1 / 6, b=0.5),
    row("hard_tanh", lambda x, a, b: jnp.clip(x, a, b), "max(a, min(x, b))", (-1, 1), True,
        "§3.6.18", a=-1.0, b=1.0),
    row("vertically_shifted_hard_tanh", lambda x, a: jnp.clip(x, -1.0, 1.0) + a,
        "max(-1, min(x, 1)) + a", (-0.5, 1.5), True, "§3.6.19", a=0.5),
    row("horizontally_shifted_hard_tanh", lambda x, a: jnp.clip(x + a, -1.0, 1.0),
        "max(-1, min(x + a, 1))", (-1, 1), True, "§3.6.19", a=0.5),
    row("sqnl", sqnl,
        "where(x > 2, 1, where(x > 0, x - x**2 / 4, where(x > -2, x + x**2 / 4, -1)))", (-1, 1),
        True, "§3.8.1"),
    row("log_sqnl", lambda x: sqnl(x) / 2 + 0.5,
        "where(x > 2, 1, where(x > 0, (x - x**2 / 4) / 2 + 1 / 2, where(x > -2, (x + x**2 / 4) "
        "/ 2 + 1 / 2, 0)))", (0, 1), True, "§3.8.6"),
    row("isru", lambda x, a: x / jnp.sqrt(1 + a * x * x), "x / sqrt(1 + a * x**2)", (-1, 1), True,
        "Improving Deep Learning by Inverse Square Root Linear Units (ISRLUs) (2017)", a=1.0),
    row("modified_elliott", lambda x: x / root(x) + 0.5, "x / sqrt(1 + x**2) + 1 / 2", (-0.5, 1.5),
        True, "§3.8.11"),
    row("mishra", lambda x: jax.nn.soft_sign(x) * (1 + jax.nn.soft_sign(x)) / 2,
        "(x / (1 + abs(x)))**2 / 2 + x / (1 + abs(x)) / 2", (-0.125, 1), False, "§3.11"),
    row("aranda_ordaz", lambda x, a: -jnp.expm1(-softplus(x + jnp.log(a)) / a),
        "1 - (1 + a * exp(x))**(-1 / a)", (0, 1), True, "§3.20", a=2.0),
    row("adaptive_gumbel", lambda x, a: -jnp.expm1(-softplus(x + jnp.log(a)) / a),
        "1 - (1 + a * exp(x))**(-1 / a)", (0, 1), True, "§4.16", "all", a=1.0),
    row("stac_tanh", stac_tanh,
        "where(x < -a, tanh(-a) + b * (x + a), where(x > a, tanh(a) + b * (x - a), tanh(x)))",
        (-INF, INF), True, "§4.3.8", "all", a=2.0, b=0.1),
    row("rel_tanh", rel_tanh,
        "where(x < a, (1 - tanh(a)**2) * (x - a) + tanh(a), where(x > b, (1 - tanh(b)**2) * (x "
        "- b) + tanh(b), tanh(x)))", (-INF, INF), True, "§4.2.36", "all", a=-1.5, b=0.0),
    row("generalized_tanh", lambda x, a, b: a * jnp.tanh(b * x / 2),
        "a * (1 - exp(-b * x)) / (1 + exp(-b * x))", (-1, 1), True, "§4.3.1", "all", a=1.0, b=1.0),
    row("adaptive_slope_sigmoid", lambda x, a: sigmoid(a * x), "1 / (1 + exp(-a * x))", (0, 1),
        True, "§4.3.4", "all", a=1.0),
    row("adaptive_slope_tanh", lambda x, a: jnp.tanh(a * x), "tanh(a * x)", (-1, 1), True,
        "§4.16.1", "all", a=1.0),
    row("parametric_sigmoid", lambda x, a, b: a * sigmoid(b * x), "a * sigmoid(b * x)", (0, 1),
        True, "§4.3.6", "all", a=1.0, b=1.0),
    row("parametric_sigmoid_function", lambda x, m: jnp.exp(-m * softplus(-x)),
        "1 / (1 + exp(-x))**m", (0, 1), True, "§4.3.7", "all", m=1.0),
    row("scaled_softsign", lambda x, a, b: a * x / (b + jnp.abs(x)), "a * x / (b + abs(x))",
        (-1, 1), True, "§4.20", "all", a=1.0, b=1.0),
    row("sigmoid_ramp", lambda x, a, b: a * sigmoid(x) + (1 - a) * softclip(b * x + 0.5),
        "a * sigmoid(x) + (1 - a) * where(x > 1 / (2 * b), 1, where(x < -1 / (2 * b), 0, b * x "
        "+ 1 / 2))", (0, 1), True, "§4.15", "all", a=0.5, b=0.25),
    row("gaussian_error_unit", lambda x, a: Phi(x / a), "Phi(x / a)", (0, 1), True, "§4.12", "all",
        a=1.0),
    row("tanh_lu", lambda x, a, b, c: a * jnp.tanh(b * x) + c * x, "a * tanh(b * x) + c * x",
        (-INF, INF), True, "§4.2.33", "all", a=1.0, b=1.0, c=1.0),
    row("step_plus", root_gate, "(1 + x / sqrt(x**2 + e)) / 2", (0, 1), True, "§4.55", e=1.0),
    row("hard_tanh_plus",
        lambda x, e: 2 * x / (jnp.sqrt((x + 1) ** 2 + e) + jnp.sqrt((x - 1) ** 2 + e)),
        "(sqrt((x + 1)**2 + e) - sqrt((x - 1)**2 + e)) / 2", (-1, 1), True, "§4.55", e=0.1),
)
# fmt: on
