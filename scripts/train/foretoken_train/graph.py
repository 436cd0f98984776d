"""The ONNX graphs of target model and MTP module. Knows nothing of files, PyTorch or configs.

Both read their key-value cache through com.microsoft.GroupQueryAttention, which rotates queries and keys itself and,
where the caller binds `past_key_values.*` and `present.*` to one buffer [1, numKvHeads, bufferLength, headSize],
appends in place. A later run with a shorter attention mask overwrites what came after: that is rollback.

The attention mask is all ones (one sequence, no padding), so only its length is read: past plus new tokens.

A shared graph takes the tokens of several sequences, one behind the other, through every matrix at once, and gives each
sequence attention nodes of its own: GroupQueryAttention takes one sequence where several tokens meet a past.
"""

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from .external_data import ExternalData
from .quantise import Precision, quantise
from .shape import ModelShape
from .static_quantisation import ActivationRange, StaticQuantisation, quantise_rows

MICROSOFT = "com.microsoft"
OPSETS = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
IR_VERSION = 10
# Activations are quantised to 8 bit per block of one row, so that a row's result never depends on its neighbours.
ACCURACY_LEVEL_INT8 = 4
# Of every quantised model: a row is looked up, not multiplied with, so that fewer bits would save no time.
EMBEDDING_PRECISION = Precision(8, 32)

Weights = dict[str, np.ndarray]  # Named as CodeModel.state_dict(), matrices [numOutputs, numInputs], float32.


