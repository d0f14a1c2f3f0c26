"""Activations of straight pieces or with a rectifier's two halves, and their smooth kin."""

import math

import jax
import jax.numpy as jnp
from jax.nn import relu, sigmoid, silu, softplus

from jaxnn.layers.activations._entry import INF, neg, pos, power, row, softclip, split

PI, LN2 = math.pi, math.log(2)


def leaky(x, slope):
    """Scale what is not above zero."""
    return split(x, x, slope * x)


def bounded_leaky(x, a, b):
    """Go on beyond 0 and b in lines of slope a."""
    inside = jnp.clip(x, 0.0, b)
    return inside + a * (x - inside)


def s_shaped(x, upper, above, lower, below):
    """Go on beyond the thresholds in lines of given slopes."""
    return jnp.where(
        x >= upper,
        upper + above * (x - upper),
        jnp.where(x > lower, x, lower + below * (x - lower)),
    )


def n_activation(x, a, b):
    """Fall between the thresholds, rise outside."""
    low, high = jnp.minimum(a, b), jnp.maximum(a, b)
    return jnp.where(x < low, x - 2 * low, jnp.where(x > high, x - 2 * high, -x))


def even_power(x, d):
    """Give |x|^d / d, with straight arms from ±1 on."""
    size = jnp.abs(x)
    return jnp.where(size > 1, size - 1 + 1 / d, power(jnp.minimum(size, 1.0), d) / d)


def linq(x, a):
    """Give two parabolas, with straight arms of slope a."""
    inside = jnp.clip(x, -2 * (1 - a), 2 * (1 - a))
    return inside * (4 - jnp.abs(inside)) / 4 + a * (x - inside)


def bi_firing(x, a):
    """Give |x| with its kink rounded by a parabola."""
    inside = jnp.clip(x, -a, a)
    return inside * inside / (2 * a) + jnp.abs(x - inside)


def soft_modulus_q(x):
    """Give |x|, with a smooth bottom between -1 and 1."""
    size = jnp.abs(x)
    return jnp.where(size > 1, size, jnp.minimum(size, 1.0) ** 2 * (2 - size))


def dip(x):
    """Give the parabola between its roots -2 and 0, for the half below zero."""
    inside = jnp.maximum(neg(x), -2.0)
    return inside * (1 + inside / 2)


def square_plus(x, b):
    """Give half of x + sqrt(x² + b), by a quotient where the two terms cancel."""
    size = jnp.sqrt(x * x + b)
    return split(x, (x + size) / 2, b / (size - neg(x)) / 2)


