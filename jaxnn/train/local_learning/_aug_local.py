r"""Local learning with auxiliary networks made like the layers that follow.

Every layer learns by a loss of its own, at the end of an auxiliary network that stands where the
rest of the network would, and no gradient leaves the layer. The auxiliary network's hidden layers
are built like some of the layers that follow, picked at equal steps up to the last; towards the end
of the network there are fewer of them. All layers learn at once, and what was auxiliary is not
needed afterwards.

.. math::
    h_l = f_l(\bar h_{l-1}), \quad L_l = \ell\big(a_l(h_l), y\big), \quad
    d_l = \min\Big(\Big[d_1 - (d_1 - d_{L-1}) \frac{l - 1}{L - 2}\Big],\ L - l\Big), \quad
    k_{li} = \Big[l + i\, \frac{L - l}{d_l}\Big]

where the bar stops the gradient and brackets round to the nearest whole number, halves to the even
one.

===  ========================================================================
f    ``AugLocal.layers``, L of them
a    the auxiliary network of layer l: layers like f_k, then a head; of the
     last layer the head alone, which is the network's own
d    hidden layers of an auxiliary network, from ``deepest`` to ``shallowest``
k    which layers they are like, i from 1 to d
===  ========================================================================

Source: "Scaling Supervised Local Learning with Augmented Auxiliary Networks" (2024), sections 3.1
to 3.3.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, PyTree

from jaxnn._check import require, require_count


def auxiliary_layers(
    layers: int, *, deepest: int = 6, shallowest: int = 2
) -> tuple[tuple[int, ...], ...]:
    """Pick the layers that each layer's auxiliary network is made like.

    Args:
      layers: L, how many the network has before its head.
      deepest: hidden layers of the first layer's auxiliary network.
      shallowest: of the last but one; between them the number falls evenly, and none has more
        than there are layers after its own. With 0 and 0 all losses are those of a head alone.

    Returns:
      Numbers of layers from 0 for each but the last, ``layers - 1`` tuples.

    Raises:
      ValueError: ``layers`` is no count, or not ``0 <= shallowest <= deepest``.

    Example:
      >>> auxiliary_layers(6, deepest=3, shallowest=1)
      ((2, 3, 5), (3, 5), (4, 5), (4, 5), (5,))
    """
    where = "auxiliary_layers"
    require_count(where, layers=layers)
    require(deepest >= 0, where, "deepest", deepest, "a whole number of at least zero")
    needs = f"a whole number in [0, {deepest}], at most `deepest`"
    require(0 <= shallowest <= deepest, where, "shallowest", shallowest, needs)
    picked = []
    for own in range(layers - 1):
        left = layers - 1 - own
        fall = Fraction(own * (deepest - shallowest), max(layers - 2, 1))
        depth = min(round(deepest - fall), left)
        picked.append(tuple(round(own + Fraction(i * left, depth)) for i in range(1, depth + 1)))
    return tuple(picked)


class AugLocal(nn.Module):
    """Layers that share no gradient, each with an auxiliary network to learn by.

    Called with examples alone it is the plain network, ``head(layers(x))``, and needs no parameters
    but those in ``layers_...`` and ``head``: those in ``auxiliary_...`` may be thrown away when it
    has learned. :meth:`local_outputs` gives what the losses take.

    Attributes:
      layers: modules ``(batch, ...) -> (batch, ...)`` with their non-linearity, for example
        ``nn.Sequential([nn.Dense(300), nn.relu])``. Each fits any other's output, whose size its
        parameters take from it.
      head: a module from a layer's output to outputs; every auxiliary network has one like it.
      deepest: see :func:`auxiliary_layers`.
      shallowest: see :func:`auxiliary_layers`.
    """

    layers: Sequence[nn.Module]
    head: nn.Module
    deepest: int = 6
    shallowest: int = 2

    @nn.compact
    def __call__(self, x: Float[Array, "batch *example"]) -> jax.Array:
        """Give the outputs of the last layer's head."""
        if self.is_initializing():
            return self._local_outputs(x)[-1]
        for layer in self.layers:
            x = _call(layer, x)
        return _call(self.head, x)

    @nn.compact
    def local_outputs(self, x: Float[Array, "batch *example"]) -> tuple[jax.Array, ...]:
        """Give the outputs of each layer's auxiliary network, and of the network itself last."""
        return self._local_outputs(x)

    def _local_outputs(self, x: jax.Array) -> tuple[jax.Array, ...]:
        require(len(self.layers) > 0, "AugLocal", "layers", self.layers, "a layer or more")
        picked = auxiliary_layers(
            len(self.layers), deepest=self.deepest, shallowest=self.shallowest
        )
        outputs = []
        for i, layer in enumerate(self.layers):
            x = _call(layer, jax.lax.stop_gradient(x))
            if i == len(self.layers) - 1:
                outputs.append(_call(self.head, x))
                continue
            like = [_unbound(self.layers[k]) for k in picked[i]]
            auxiliary = _Auxiliary(like, _unbound(self.head), name=f"auxiliary_{i}")
            outputs.append(auxiliary(x))
        return tuple(outputs)


class _Auxiliary(nn.Module):
    layers: Sequence[nn.Module]
    head: nn.Module

    def __call__(self, x: jax.Array) -> jax.Array:
        for layer in self.layers:
            x = _call(layer, x)
        return _call(self.head, x)


def aug_local(
    network: AugLocal, loss: Callable[[Any, Any], jax.Array]
) -> Callable[[PyTree, Any, jax.Array], tuple[PyTree, dict[str, jax.Array]]]:
    """Make the gradients of augmented local learning, for ``train.make_gradient_step``.

    Args:
      network: the layers.
      loss: ``(outputs, targets) -> value per example``, the same for all layers. Its sum over
        layers is differentiated, in which each layer's parameters, and those of its auxiliary
        network, meet their own loss only.

    Returns:
      ``(params, (x, y), key) -> (gradients, metrics)``. The metrics are ``loss``, that of the
      network's own outputs, and ``local_loss``, the sum of all others.

    Example:
      >>> layers = [nn.Sequential([nn.Dense(4), nn.relu]) for _ in range(3)]
      >>> network = AugLocal(layers, nn.Dense(2))
      >>> x, y = jnp.ones((5, 3)), jnp.zeros((5, 2))
      >>> params = network.init(jax.random.key(0), x)["params"]
      >>> squares = lambda outputs, targets: jnp.mean((outputs - targets) ** 2, axis=-1)
      >>> grads, metrics = aug_local(network, squares)(params, (x, y), jax.random.key(1))
      >>> sorted(grads)
      ['auxiliary_0', 'auxiliary_1', 'head', 'layers_0', 'layers_1', 'layers_2']
    """

    def gradients(
        params: PyTree, batch: Any, key: jax.Array
    ) -> tuple[PyTree, dict[str, jax.Array]]:
        del key
        x, y = batch

        def objective(params: PyTree) -> tuple[jax.Array, dict[str, jax.Array]]:
            outputs = cast(tuple, network.apply({"params": params}, x, method="local_outputs"))
            *others, own = (jnp.mean(loss(z, y)) for z in outputs)
            local = sum(others, jnp.zeros_like(own))
            return own + local, {"loss": own, "local_loss": local}

        return jax.grad(objective, has_aux=True)(params)

    return gradients


def _unbound(module: nn.Module) -> Any:
    # Deep, or a module inside it, such as those of nn.Sequential, would be the network's own.
    return module.clone(parent=None, name=None, _deep_clone=True, _reset_names=True)


def _call(module: Any, x: jax.Array) -> jax.Array:
    return module(x)
