r"""Forward-forward: every layer learns by itself to tell an input's right label from a wrong one.

The label is part of the input. A layer's goodness is the sum of its squared activities; it is to
be above a threshold for an input with its right label, below for one with a wrong label, and no
derivative leaves the layer. What a layer hands on has its length normalised, so that the next one
sees its direction and not the goodness that has been measured already.

.. math::
    y_l = f_l(\bar h_{l-1}), \quad h_l = \frac{\sqrt{n_l}\, y_l}{\lVert y_l \rVert + \epsilon},
    \quad G_l = \lVert y_l \rVert^2, \quad
    L_l = \operatorname{softplus}(\theta_l - G_l^+) + \operatorname{softplus}(G_l^- - \theta_l)

where the bar stops the gradient. The collaborative form lets all layers give one verdict, of which
each layer still changes its own part alone:

.. math::
    L_l = \operatorname{softplus}\Big(\theta - G_l^+ - \sum_{k \ne l} \bar G_k^+\Big)
    + \operatorname{softplus}\Big(G_l^- + \sum_{k \ne l} \bar G_k^- - \theta\Big), \quad
    \theta = \sum_l \theta_l

===  ======================================================================
f    ``ForwardForward.layers``, modules or functions, also without derivative
y    activities, ``(batch, units)``, of the right label (+) and a wrong one (-)
n    units of a layer
h    what the next layer is given; h₀ is the input with its label
G    :func:`goodness`
θ    ``threshold`` times n
===  ======================================================================

Source: "The Forward-Forward Algorithm: Some Preliminary Investigations" (2022), sections 2 and 3;
"Layer Collaboration in the Forward-Forward Algorithm" (2023). A layer of a fixed map that nobody
can differentiate and a trainable linear map is that of "Backpropagation-free Training of Deep
Physical Neural Networks" (2023), whose published loss is :func:`cosine_loss`.
"""

from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, PyTree

from jaxnn._check import require, require_array, require_count, require_key, require_positive
from jaxnn._numeric import accumulation_dtype

PairLoss = Callable[[Sequence[jax.Array], Sequence[jax.Array]], jax.Array]


def goodness(activity: Float[Array, "*batch units"]) -> Float[Array, "*batch"]:
    """Sum the squares of a layer's activities, in float32 or wider.

    Args:
      activity: y, of one layer.

    Returns:
      G, one number an example.

    Raises:
      TypeError: ``activity`` is not an array of floating-point numbers.

    Example:
      >>> goodness(jnp.array([[3.0, 4.0], [0.0, 1.0]])).tolist()
      [25.0, 1.0]
    """
    require_array("goodness", activity=activity)
    return jnp.sum(jnp.square(activity.astype(accumulation_dtype(activity.dtype))), axis=-1)


def length_normalize(
    activity: Float[Array, "*batch units"], *, epsilon: float = 1e-6
) -> Float[Array, "*batch units"]:
    r"""Scale activities to a mean square of one, so that only their direction is left.

    .. math:: h = \frac{\sqrt{n}\, y}{\lVert y \rVert + \epsilon}

    Args:
      activity: y, of n units; zeros stay zeros.
      epsilon: ε, added to the length.

    Returns:
      h, in the dtype of ``activity``.

    Raises:
      TypeError: ``activity`` is not an array of floating-point numbers.
      ValueError: ``epsilon`` is not a finite number above zero.

    Example:
      >>> length_normalize(jnp.array([3.0, 4.0, 0.0, 0.0])).round(3).tolist()
      [1.2000000476837158, 1.600000023841858, 0.0, 0.0]
    """
    require_array("length_normalize", activity=activity)
    require_positive("length_normalize", epsilon=epsilon)
    # Kept from zero, where the root has no gradient.
    length = jnp.sqrt(jnp.maximum(goodness(activity), 1e-30))[..., None]
    wide = activity.astype(length.dtype) * activity.shape[-1] ** 0.5 / (length + epsilon)
    return wide.astype(activity.dtype)


