"""Learning from a stream that is seen once: predict each example, then learn from it.

``make_hedge_step`` trains a ``HedgedNetwork``, which has a classifier at every layer, and weighs
the classifiers by how well each has done, with ``hedge_weights``: "Online Deep Learning: Learning
Deep Neural Networks on the Fly" (2018). The step's metrics are those of its predictions before it
learns, so that a stream is one scan:

    network = online.HedgedNetwork([layer() for _ in range(10)], outputs=2)
    state = train.create_state(network, optax.sgd(0.01), xs[0], key=key)
    step = online.make_hedge_step(losses.cross_entropy, metrics={"accuracy": losses.accuracy})
    state, metrics = jax.lax.scan(step, state, (xs, ys))
"""

from jaxnn.train.online._hedge import HedgedNetwork as HedgedNetwork
from jaxnn.train.online._hedge import hedge_weights as hedge_weights
from jaxnn.train.online._hedge import make_hedge_step as make_hedge_step

__all__ = ["HedgedNetwork", "hedge_weights", "make_hedge_step"]
