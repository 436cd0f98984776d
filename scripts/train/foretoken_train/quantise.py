"""What precisions there are, and symmetric block quantisation in the layout of com.microsoft.MatMulNBits. Knows nothing
of graphs.

A weight [numOutputs, numInputs] is cut along its inputs into blocks, each with one float32 scale. A stored unsigned
integer u stands for (u - 2^(bits-1)) * scale; 4-bit integers are packed in pairs, the low half first
(https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, MatMulNBits).
"""

from dataclasses import dataclass

import numpy as np

from .static_quantisation import dequantise_rows, quantise_rows

# Shrinking the range clips a block's largest weights but rounds the others more finely: at 4 bit that often pays.
RANGE_SHARES = {4: (1.0, 0.95, 0.9, 0.85, 0.8, 0.75), 8: (1.0,)}


@dataclass(frozen=True)
class Precision:
    """How matrices are stored: bits 32 (float), 8 or 4; at 8 and 4 in blocks, or, where `block_size` is None, as in
    static_quantisation.py."""

    bits: int
    block_size: int | None

    @property
    def is_static(self) -> bool:
        return self.bits < 32 and self.block_size is None

    @property
    def name(self) -> str:
        if self.is_static:
            return "int8-static"
        return "fp32" if self.bits == 32 else f"int{self.bits}"


PRECISION_BITS = {"fp32": 32, "int8-static": 8, "int8": 8, "int4": 4}


# Of the output head where the other matrices are `int8-static`.
STATIC_HEAD = Precision(8, 64)


def named_precision(name: str, block_size: int) -> Precision:
    """One of PRECISION_BITS; block_size: where there are blocks."""
    return Precision(PRECISION_BITS[name], block_size if name in ("int8", "int4") else None)


def head_precision(precision: Precision, name: str | None, block_size: int) -> Precision:
    """Of the output head: `name`, or what goes with the `precision` of the other matrices."""
    if name:
        return named_precision(name, block_size)
    return STATIC_HEAD if precision.is_static else precision


@dataclass(frozen=True)
class QuantisedWeight:
    """`values` uint8 [numOutputs, numBlocks, block_size * bits / 8], `scales` float32 [numOutputs, numBlocks]."""

    values: np.ndarray
    scales: np.ndarray
    num_inputs: int
    precision: Precision


def quantise(weight: np.ndarray, precision: Precision) -> QuantisedWeight:
    """weight: float32 [numOutputs, numInputs]. The last block is padded with zeros where it is not full."""
    num_outputs, num_inputs = weight.shape
    size, middle = precision.block_size, 2 ** (precision.bits - 1)
    padded = np.pad(weight, ((0, 0), (0, -num_inputs % size)))
    blocks = padded.reshape(num_outputs, -1, size)
    # The largest weight of a block becomes -middle exactly, whatever its sign: the integers reach one further down.
    extremes = np.take_along_axis(blocks, np.abs(blocks).argmax(-1, keepdims=True), -1)
    best_scales = np.ones_like(extremes)
    best_errors = np.full_like(extremes, np.inf)
    for share in RANGE_SHARES[precision.bits]:
        scales = np.where(extremes == 0, np.float32(1), extremes * np.float32(-share / middle))
        errors = np.square(rounded(blocks, scales, middle) * scales - blocks).sum(-1, keepdims=True)
        best_scales = np.where(errors < best_errors, scales, best_scales)
        best_errors = np.minimum(errors, best_errors)
    values = (rounded(blocks, best_scales, middle) + middle).astype(np.uint8)
    if precision.bits == 4:
        values = values[..., 0::2] | (values[..., 1::2] << 4)
    return QuantisedWeight(values, best_scales[..., 0].astype(np.float32), num_inputs, precision)


def rounded(blocks: np.ndarray, scales: np.ndarray, middle: int) -> np.ndarray:
    """Signed integers in [-middle, middle - 1], as float32."""
    return np.clip(np.rint(blocks / scales), -middle, middle - 1)


def dequantise(weight: QuantisedWeight) -> np.ndarray:
    """float32 [numOutputs, numInputs]: the matrix that MatMulNBits multiplies with."""
    values = weight.values
    if weight.precision.bits == 4:
        values = np.stack([values & 15, values >> 4], axis=-1).reshape(*values.shape[:2], -1)
    middle = 2 ** (weight.precision.bits - 1)
    blocks = (values.astype(np.float32) - middle) * weight.scales[..., None]
    return blocks.reshape(len(values), -1)[:, : weight.num_inputs]


def stored(weight: np.ndarray, precision: Precision) -> np.ndarray:
    """The values that remain of `weight` at this precision."""
    if precision.bits == 32:
        return weight
    if precision.is_static:
        return dequantise_rows(quantise_rows(weight))
    return dequantise(quantise(weight, precision))
