r"""Direct feedback alignment: every block is taught by the output's error, through a fixed matrix.

Back-propagation carries the error e from block to block by the transposes of their weights. Here
each block's output receives a fixed random projection of e in place of what comes from above; a
block's parameters then have their own gradient, and all blocks learn at once:

.. math::
    h_i = f_i(h_{i-1}; w_i), \quad e = \frac{\partial L}{\partial \hat y}, \quad
    \Delta w_i = \Big(\frac{\partial h_i}{\partial w_i}\Big)^\top B_i^\top e, \quad
    B_i = M_{:, :n_i} / \sqrt{n_i}

What stands after the last block, the readout, has its true gradient. The error reaches the blocks
through a relay: zeros beside the hidden values that are added to the outputs, so that their
gradient is e. It passes every block unchanged, and back-propagation by ``jax.grad`` becomes direct
feedback alignment, without another pass.

===  ======================================================================
h    ``hidden``, ``(*batch, ...)``, n numbers for each e
ŷ    outputs, ``(*batch, outputs)``
e    the error, of the shape of ŷ
B    ``feedback``, ``(outputs, n)``
M    one matrix for all blocks, normal, as wide as the widest
===  ======================================================================

Source: "Direct Feedback Alignment Scales to Modern Deep Learning Tasks and Architectures" (2020),
section 2; "Direct Feedback Alignment Provides Learning in Deep Neural Networks" (2016).
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.core.tracers import current_trace
from jaxtyping import Array, Float, PyTree

from jaxnn._check import require, require_array
from jaxnn._numeric import accumulation_dtype


def direct_feedback(
    hidden: Float[Array, "*batch_and_hidden"],
    relay: Float[Array, "*batch outputs"],
    feedback: Float[Array, "outputs n"],
) -> tuple[Float[Array, "*batch_and_hidden"], Float[Array, "*batch outputs"]]:
    r"""Pass a block's output on, and have the error come back to it directly.

    Forward it changes nothing. Backward, whatever the gradient of ``hidden`` from above, what goes
    on into the block is

    .. math:: \bar h = B^\top e

    with e the gradient of ``relay``, which passes unchanged.

    Args:
      hidden: h. Its first axes are those of ``relay`` but the last; the others have n numbers.
      relay: zeros of the outputs' shape; give the one returned to the next block, and add the
        last to the outputs.
      feedback: B; it has no gradient.

    Returns:
      ``hidden`` and ``relay``.

    Raises:
      TypeError: an argument is not an array of floating-point numbers.
      ValueError: the shapes disagree.

    Example:
      >>> def loss(w, x, b):
      ...     relay = jnp.zeros((1, 2))
      ...     h, relay = direct_feedback(x @ w["hidden"], relay, b)
      ...     return jnp.sum((h @ w["readout"] + relay) ** 2)
      >>> w = {"hidden": jnp.ones((1, 3)), "readout": jnp.ones((3, 2))}
      >>> b = jnp.array([[1.0, 0.0, -1.0], [0.0, 0.0, 1.0]])
      >>> jax.grad(loss)(w, jnp.ones((1, 1)), b)["hidden"].tolist()  # e is (6, 6)
      [[6.0, 0.0, 0.0]]
    """
    where = "direct_feedback"
    require_array(where, hidden=hidden, relay=relay, feedback=feedback)
    lead = relay.shape[:-1]
    ok = relay.ndim > 0 and hidden.shape[: len(lead)] == lead
    needs = f"the first axes {lead} of `relay`, and hidden numbers after them"
    require(ok, where, "hidden", hidden, needs)
    shape = (relay.shape[-1], math.prod(hidden.shape[len(lead) :]))
    require(feedback.shape == shape, where, "feedback", feedback, f"shape {shape}")
    return _direct_feedback(hidden, relay, feedback)


@jax.custom_vjp
def _direct_feedback(hidden, relay, feedback):
    del feedback
    return hidden, relay


def _forward(hidden, relay, feedback):
    return (hidden, relay), feedback


def _backward(feedback, gradients):
    hidden, error = gradients
    wide = accumulation_dtype(feedback.dtype)
    projected = jnp.matmul(error.astype(wide), feedback.astype(wide))
    return projected.reshape(hidden.shape).astype(hidden.dtype), error, None


_direct_feedback.defvjp(_forward, _backward)


class DirectFeedback(nn.Module):
    """A model whose blocks learn by direct feedback alignment under any step that differentiates.

    ``train.make_step`` trains it as it is. Each call of a block has its output taught by the
    error: with transformer blocks as blocks this is the paper's "macro" form, back-propagation
    within a block and none between; with the parts inside as blocks it is its "micro" form. A block
    of the paper includes its non-linearity: the error then meets its slope. What
    stands before the first block belongs to it, and what stands after the last has its true
    gradient; so a block must not be the one that gives the outputs. What bounds a block's output
    must be in the block: of transformers give it those with the normalisation after each sum
    (``norm_order="post"``), as the error does not tell an unbounded sum to stop growing.

    M is a variable of its own collection, ``feedback``, which no optimiser sees. Given parameters
    alone the model is the plain one.

    Attributes:
      model: gives outputs ``(*batch, outputs)``; its parameters are in ``model``.
      blocks: a class of modules in ``model``, several, or a function of a module that says
        whether it is one.
      feedback_init: of M.
    """

    model: nn.Module
    blocks: type | tuple[type, ...] | Callable[[nn.Module], bool]
    feedback_init: Callable[..., jax.Array] = nn.initializers.normal(1.0)

    @nn.compact
    def __call__(self, *args: Any, **kwargs: Any) -> jax.Array:
        """Give what ``model`` gives."""
        if not (self.is_initializing() or self.has_variable("feedback", "matrix")):
            return self._plain(args, kwargs)
        where = "DirectFeedback"
        outputs, hidden = self._shapes(args, kwargs)
        require(bool(hidden), where, "blocks", self.blocks, "to name some module of the model")
        lead = outputs.shape[:-1]
        for shape in hidden:
            needs = f"blocks with outputs of first axes {lead}, the outputs' own; not {shape}"
            require(shape[: len(lead)] == lead, where, "blocks", self.blocks, needs)
        sizes = [math.prod(shape[len(lead) :]) for shape in hidden]
        matrix = self.variable(
            "feedback",
            "matrix",
            lambda: self.feedback_init(
                self.make_rng("params"), (outputs.shape[-1], max(sizes)), jnp.float32
            ),
        ).value
        relay = jnp.zeros(outputs.shape, jnp.float32)
        level = current_trace()

        def teach(h: jax.Array) -> jax.Array:
            nonlocal relay
            needs = "blocks that are not run by nn.scan, nn.vmap or nn.remat"
            require(current_trace() == level, where, "blocks", self.blocks, needs)
            size = math.prod(h.shape[len(lead) :])
            h, relay = direct_feedback(h, relay, matrix[:, :size] / size**0.5)
            return h

        with nn.intercept_methods(self._interceptor(teach)):
            y = self._plain(args, kwargs)
        return y + relay.astype(y.dtype)

    def _plain(self, args: Any, kwargs: Any) -> jax.Array:
        model: Any = self.model
        return model(*args, **kwargs)

    def _interceptor(self, change: Callable[[jax.Array], jax.Array]) -> Callable[..., Any]:
        blocks: Any = self.blocks
        classes = isinstance(blocks, type | tuple)

        def intercept(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
            y = call(*args, **kwargs)
            if context.method_name != "__call__" or context.module is self:
                return y
            found = isinstance(context.module, blocks) if classes else blocks(context.module)
            return change(y) if found else y

        return intercept

    def _shapes(self, args: Any, kwargs: Any) -> tuple[Any, list[tuple[int, ...]]]:
        """Give the outputs' shape and that of each block's output, without computing them."""
        shapes: list[tuple[int, ...]] = []

        def note(h: jax.Array) -> jax.Array:
            shapes.append(h.shape)
            return h

        free: Any = self.model.clone(parent=None, name=None)
        with nn.intercept_methods(self._interceptor(note)):
            outputs, _ = jax.eval_shape(
                lambda args, key: free.init_with_output(key, *args, **kwargs),
                args,
                jax.random.key(0),
            )
        return outputs, shapes


def alignment(gradients: PyTree, reference: PyTree) -> PyTree:
    r"""Give the cosine between two gradients, leaf by leaf.

    .. math:: \cos(g, r) = \frac{g \cdot r}{\lVert g \rVert \lVert r \rVert}

    Of the gradients of direct feedback alignment and of back-propagation it says how far the
    network's weights have aligned with the feedback: from about 0 at random weights.

    Args:
      gradients: arrays.
      reference: arrays of the same shapes.

    Returns:
      A number in [-1, 1] for each leaf; 0 where one is all zeros.

    Raises:
      ValueError: the trees or shapes differ.

    Example:
      >>> one, other = {"w": jnp.array([1.0, 1.0])}, {"w": jnp.array([2.0, 0.0])}
      >>> alignment(one, other)["w"].round(4).item()
      0.7070999741554260
    """
    where = "alignment"
    found, needed = jax.tree.structure(reference), jax.tree.structure(gradients)
    require(found == needed, where, "reference", found, f"the form {needed}")

    def cosine(g: jax.Array, r: jax.Array) -> jax.Array:
        require(g.shape == r.shape, where, "reference", r, f"shape {g.shape}")
        g, r = (a.astype(accumulation_dtype(a.dtype)) for a in (g, r))
        lengths = jnp.sqrt(jnp.sum(g * g)) * jnp.sqrt(jnp.sum(r * r))
        return jnp.where(lengths > 0, jnp.sum(g * r) / jnp.where(lengths > 0, lengths, 1), 0)

    return jax.tree.map(cosine, gradients, reference)
