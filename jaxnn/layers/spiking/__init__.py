"""Spiking neurons: step functions, surrogate gradients, encoders and readouts.

Every neuron is ``step(state, x, params...) -> (state, spikes)``, so ``run`` scans them all and
``nn.RNN`` drives their cells; a neuron takes its ``surrogate`` and its ``reset`` as functions.
Time is the axis before the units, ``(*batch, time, units)``, unless ``time_axis`` says
otherwise. What the family follows is told in "Surrogate Gradient Learning in Spiking Neural
Networks" (2019) and "Training Spiking Neural Networks Using Lessons From Deep Learning" (2023).
``DelayedDense`` learns synaptic delays ("Learning Delays in Spiking Neural Networks using Dilated
Convolutions with Learnable Spacings", 2023); ``izhikevich_step`` has the behaviours of "Simple
Model of Spiking Neurons" (2003).

For images, ``(time, *batch, height, width, channels)``: ``SpikingConv``, ``SpikingPatchEmbedding``
and the parts of a ``SpikingBlock`` follow Max-Former, "Spiking Neural Networks Need High Frequency
Information" (2025); ``spiking_self_attention`` is that of "Spikformer: When Spiking Neural Network
Meets Transformer" (2023).
Neurons without a reset run over all time at once: ``parallel_leaky``, and ``parallel_spiking`` by a
learned matrix ("Parallel Spiking Neurons with High Efficiency and Ability to Learn Long-term
Dependencies", 2023).
"""

from jaxnn.layers.spiking._adaptive import AdaptiveCell as AdaptiveCell
from jaxnn.layers.spiking._adaptive import AdaptiveState as AdaptiveState
from jaxnn.layers.spiking._adaptive import adaptive_init as adaptive_init
from jaxnn.layers.spiking._adaptive import adaptive_step as adaptive_step
from jaxnn.layers.spiking._alpha import AlphaCell as AlphaCell
from jaxnn.layers.spiking._alpha import AlphaState as AlphaState
from jaxnn.layers.spiking._alpha import alpha_init as alpha_init
from jaxnn.layers.spiking._alpha import alpha_step as alpha_step
from jaxnn.layers.spiking._decoding import first_spike_time as first_spike_time
from jaxnn.layers.spiking._decoding import membrane_max as membrane_max
from jaxnn.layers.spiking._decoding import membrane_mean as membrane_mean
from jaxnn.layers.spiking._decoding import spike_count as spike_count
from jaxnn.layers.spiking._delay import DelayedDense as DelayedDense
from jaxnn.layers.spiking._delay import delay_kernel as delay_kernel
from jaxnn.layers.spiking._delay import delayed_dense as delayed_dense
from jaxnn.layers.spiking._encoding import delta_encode as delta_encode
from jaxnn.layers.spiking._encoding import direct_encode as direct_encode
from jaxnn.layers.spiking._encoding import latency_encode as latency_encode
from jaxnn.layers.spiking._encoding import population_encode as population_encode
from jaxnn.layers.spiking._encoding import rate_encode as rate_encode
from jaxnn.layers.spiking._integrator import LeakyIntegrator as LeakyIntegrator
from jaxnn.layers.spiking._integrator import LeakyIntegratorCell as LeakyIntegratorCell
from jaxnn.layers.spiking._integrator import leaky_integrator_sequence as leaky_integrator_sequence
from jaxnn.layers.spiking._integrator import leaky_integrator_step as leaky_integrator_step
from jaxnn.layers.spiking._izhikevich import CHATTERING as CHATTERING
from jaxnn.layers.spiking._izhikevich import FAST_SPIKING as FAST_SPIKING
from jaxnn.layers.spiking._izhikevich import INTRINSICALLY_BURSTING as INTRINSICALLY_BURSTING
from jaxnn.layers.spiking._izhikevich import LOW_THRESHOLD_SPIKING as LOW_THRESHOLD_SPIKING
from jaxnn.layers.spiking._izhikevich import REGULAR_SPIKING as REGULAR_SPIKING
from jaxnn.layers.spiking._izhikevich import RESONATOR as RESONATOR
from jaxnn.layers.spiking._izhikevich import THALAMO_CORTICAL as THALAMO_CORTICAL
from jaxnn.layers.spiking._izhikevich import IzhikevichCell as IzhikevichCell
from jaxnn.layers.spiking._izhikevich import IzhikevichParameters as IzhikevichParameters
from jaxnn.layers.spiking._izhikevich import IzhikevichState as IzhikevichState
from jaxnn.layers.spiking._izhikevich import izhikevich_init as izhikevich_init
from jaxnn.layers.spiking._izhikevich import izhikevich_step as izhikevich_step
from jaxnn.layers.spiking._lapicque import LapicqueCell as LapicqueCell
from jaxnn.layers.spiking._lapicque import lapicque_step as lapicque_step
from jaxnn.layers.spiking._leaky import IntegrateCell as IntegrateCell
from jaxnn.layers.spiking._leaky import Leaky as Leaky
from jaxnn.layers.spiking._leaky import LeakyCell as LeakyCell
from jaxnn.layers.spiking._leaky import LeakyState as LeakyState
from jaxnn.layers.spiking._leaky import integrate_step as integrate_step
from jaxnn.layers.spiking._leaky import leaky_init as leaky_init
from jaxnn.layers.spiking._leaky import leaky_sequence as leaky_sequence
from jaxnn.layers.spiking._leaky import leaky_step as leaky_step
from jaxnn.layers.spiking._map_layers import SpikingConv as SpikingConv
from jaxnn.layers.spiking._map_layers import SpikingPatchEmbedding as SpikingPatchEmbedding
from jaxnn.layers.spiking._map_layers import map_neuron as map_neuron
from jaxnn.layers.spiking._mixers import DepthwiseMixer as DepthwiseMixer
from jaxnn.layers.spiking._mixers import PoolMixer as PoolMixer
from jaxnn.layers.spiking._mixers import SpikingBlock as SpikingBlock
from jaxnn.layers.spiking._mixers import SpikingFeedForward as SpikingFeedForward
from jaxnn.layers.spiking._parallel import ParallelLeaky as ParallelLeaky
from jaxnn.layers.spiking._parallel import ParallelSpiking as ParallelSpiking
from jaxnn.layers.spiking._parallel import parallel_leaky as parallel_leaky
from jaxnn.layers.spiking._parallel import parallel_spiking as parallel_spiking
from jaxnn.layers.spiking._parametric import ParametricLeakyCell as ParametricLeakyCell
from jaxnn.layers.spiking._parametric import parametric_leaky_step as parametric_leaky_step
from jaxnn.layers.spiking._penalty import spike_rate_penalty as spike_rate_penalty
from jaxnn.layers.spiking._recurrent import RecurrentCell as RecurrentCell
from jaxnn.layers.spiking._recurrent import RecurrentState as RecurrentState
from jaxnn.layers.spiking._refractory import RefractoryState as RefractoryState
from jaxnn.layers.spiking._refractory import refractory as refractory
from jaxnn.layers.spiking._refractory import refractory_init as refractory_init
from jaxnn.layers.spiking._reset import no_reset as no_reset
from jaxnn.layers.spiking._reset import reset_by_subtraction as reset_by_subtraction
from jaxnn.layers.spiking._reset import reset_to_zero as reset_to_zero
from jaxnn.layers.spiking._run import run as run
from jaxnn.layers.spiking._self_attention import SpikingSelfAttention as SpikingSelfAttention
from jaxnn.layers.spiking._self_attention import spiking_self_attention as spiking_self_attention
from jaxnn.layers.spiking._surrogate import arctan as arctan
from jaxnn.layers.spiking._surrogate import exponential as exponential
from jaxnn.layers.spiking._surrogate import fast_sigmoid as fast_sigmoid
from jaxnn.layers.spiking._surrogate import gaussian as gaussian
from jaxnn.layers.spiking._surrogate import multi_gaussian as multi_gaussian
from jaxnn.layers.spiking._surrogate import sigmoid as sigmoid
from jaxnn.layers.spiking._surrogate import straight_through as straight_through
from jaxnn.layers.spiking._surrogate import surrogate as surrogate
from jaxnn.layers.spiking._surrogate import triangular as triangular
from jaxnn.layers.spiking._synaptic import SynapticCell as SynapticCell
from jaxnn.layers.spiking._synaptic import SynapticState as SynapticState
from jaxnn.layers.spiking._synaptic import synaptic_init as synaptic_init
from jaxnn.layers.spiking._synaptic import synaptic_step as synaptic_step
from jaxnn.layers.spiking._windows import avg_pool as avg_pool
from jaxnn.layers.spiking._windows import depthwise_convolution as depthwise_convolution
from jaxnn.layers.spiking._windows import max_pool as max_pool