class GraphBuilder:
    """Collects nodes and initialisers; every method returns the name of the value it makes."""

    def __init__(
        self,
        shape: ModelShape,
        weights: Weights,
        data: ExternalData,
        precision: Precision,
        static: StaticQuantisation | None = None,
    ):
        """static: by the names that the matrices' nodes have, where quantisation is static."""
        self.shape = shape
        self.static = static
        self.quantised_inputs: dict[tuple[str, ActivationRange], list[str]] = {}
        self.weights = weights
        self.data = data
        self.precision = precision
        self.nodes: list = []
        self.initialisers: dict[str, TensorProto] = {}

    def node(self, op: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes) -> str:
        self.nodes.append(helper.make_node(op, inputs, outputs, name=outputs[0], domain=domain, **attributes))
        return outputs[0]

    def inline(self, name: str, array: np.ndarray) -> str:
        self.initialisers[name] = numpy_helper.from_array(array, name)
        return name

    def external(self, name: str, array: np.ndarray) -> str:
        self.initialisers[name] = self.data.tensor(name, array)
        return name

    def norm_weight(self, name: str) -> str:
        return self.inline(f"{name}.weight", self.weights[f"{name}.weight"])

    def matmul(self, x: str, name: str, weight: np.ndarray, precision: Precision | None = None) -> str:
        """x [1, n, numInputs] times weight [numOutputs, numInputs] transposed."""
        precision = precision or self.precision
        if precision.bits == 32:
            return self.node("MatMul", [x, self.external(f"{name}.weight", weight.T)], [name])
        if precision.is_static:
            return self.static_matmul(x, name, weight)
        quantised = quantise(weight, precision)
        values = self.external(f"{name}.quantised", quantised.values)
        scales = self.external(f"{name}.scales", quantised.scales)
        num_outputs, num_inputs = weight.shape
        return self.node(
            "MatMulNBits",
            [x, values, scales],
            [name],
            MICROSOFT,
            K=num_inputs,
            N=num_outputs,
            bits=precision.bits,
            block_size=precision.block_size,
            accuracy_level=ACCURACY_LEVEL_INT8,
        )

    def head(self, states: str, name: str, weight: np.ndarray, precision: Precision) -> str:
        """The output head, or rows of it."""
        if self.static:
            factors = self.inline("head.factors", (1 / self.static.head_divisors).astype(np.float32))
            states = self.node("Mul", [states, factors], [f"{name}.states"])
        return self.matmul(states, name, weight, precision)

    def static_matmul(self, x: str, name: str, weight: np.ndarray) -> str:
        """`matmul` of bytes; the sums are exact, so that a row's result cannot depend on the other rows."""
        quantised_x, x_scale, x_zero_point = self.quantised_input(x, name)
        quantised = quantise_rows(weight)
        values = self.external(f"{name}.quantised", quantised.values.T)
        scales = self.external(f"{name}.scales", quantised.scales)
        inputs = [quantised_x, values, x_scale, scales, x_zero_point]
        return self.node("MatMulIntegerToFloat", inputs, [name], MICROSOFT)

    def quantised_input(self, x: str, name: str) -> list[str]:
        """x as bytes, its scale and its zero point; once for the matrices that share it."""
        activation = self.static.activations[name]
        known = self.quantised_inputs.get((x, activation))
        if known is not None:
            return known
        scale = self.inline(f"{name}.input_scale", np.asarray(activation.scale, np.float32))
        zero_point = self.inline(f"{name}.input_zero_point", np.asarray(activation.zero_point, np.uint8))
        values = self.node("QuantizeLinear", [x, scale, zero_point], [f"{name}.input"])
        self.quantised_inputs[x, activation] = [values, scale, zero_point]
        return self.quantised_inputs[x, activation]

    def embedded(self) -> str:
        """Rows of the embedding table, which is stored already normalised: [1, n, hiddenSize]."""
        table = self.weights["embedding.weight"]
        if self.precision.bits == 32:
            return self.node("Gather", [self.external("embedding.weight", table), "input_ids"], ["embedding"])
        quantised = quantise(table, EMBEDDING_PRECISION)
        hidden_size = table.shape[1]
        values = self.external("embedding.quantised", quantised.values.reshape(len(table), -1)[:, :hidden_size])
        return self.node(
            "GatherBlockQuantized",
            [values, "input_ids", self.external("embedding.scales", quantised.scales)],
            ["embedding"],
            MICROSOFT,
            bits=EMBEDDING_PRECISION.bits,
            block_size=EMBEDDING_PRECISION.block_size,
            gather_axis=0,
            quantize_axis=1,
        )

    def norm(self, x: str, name: str) -> str:
        weight = self.norm_weight(name)
        return self.node(
            "SimplifiedLayerNormalization", [x, weight], [name], axis=-1, epsilon=self.shape.rms_norm_epsilon
        )

    def add_norm(self, x: str, residual: str, name: str, output: str | None = None) -> tuple[str, str]:
        """(normalised, sum) of x + residual."""
        normalised, total = output or name, f"{name}.sum"
        self.node(
            "SkipSimplifiedLayerNormalization",
            [x, residual, self.norm_weight(name)],
            [normalised, "", "", total],
            MICROSOFT,
            epsilon=self.shape.rms_norm_epsilon,
        )
        return normalised, total

    def cache_lengths(self, cos: np.ndarray, sin: np.ndarray) -> None:
        """What every attention node shares: lengths from the mask's shape, and the rotary tables."""
        self.node("Shape", ["attention_mask"], ["total_length.long"], start=1, end=2)
        self.node("Cast", ["total_length.long"], ["total_length"], to=TensorProto.INT32)
        self.inline("one", np.ones(1, np.int32))
        self.node("Sub", ["total_length", "one"], ["last_position"])
        self.external("cos", cos)
        self.external("sin", sin)

    def attention(self, qkv: str, name: str, cache_index: int) -> str:
        past, present = f"past_key_values.{cache_index}", f"present.{cache_index}"
        inputs = [qkv, "", "", f"{past}.key", f"{past}.value", "last_position", "total_length", "cos", "sin"]
        return self.node(
            "GroupQueryAttention",
            inputs,
            [name, f"{present}.key", f"{present}.value"],
            MICROSOFT,
            num_heads=self.shape.num_heads,
            kv_num_heads=self.shape.num_kv_heads,
            do_rotary=1,
        )

    def block(self, x: str, residual: str | None, name: str, cache_index: int) -> tuple[str, str]:
        """One layer. Returns its last addition unperformed, (x, residual): the next norm adds on the way."""
        if residual is None:
            normalised, residual = self.norm(x, f"{name}.input_norm"), x
        else:
            normalised, residual = self.add_norm(x, residual, f"{name}.input_norm")
        qkv = self.matmul(normalised, f"{name}.qkv", self.weights[f"{name}.qkv.weight"])
        attended = self.attention(qkv, f"{name}.attention", cache_index)
        out = self.matmul(attended, f"{name}.out", self.weights[f"{name}.out.weight"])
        normalised, residual = self.add_norm(out, residual, f"{name}.post_norm")
        return self.mlp(normalised, name), residual

    def mlp(self, x: str, name: str) -> str:
        """SwiGLU; gate and up as one multiplication and a Split took as long or longer at widths 1, 2 and 4."""
        gate_weight, up_weight = np.split(self.weights[f"{name}.gate_up.weight"], 2)
        gate = self.matmul(x, f"{name}.gate", gate_weight)
        up = self.matmul(x, f"{name}.up", up_weight)
        # QuickGelu is x * sigmoid(alpha * x): with alpha 1 it is SiLU in one node.
        silu = self.node("QuickGelu", [gate], [f"{name}.silu"], MICROSOFT, alpha=1.0)
        product = self.node("Mul", [silu, up], [f"{name}.gated"])
        return self.matmul(product, f"{name}.down", self.weights[f"{name}.down.weight"])

    def model(self, name: str, inputs: list[ValueInfoProto], outputs: list[ValueInfoProto]) -> ModelProto:
        graph = helper.make_graph(self.nodes, name, inputs, outputs, list(self.initialisers.values()))
        model = helper.make_model(graph, opset_imports=OPSETS, ir_version=IR_VERSION, producer_name="foretoken-train")
        return model

    def inputs(self) -> list[ValueInfoProto]:
        return [
            helper.make_tensor_value_info("input_ids", TensorProto.INT64, [1, "sequence"]),
            helper.make_tensor_value_info("attention_mask", TensorProto.INT64, [1, "total_sequence"]),
        ]

    def last_rows(self, x: str, name: str) -> str:
        """[1, numSequences, width]: of every sequence the row of its last token."""
        self.inline("last", np.asarray([-1], np.int64))
        return self.node("Gather", [x, "last"], [name], axis=1)

    @property
    def num_sequences(self) -> int:
        return 1

    def cache_values(self, prefix: str, num_caches: int) -> list[ValueInfoProto]:
        length = "past_buffer" if prefix == "past_key_values" else "present_buffer"
        sizes = [1, self.shape.num_kv_heads, length, self.shape.head_size]
        names = [f"{prefix}.{i}.{part}" for i in range(num_caches) for part in ("key", "value")]
        return [float_value(name, sizes) for name in names]


