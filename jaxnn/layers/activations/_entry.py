"""A row of the catalogue of activations, and the safe pieces that its formulas are made of."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype

INF = math.inf
# e^60 is 1e26: times a square of 1e4 it is still a float32.
LARGEST_EXPONENT = 60.0


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Activation:
    """A named activation: its function, and what is known of it.

    It is called with an array, and with its parameters by name where they differ from
    ``parameters``: numbers, or arrays that broadcast to ``x``.

    Attributes:
      name: the name in the catalogue.
      function: maps an array and the values of the parameters, in order, to an array.
      formula: the definition in NumPy's notation; ``sigmoid``, ``softplus``, ``relu``, ``elu``,
        ``gelu``, ``erf`` and ``Phi``, the normal distribution function, are taken as known.
        Where the survey's print jumps or blows up by a slip of sign, it is put right.
        ``function`` is the same in a form that neither overflows nor cancels.
      range: infimum and supremum of its values with the default parameters.
      monotonic: whether it never turns, with the default parameters; it may fall or rise.
      parameters: names and default values; published (start) values where they are known.
      trained: the parameters that its source trains; empty for a fixed activation.
      source: title and year of its paper; or ``§`` and the section of "Three Decades of
        Activations: A Comprehensive Survey of 400 Activation Functions for Neural Networks"
        (2024) that gives the formula and its origin.

    Example:
      >>> swish = CATALOGUE["swish"]
      >>> swish.formula, dict(swish.parameters)
      ('x * sigmoid(beta * x)', {'beta': 1.0})
      >>> swish(jnp.array([2.0]), beta=0.0).tolist()
      [1.0]
    """

    name: str
    function: Callable[..., jax.Array]
    formula: str
    range: tuple[float, float]
    monotonic: bool
    parameters: Mapping[str, float]
    trained: tuple[str, ...]
    source: str

    def __call__(
        self, x: Float[Array, "..."], **parameters: float | jax.Array
    ) -> Float[Array, "..."]:
        """Map an array to one of its shape and dtype; computed in float32 or wider."""
        where = f"activation {self.name}"
        require_array(where, x=x)
        self.check(parameters)
        wide = accumulation_dtype(x.dtype)
        values = [
            _fit(where, name, parameters.get(name, default), x, wide)
            for name, default in self.parameters.items()
        ]
        return self.function(x.astype(wide), *values).astype(x.dtype)

    def check(self, names: Mapping[str, object] | tuple[str, ...]) -> None:
        """Raise ``ValueError`` unless all ``names`` are those of parameters."""
        own = ", ".join(self.parameters) or "none"
        for name in names:
            known = name in self.parameters
            require(known, f"activation {self.name}", "parameter", name, f"one of its own: {own}")

    def gain(self, **parameters: float) -> float:
        r"""Give the factor that keeps a normal signal's mean square at 1.

        .. math:: g = \mathrm{E}\left[f(z)^2\right]^{-1/2}, \quad z \sim N(0, 1)

        Weights drawn with a variance of g² / inputs hand on the mean square of their inputs
        through any number of layers: √2 for ``relu``, 1 for ``selu``.
        """
        z = np.linspace(-12.0, 12.0, 24001)
        weights = np.exp(-z * z / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
        y = np.asarray(self(jnp.asarray(z, jnp.float32), **parameters), np.float64)
        return float(np.sum(weights * y * y) ** -0.5)


def _fit(where, name, value, x, dtype):
    """Give an array parameter as many axes as ``x`` has; numbers pass."""
    if not isinstance(value, jax.Array | np.ndarray):
        return value
    named: dict[str, object] = {name: value}
    require_array(where, floating=True, **named)
    fits = value.ndim <= x.ndim and all(
        own in (1, axis) for own, axis in zip(value.shape[::-1], x.shape[::-1], strict=False)
    )
    require(fits, where, name, value, f"a shape that broadcasts to that of `x`, {tuple(x.shape)}")
    value = jnp.asarray(value).astype(dtype)
    return value.reshape((1,) * (x.ndim - value.ndim) + value.shape) if value.ndim else value


def row(
    name: str,
    function: Callable[..., jax.Array],
    formula: str,
    range: tuple[float, float],
    monotonic: bool,
    source: str,
    train: str = "",
    **parameters: float,
) -> Activation:
    """Write an entry in a line or two; ``train`` names what its source trains, or is "all"."""
    return Activation(
        name=name,
        function=function,
        formula=formula,
        range=range,
        monotonic=monotonic,
        parameters=MappingProxyType(parameters),
        trained=tuple(parameters) if train == "all" else tuple(train.split()),
        source=source,
    )


# What follows keeps gradients finite: the branch that is not taken must be finite too, for its
# zero cotangent times infinity would be NaN. `neg` and `pos` feed each branch its own half.


def neg(x):
    """Give x where it is not above zero, else zero."""
    return jnp.where(x > 0, 0.0, x)


def pos(x):
    """Give x where it is above zero, else zero."""
    return jnp.where(x > 0, x, 0.0)


def split(x, above, below):
    """Take ``above`` where x is above zero, else ``below``."""
    return jnp.where(x > 0, above, below)


def exp(x):
    """Give the exponential, held at its value at 60 from there on, where it is 1e26."""
    return jnp.exp(jnp.minimum(x, LARGEST_EXPONENT))


def sech(x):
    """Give the hyperbolic secant."""
    decay = jnp.exp(-jnp.abs(x))
    return 2 * decay / (1 + decay * decay)


def log_cosh(x):
    """Give the logarithm of the hyperbolic cosine."""
    size = jnp.abs(x)
    return size + jnp.log1p(jnp.exp(-2 * size)) - math.log(2)


def root(x):
    """Give the square root of 1 + x²."""
    return jnp.sqrt(1 + x * x)


def root_gate(x, e=1.0):
    """Give half of 1 + x / sqrt(x² + e), by a quotient where the two terms cancel."""
    size = jnp.sqrt(x * x + e)
    return split(x, 0.5 + x / size / 2, e / (2 * size * (size - neg(x))))


def power(x, exponent):
    """Give a power of the positive part; zero where that is zero."""
    above = x > 0
    return jnp.where(above, jnp.where(above, x, 1.0) ** exponent, 0.0)


def softclip(x):
    """Give x held between 0 and 1."""
    return jnp.clip(x, 0.0, 1.0)