def embed_label(
    x: Float[Array, "*batch_and_example"], labels: Int[Array, "*batch"], num_classes: int
) -> Float[Array, "*batch numbers"]:
    """Flatten examples and put their labels before them, one number a class.

    The right one is as large as the largest number of its example, and the others are zero.

    Differs: the paper overwrites the first pixels, which are black in its images; here no pixel
    is lost.

    Args:
      x: examples, whose first axes are those of ``labels``.
      labels: whole numbers in [0, num_classes).
      num_classes: of labels.

    Returns:
      ``num_classes`` numbers and those of the example.

    Raises:
      TypeError: ``x`` is not an array of floating-point numbers, or ``labels`` not of whole ones.
      ValueError: their first axes differ, or ``num_classes`` is no count.

    Example:
      >>> embed_label(jnp.array([[[0.5], [0.2]]]), jnp.array([1]), 2).round(1).tolist()
      [[0.0, 0.5, 0.5, 0.20000000298023224]]
    """
    where = "embed_label"
    require_array(where, x=x)
    _require_labels(where, labels)
    require_count(where, num_classes=num_classes)
    lead = labels.shape
    ok = x.shape[: len(lead)] == lead and x.size > 0
    require(ok, where, "x", x, f"first axes {lead}, those of `labels`, and some numbers")
    flat = x.reshape(*lead, -1)
    largest = jnp.max(jnp.abs(flat), axis=-1, keepdims=True)
    return jnp.concatenate([jax.nn.one_hot(labels, num_classes, dtype=x.dtype) * largest, flat], -1)


def draw_wrong_labels(
    key: jax.Array,
    labels: Int[Array, "*batch"],
    num_classes: int,
    *,
    logits: Float[Array, "*batch classes"] | None = None,
) -> Int[Array, "*batch"]:
    """Draw for each example a label that is not its own.

    Args:
      key: random key.
      labels: the right ones, in [0, num_classes).
      num_classes: of labels, two or more.
      logits: what the current predictions are a softmax of; wrong labels are drawn from these
        predictions. All wrong labels are as likely if ``None``.

    Returns:
      Labels of the same shape and dtype.

    Raises:
      TypeError: ``key`` is not a random key, or an array is of the wrong kind.
      ValueError: ``num_classes`` is below two, or ``logits`` has another shape.

    Example:
      >>> labels = jnp.array([0, 1, 2])
      >>> certain = jnp.array([[9.0, 0.0, 99.0]] * 3)
      >>> draw_wrong_labels(jax.random.key(0), labels, 3, logits=certain).tolist()
      [2, 2, 0]
    """
    where = "draw_wrong_labels"
    require_key(where, key)
    _require_labels(where, labels)
    require_count(where, num_classes=num_classes)
    require(num_classes >= 2, where, "num_classes", num_classes, "two or more classes")
    if logits is None:
        shift = jax.random.randint(key, labels.shape, 1, num_classes, labels.dtype)
        return (labels + shift) % num_classes
    require_array(where, logits=logits)
    shape = (*labels.shape, num_classes)
    require(logits.shape == shape, where, "logits", logits, f"shape {shape}")
    right = jax.nn.one_hot(labels, num_classes, dtype=bool)
    others = jnp.where(right, -jnp.inf, logits)
    return jax.random.categorical(key, others, axis=-1).astype(labels.dtype)


def goodness_loss(
    positive: Sequence[Float[Array, "*batch _"]],
    negative: Sequence[Float[Array, "*batch _"]],
    *,
    threshold: float = 1.0,
    collaborative: bool = False,
) -> Float[Array, "*batch layers"]:
    r"""Ask for goodness above a threshold with right labels and below it with wrong ones.

    .. math:: L_l = \operatorname{softplus}(\theta_l - G_l^+)
        + \operatorname{softplus}(G_l^- - \theta_l)

    Args:
      positive: each layer's activities for inputs with their right labels.
      negative: for inputs with wrong ones.
      threshold: goodness a unit, so that θ is this times a layer's units.
      collaborative: compare the goodness of all layers with the sum of their thresholds; each
        layer's loss has the gradient of its own part only.

    Returns:
      L of each example and layer, in float32 or wider.

    Raises:
      TypeError: an activity is not an array of floating-point numbers.
      ValueError: ``threshold`` is not a finite number above zero, or the layers differ.

    Example:
      >>> right, wrong = [jnp.array([[2.0, 1.0]])], [jnp.array([[1.0, 0.0]])]
      >>> goodness_loss(right, wrong).round(4).tolist()  # softplus(2 - 5) + softplus(1 - 2)
      [[0.3617999851703644]]
    """
    where = "goodness_loss"
    require_positive(where, threshold=threshold)
    _require_pairs(where, positive, negative)
    limit = threshold * jnp.asarray([y.shape[-1] for y in positive], jnp.float32)
    above, below = (jnp.stack([goodness(y) for y in ys], axis=-1) for ys in (positive, negative))
    if collaborative:
        limit = jnp.sum(limit, keepdims=True)
        above, below = _with_others(above), _with_others(below)
    limit = jnp.broadcast_to(limit, above.shape).astype(above.dtype)
    return jax.nn.softplus(limit - above) + jax.nn.softplus(below - limit)


