"""Rows of ``train.losses``: embeddings, compared in twos and threes or with prototypes."""

import functools

import jax.numpy as jnp

from jaxnn.train import losses
from tests.laws.case import Case, Plain, Reject
from tests.laws.cases.losses import HOME, WIDE
from tests.laws.cases.losses_margin import labelled, lengths_differ
from tests.laws.makers import normal

TRIPLET = "tests/train/losses/test_triplet.py"
CONTRASTIVE = "tests/train/losses/test_contrastive.py"
SPHERE = "tests/train/losses/test_hyperspherical.py"
Y = jnp.array([0, 1, 0, 2, 1, 0])


def three(key):
    return normal(key, (4, 3), (4, 3), (4, 3))


def widths_differ(function):
    name = "negatives" if "triplet" in function.__name__ else "positives"
    last = [jnp.ones((2, 3))] * (2 if name == "negatives" else 1) + [jnp.ones((2, 4))]
    return Reject(
        call=lambda: function(*last),
        error=ValueError,
        match=rf"{function.__name__}: `{name}` is .*\(2, 4\).*needs shape \(2, 3\), that of `anc",
    )


CASES = [
    Case(
        name=f"{HOME}.triplet_ratio_loss",
        function=losses.triplet_ratio_loss,
        inputs=three,
        parity=TRIPLET,
        rejects=(widths_differ(losses.triplet_ratio_loss),),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.triplet_margin_loss",
        function=losses.triplet_margin_loss,
        inputs=three,
        parity=TRIPLET,
        rejects=(
            widths_differ(losses.triplet_margin_loss),
            Reject(
                call=lambda: losses.triplet_margin_loss(*[jnp.ones((2, 3))] * 3, margin=0.0),
                error=ValueError,
                match="triplet_margin_loss: `margin` is 0.0; it needs a finite number above zero",
            ),
        ),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.semi_hard_triplet_loss",
        function=lambda x: losses.semi_hard_triplet_loss(x, Y),
        inputs=lambda key: normal(key, (6, 3)),
        parity=TRIPLET,
        rejects=(
            Reject(
                call=lambda: losses.semi_hard_triplet_loss(jnp.ones((5, 3)), Y),
                error=ValueError,
                match=r"semi_hard_triplet_loss: `targets` is .*\(6,\).*needs shape \(5,\)",
            ),
        ),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.pairwise_distances",
        function=losses.pairwise_distances,
        inputs=lambda key: normal(key, (5, 3)),
        parity=TRIPLET,
        rejects=(
            Reject(
                call=lambda: losses.pairwise_distances(jnp.ones(3)),
                error=ValueError,
                match=r"pairwise_distances: `outputs` .*needs shape \(\*batch, examples, features",
            ),
        ),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.semi_hard_negatives",
        function=lambda x: tuple(losses.semi_hard_negatives(losses.pairwise_distances(x), Y)),
        inputs=lambda key: normal(key, (6, 3)),
        parity=TRIPLET,
        differentiable=(),
        rejects=(
            Reject(
                call=lambda: losses.semi_hard_negatives(jnp.ones((3, 4)), Y),
                error=ValueError,
                match="semi_hard_negatives: `distances` is .*as many rows as columns",
            ),
        ),
        exempt={
            "gradients": "integers and booleans",
            "extremes": "integers and booleans",
            "bfloat16": "a choice: rounding may take another",
        },
    ),
    Plain(
        name=f"{HOME}.Negatives",
        reason="what semi_hard_negatives returns",
        parity=TRIPLET,
    ),
    Case(
        name=f"{HOME}.contrastive_loss",
        function=lambda x, y: losses.contrastive_loss(x, y, Y == 0, margin=2.0),
        inputs=lambda key: normal(key, (6, 3), (6, 3)),
        parity=CONTRASTIVE,
        rejects=(
            Reject(
                call=lambda: losses.contrastive_loss(jnp.ones((6, 3)), jnp.ones((6, 3)), Y),
                error=TypeError,
                match="contrastive_loss: `alike` is .*int32; it needs booleans",
            ),
        ),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.info_nce",
        function=functools.partial(losses.info_nce, temperature=0.5, cosine=True),
        inputs=lambda key: normal(key, (4, 3), (4, 3)),
        parity=CONTRASTIVE,
        rejects=(widths_differ(losses.info_nce),),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.normalized_softmax_loss",
        function=lambda z, y: losses.normalized_softmax_loss(
            jnp.tanh(z), y, scale=4.0, margin=0.1, angular_margin=0.3
        ),
        inputs=labelled,
        parity=SPHERE,
        rejects=(
            lengths_differ(losses.normalized_softmax_loss),
            Reject(
                call=lambda: losses.normalized_softmax_loss(
                    jnp.ones((3, 2)), jnp.zeros(3, jnp.int32), angular_margin=2.0
                ),
                error=ValueError,
                match="normalized_softmax_loss: `angular_margin` is 2.0; it needs an angle from",
            ),
        ),
        exempt=WIDE,
    ),
    Case(
        name=f"{HOME}.prototype_spread",
        function=losses.prototype_spread,
        inputs=lambda key: normal(key, (3, 5)),
        parity=SPHERE,
        rejects=(
            Reject(
                call=lambda: losses.prototype_spread(jnp.ones((3, 1))),
                error=ValueError,
                match="prototype_spread: `kernel` is .* needs at least two classes",
            ),
        ),
        exempt=WIDE,
    ),
]
