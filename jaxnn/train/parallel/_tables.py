"""Ready tables for our models, with the tensor-parallel axis ``model``.

Source: "Megatron-LM: Training Multi-Billion Parameter Language Models Using Model Parallelism"
(2019): of two matrices in a row the first is split by columns and the second by rows, so that
what is between them never leaves its device and one sum of the outputs is all that is sent.
"""

from jax.sharding import PartitionSpec as P

from jaxnn.train.parallel._rules import Spec, if_divisible


def _transformer() -> tuple[tuple[str, Spec], ...]:
    columns = r"((attention|cross)/(query|key|value|distance)|feedforward/(up|gate))"
    rows = r"((attention|cross)/out|feedforward/down)"
    table: list[tuple[str, Spec]] = []
    # Blocks run in one scan are stacked: their parameters have one more axis, over the depth.
    for blocks, depth in ((r"(^|/)blocks/", (None,)), (r"(^|/)blocks_\d+/", ())):
        table += [
            (f"{blocks}{columns}/kernel$", P(*depth, None, "model")),
            (f"{blocks}{columns}/bias$", P(*depth, "model")),
            (f"{blocks}{rows}/kernel$", P(*depth, "model", None)),
        ]
    return (
        *table,
        (r"(^|/)tokens/embedding$", P("model", None)),
        (r"(^|/)head/kernel$", if_divisible(None, "model")),
        (r"(^|/)head/bias$", if_divisible("model")),
    )


#: Transformers over tokens, pictures and table rows: queries, keys, values and the feed-forward
#: network's first map by columns, their outputs by rows, the embedding over the vocabulary. The
#: number of heads should be a multiple of the axis, key heads too, or heads are cut in two.
TRANSFORMER_RULES = _transformer()

#: Multilayer perceptrons, ``MLP`` and ``SpikingMLP``: even layers by columns, odd ones by rows.
#: The blocks of ``ResidualMLP`` likewise.
MLP_RULES = (
    (r"(^|/)dense_\d*[02468]/kernel$", if_divisible(None, "model")),
    (r"(^|/)dense_\d*[02468]/bias$", if_divisible("model")),
    (r"(^|/)dense_\d*[13579]/kernel$", P("model", None)),
    *(rule for rule in TRANSFORMER_RULES if "feedforward" in rule[0]),
)

#: Kolmogorov-Arnold networks: even layers by outputs, odd ones by inputs.
KAN_RULES = (
    (r"(^|/)layers_\d*[02468]/base_kernel$", if_divisible(None, "model")),
    (r"(^|/)layers_\d*[02468]/coefficients$", if_divisible(None, None, "model")),
    (r"(^|/)layers_\d*[13579]/base_kernel$", P("model", None)),
    (r"(^|/)layers_\d*[13579]/coefficients$", P(None, "model", None)),
)