def cosine_loss(
    positive: Sequence[Float[Array, "*batch _"]],
    negative: Sequence[Float[Array, "*batch _"]],
    *,
    sharpness: float = 1.0,
) -> Float[Array, "*batch layers"]:
    r"""Turn the activities for right and wrong labels away from each other.

    .. math:: L_l = \log\big(1 + \exp(\alpha \cos(y_l^+, y_l^-))\big)

    No threshold is needed; goodness is not what it trains, so a readout of the activities has to
    give the label.

    Args:
      positive: each layer's activities for inputs with their right labels.
      negative: for inputs with wrong ones.
      sharpness: α.

    Returns:
      L of each example and layer, in float32 or wider.

    Raises:
      TypeError: an activity is not an array of floating-point numbers.
      ValueError: ``sharpness`` is not a finite number above zero, or the layers differ.

    Example:
      >>> right, wrong = [jnp.array([[2.0, 0.0]])], [jnp.array([[0.0, 1.0]])]
      >>> cosine_loss(right, wrong).round(4).tolist()  # log 2
      [[0.6930999755859375]]
    """
    where = "cosine_loss"
    require_positive(where, sharpness=sharpness)
    _require_pairs(where, positive, negative)

    def one(a: jax.Array, b: jax.Array) -> jax.Array:
        a, b = (y.astype(accumulation_dtype(y.dtype)) for y in (a, b))
        # Kept from zero, where the root has no gradient.
        lengths = jnp.sqrt(jnp.maximum(goodness(a) * goodness(b), 1e-12))
        return jax.nn.softplus(sharpness * jnp.sum(a * b, axis=-1) / lengths)

    return jnp.stack([one(a, b) for a, b in zip(positive, negative, strict=True)], axis=-1)


class ForwardForward(nn.Module):
    """Layers that share no gradient, and a label that is chosen by trying all.

    Called with examples alone it gives the goodness of each label, ``(batch, num_classes)``, whose
    largest is the prediction: so it can be evaluated as any classifier. All labels are tried as
    one batch.

    Attributes:
      layers: modules or functions ``(batch, ...) -> (batch, ...)``, for example
        ``nn.Sequential([nn.Dense(300), nn.relu])``. A derivative is taken only with respect to
        their parameters, never to their inputs.
      num_classes: of labels.
      embed: ``(x, labels, num_classes) -> inputs of the first layer``.
      normalize: what is done to a layer's activities, flattened, before the next; ``None``
        nothing.
      skip: how many first layers do not count when labels are tried. The first one can tell
        right labels by the input's own length.
    """

    layers: Sequence[Callable[[jax.Array], jax.Array]]
    num_classes: int
    embed: Callable[[jax.Array, jax.Array, int], jax.Array] = embed_label
    normalize: Callable[[jax.Array], jax.Array] | None = length_normalize
    skip: int = 1

    def __call__(self, x: Float[Array, "batch *example"]) -> Float[Array, "batch classes"]:
        """Give the goodness of every label, summed over the layers that count."""
        ok = 0 <= self.skip < len(self.layers)
        needs = f"a whole number in [0, {len(self.layers)}), fewer than the layers"
        require(ok, "ForwardForward", "skip", self.skip, needs)
        labels = jnp.repeat(jnp.arange(self.num_classes), len(x))
        every = jnp.broadcast_to(x[None], (self.num_classes, *x.shape))
        activities = self.activities(every.reshape(-1, *x.shape[1:]), labels)
        total = sum(map(goodness, activities[self.skip :]), jnp.zeros(()))
        return total.reshape(self.num_classes, len(x)).T

    def activities(
        self, x: Float[Array, "batch *example"], labels: Int[Array, " batch"]
    ) -> tuple[Float[Array, "batch _"], ...]:
        """Give each layer's activities for examples with these labels, flattened."""
        h = self.embed(x, labels, self.num_classes)
        activities = []
        for layer in self.layers:
            y = layer(jax.lax.stop_gradient(h))
            flat = y.reshape(len(x), -1)
            activities.append(flat)
            h = y if self.normalize is None else self.normalize(flat).reshape(y.shape)
        return tuple(activities)


