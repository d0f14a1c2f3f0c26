"""Formulas with known answers: equations of physics and special functions, drawn from a key.

Regression onto them shows whether a network finds a formula: the variables and the text are
known, nothing is noise. The special functions come from SciPy and have no short text.
"""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxnn._check import require_key, require_positive

Range = tuple[float, float]


class Formula(NamedTuple):
    """A formula of several variables.

    Attributes:
      function: of one array a variable, in the order of ``ranges``.
      text: for sympy; of a special function, how it is written.
      ranges: between which numbers each variable is drawn, by its name.
    """

    function: Callable[..., Any]
    text: str
    ranges: Mapping[str, Range]


def feynman(
    key: jax.Array, name: str, n: int
) -> tuple[Float[Array, "n variables"], Float[Array, "n 1"]]:
    """Draw the variables of an equation of physics evenly, and give what it says.

    Args:
      key: random key.
      name: one of ``FEYNMAN``, e.g. ``"I.6.20"``, by volume, chapter and number in the Feynman
        lectures.
      n: how many examples.

    Returns:
      x in the order of ``FEYNMAN[name].ranges``, and y, both float32.

    Raises:
      TypeError: ``key`` is no random key.
      ValueError: the name is unknown, or ``n`` not above zero.

    Source: "AI Feynman: a Physics-Inspired Method for Symbolic Regression" (2020), table 4,
    whose ranges these are.

    Example:
      >>> x, y = feynman(jax.random.key(0), "I.12.1", 4)
      >>> bool(jnp.allclose(y[:, 0], x[:, 0] * x[:, 1]))
      True
    """
    formula = _find("feynman", FEYNMAN, name)
    x = _draw("feynman", key, formula, n)
    return x, formula.function(*x.T)[:, None]


def special_function(
    key: jax.Array, name: str, n: int
) -> tuple[Float[Array, "n variables"], Float[Array, "n 1"]]:
    """Draw two variables evenly, and give a special function of them, computed by SciPy.

    Args:
      key: random key; not to be traced.
      name: one of ``SPECIAL_FUNCTIONS``, e.g. ``"jv"``, the Bessel function of the first kind.
      n: how many examples.

    Returns:
      x in the order of ``SPECIAL_FUNCTIONS[name].ranges``, and y, both float32.

    Raises:
      ImportError: SciPy is not installed.
      TypeError: ``key`` is no random key.
      ValueError: the name is unknown, or ``n`` not above zero.

    Source: "KAN: Kolmogorov-Arnold Networks" (2024), section 3.2; the ranges are ours, where the
    functions are smooth and bounded.

    Example:
      >>> x, y = special_function(jax.random.key(0), "jv", 4)
      >>> x.shape, y.shape
      ((4, 2), (4, 1))
    """
    formula = _find("special_function", SPECIAL_FUNCTIONS, name)
    x = _draw("special_function", key, formula, n)
    y = formula.function(*np.asarray(x, np.float64).T)
    return x, jnp.asarray(y, jnp.float32)[:, None]


def _find(where: str, table: Mapping[str, Formula], name: str) -> Formula:
    if name not in table:
        raise ValueError(f"{where}: `name` is {name!r}; it needs to be one of {tuple(table)}.")
    return table[name]


def _draw(where: str, key: jax.Array, formula: Formula, n: int) -> jax.Array:
    require_key(where, key)
    require_positive(where, n=n)
    low, high = (jnp.asarray(end) for end in zip(*formula.ranges.values(), strict=True))
    unit = jax.random.uniform(key, (n, len(formula.ranges)))
    return low[None] + (high - low)[None] * unit


def _between(low: float, high: float, names: str, **others: Range) -> dict[str, Range]:
    return {**dict.fromkeys(names.split(), (low, high)), **others}


_TURN = math.sqrt(2 * math.pi)

