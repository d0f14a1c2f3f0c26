r"""Spiking networks in and out as NIR graphs, for other simulators and neuromorphic chips.

A graph of the intermediate representation states differential equations; a time step ``dt``
turns them into ours by forward Euler, except that a synaptic current enters the membrane in the
step it arrives, as snnTorch and spyx have it. ``from_nir`` makes a module of a graph, ``to_nir``
a graph of a module.

=======================  =============================================================
NIR                      ours
=======================  =============================================================
LIF, LI                  decay λ = 1 - dt/tau; drive r (dt/tau) x + (dt/tau) v_leak
IF, I                    decay 1; drive r dt x
CubaLIF, CubaLI          current decay α = 1 - dt/tau_syn; current w_in (dt/tau_syn) x;
                         membrane as of LIF
v_threshold              ``threshold``; must be exceeded
v_reset                  the potential after a spike; 0 is ``reset_to_zero``
Affine, Linear           dense layers, weights as (outputs, inputs)
Conv1d, Conv2d           convolutions, channels first, weights as (out, in, ...)
Scale, Threshold         products by element; spike where the threshold is exceeded
SumPool2d, AvgPool2d     sums and means over windows, zeros of the padding included
Flatten                  the axes of an example in their order
Delay                    ``round(delay / dt)`` steps
several edges to a node  their sum
a cycle of edges         what comes back has been emitted in the step before
a graph as a node        its nodes, named ``outer.inner``
=======================  =============================================================

Source: "Neuromorphic intermediate representation: A unified instruction set for interoperable
brain-inspired computing" (2024). The extra ``nir`` installs the package that reads and writes.
"""

from typing import TYPE_CHECKING

from jaxnn import _lazy

if TYPE_CHECKING:
    from jaxnn.models.nir._export import to_nir as to_nir
    from jaxnn.models.nir._network import NIRNetwork as NIRNetwork
    from jaxnn.models.nir._network import from_nir as from_nir

_NAMES = {"NIRNetwork": "_network", "from_nir": "_network", "to_nir": "_export"}

__all__ = ["NIRNetwork", "from_nir", "to_nir"]

__getattr__, __dir__ = _lazy.attach(__name__, names=_NAMES)