__all__ = [
    # spike functions
    "arctan",
    "exponential",
    "fast_sigmoid",
    "gaussian",
    "multi_gaussian",
    "sigmoid",
    "straight_through",
    "surrogate",
    "triangular",
    # resets
    "no_reset",
    "reset_by_subtraction",
    "reset_to_zero",
    # neurons
    "CHATTERING",
    "FAST_SPIKING",
    "INTRINSICALLY_BURSTING",
    "LOW_THRESHOLD_SPIKING",
    "REGULAR_SPIKING",
    "RESONATOR",
    "THALAMO_CORTICAL",
    "AdaptiveCell",
    "AdaptiveState",
    "AlphaCell",
    "AlphaState",
    "IntegrateCell",
    "IzhikevichCell",
    "IzhikevichParameters",
    "IzhikevichState",
    "LapicqueCell",
    "Leaky",
    "LeakyCell",
    "LeakyIntegrator",
    "LeakyIntegratorCell",
    "LeakyState",
    "ParallelLeaky",
    "ParallelSpiking",
    "ParametricLeakyCell",
    "RecurrentCell",
    "RecurrentState",
    "RefractoryState",
    "SynapticCell",
    "SynapticState",
    "adaptive_init",
    "adaptive_step",
    "alpha_init",
    "alpha_step",
    "integrate_step",
    "izhikevich_init",
    "izhikevich_step",
    "lapicque_step",
    "leaky_init",
    "leaky_integrator_sequence",
    "leaky_integrator_step",
    "leaky_sequence",
    "leaky_step",
    "parallel_leaky",
    "parallel_spiking",
    "parametric_leaky_step",
    "refractory",
    "refractory_init",
    "run",
    "synaptic_init",
    "synaptic_step",
    # synapses
    "DelayedDense",
    "delay_kernel",
    "delayed_dense",
    # maps
    "DepthwiseMixer",
    "PoolMixer",
    "SpikingBlock",
    "SpikingConv",
    "SpikingFeedForward",
    "SpikingPatchEmbedding",
    "SpikingSelfAttention",
    "avg_pool",
    "depthwise_convolution",
    "map_neuron",
    "max_pool",
    "spiking_self_attention",
    # in and out
    "delta_encode",
    "direct_encode",
    "first_spike_time",
    "latency_encode",
    "membrane_max",
    "membrane_mean",
    "population_encode",
    "rate_encode",
    "spike_count",
    "spike_rate_penalty",
]
