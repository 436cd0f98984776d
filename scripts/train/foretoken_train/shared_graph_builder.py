"""A graph that takes the tokens of several sequences, one behind the other, through every matrix at once, and gives
each sequence attention nodes of its own: GroupQueryAttention takes one sequence where several tokens meet a past.
"""

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from .graph_builder import MICROSOFT, GraphBuilder, float_value


class SharedGraphBuilder(GraphBuilder):
    """Of `num_sequences` sequences. Inputs: `input_ids` [1, all their tokens]; `widths` int64 [numSequences], how many
    tokens of each; `total_lengths` int32 [numSequences], past plus new tokens. Caches are called
    `past_key_values.<sequence>.<layer>.key` and so on.
    """

    def __init__(self, num_sequences: int, *arguments):
        """arguments: of GraphBuilder."""
        super().__init__(*arguments)
        self.num_sequences = num_sequences

    def inputs(self) -> list[ValueInfoProto]:
        each = [self.num_sequences]
        return [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "sequence"]),
            helper.make_tensor_value_info("widths", TensorProto.INT64, each),
            helper.make_tensor_value_info("total_lengths", TensorProto.INT32, each),
        ]

    def last_rows(self, x: str, name: str) -> str:
        self.inline("axis", np.asarray(0, np.int64))
        self.inline("one_row", np.ones(1, np.int64))
        self.node("CumSum", ["widths", "axis"], ["ends"])
        self.node("Sub", ["ends", "one_row"], ["last"])
        return self.node("Gather", [x, "last"], [name], axis=1)

    def per_sequence(self, name: str) -> list[str]:
        return [f"{name}.{sequence}" for sequence in range(self.num_sequences)]

    def cache_lengths(self, cos: np.ndarray, sin: np.ndarray) -> None:
        self.inline("one", np.ones(1, np.int32))
        self.node("Sub", ["total_lengths", "one"], ["last_positions"])
        for every, each in (("total_lengths", "total_length"), ("last_positions", "last_position")):
            self.node("Split", [every], self.per_sequence(each), axis=0, num_outputs=self.num_sequences)
        self.external("cos", cos)
        self.external("sin", sin)

    def attention(self, qkv: str, name: str, cache_index: int) -> str:
        self.node("Split", [qkv, "widths"], self.per_sequence(qkv), axis=1)
        for sequence in range(self.num_sequences):
            past, present = (f"{prefix}.{sequence}.{cache_index}" for prefix in ("past_key_values", "present"))
            lengths = [f"last_position.{sequence}", f"total_length.{sequence}"]
            self.node(
                "GroupQueryAttention",
                [f"{qkv}.{sequence}", "", "", f"{past}.key", f"{past}.value", *lengths, "cos", "sin"],
                [f"{name}.{sequence}", f"{present}.key", f"{present}.value"],
                MICROSOFT,
                num_heads=self.shape.num_heads,
                kv_num_heads=self.shape.num_kv_heads,
                do_rotary=1,
            )
        return self.node("Concat", self.per_sequence(name), [name], axis=1)

    def cache_values(self, prefix: str, num_caches: int) -> list[ValueInfoProto]:
        way = "past" if prefix == "past_key_values" else "present"
        kv_heads, head_size = self.shape.num_kv_heads, self.shape.head_size
        return [
            float_value(f"{prefix}.{sequence}.{layer}.{part}", [1, kv_heads, f"{way}_buffer_{sequence}", head_size])
            for sequence in range(self.num_sequences)
            for layer in range(num_caches)
            for part in ("key", "value")
        ]
