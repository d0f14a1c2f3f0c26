"""Learning from what is at hand at a synapse, without back-propagation through time or depth.

``eprop`` trains a recurrent network of spiking (or other) units while it runs, by eligibility
traces: "A Solution to the Learning Dilemma for Recurrent Networks of Spiking Neurons" (2020).
Its gradients go into any optimiser; ``train.make_gradient_step`` makes a step of them.

``forward_forward`` trains every layer of a ``ForwardForward`` network by itself, to tell right
labels from wrong ones: "The Forward-Forward Algorithm: Some Preliminary Investigations" (2022). Its
``goodness_loss`` has the form of "Layer Collaboration in the Forward-Forward Algorithm" (2023) too,
and its layers may hold maps without derivative, as in "Backpropagation-free Training of Deep
Physical Neural Networks" (2023), whose ``cosine_loss`` is another.

``direct_feedback`` brings the output's error to every block through a fixed matrix, and
``DirectFeedback`` does so for the blocks of any model, which ``train.make_step`` then trains:
"Direct Feedback Alignment Scales to Modern Deep Learning Tasks and Architectures" (2020).
``alignment`` compares its gradients with those of back-propagation.

``aug_local`` trains every layer of an ``AugLocal`` network through an auxiliary network made like
the layers that follow: "Scaling Supervised Local Learning with Augmented Auxiliary Networks"
(2024).
"""

from jaxnn.train.local_learning._aug_local import AugLocal as AugLocal
from jaxnn.train.local_learning._aug_local import aug_local as aug_local
from jaxnn.train.local_learning._aug_local import auxiliary_layers as auxiliary_layers
from jaxnn.train.local_learning._eprop import Eprop as Eprop
from jaxnn.train.local_learning._eprop import RecurrentParams as RecurrentParams
from jaxnn.train.local_learning._eprop import eprop as eprop
from jaxnn.train.local_learning._feedback_alignment import DirectFeedback as DirectFeedback
from jaxnn.train.local_learning._feedback_alignment import alignment as alignment
from jaxnn.train.local_learning._feedback_alignment import direct_feedback as direct_feedback
from jaxnn.train.local_learning._forward_forward import ForwardForward as ForwardForward
from jaxnn.train.local_learning._forward_forward import cosine_loss as cosine_loss
from jaxnn.train.local_learning._forward_forward import draw_wrong_labels as draw_wrong_labels
from jaxnn.train.local_learning._forward_forward import embed_label as embed_label
from jaxnn.train.local_learning._forward_forward import forward_forward as forward_forward
from jaxnn.train.local_learning._forward_forward import goodness as goodness
from jaxnn.train.local_learning._forward_forward import goodness_loss as goodness_loss
from jaxnn.train.local_learning._forward_forward import length_normalize as length_normalize

__all__ = [
    "AugLocal",
    "DirectFeedback",
    "Eprop",
    "ForwardForward",
    "RecurrentParams",
    "alignment",
    "aug_local",
    "auxiliary_layers",
    "cosine_loss",
    "direct_feedback",
    "draw_wrong_labels",
    "embed_label",
    "eprop",
    "forward_forward",
    "goodness",
    "goodness_loss",
    "length_normalize",
]