FEYNMAN: dict[str, Formula] = {
    "I.6.20a": Formula(
        lambda t: jnp.exp(-(t**2) / 2) / _TURN,
        "exp(-theta**2/2)/sqrt(2*pi)",
        _between(1, 3, "theta"),
    ),
    "I.6.20": Formula(
        lambda s, t: jnp.exp(-((t / s) ** 2) / 2) / (_TURN * s),
        "exp(-(theta/sigma)**2/2)/(sqrt(2*pi)*sigma)",
        _between(1, 3, "sigma theta"),
    ),
    "I.6.20b": Formula(
        lambda s, t, u: jnp.exp(-(((t - u) / s) ** 2) / 2) / (_TURN * s),
        "exp(-((theta-theta1)/sigma)**2/2)/(sqrt(2*pi)*sigma)",
        _between(1, 3, "sigma theta theta1"),
    ),
    "I.8.14": Formula(
        lambda a, b, c, d: jnp.sqrt((b - a) ** 2 + (d - c) ** 2),
        "sqrt((x2-x1)**2+(y2-y1)**2)",
        _between(1, 5, "x1 x2 y1 y2"),
    ),
    "I.12.1": Formula(lambda mu, n: mu * n, "mu*Nn", _between(1, 5, "mu Nn")),
    "I.12.11": Formula(
        lambda q, e, b, v, t: q * (e + b * v * jnp.sin(t)),
        "q*(Ef+B*v*sin(theta))",
        _between(1, 5, "q Ef B v theta"),
    ),
    "I.13.12": Formula(
        lambda g, m, n, r, s: g * m * n * (1 / s - 1 / r),
        "G*m1*m2*(1/r2-1/r1)",
        _between(1, 5, "G m1 m2 r1 r2"),
    ),
    "I.15.3x": Formula(
        lambda x, u, c, t: (x - u * t) / jnp.sqrt(1 - (u / c) ** 2),
        "(x-u*t)/sqrt(1-u**2/c**2)",
        {"x": (5, 10), "u": (1, 2), "c": (3, 20), "t": (1, 2)},
    ),
    "I.16.6": Formula(
        lambda c, v, u: (u + v) / (1 + u * v / c**2),
        "(u+v)/(1+u*v/c**2)",
        _between(1, 5, "c v u"),
    ),
    "I.18.4": Formula(
        lambda m, n, r, s: (m * r + n * s) / (m + n),
        "(m1*r1+m2*r2)/(m1+m2)",
        _between(1, 5, "m1 m2 r1 r2"),
    ),
    "I.26.2": Formula(
        lambda n, t: jnp.arcsin(n * jnp.sin(t)),
        "asin(n*sin(theta2))",
        {"n": (0, 1), "theta2": (1, 5)},
    ),
    "I.27.6": Formula(
        lambda d, e, n: 1 / (1 / d + n / e), "1/(1/d1+n/d2)", _between(1, 5, "d1 d2 n")
    ),
    "I.29.16": Formula(
        lambda a, b, t, u: jnp.sqrt(a**2 + b**2 - 2 * a * b * jnp.cos(t - u)),
        "sqrt(x1**2+x2**2-2*x1*x2*cos(theta1-theta2))",
        _between(1, 5, "x1 x2 theta1 theta2"),
    ),
    "I.30.3": Formula(
        lambda i, t, n: i * (jnp.sin(n * t / 2) / jnp.sin(t / 2)) ** 2,
        "Int_0*sin(n*theta/2)**2/sin(theta/2)**2",
        _between(1, 5, "Int_0 theta n"),
    ),
    "I.30.5": Formula(
        lambda w, d, n: jnp.arcsin(w / (n * d)),
        "asin(lambd/(n*d))",
        {"lambd": (1, 2), "d": (2, 5), "n": (1, 5)},
    ),
    "I.37.4": Formula(
        lambda i, j, d: i + j + 2 * jnp.sqrt(i * j) * jnp.cos(d),
        "I1+I2+2*sqrt(I1*I2)*cos(delta)",
        _between(1, 5, "I1 I2 delta"),
    ),
    "I.40.1": Formula(
        lambda n, m, x, t, g, k: n * jnp.exp(-m * g * x / (k * t)),
        "n_0*exp(-m*g*x/(kb*T))",
        _between(1, 5, "n_0 m x T g kb"),
    ),
    "I.44.4": Formula(
        lambda n, k, t, v, w: n * k * t * jnp.log(w / v),
        "n*kb*T*log(V2/V1)",
        _between(1, 5, "n kb T V1 V2"),
    ),
    "I.50.26": Formula(
        lambda x, w, t, a: x * (jnp.cos(w * t) + a * jnp.cos(w * t) ** 2),
        "x1*(cos(omega*t)+alpha*cos(omega*t)**2)",
        _between(1, 3, "x1 omega t alpha"),
    ),
    "II.2.42": Formula(
        lambda k, s, t, a, d: k * (t - s) * a / d,
        "kappa*(T2-T1)*A/d",
        _between(1, 5, "kappa T1 T2 A d"),
    ),
    "II.6.15a": Formula(
        lambda e, p, r, x, y, z: 3 * p * z * jnp.sqrt(x**2 + y**2) / (4 * math.pi * e * r**5),
        "p_d*3*z*sqrt(x**2+y**2)/(4*pi*epsilon*r**5)",
        _between(1, 3, "epsilon p_d r x y z"),
    ),
    "II.11.17": Formula(
        lambda n, k, t, h, p, e: n * (1 + p * e * jnp.cos(h) / (k * t)),
        "n_0*(1+p_d*Ef*cos(theta)/(kb*T))",
        _between(1, 3, "n_0 kb T theta p_d Ef"),
    ),
    "II.11.27": Formula(
        lambda n, a, e, f: n * a * e * f / (1 - n * a / 3),
        "n*alpha*epsilon*Ef/(1-n*alpha/3)",
        _between(0, 1, "n alpha", epsilon=(1, 2), Ef=(1, 2)),
    ),
    "II.35.18": Formula(
        lambda n, k, t, m, b: n / (2 * jnp.cosh(m * b / (k * t))),
        "n_0/(exp(mom*B/(kb*T))+exp(-mom*B/(kb*T)))",
        _between(1, 3, "n_0 kb T mom B"),
    ),
    "II.36.38": Formula(
        lambda m, h, k, t, a, e, c, g: m * h / (k * t) + m * a * g / (e * c**2 * k * t),
        "mom*H/(kb*T)+mom*alpha*M/(epsilon*c**2*kb*T)",
        _between(1, 3, "mom H kb T alpha epsilon c M"),
    ),
    "II.38.3": Formula(lambda y, a, d, x: y * a * x / d, "Y*A*x/d", _between(1, 5, "Y A d x")),
    "III.9.52": Formula(
        lambda p, e, t, h, w, v: p * e * t / h * jnp.sinc((w - v) * t / (2 * math.pi)) ** 2,
        "p_d*Ef*t/h*sin((omega-omega_0)*t/2)**2/((omega-omega_0)*t/2)**2",
        _between(1, 3, "p_d Ef t h", omega=(1, 5), omega_0=(1, 5)),
    ),
    "III.10.19": Formula(
        lambda m, x, y, z: m * jnp.sqrt(x**2 + y**2 + z**2),
        "mom*sqrt(Bx**2+By**2+Bz**2)",
        _between(1, 5, "mom Bx By Bz"),
    ),
    "III.17.37": Formula(
        lambda b, a, t: b * (1 + a * jnp.cos(t)),
        "beta*(1+alpha*cos(theta))",
        _between(1, 5, "beta alpha theta"),
    ),
}
"""Equations of physics by volume, chapter and number in the Feynman lectures."""


