"""Trained weights that go on changing where they are used.

``evaluate_dynamically`` scores a stream segment by segment and takes a step of an optimiser after
each; ``dynamic_evaluation`` is the rule for it, with steps as small as gradients were large in
training and a pull back to the trained weights, and ``mean_squared_gradients`` measures the former:
"Dynamic Evaluation of Neural Sequence Models" (2018).

    squares = adaptation.mean_squared_gradients(loss, params, training_segments)
    tx = adaptation.dynamic_evaluation(squares, learning_rate=1e-4, decay=1e-3)
    values, params, carry = adaptation.evaluate_dynamically(loss, tx, params, segments)
"""

from jaxnn.train.adaptation._dynamic_evaluation import (
    DynamicEvaluationState as DynamicEvaluationState,
)
from jaxnn.train.adaptation._dynamic_evaluation import dynamic_evaluation as dynamic_evaluation
from jaxnn.train.adaptation._dynamic_evaluation import evaluate_dynamically as evaluate_dynamically
from jaxnn.train.adaptation._dynamic_evaluation import (
    mean_squared_gradients as mean_squared_gradients,
)

__all__ = [
    "DynamicEvaluationState",
    "dynamic_evaluation",
    "evaluate_dynamically",
    "mean_squared_gradients",
]
