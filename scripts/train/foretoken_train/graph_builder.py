"""Nodes of an ONNX graph, one layer of the model after the other. Knows nothing of files, PyTorch or configs."""

from typing import Protocol

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, numpy_helper

from .external_data import ExternalData
from .quantise import Precision, quantise
from .shape import ModelShape
from .static_quantisation import ActivationRange, StaticActivations, quantise_rows

MICROSOFT = "com.microsoft"
OPSETS = [helper.make_opsetid("", 24), helper.make_opsetid(MICROSOFT, 1)]
IR_VERSION = 10
# Activations are quantised to 8 bit per block of one row, so that a row's result never depends on its neighbours.
ACCURACY_LEVEL_INT8 = 4
# Of every quantised model: a row is looked up, not multiplied with, so that fewer bits would save no time.
EMBEDDING_PRECISION = Precision(8, 32)

Weights = dict[str, np.ndarray]  # Named as CodeModel.state_dict(), matrices [numOutputs, numInputs], float32.


class Attention(Protocol):
    """How tokens look at what came before, and what a graph must be told for it."""

    num_sequences: int

    def inputs(self) -> list[ValueInfoProto]:
        """All but the caches and the hidden states of an MTP module."""

    def caches(self, prefix: str, num_layers: int) -> list[ValueInfoProto]:
        """prefix: `past_key_values` or `present`."""

    def prepare(self, builder: "GraphBuilder") -> None:
        """Adds what all layers share, rotary tables aside."""

    def attend(self, builder: "GraphBuilder", qkv: str, name: str, layer: int) -> str:
        """qkv [1, n, querySize + 2 * kvSize]; returns [1, n, querySize]."""

    def last_rows(self, builder: "GraphBuilder", x: str, name: str) -> str:
        """[1, numSequences, width]: of every sequence the row of its last token."""


class GraphBuilder:
    """Collects nodes and initialisers; every method returns the name of the value it makes."""

    def __init__(
        self,
        shape: ModelShape,
        weights: Weights,
        data: ExternalData,
        precision: Precision,
        attention: Attention,
        static: StaticActivations | None = None,
    ):
        """static: by the names that the matrices' nodes have, where quantisation is static."""
        self.shape = shape
        self.attention = attention
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
        activation = self.static[name]
        known = self.quantised_inputs.get((x, activation))
        if known is not None:
            return known
        scale = self.inline(f"{name}.input_scale", np.asarray(activation.scale, np.float32))
        zero_point = self.inline(f"{name}.input_zero_point", np.asarray(activation.zero_point, np.uint8))
        values = self.node("QuantizeLinear", [x, scale, zero_point], [f"{name}.input"])
        self.quantised_inputs[x, activation] = [values, scale, zero_point]
        return self.quantised_inputs[x, activation]

    def attention_inputs(self, cos: np.ndarray, sin: np.ndarray) -> None:
        """What the attention of all layers shares."""
        self.external("cos", cos)
        self.external("sin", sin)
        self.attention.prepare(self)

    def last_row(self, x: str, name: str) -> str:
        """x [1, n, width]; returns [1, 1, width]."""
        return self.node("Gather", [x, self.inline("last", np.asarray([-1], np.int64))], [name], axis=1)

    def split(self, x: str, columns: dict[str, int]) -> list[str]:
        """x [1, n, sum] in parts of so many columns."""
        names = list(columns)
        sizes = self.inline(f"{x}.columns", np.asarray(list(columns.values()), np.int64))
        self.node("Split", [x, sizes], names, axis=2)
        return names

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

    def block(self, x: str, residual: str | None, name: str, layer: int) -> tuple[str, str]:
        """One layer. Returns its last addition unperformed, (x, residual): the next norm adds on the way."""
        if residual is None:
            normalised, residual = self.norm(x, f"{name}.input_norm"), x
        else:
            normalised, residual = self.add_norm(x, residual, f"{name}.input_norm")
        qkv = self.matmul(normalised, f"{name}.qkv", self.weights[f"{name}.qkv.weight"])
        attended = self.attention.attend(self, qkv, f"{name}.attention", layer)
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


def float_value(name: str, sizes: list) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, sizes)
