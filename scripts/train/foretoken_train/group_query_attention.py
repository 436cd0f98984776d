"""Attention as other runtimes know it (onnxruntime-genai, Transformers.js): com.microsoft.GroupQueryAttention, whose
caches [1, numKvHeads, length, headSize] grow with every run, or are one buffer for past and present.

The attention mask is all ones (one sequence, no padding), so only its length is read: past plus new tokens.
"""

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from .graph_builder import MICROSOFT, GraphBuilder, float_value
from .shape import ModelShape


class GroupQueryAttention:
    """Inputs: `input_ids` [1, tokens] and `attention_mask` [1, past and new tokens]."""

    num_sequences = 1

    def __init__(self, shape: ModelShape):
        self.shape = shape

    def inputs(self) -> list[ValueInfoProto]:
        return [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "sequence"]),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, [1, "total_sequence"]),
        ]

    def caches(self, prefix: str, num_layers: int) -> list[ValueInfoProto]:
        length = "past_length" if prefix == "past_key_values" else "present_length"
        sizes = [1, self.shape.num_kv_heads, length, self.shape.head_size]
        names = [f"{prefix}.{layer}.{part}" for layer in range(num_layers) for part in ("key", "value")]
        return [float_value(name, sizes) for name in names]

    def prepare(self, builder: GraphBuilder) -> None:
        builder.node("Shape", ["attention_mask"], ["total_length.long"], start=1, end=2)
        builder.node("Cast", ["total_length.long"], ["total_length"], to=TensorProto.INT32)
        builder.node("Sub", ["total_length", builder.inline("one", np.ones(1, np.int32))], ["last_position"])

    def attend(self, builder: GraphBuilder, qkv: str, name: str, layer: int) -> str:
        past, present = f"past_key_values.{layer}", f"present.{layer}"
        return builder.node(
            "GroupQueryAttention",
            [qkv, "", "", f"{past}.key", f"{past}.value", "last_position", "total_length", "cos", "sin"],
            [name, f"{present}.key", f"{present}.value"],
            MICROSOFT,
            num_heads=self.shape.num_heads,
            kv_num_heads=self.shape.num_kv_heads,
            do_rotary=1,
        )

    def last_rows(self, builder: GraphBuilder, x: str, name: str) -> str:
        return builder.last_row(x, name)
