"""The ONNX graphs of target model and MTP module, of one sequence or several. Knows nothing of files or PyTorch."""

import numpy as np
from onnx import ModelProto

from .graph_builder import GraphBuilder, float_value
from .quantise import Precision


def target_graph(builder: GraphBuilder, rotary: tuple[np.ndarray, np.ndarray], head: Precision) -> ModelProto:
    """model.onnx: logits and post-final-norm hidden states of every position."""
    shape = builder.shape
    builder.attention_inputs(*rotary)
    x, residual = builder.embedded(), None
    for index in range(shape.num_layers):
        x, residual = builder.block(x, residual, f"blocks.{index}", index)
    hidden, _ = builder.add_norm(x, residual, "norm", output="hidden_states")
    builder.matmul(hidden, "logits", builder.weights["head.weight"], head)
    outputs = [
        float_value("logits", [1, "sequence", shape.vocab_size]),
        float_value("hidden_states", [1, "sequence", shape.hidden_size]),
    ]
    caches = shape.num_layers
    return builder.model(
        "target",
        [*builder.attention.inputs(), *builder.attention.caches("past_key_values", caches)],
        [*outputs, *builder.attention.caches("present", caches)],
    )


def mtp_graph(
    builder: GraphBuilder, rotary: tuple[np.ndarray, np.ndarray], head: Precision, draft_ids: np.ndarray | None = None
) -> ModelProto:
    """mtp.onnx: hidden states of every position, logits of a sequence's last one, as the output head is the dear part.

    `input_ids` holds the tokens at positions i + 1, `hidden_states` the states at positions i. With `draft_ids`, the
    sorted token ids that may be drafted, the output head has their rows alone and all other logits are -inf
    (FR-Spec, arXiv 2502.14856).
    """
    shape = builder.shape
    builder.attention_inputs(*rotary)
    joined = builder.node(
        "Concat", [builder.norm("hidden_states", "mtp.hidden_norm"), builder.embedded()], ["mtp.joined"], axis=-1
    )
    projected = builder.matmul(joined, "mtp.projection", builder.weights["mtp.projection.weight"])
    x, residual = builder.block(projected, None, "mtp.block", 0)
    hidden, _ = builder.add_norm(x, residual, "mtp.norm", output="hidden_states_out")
    last = builder.attention.last_rows(builder, hidden, "mtp.last")
    if draft_ids is None:
        builder.matmul(last, "logits", builder.weights["head.weight"], head)
    else:
        few = builder.matmul(last, "mtp.draft_logits", builder.weights["head.weight"][draft_ids], head)
        each = builder.attention.num_sequences
        none = builder.inline("mtp.no_logits", np.full((1, each, shape.vocab_size), -np.inf, np.float32))
        rows = np.tile(draft_ids.astype(np.int64), (1, each, 1))
        where = builder.inline("mtp.draft_ids", rows)
        builder.node("ScatterElements", [none, where, few], ["logits"], axis=2)
    states = [1, "sequence", shape.hidden_size]
    return builder.model(
        "mtp",
        [
            *builder.attention.inputs(),
            float_value("hidden_states", states),
            *builder.attention.caches("past_key_values", 1),
        ],
        [
            float_value("logits", [1, builder.attention.num_sequences, shape.vocab_size]),
            float_value("hidden_states_out", states),
            *builder.attention.caches("present", 1),
        ],
    )
