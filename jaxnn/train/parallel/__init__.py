"""Past one device: one mesh and one ordered table of rules say where everything lies.

``Layout(mesh, rules)`` is given to ``train.create_state``, which makes the state where it will
lie; ``make_step``, ``fit``, ``evaluate`` and ``Checkpoints`` then work on it unchanged. With no
rules a layout is data parallelism, with :func:`fully_sharded` each device keeps a part of every
parameter, with a table of the model's, e.g. ``TRANSFORMER_RULES``, layers are split within
(Megatron's columns and rows). JAX's compiler puts in the communication.

What no table can say is a function: :func:`ulysses_attention` splits the sequence ("DeepSpeed
Ulysses", 2023), :func:`head_parallel_attention` keeps split heads split, :func:`pipeline` splits
the depth ("GPipe", 2019), and :func:`expert_parallel` sends tokens to experts ("GShard", 2020).
:func:`collectives` lists what a compiled program sends.
"""

from jaxnn.train.parallel._collectives import Collective as Collective
from jaxnn.train.parallel._collectives import collectives as collectives
from jaxnn.train.parallel._distributed import initialize as initialize
from jaxnn.train.parallel._experts import expert_parallel as expert_parallel
from jaxnn.train.parallel._layout import Layout as Layout
from jaxnn.train.parallel._layout import shard_batch as shard_batch
from jaxnn.train.parallel._layout import shard_state as shard_state
from jaxnn.train.parallel._mesh import make_mesh as make_mesh
from jaxnn.train.parallel._pipeline import pipeline as pipeline
from jaxnn.train.parallel._rules import Rules as Rules
from jaxnn.train.parallel._rules import fully_sharded as fully_sharded
from jaxnn.train.parallel._rules import if_divisible as if_divisible
from jaxnn.train.parallel._rules import partition as partition
from jaxnn.train.parallel._tables import KAN_RULES as KAN_RULES
from jaxnn.train.parallel._tables import MLP_RULES as MLP_RULES
from jaxnn.train.parallel._tables import TRANSFORMER_RULES as TRANSFORMER_RULES
from jaxnn.train.parallel._ulysses import head_parallel_attention as head_parallel_attention
from jaxnn.train.parallel._ulysses import ulysses_attention as ulysses_attention

__all__ = [
    "KAN_RULES",
    "MLP_RULES",
    "TRANSFORMER_RULES",
    "Collective",
    "Layout",
    "Rules",
    "collectives",
    "expert_parallel",
    "fully_sharded",
    "head_parallel_attention",
    "if_divisible",
    "initialize",
    "make_mesh",
    "partition",
    "pipeline",
    "shard_batch",
    "shard_state",
    "ulysses_attention",
]
