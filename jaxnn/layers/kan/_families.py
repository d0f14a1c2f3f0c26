r"""Bases beside the splines: orthogonal polynomials, waves, bumps and quotients.

Every basis is a pure function of the inputs that gives the values of its functions,
basis-major, ``(*batch, functions, features)``, as :func:`kan_layer` takes them; close over the
options with ``functools.partial``. Those of bounded support, or that polynomials would carry
off to infinity, first map ``[low, high]`` onto [-1, 1]:

.. math:: u = \mathrm{squash}\Bigl(\frac{2x - \mathrm{low} - \mathrm{high}}
              {\mathrm{high} - \mathrm{low}}\Bigr)

===========  ===================================================================
x            input, ``(*batch, features)``
u            input brought to [-1, 1]
n            ``degree`` of the highest polynomial; there are n + 1 functions
G            number of bumps, or of frequencies
c_b, h       centre and width of bump b
===========  ===================================================================
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxnn._check import require, require_array, require_count, require_positive, require_rank
from jaxnn._numeric import accumulation_dtype
from jaxnn.layers.kan._basis import require_grid, uniform_bspline_basis

BasisName = Literal[
    "bspline",
    "chebyshev",
    "fourier",
    "gaussian",
    "hermite",
    "legendre",
    "rational",
    "relu_power",
    "sine",
    "switch",
    "wavelet",
]
Squash = Callable[[jax.Array], jax.Array]
Inputs = Float[Array, "*batch features"]
Values = Float[Array, "*batch functions features"]


def jacobi_basis(
    x: Inputs,
    *,
    degree: int = 5,
    alpha: float = 0.0,
    beta: float = 0.0,
    low: float = -1.0,
    high: float = 1.0,
    squash: Squash | None = jnp.tanh,
) -> Values:
    r"""Evaluate the Jacobi polynomials of degree 0 to n.

    .. math::
        P_0 = 1, \quad P_1(u) = (\alpha + 1) + \tfrac{1}{2} (\alpha + \beta + 2) (u - 1)

    and the three-term recurrence. They are orthogonal under the weight
    :math:`(1 - u)^\alpha (1 + u)^\beta`; Legendre's are those of α = β = 0.

    Args:
      x: any leading axes, then features.
      degree: n.
      alpha: α, above -1.
      beta: β, above -1.
      low: what becomes -1.
      high: what becomes 1.
      squash: keeps u within [-1, 1]; ``None`` leaves it, and polynomials grow outside.

    Returns:
      The n + 1 functions in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: ``degree``, ``alpha``, ``beta`` or the range is out of range.

    Source: the recurrence is that of the Digital Library of Mathematical Functions, 18.9.1.
    """
    u = _centred("jacobi_basis", x, low, high, squash)
    _require_degree("jacobi_basis", degree)
    for name, value in (("alpha", alpha), ("beta", beta)):
        require(value > -1, "jacobi_basis", name, value, "a number above -1")

    def step(n: int) -> tuple[float, float, float]:
        s = 2 * n + alpha + beta
        over = 2 * (n + 1) * (n + alpha + beta + 1) * s
        slope, shift = (s + 1) * (s + 2) * s, (s + 1) * (alpha * alpha - beta * beta)
        return slope / over, shift / over, 2 * (n + alpha) * (n + beta) * (s + 2) / over

    second = (alpha + 1) + (alpha + beta + 2) / 2 * (u - 1)
    return _stacked(x, _recurrence(u, degree, jnp.ones_like(u), second, step))


def legendre_basis(
    x: Inputs,
    *,
    degree: int = 5,
    low: float = -1.0,
    high: float = 1.0,
    squash: Squash | None = jnp.tanh,
) -> Values:
    r"""Evaluate the Legendre polynomials of degree 0 to n.

    .. math:: (n + 1) P_{n+1}(u) = (2n + 1)\,u\,P_n(u) - n P_{n-1}(u)

    Args:
      x: any leading axes, then features.
      degree: n.
      low: what becomes -1.
      high: what becomes 1.
      squash: keeps u within [-1, 1]; ``None`` leaves it, and polynomials grow outside.

    Returns:
      The n + 1 functions in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: ``degree`` or the range is out of range.

    Example:
      >>> legendre_basis(jnp.array([0.5]), degree=2, squash=None)[:, 0].tolist()
      [1.0, 0.5, -0.125]
    """
    u = _centred("legendre_basis", x, low, high, squash)
    _require_degree("legendre_basis", degree)
    values = _recurrence(
        u, degree, jnp.ones_like(u), u, lambda n: ((2 * n + 1) / (n + 1), 0.0, n / (n + 1))
    )
    return _stacked(x, values)


def chebyshev_basis(
    x: Inputs,
    *,
    degree: int = 5,
    low: float = -1.0,
    high: float = 1.0,
    squash: Squash | None = jnp.tanh,
) -> Values:
    r"""Evaluate the Chebyshev polynomials of the first kind, of degree 0 to n.

    .. math:: T_{n+1}(u) = 2 u\,T_n(u) - T_{n-1}(u)

    Args:
      x: any leading axes, then features.
      degree: n.
      low: what becomes -1.
      high: what becomes 1.
      squash: keeps u within [-1, 1]; ``None`` leaves it, and polynomials grow outside.

    Returns:
      The n + 1 functions in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: ``degree`` or the range is out of range.

    Example:
      >>> chebyshev_basis(jnp.array([0.5]), degree=2, squash=None)[:, 0].tolist()
      [1.0, 0.5, -0.5]
    """
    u = _centred("chebyshev_basis", x, low, high, squash)
    _require_degree("chebyshev_basis", degree)
    return _stacked(x, _chebyshev(u, degree))


def hermite_basis(x: Inputs, *, degree: int = 5, scale: float = 1.0) -> Values:
    r"""Evaluate the Hermite functions of degree 0 to n, which are orthonormal on the line.

    .. math::
        \psi_0(u) = \pi^{-1/4} e^{-u^2/2}, \quad
        \psi_{n+1}(u) = \sqrt{\tfrac{2}{n+1}}\,u\,\psi_n(u) - \sqrt{\tfrac{n}{n+1}}\,\psi_{n-1}(u)

    with u = x / ``scale``. They fade beyond :math:`\sqrt{2n + 1}`, so that nothing grows.

    Args:
      x: any leading axes, then features.
      degree: n.
      scale: the unit of x.

    Returns:
      The n + 1 functions in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: ``degree`` or ``scale`` is out of range.
    """
    _require_rows("hermite_basis", x)
    require_positive("hermite_basis", scale=scale)
    _require_degree("hermite_basis", degree)
    u = x.astype(accumulation_dtype(x.dtype)) / scale
    first = math.pi**-0.25 * jnp.exp(-u * u / 2)
    values = _recurrence(
        u,
        degree,
        first,
        math.sqrt(2) * u * first,
        lambda n: (math.sqrt(2 / (n + 1)), 0.0, math.sqrt(n / (n + 1))),
    )
    return _stacked(x, values)


def fourier_basis(x: Inputs, *, terms: int = 5, period: float = 2 * math.pi) -> Values:
    r"""Evaluate the cosines and sines of the first G frequencies.

    .. math:: \cos(b\theta), \; \sin(b\theta), \quad b = 1 \dots G, \quad
              \theta = 2\pi x / \mathrm{period}

    Only one cosine and one sine are computed; the others follow by the addition theorem.

    Args:
      x: any leading axes, then features.
      terms: G; the cosines come first, then as many sines. There is no constant.
      period: of the slowest wave.

    Returns:
      The 2 G functions in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: ``terms`` or ``period`` is out of range.

    Example:
      >>> fourier_basis(jnp.array([0.5]), terms=2, period=2.0).round(4)[:, 0].tolist()
      [-0.0, -1.0, 1.0, -0.0]
    """
    _require_rows("fourier_basis", x)
    require_count("fourier_basis", terms=terms)
    require_positive("fourier_basis", period=period)
    theta = x.astype(accumulation_dtype(x.dtype)) * (2 * math.pi / period)
    cosine, sine = jnp.cos(theta), jnp.sin(theta)
    cosines, sines = [cosine], [sine]
    for _ in range(terms - 1):
        c, s = cosines[-1], sines[-1]
        cosines.append(c * cosine - s * sine)
        sines.append(s * cosine + c * sine)
    return _stacked(x, cosines + sines)


def gaussian_basis(
    x: Inputs,
    *,
    grid: int = 8,
    low: float = -1.0,
    high: float = 1.0,
    width: float | None = None,
) -> Values:
    r"""Evaluate Gaussian bumps at equal distances.

    .. math:: B_b(x) = \exp\bigl(-((x - c_b)/h)^2\bigr)

    Args:
      x: any leading axes, then features.
      grid: number of bumps G; the first has its centre at ``low``, the last at ``high``.
      low: see ``grid``.
      high: see ``grid``.
      width: h; the distance of two centres if ``None``.

    Returns:
      The G functions in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: ``grid``, ``width`` or the range is out of range.

    Source: "Kolmogorov-Arnold Networks are Radial Basis Function Networks" (2024), equation 4.
    """
    bumps = _bumps("gaussian_basis", x, grid, low, high, width)
    return _stacked(x, [jnp.exp(-z * z) for z in bumps])


def switch_basis(
    x: Inputs,
    *,
    grid: int = 8,
    low: float = -1.0,
    high: float = 1.0,
    width: float | None = None,
) -> Values:
    r"""Evaluate reflectional switches at equal distances: bumps that cost one tanh.

    .. math:: B_b(x) = 1 - \tanh^2\bigl((x - c_b)/h\bigr)

    Args:
      x: any leading axes, then features.
      grid: number of bumps G; the first has its centre at ``low``, the last at ``high``.
      low: see ``grid``.
      high: see ``grid``.
      width: h; the distance of two centres if ``None``.

    Returns:
      The G functions in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: ``grid``, ``width`` or the range is out of range.

    Source: "MLP-KAN: Unifying Deep Representation and Function Learning" (2024), its experts.
    """
    bumps = _bumps("switch_basis", x, grid, low, high, width)
    return _stacked(x, [1 - jnp.tanh(z) ** 2 for z in bumps])


def wavelet_basis(
    x: Inputs,
    *,
    levels: int = 3,
    kind: Literal["mexican_hat", "morlet", "derivative"] = "mexican_hat",
    low: float = -1.0,
    high: float = 1.0,
) -> Values:
    r"""Evaluate the wavelets of a dyadic grid: level l has 2^l of them, each half as wide.

    .. math:: B_{l,m}(x) = 2^{l/2}\,\psi\bigl((x - c_{l,m})/h_l\bigr), \quad
              h_l = \frac{\mathrm{high} - \mathrm{low}}{4 \cdot 2^l}

    Args:
      x: any leading axes, then features.
      levels: L; there are 2^L - 1 functions, the centres in the middle of their intervals.
      kind: ψ; ``mexican_hat`` is :math:`\tfrac{2}{\sqrt{3}\,\pi^{1/4}} (1 - z^2) e^{-z^2/2}`,
        ``morlet`` :math:`\cos(5z)\,e^{-z^2/2}`, ``derivative`` :math:`-z\,e^{-z^2/2}`.
      low: where the coarsest interval begins.
      high: where it ends.

    Returns:
      The 2^L - 1 functions in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: ``levels``, ``kind`` or the range is out of range.

    Source: "Wav-KAN: Wavelet Kolmogorov-Arnold Networks" (2024), table 1, on a fixed grid.
    """
    where = "wavelet_basis"
    _require_rows(where, x)
    require_count(where, levels=levels)
    require(low < high, where, "low", low, f"a number below `high`, {high!r}")
    require(kind in _WAVELETS, where, "kind", kind, f"one of {tuple(_WAVELETS)}")
    mother, wide = _WAVELETS[kind], x.astype(accumulation_dtype(x.dtype))
    values = []
    for level in range(levels):
        share = (high - low) / 2**level
        for m in range(2**level):
            z = (wide - (low + (m + 0.5) * share)) * (4 / share)
            values.append(2 ** (level / 2) * mother(z))
    return _stacked(x, values)


_WAVELETS: dict[str, Squash] = {
    "mexican_hat": lambda z: 2 / (math.sqrt(3) * math.pi**0.25) * (1 - z * z) * jnp.exp(-z * z / 2),
    "morlet": lambda z: jnp.cos(5 * z) * jnp.exp(-z * z / 2),
    "derivative": lambda z: -z * jnp.exp(-z * z / 2),
}


def relu_power_basis(
    x: Inputs,
    *,
    grid: int = 5,
    span: int = 3,
    power: int = 2,
    low: float = -1.0,
    high: float = 1.0,
) -> Values:
    r"""Evaluate bumps made of two rectifiers, which need products and maxima only.

    .. math::
        B_b(x) = \Bigl(\tfrac{4}{(e_b - s_b)^2}\,(e_b - x)_+ (x - s_b)_+\Bigr)^p, \quad
        s_b = \mathrm{low} + (b - k)\,\delta, \; e_b = s_b + (k + 1)\,\delta, \;
        b = 0 \dots G + k - 1

    with δ = (``high`` - ``low``) / G. The height of every bump is 1.

    Args:
      x: any leading axes, then features.
      grid: number of intervals G.
      span: k; a bump covers k + 1 intervals.
      power: p; the function has p - 1 continuous derivatives.
      low: where the grid begins.
      high: where it ends.

    Returns:
      The G + k functions in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: an option or the range is out of range.

    Source: "ReLU-KAN: New Kolmogorov-Arnold Networks that Only Need Matrix Addition, Dot
    Multiplication, and ReLU" (2024), equation 6.
    """
    where = "relu_power_basis"
    _require_rows(where, x)
    require_count(where, grid=grid, power=power)
    require(isinstance(span, int) and span >= 0, where, "span", span, "an integer >= 0")
    require(low < high, where, "low", low, f"a number below `high`, {high!r}")
    # In units of one interval, from the middle of the bump: 1 - (d / half)² is the product.
    half = (span + 1) / 2
    u = (x.astype(accumulation_dtype(x.dtype)) - low) * (grid / (high - low))
    values = []
    for b in range(grid + span):
        d = (u - (b - span + half)) / half
        values.append(jnp.maximum(1 - d * d, 0) ** power)
    return _stacked(x, values)


def rational_basis(x: Inputs, *, degree: int = 5, scale: float = 1.0) -> Values:
    r"""Evaluate the rational Chebyshev functions of the whole line, of degree 0 to n.

    .. math:: R_n(x) = T_n\Bigl(\frac{x}{\sqrt{x^2 + L^2}}\Bigr)

    Bounded by 1 everywhere, orthogonal under the weight :math:`L / (x^2 + L^2)`.

    Args:
      x: any leading axes, then features.
      degree: n.
      scale: L; x = L gives T_n(1/√2).

    Returns:
      The n + 1 functions in the dtype of ``x``.

    Raises:
      TypeError: ``x`` is not a floating-point array.
      ValueError: ``degree`` or ``scale`` is out of range.

    Source: Boyd, "Spectral methods using rational basis functions on an infinite interval"
    (1987), section 2.
    """
    _require_rows("rational_basis", x)
    require_positive("rational_basis", scale=scale)
    _require_degree("rational_basis", degree)
    wide = x.astype(accumulation_dtype(x.dtype)) / scale
    u = wide * lax.rsqrt(1 + wide * wide)
    return _stacked(x, _chebyshev(u, degree))


def sine_basis(
    x: Inputs,
    *,
    frequencies: Float[Array, " functions"],
    phases: Float[Array, " functions"] | None = None,
) -> Values:
    r"""Evaluate sines of any frequencies, each with mean 0 and variance 1 over normal inputs.

    .. math:: f_b(x) = \frac{\sin(\omega_b x + \varphi_b) - \mu_b}{\sigma_b}, \quad
        \mu_b = e^{-\omega_b^2 / 2} \sin \varphi_b, \quad
        \sigma_b^2 = \tfrac{1}{2} (1 - e^{-2 \omega_b^2} \cos 2 \varphi_b) - \mu_b^2

    Args:
      x: any leading axes, then features; about standard normal.
      frequencies: ω, in radians; arrays, so that they can be parameters.
      phases: φ; zeros if ``None``.

    Returns:
      ``(*batch, functions, features)`` in the dtype of ``x``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: ``frequencies`` has not one axis, or ``phases`` not its shape.

    Source: "Deep Learning Alternatives of the Kolmogorov Superposition Theorem" (2024), the
    basis of ActNet.

    Example:
      >>> sine_basis(jnp.zeros(1), frequencies=jnp.array([1.0, 2.0])).tolist()
      [[0.0], [0.0]]
    """
    where = "sine_basis"
    _require_rows(where, x)
    phases = jnp.zeros_like(frequencies) if phases is None else phases
    require_array(where, frequencies=frequencies, phases=phases)
    require(frequencies.ndim == 1, where, "frequencies", frequencies, "one axis")
    needs = f"shape {frequencies.shape}, as `frequencies`"
    require(phases.shape == frequencies.shape, where, "phases", phases, needs)
    wide = accumulation_dtype(x.dtype)
    omega, phi = frequencies.astype(wide), phases.astype(wide)
    mean = jnp.exp(-omega * omega / 2) * jnp.sin(phi)
    variance = (1 - jnp.exp(-2 * omega * omega) * jnp.cos(2 * phi)) / 2 - mean * mean
    inverse = lax.rsqrt(jnp.maximum(variance, 1e-12))
    sines = (jnp.sin(x.astype(wide) * w + p) for w, p in zip(omega, phi, strict=True))
    parts = zip(sines, mean, inverse, strict=True)
    return _stacked(x, [(sine - m) * r for sine, m, r in parts])


def make_basis(
    name: BasisName,
    *,
    grid: int = 5,
    degree: int = 3,
    low: float = -1.0,
    high: float = 1.0,
) -> Callable[[jax.Array], jax.Array]:
    """Make a basis by its name, with as many functions as splines of this grid and degree have.

    Args:
      name: ``bspline``, ``relu_power`` (G + k functions of local support), ``gaussian``,
        ``switch`` (G + k bumps), ``chebyshev``, ``legendre``, ``hermite``, ``rational``
        (polynomials up to degree G + k - 1), ``fourier`` (a half of G + k terms, period twice
        the range), ``sine`` (frequencies rising in equal steps to the same, sines and cosines in
        turn) or ``wavelet`` (the levels that G + k functions fill).
      grid: G.
      degree: k.
      low: where the range of the inputs begins.
      high: where it ends.

    Raises:
      ValueError: the name is unknown, or the basis cannot have so few functions.

    Example:
      >>> make_basis("chebyshev", grid=2, degree=1)(jnp.zeros((1, 4))).shape
      (1, 3, 4)
    """
    where, count, span = "make_basis", grid + degree, {"low": low, "high": high}
    require_grid(where, grid, degree)
    require(low < high, where, "low", low, f"a number below `high`, {high!r}")
    match name:
        case "bspline":
            return partial(uniform_bspline_basis, grid=grid, degree=degree, **span)
        case "relu_power":
            return partial(relu_power_basis, grid=grid, span=degree, **span)
        case "gaussian" | "switch":
            bumps = gaussian_basis if name == "gaussian" else switch_basis
            return partial(bumps, grid=count, **span)
        case "chebyshev" | "legendre":
            polynomials = chebyshev_basis if name == "chebyshev" else legendre_basis
            return partial(polynomials, degree=count - 1, **span)
        case "hermite" | "rational":
            # Both live on the whole line, around the middle of the range.
            functions = hermite_basis if name == "hermite" else rational_basis
            middle, half = (low + high) / 2, (high - low) / 2
            return lambda x: functions((x - middle) / half, degree=count - 1)
        case "fourier":
            return partial(fourier_basis, terms=max(count // 2, 1), period=2 * (high - low))
        case "sine":
            # A standard deviation of inputs spread evenly over the range.
            unit = (high - low) / math.sqrt(12)
            steps = jnp.arange(count, dtype=jnp.float32)
            waves = {"frequencies": (steps + 1) * (math.pi / 2 / math.sqrt(12))}
            waves["phases"] = (steps % 2) * (math.pi / 2)
            return lambda x: sine_basis((x - (low + high) / 2) / unit, **waves)
        case "wavelet":
            return partial(wavelet_basis, levels=int(math.log2(count + 1)), **span)
    names = get_args(BasisName)
    raise ValueError(f"{where}: `name` is {name!r}; it needs to be one of {names}.")


def _recurrence(
    u: jax.Array,
    degree: int,
    first: jax.Array,
    second: jax.Array,
    step: Callable[[int], tuple[float, float, float]],
) -> list[jax.Array]:
    """Run f_{n+1} = (a_n u + b_n) f_n - c_n f_{n-1}, with ``step(n)`` giving a, b and c."""
    values = [first, second]
    for n in range(1, degree):
        slope, shift, back = step(n)
        factor = slope * u + shift if shift else slope * u
        values.append(factor * values[-1] - back * values[-2])
    return values[: degree + 1]


def _chebyshev(u: jax.Array, degree: int) -> list[jax.Array]:
    return _recurrence(u, degree, jnp.ones_like(u), u, lambda _: (2.0, 0.0, 1.0))


def _stacked(x: jax.Array, values: list[jax.Array]) -> jax.Array:
    # Each function is an array of its own: XLA writes the stack in one pass.
    return jnp.stack([value.astype(x.dtype) for value in values], axis=-2)


def _centred(where: str, x: jax.Array, low: float, high: float, squash: Squash | None) -> jax.Array:
    _require_rows(where, x)
    require(low < high, where, "low", low, f"a number below `high`, {high!r}")
    u = (2 * x.astype(accumulation_dtype(x.dtype)) - (low + high)) / (high - low)
    return u if squash is None else squash(u)


def _bumps(
    where: str, x: jax.Array, grid: int, low: float, high: float, width: float | None
) -> list[jax.Array]:
    """Give (x - c_b) / h for every bump."""
    _require_rows(where, x)
    require(isinstance(grid, int) and grid >= 2, where, "grid", grid, "an integer >= 2")
    require(low < high, where, "low", low, f"a number below `high`, {high!r}")
    step = (high - low) / (grid - 1)
    width = step if width is None else width
    require_positive(where, width=width)
    wide = x.astype(accumulation_dtype(x.dtype))
    return [(wide - (low + b * step)) / width for b in range(grid)]


def _require_degree(where: str, degree: int) -> None:
    require(isinstance(degree, int) and degree >= 0, where, "degree", degree, "an integer >= 0")


def _require_rows(where: str, x: jax.Array) -> None:
    require_array(where, x=x)
    require_rank(where, "x", x, 1, "(*batch, features)")
