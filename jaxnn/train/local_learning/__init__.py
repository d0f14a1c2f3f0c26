"""Learning from what is at hand at a synapse, without back-propagation through time or depth.

``eprop`` trains a recurrent network of spiking (or other) units while it runs, by eligibility
traces: "A Solution to the Learning Dilemma for Recurrent Networks of Spiking Neurons" (2020).
Its gradients go into any optimiser; ``train.make_gradient_step`` makes a step of them.
"""

from jaxnn.train.local_learning._eprop import Eprop as Eprop
from jaxnn.train.local_learning._eprop import RecurrentParams as RecurrentParams
from jaxnn.train.local_learning._eprop import eprop as eprop

__all__ = ["Eprop", "RecurrentParams", "eprop"]
