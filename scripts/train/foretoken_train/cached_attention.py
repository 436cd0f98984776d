"""The attention of this project's graphs, of one sequence or of several whose tokens follow one another.

Every key-value head has a cache [1, length, headSize] of its own, to which TensorScatter appends in place where the
caller binds `past_key_values.*` and `present.*` to one buffer. A later run with less in `past_lengths` overwrites what
came after: that is rollback. A buffer may be bound by its first positions alone, as many as `attention_bias` has.

All query heads that share a key-value head are rows of one product, [n * groupSize, headSize], so that keys and values
are read once for all of them. And a product of a single row, which ONNX Runtime sums in another order than several,
comes up only where no heads share: else a token's result is the same bits at every width, one included.
"""

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper

from .graph_builder import MICROSOFT, GraphBuilder, float_value
from .shape import ModelShape


class CachedAttention:
    """Inputs: `input_ids` and `position_ids` [1, tokens of all sequences]; `past_lengths` [numSequences];
    `attention_bias` [tokens, groupSize, length], 0 where a token may look and hugely negative elsewhere.

    Of several sequences each has its bias, `attention_bias.<sequence>`, and its caches,
    `past_key_values.<sequence>.<cache>.key` and so on, and `widths` [numSequences] says how many tokens are whose.
    The caches of a layer's key-value heads are numbered one after the other.
    """

    def __init__(self, shape: ModelShape, num_sequences: int = 1):
        self.shape = shape
        self.num_sequences = num_sequences
        self.suffixes = [""] if num_sequences == 1 else [f".{sequence}" for sequence in range(num_sequences)]

    def inputs(self) -> list[ValueInfoProto]:
        ids = [(name, [1, "tokens"]) for name in ("input_ids", "position_ids")]
        each = [(name, [self.num_sequences]) for name in ("past_lengths", *self.widths())]
        integers = [helper.make_tensor_value_info(name, TensorProto.INT64, sizes) for name, sizes in (*ids, *each)]
        return integers + [
            float_value(f"attention_bias{suffix}", [f"tokens{suffix}", self.shape.group_size, f"length{suffix}"])
            for suffix in self.suffixes
        ]

    def widths(self) -> list[str]:
        """Only several sequences need theirs told."""
        return ["widths"] if self.num_sequences > 1 else []

    def caches(self, prefix: str, num_layers: int) -> list[ValueInfoProto]:
        return [
            float_value(f"{prefix}{suffix}.{cache}.{part}", [1, f"length{suffix}", self.shape.head_size])
            for suffix in self.suffixes
            for cache in range(num_layers * self.shape.num_kv_heads)
            for part in ("key", "value")
        ]

    def prepare(self, builder: GraphBuilder) -> None:
        builder.inline("head_rows", np.asarray([1, -1, self.shape.head_size], np.int64))
        builder.inline("token_rows", np.asarray([1, -1, self.shape.group_size * self.shape.head_size], np.int64))
        for suffix in self.suffixes:
            builder.node("Flatten", [f"attention_bias{suffix}"], [f"bias{suffix}"], axis=2)
        if self.num_sequences > 1:
            past_lengths = [f"past_lengths{suffix}" for suffix in self.suffixes]
            builder.node("Split", ["past_lengths"], past_lengths, axis=0, num_outputs=self.num_sequences)
            builder.inline("group_size", np.asarray([self.shape.group_size], np.int64))
            builder.node("Mul", ["widths", "group_size"], ["widths.rows"])

    def attend(self, builder: GraphBuilder, qkv: str, name: str, layer: int) -> str:
        shape = self.shape
        unrotated = builder.split(qkv, {f"{name}.qk": shape.query_size + shape.kv_size, f"{name}.v": shape.kv_size})
        rotated = builder.node(
            "RotaryEmbedding",
            [unrotated[0], "position_ids", "cos", "sin"],
            [f"{name}.rotated"],
            MICROSOFT,
            num_heads=shape.num_heads + shape.num_kv_heads,
        )
        queries, keys = builder.split(rotated, {f"{name}.q": shape.query_size, f"{name}.k": shape.kv_size})
        parts = zip(*(self.by_kv_head(builder, x) for x in (queries, keys, unrotated[1])), strict=True)
        attended = [
            self.attend_group(builder, *part, f"{name}.{head}", layer * shape.num_kv_heads + head)
            for head, part in enumerate(parts)
        ]
        return attended[0] if len(attended) == 1 else builder.node("Concat", attended, [name], axis=2)

    def by_kv_head(self, builder: GraphBuilder, x: str) -> list[str]:
        """The columns of each key-value head."""
        count = self.shape.num_kv_heads
        if count == 1:
            return [x]
        names = [f"{x}.{head}" for head in range(count)]
        builder.node("Split", [x], names, axis=2, num_outputs=count)
        return names

    def attend_group(self, builder: GraphBuilder, queries: str, keys: str, values: str, name: str, cache: int) -> str:
        """queries [1, n, groupSize * headSize] that share keys and values [1, n, headSize]; returns as queries."""
        rows = builder.node("Reshape", [queries, "head_rows"], [f"{name}.rows"])
        parts = zip(
            self.suffixes,
            self.by_sequence(builder, rows, "widths.rows"),
            self.by_sequence(builder, keys, "widths"),
            self.by_sequence(builder, values, "widths"),
            strict=True,
        )
        attended = []
        for suffix, rows_of_one, *new in parts:
            caches = [
                builder.node(
                    "TensorScatter",
                    [f"past_key_values{suffix}.{cache}.{part}", x, f"past_lengths{suffix}"],
                    [f"present{suffix}.{cache}.{part}"],
                    axis=1,
                )
                for part, x in zip(("key", "value"), new, strict=True)
            ]
            inputs = [rows_of_one, *caches, f"bias{suffix}"]
            attended.append(
                builder.node("Attention", inputs, [f"{name}.attended{suffix}"], q_num_heads=1, kv_num_heads=1)
            )
        joined = attended[0] if len(attended) == 1 else builder.node("Concat", attended, [f"{name}.joined"], axis=1)
        return builder.node("Reshape", [joined, "token_rows"], [f"{name}.out"])

    def by_sequence(self, builder: GraphBuilder, x: str, sizes: str) -> list[str]:
        """The rows of each sequence."""
        if self.num_sequences == 1:
            return [x]
        names = [f"{x}{suffix}" for suffix in self.suffixes]
        builder.node("Split", [x, sizes], names, axis=1)
        return names

    def last_rows(self, builder: GraphBuilder, x: str, name: str) -> str:
        if self.num_sequences == 1:
            return builder.last_row(x, name)
        builder.inline("axis", np.asarray(0, np.int64))
        builder.inline("one_row", np.ones(1, np.int64))
        builder.node("CumSum", ["widths", "axis"], ["ends"])
        return builder.node("Gather", [x, builder.node("Sub", ["ends", "one_row"], ["last"])], [name], axis=1)