def forward_forward(
    network: ForwardForward, *, loss: PairLoss = goodness_loss, hardness: float = 0.0
) -> Callable[[PyTree, Any, jax.Array], tuple[PyTree, dict[str, jax.Array]]]:
    """Make the gradients of forward-forward learning, for ``train.make_gradient_step``.

    Args:
      network: the layers.
      loss: ``(positive, negative) -> loss of each example and layer`` of two lists of activities:
        :func:`goodness_loss`, ``partial(goodness_loss, collaborative=True)``,
        :func:`cosine_loss` or another. Its sum over layers is differentiated, in which each
        layer's parameters meet the loss only through their own layer's activities.
      hardness: 0 draws wrong labels uniformly. Above, they are drawn from the current
        predictions, a softmax of this times the labels' goodness in standard deviations of it;
        that takes a pass with all labels.

    Returns:
      ``(params, (x, y), key) -> (gradients, metrics)``. The metrics are ``loss``, summed over
      layers, and ``separation``, the share of examples whose right label has more goodness in all
      layers than the wrong one drawn.

    Raises:
      ValueError: ``hardness`` is below zero.

    Example:
      >>> network = ForwardForward([nn.Dense(4), nn.Dense(4)], num_classes=2)
      >>> x, y = jnp.eye(3), jnp.array([0, 1, 1])
      >>> params = network.init(jax.random.key(0), x)["params"]
      >>> grads, metrics = forward_forward(network)(params, (x, y), jax.random.key(1))
      >>> grads["layers_1"]["kernel"].shape, sorted(metrics)
      ((4, 4), ['loss', 'separation'])
    """
    require(hardness >= 0, "forward_forward", "hardness", hardness, "a number of at least zero")

    def gradients(
        params: PyTree, batch: Any, key: jax.Array
    ) -> tuple[PyTree, dict[str, jax.Array]]:
        x, y = batch
        logits = None
        if hardness:
            scores = network.apply({"params": params}, x)
            logits = hardness * jax.nn.standardize(jnp.asarray(scores), axis=-1)
        wrong = draw_wrong_labels(key, y, network.num_classes, logits=logits)

        def objective(params: PyTree) -> tuple[jax.Array, dict[str, jax.Array]]:
            positive, negative = (
                cast(tuple, network.apply({"params": params}, x, labels, method="activities"))
                for labels in (y, wrong)
            )
            value = jnp.mean(jnp.sum(loss(positive, negative), axis=-1))
            above, below = (sum(map(goodness, ys), jnp.zeros(())) for ys in (positive, negative))
            separation = jnp.mean(jnp.asarray(above > below, value.dtype))
            return value, {"loss": value, "separation": separation}

        return jax.grad(objective, has_aux=True)(params)

    return gradients


def _with_others(each: jax.Array) -> jax.Array:
    """Give every layer the sum over all layers, with the gradient of its own part."""
    fixed = jax.lax.stop_gradient(each)
    return each + (jnp.sum(fixed, axis=-1, keepdims=True) - fixed)


def _require_labels(where: str, labels: jax.Array) -> None:
    require_array(where, floating=False, labels=labels)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"{where}: `labels` has dtype {labels.dtype}; it needs whole numbers.")


def _require_pairs(
    where: str, positive: Sequence[jax.Array], negative: Sequence[jax.Array]
) -> None:
    require(len(positive) > 0, where, "positive", positive, "the activities of a layer or more")
    for y in positive:
        require_array(where, positive=y)
    found, needed = ([y.shape for y in ys] for ys in (negative, positive))
    require(found == needed, where, "negative", found, f"the shapes {needed}")