class SharedGraphBuilder(GraphBuilder):
    """Of `num_sequences` sequences. Inputs: `input_ids` [1, all their tokens]; `widths` int64 [numSequences], how many
    tokens of each; `total_lengths` int32 [numSequences], past plus new tokens. Caches are called
    `past_key_values.<sequence>.<layer>.key` and so on.
    """

    def __init__(
        self,
        shape: ModelShape,
        weights: Weights,
        data: ExternalData,
        precision: Precision,
        static: StaticQuantisation | None,
        num_sequences: int,
    ):
        super().__init__(shape, weights, data, precision, static)
        self._num_sequences = num_sequences

    @property
    def num_sequences(self) -> int:
        return self._num_sequences

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


def float_value(name: str, sizes: list) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)


def target_graph(builder: GraphBuilder, rotary: tuple[np.ndarray, np.ndarray], head: Precision) -> ModelProto:
    """model.onnx: logits and post-final-norm hidden states of every position."""
    shape = builder.shape
    builder.cache_lengths(*rotary)
    x, residual = builder.embedded(), None
    for index in range(shape.num_layers):
        x, residual = builder.block(x, residual, f"blocks.{index}", index)
    hidden, _ = builder.add_norm(x, residual, "norm", output="hidden_states")
    builder.head(hidden, "logits", builder.weights["head.weight"], head)
    outputs = [
        float_value("logits", [1, "sequence", shape.vocab_size]),
        float_value("hidden_states", [1, "sequence", shape.hidden_size]),
    ]
    caches = shape.num_layers
    return builder.model(
        "target",
        [*builder.inputs(), *builder.cache_values("past_key_values", caches)],
        [*outputs, *builder.cache_values("present", caches)],
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
    builder.cache_lengths(*rotary)
    joined = builder.node(
        "Concat", [builder.norm("hidden_states", "mtp.hidden_norm"), builder.embedded()], ["mtp.joined"], axis=-1
    )
    projected = builder.matmul(joined, "mtp.projection", builder.weights["mtp.projection.weight"])
    x, residual = builder.block(projected, None, "mtp.block", 0)
    hidden, _ = builder.add_norm(x, residual, "mtp.norm", output="hidden_states_out")
    last = builder.last_rows(hidden, "mtp.last")
    if draft_ids is None:
        builder.head(last, "logits", builder.weights["head.weight"], head)
    else:
        few = builder.head(last, "mtp.draft_logits", builder.weights["head.weight"][draft_ids], head)
        each = builder.num_sequences
        none = builder.inline("mtp.no_logits", np.full((1, each, shape.vocab_size), -np.inf, np.float32))
        rows = np.tile(draft_ids.astype(np.int64), (1, each, 1))
        where = builder.inline("mtp.draft_ids", rows)
        builder.node("ScatterElements", [none, where, few], ["logits"], axis=2)
    states = [1, "sequence", shape.hidden_size]
    return builder.model(
        "mtp",
        [*builder.inputs(), float_value("hidden_states", states), *builder.cache_values("past_key_values", 1)],
        [
            float_value("logits", [1, builder.num_sequences, shape.vocab_size]),
            float_value("hidden_states_out", states),
            *builder.cache_values("present", 1),
        ],
    )