def _scipy(name: str, part: int | None = None) -> Callable[..., Any]:
    """Wait with the import of SciPy until the function is called."""

    def function(*arguments: Any) -> np.ndarray:
        from scipy import special

        value = getattr(special, name)(*arguments)
        return np.asarray(value if part is None else value[part])

    return function


def _legendre(order: int) -> Formula:
    text = f"P_{order}(v, x)"  # associated, of any degree v
    return Formula(partial(_scipy("lpmv"), order), text, {"v": (0.5, 3), "x": (-0.9, 0.9)})


SPECIAL_FUNCTIONS: dict[str, Formula] = {
    "ellipj": Formula(_scipy("ellipj", 0), "sn(u, m)", {"u": (-2, 2), "m": (0, 0.9)}),
    "ellipkinc": Formula(_scipy("ellipkinc"), "F(phi, m)", {"phi": (0, 1.5), "m": (0, 0.9)}),
    "ellipeinc": Formula(_scipy("ellipeinc"), "E(phi, m)", {"phi": (0, 1.5), "m": (0, 0.9)}),
    "jv": Formula(_scipy("jv"), "J(v, x)", {"v": (0.5, 3), "x": (0, 8)}),
    "yv": Formula(_scipy("yv"), "Y(v, x)", {"v": (0.5, 2), "x": (2, 8)}),
    "kv": Formula(_scipy("kv"), "K(v, x)", {"v": (0.5, 2), "x": (1, 4)}),
    "iv": Formula(_scipy("iv"), "I(v, x)", {"v": (0.5, 2), "x": (0, 4)}),
    "lpmv_0": _legendre(0),
    "lpmv_1": _legendre(1),
    "lpmv_2": _legendre(2),
}
"""Special functions of two variables, by SciPy's names."""