# One entry an item, filled line by line: a table, not code.
# fmt: off
ROWS = (
    row("identity", lambda x: x, "x", (-INF, INF), True, "§4.48"),
    row("relu", relu, "max(0, x)", (0, INF), True, "§3.6"),
    row("shifted_relu", lambda x: jnp.maximum(x, -1.0), "max(-1, x)", (-1, INF), True, "§3.6.1"),
    row("leaky_relu", leaky, "where(x > 0, x, slope * x)", (-INF, INF), True, "§3.6.2", slope=0.01),
    row("very_leaky_relu", lambda x: leaky(x, 1 / 3), "where(x > 0, x, x / 3)", (-INF, INF), True,
        "§3.6.2"),
    row("optimized_leaky_relu", lambda x, a, b: leaky(x, jnp.exp(-jnp.asarray((b + a) / (b - a)))),
        "where(x > 0, x, x * exp(-(b + a) / (b - a)))", (-INF, INF), True, "§3.6.2", a=3.0, b=8.0),
    row("sloped_relu", lambda x, a: a * relu(x), "where(x > 0, a * x, 0)", (0, INF), True, "§3.6.5",
        a=2.0),
    row("sine_relu", lambda x, a: split(x, x, a * (jnp.sin(x) - jnp.cos(x))),
        "where(x > 0, x, a * (sin(x) - cos(x)))", (-0.0035355, INF), False, "§3.6.7", a=0.0025),
    row("minsin", lambda x: jnp.minimum(x, jnp.sin(x)), "min(x, sin(x))", (-INF, 1), False,
        "§3.6.8"),
    row("variational_linear_unit", lambda x, a, b: relu(x) + a * jnp.sin(b * x),
        "max(0, x) + a * sin(b * x)", (-0.1, INF), False, "§3.6.9", a=0.1, b=1.0),
    row("parametric_variational_linear_unit", lambda x, a, b: relu(x) + a * jnp.sin(b * x),
        "max(0, x) + a * sin(b * x)", (-0.1, INF), False, "§4.2.62", "all", a=0.1, b=1.0),
    row("natural_log_relu", lambda x, beta: jnp.log1p(beta * relu(x)), "log(beta * max(0, x) + 1)",
        (0, INF), True, "§3.6.12", beta=1.0),
    row("softplus_linear_unit", lambda x: split(x, x, 2 * softplus(neg(x)) - 2 * LN2),
        "where(x > 0, x, 2 * log(1 + exp(x)) - 2 * log(2))", (-2 * LN2, INF), True, "§3.6.13"),
    row("rectified_softplus", lambda x, a: split(x, a * x + LN2, softplus(neg(x))),
        "where(x > 0, a * x + log(2), log(1 + exp(x)))", (0, INF), True, "§3.6.14", a=1.5),
    row("rectified_nonlinear_unit", lambda x, a: pos(x) - a * jnp.log1p(pos(x)),
        "where(x > 0, x - a * log(x + 1), 0)", (0, INF), True, "§3.6.15", a=0.25),
    row("bounded_relu", lambda x, a: jnp.clip(x, 0.0, a), "min(max(0, x), a)", (0, 1), True,
        "§3.6.16", a=1.0),
    row("relu6", jax.nn.relu6, "min(max(0, x), 6)", (0, 6), True, "§3.6.16"),
    row("hard_swish", jax.nn.hard_silu, "x * max(0, min(1, x / 6 + 1 / 2))", (-0.375, INF), False,
        "Searching for MobileNetV3 (2019)"),
    row("adaptive_hard_swish", lambda x, b: 2 * x * softclip(0.2 * b * x + 0.5),
        "2 * x * max(0, min(0.2 * b * x + 0.5, 1))", (-0.625, INF), False, "§4.32", "all", b=1.0),
    row("truncated_rectified", lambda x, a: jnp.where(x > a, x, 0.0), "where(x > a, x, 0)",
        (0, INF), True, "§3.6.21", a=1.0),
    row("hard_shrink", lambda x, a: jnp.where(jnp.abs(x) > a, x, 0.0), "where(abs(x) > a, x, 0)",
        (-INF, INF), True, "§3.6.22", a=0.5),
    row("soft_shrink", lambda x, a: x - jnp.clip(x, -a, a),
        "where(x > a, x - a, where(x < -a, x + a, 0))", (-INF, INF), True, "§3.6.23", a=0.5),
    row("tanh_shrink", lambda x: x - jnp.tanh(x), "x - tanh(x)", (-INF, INF), True,
        "Torch: tanhshrink"),
    row("bounded_leaky_relu", bounded_leaky,
        "where(x < 0, a * x, where(x < b, x, a * x + (1 - a) * b))", (-INF, INF), True, "§3.6.24",
        a=0.01, b=1.0),
    row("v_shaped_relu", jnp.abs, "abs(x)", (0, INF), False, "§3.6.25"),
    row("pan", lambda x, a: relu(jnp.abs(x) - a), "where(x > a, x - a, where(x < -a, -x - a, 0))",
        (0, INF), False, "§3.6.26", a=1.0),
    row("absolute_linear_unit", lambda x, a: split(x, x, -a * x), "where(x > 0, x, a * abs(x))",
        (0, INF), False, "§3.6.27", a=0.5),
    row("mirrored_relu", lambda x: relu(1 - jnp.abs(x)), "min(max(0, 1 - x), max(0, 1 + x))",
        (0, 1), False, "§3.6.28"),
    row("leaky_triangle", lambda x, a: split(x, relu(a - jnp.abs(x - a)), 0.2 * x),
        "where(x < 0, 0.2 * x, where(x < a, x, where(x < 2 * a, 2 * a - x, 0)))", (-INF, 1), False,
        "§3.6.29", a=1.0),
    row("soft_modulus_q", soft_modulus_q, "where(abs(x) > 1, abs(x), x**2 * (2 - abs(x)))",
        (0, INF), False, "§3.6.30"),
    row("soft_modulus_t", lambda x, a: x * jnp.tanh(x / a), "x * tanh(x / a)", (0, INF), False,
        "§3.6.31", a=0.01),
    row("sign_relu", lambda x, a: split(x, x, a * x / (1 + jnp.abs(x))),
        "where(x > 0, x, a * x / (abs(x) + 1))", (-1, INF), True, "§3.6.32", a=1.0),
    row("li_relu", lambda x, a: a * x + relu(x), "where(x > 0, a * x + x, a * x)", (-INF, INF),
        True, "§3.6.33", a=0.1),
    row("repu", lambda x, a: power(x, a), "where(x > 0, x, 0)**a", (0, INF), True, "§3.6.39",
        a=2.0),
    row("relu_squared", lambda x: relu(x) ** 2, "max(0, x)**2", (0, INF), True,
        "Primer: Searching for Efficient Transformers for Language Modeling (2021)"),
    row("recu", lambda x: relu(x) ** 3, "max(0, x)**3", (0, INF), True, "§3.6.39"),
    row("approximate_relu", lambda x, a, b: a * power(x, b), "where(x > 0, a * max(0, x)**b, 0)",
        (0, INF), True, "§3.6.40", a=1.0, b=1.0),
    row("even_power_linear", even_power, "where(abs(x) > 1, abs(x) - 1 + 1 / d, abs(x)**d / d)",
        (0, INF), False, "§3.6.41", d=2.0),
    row("odd_power_linear", lambda x, d: jnp.sign(x) * even_power(x, d),
        "sign(x) * where(abs(x) > 1, abs(x) - 1 + 1 / d, abs(x)**d / d)", (-INF, INF), True,
        "§3.6.41", d=2.0),
    row("delay_relu", lambda x, a: relu(x - a), "max(0, x - a)", (0, INF), True, "§3.6.43", a=0.08),
    row("displaced_relu", lambda x, a: jnp.maximum(x, -a), "where(x + a > 0, x, -a)", (-0.5, INF),
        True, "§3.6.44", a=0.5),
    row("soft_bent_identity", lambda x, a: a * x * x / (jnp.sqrt(x * x + 1) + 1) + x,
        "a * (sqrt(x**2 + 1) - 1) + x", (-INF, INF), True, "§4.2.37", "all", a=0.25),
    row("bent_identity", lambda x: x * x / (jnp.sqrt(x * x + 1) + 1) / 2 + x,
        "(sqrt(x**2 + 1) - 1) / 2 + x", (-INF, INF), True, "§3.10"),
    row("rectified_bendable_linear_unit",
        lambda x, a: a * pos(x) ** 2 / (jnp.sqrt(pos(x) ** 2 + 1) + 1) + pos(x),
        "where(x > 0, a * (sqrt(x**2 + 1) - 1) + x, 0)", (0, INF), True, "§4.2.38", "all", a=0.5),
    row("sqlu",
        lambda x: split(x, x, jnp.maximum(neg(x), -2.0) * (1 + jnp.maximum(neg(x), -2.0) / 4)),
        "where(x > 0, x, where(x > -2, x + x**2 / 4, -1))", (-1, INF), True, "§3.8.2"),
    row("squish", lambda x: split(x, x + x * x / 32, dip(x)),
        "where(x > 0, x + x**2 / 32, where(x > -2, x + x**2 / 2, 0))", (-0.5, INF), False,
        "§3.8.3"),
    row("square_reu", lambda x: split(x, x, dip(x)),
        "where(x > 0, x, where(x > -2, x + x**2 / 2, 0))", (-0.5, INF), False, "§3.8.4"),
    row("square_softplus", lambda x: relu(x - 0.5) + softclip(x + 0.5) ** 2 / 2,
        "where(x > 1 / 2, x, where(x > -1 / 2, (x + 1 / 2)**2 / 2, 0))", (0, INF), True, "§3.8.5"),
    row("linq", linq,
        "where(x > 2 - 2 * a, a * x + (1 - a)**2, where(x < 2 * a - 2, a * x - (1 - a)**2, x * "
        "(4 - abs(x)) / 4))", (-INF, INF), True, "§3.8.8", a=0.1),
    row("bi_firing", bi_firing,
        "where(x > a, x - a / 2, where(x < -a, -x - a / 2, x**2 / (2 * a)))", (0, INF), False,
        "§3.21", a=1.0),
    row("bounded_bi_firing", lambda x, a, b: jnp.minimum(bi_firing(x, a), b),
        "min(b, where(x > a, x - a / 2, where(x < -a, -x - a / 2, x**2 / (2 * a))))", (0, 3), False,
        "§3.22", a=1.0, b=3.0),
    row("softplus", softplus, "log(1 + exp(x))", (0, INF), True, "§3.17"),
    row("parametric_softplus", lambda x, a, b: a * (softplus(x) - b), "a * (log(1 + exp(x)) - b)",
        (-1.5 * LN2, INF), True, "§3.18", a=1.5, b=LN2),
    row("soft_plus_plus", lambda x, a, b: softplus(a * x) + x / b - LN2,
        "log(1 + exp(a * x)) + x / b - log(2)", (-INF, INF), True, "§3.18.1", a=1.0, b=2.0),
    row("rand_softplus", lambda x, a: (1 - a) * relu(x) + a * softplus(x),
        "(1 - a) * max(0, x) + a * log(1 + exp(x))", (0, INF), True, "§3.19", a=0.5),
    row("generalized_relu", lambda x, a, b: softplus(b * x * jnp.log(a)) / (b * jnp.log(a)),
        "log(1 + a**(b * x)) / (b * log(a))", (0, INF), True, "§4.24", "all", a=math.e, b=1.0),
    row("squareplus", square_plus, "(x + sqrt(x**2 + b)) / 2", (0, INF), True,
        "Squareplus: A Softplus-Like Algebraic Rectifier (2021)", b=4.0),
    row("v_relu_plus", lambda x, e: jnp.sqrt(x * x + e), "sqrt(x**2 + e)", (1, INF), False, "§4.55",
        e=1.0),
    row("leaky_relu_plus", lambda x, a, e: (x + a * x + jnp.sqrt((1 - a) ** 2 * x * x + e)) / 2,
        "(x + a * x + sqrt((1 - a)**2 * x**2 + e)) / 2", (-INF, INF), True, "§4.55", a=0.1, e=1.0),
    row("multiquadratic", lambda x, a, b: jnp.sqrt((x - a) ** 2 + b * b), "sqrt((x - a)**2 + b**2)",
        (1, INF), False, "§4.25", "all", a=0.0, b=1.0),
    row("prelu", leaky, "where(x > 0, x, slope * x)", (-INF, INF), True,
        "Delving Deep into Rectifiers: Surpassing Human-Level Performance on ImageNet "
        "Classification (2015)", "all", slope=0.25),
    row("positive_prelu", lambda x, a: a * relu(x), "where(x > 0, a * x, 0)", (0, INF), True,
        "§4.2.2", "all", a=1.0),
    row("react_prelu", lambda x, a, b, c: leaky(x - a, c) + b,
        "where(x > a, x - a + b, c * (x - a) + b)", (-INF, INF), True,
        "ReActNet: Towards Precise Binary Neural Network with Generalized Activation Functions "
        "(2020)", "all", a=0.0, b=0.0, c=0.25),
    row("leaky_learnable_relu", lambda x, a: a * leaky(x, 0.01),
        "where(x > 0, a * x, 0.01 * a * x)", (-INF, INF), True, "§4.2.8", "all", a=1.0),
    row("flexible_relu", lambda x, b: relu(x) + b, "max(0, x) + b", (-1, INF), True, "§4.2.15",
        "all", b=-1.0),
    row("adaptive_shifted_relu", lambda x, a, b: a * relu(x) + b, "a * max(0, x) + b", (0, INF),
        True, "§4.2.16", "all", a=1.0, b=0.0),
    row("star_relu", lambda x, a, b: a * relu(x) ** 2 + b, "a * max(0, x)**2 + b", (-0.4472, INF),
        True, "MetaFormer Baselines for Vision (2022)", "all", a=0.8944, b=-0.4472),
    row("attention_relu",
        lambda x, a, b: split(x, (1 + sigmoid(b)) * x, jnp.clip(a, 0.01, 0.99) * x),
        "where(x > 0, (1 + sigmoid(b)) * x, max(0.01, min(a, 0.99)) * x)", (-INF, INF), True,
        "AReLU: Attention-based Rectified Linear Unit (2020)", "all", a=0.9, b=2.0),
    row("dual_parametric_relu", lambda x, a, b: split(x, a * x, b * x),
        "where(x > 0, a * x, b * x)", (-INF, INF), True, "§4.2.20", "all", a=1.0, b=0.01),
    row("dual_line", lambda x, a, b, m: split(x, a * x, b * x) + m,
        "where(x > 0, a * x + m, b * x + m)", (-INF, INF), True, "§4.2.21", "all", a=1.0, b=0.01,
        m=-0.22),
    row("piecewise_linear_unit_shifted",
        lambda x, a, b, c: split(x - c, a * (x - c), b * (x - c)) + c,
        "where(x > c, a * x + c * (1 - a), b * x + c * (1 - b))", (-INF, INF), True, "§4.2.22",
        "all", a=1.0, b=0.01, c=0.0),
    row("piecewise_linear_unit", lambda x, a, b: jnp.clip(x, -b, b) + a * (x - jnp.clip(x, -b, b)),
        "max(a * (x + b) - b, min(a * (x - b) + b, x))", (-INF, INF), True,
        "PLU: The Piecewise Linear Unit Activation Function (2018)", a=0.1, b=1.0),
    row("s_shaped_relu", s_shaped,
        "where(x >= upper, upper + above * (x - upper), where(x > lower, x, lower + below * (x "
        "- lower)))", (-INF, INF), True,
        "Deep Learning with S-shaped Rectified Linear Activation Units (2015)", "all", upper=1.0,
        above=1.0, lower=0.0, below=0.2),
    row("adaptive_linearized_sigmoid", lambda x, a, b: s_shaped(x, 1.0, a, 0.0, b),
        "where(x >= 1, a * x - a + 1, where(x > 0, x, b * x))", (-INF, INF), True, "§4.33", "all",
        a=0.1, b=0.1),
    row("n_activation", n_activation,
        "where(x < min(a, b), x - 2 * min(a, b), where(x > max(a, b), x - 2 * max(a, b), -x))",
        (-INF, INF), False, "§4.33", "all", a=-0.5, b=0.5),
    row("adaptive_piecewise_linear",
        lambda x, a1, b1, a2, b2: relu(x) + a1 * relu(b1 - x) + a2 * relu(b2 - x),
        "max(0, x) + a1 * max(0, b1 - x) + a2 * max(0, b2 - x)", (0.1, INF), False,
        "Learning Activation Functions to Improve Deep Neural Networks (2014)", "all", a1=0.1,
        b1=0.0, a2=0.1, b2=1.0),
    row("modified_mexican_relu",
        lambda x, a, b, c: a * relu(b - jnp.abs(x - c)) + (1 - a) * relu(x),
        "a * max(b - abs(x - c), 0) + (1 - a) * max(0, x)", (0, INF), False, "§4.31", "all", a=0.75,
        b=1.0, c=0.0),
    row("delu", lambda x, a: split(x, (a + 0.5) * x - jnp.expm1(-pos(x)), silu(neg(x))),
        "where(x > 0, (a + 0.5) * x + abs(exp(-x) - 1), x * sigmoid(x))", (-0.278465, INF), False,
        "§4.2.39", "all", a=1.0),
    row("soft_clipping_mish", lambda x, a: relu(x) * jnp.tanh(softplus(a * x)),
        "max(0, x * tanh(log(1 + exp(a * x))))", (0, INF), True, "§4.2.40", a=1.0),
    row("soft_clipping_learnable_mish", lambda x, a: relu(x) * jnp.tanh(softplus(a * x)),
        "max(0, x * tanh(log(1 + exp(a * x))))", (0, INF), True, "§4.2.40", "all", a=0.25),
    row("soft_clipping_swish", lambda x: relu(x) * sigmoid(x), "max(0, x * sigmoid(x))", (0, INF),
        True, "§4.2.41"),
    row("parametric_swish", lambda x, a, b, c: jnp.where(x > c, x, a * x * sigmoid(b * x)),
        "where(x > c, x, a * x * sigmoid(b * x))", (-0.278465, INF), False, "§4.2.42", "all", a=1.0,
        b=1.0, c=0.0),
    row("crrelu", lambda x, epsilon: relu(x) + epsilon * x * jnp.exp(-x * x / 2),
        "max(0, x) + epsilon * x * exp(-x**2 / 2)", (-0.00606531, INF), False,
        "A Method on Searching Better Activation Functions (2024)", "all", epsilon=0.01),
)
# fmt: on
