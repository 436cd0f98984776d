"""Matrices and activations in 8 bit with scales known beforehand, for com.microsoft.MatMulIntegerToFloat. Knows nothing
of graphs.

A matrix has one scale per output and 7 bit of each weight: without the VNNI instructions, products of 8 bit are added
up in 16 bit and would overflow (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html,
reduce_range). Activations have one scale and zero point per matrix, measured on code that the model is run on, so that
a row's result depends neither on its neighbours nor on how many there are. Channels far larger than others would leave
these few of the 256 steps: their size is moved over to the matrix behind (SmoothQuant, arXiv 2211.10438). Weights are
rounded one input after the other, each making up for the errors of those before it (GPTQ, arXiv 2210.17323).

The output head is none of these matrices: in blocks whose activations get their scales as they come it keeps more of
the model's choices, at no cost in time (docs/log.md).
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .model import Block, CodeModel

LARGEST_WEIGHT = 63
# Shares of a row's range that are tried: clipping its largest weights rounds the others more finely.
WEIGHT_SHARES = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75)
ACTIVATION_STEPS = 255
ACTIVATION_SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
NUM_SAMPLES = 400_000
# 0 leaves activations as they are, 1 makes all channels equally large. Those of an MLP's last matrix are the wildest.
SMOOTHING = 0.5
DOWN_SMOOTHING = 0.65
# Of the mean square of an input, added to all: inputs that hardly vary would make up for errors without bound.
DAMPING = 0.01
MTP_STEPS = 3
BATCH_ROWS = 4


@dataclass(frozen=True)
class ActivationRange:
    """An unsigned byte u stands for (u - zero_point) * scale."""

    scale: float
    zero_point: int


# By the matrix that they go into.
StaticActivations = dict[str, ActivationRange]


@dataclass(frozen=True)
class StaticWeight:
    """`values` int8 [numOutputs, numInputs], `scales` float32 [numOutputs]."""

    values: np.ndarray
    scales: np.ndarray


def quantise_rows(weight: np.ndarray) -> StaticWeight:
    """weight: float32 [numOutputs, numInputs]; of each row the scale with the least square error."""
    largest = np.abs(weight).max(1, keepdims=True) / np.float32(LARGEST_WEIGHT)
    largest[largest == 0] = 1
    best_values, best_scales = np.zeros_like(weight), largest
    best_errors = np.full_like(largest, np.inf)
    for share in WEIGHT_SHARES:
        scales = largest * np.float32(share)
        values = np.clip(np.rint(weight / scales), -LARGEST_WEIGHT, LARGEST_WEIGHT)
        errors = np.square(values * scales - weight).sum(1, keepdims=True)
        better = errors < best_errors
        best_values, best_scales = np.where(better, values, best_values), np.where(better, scales, best_scales)
        best_errors = np.minimum(errors, best_errors)
    return StaticWeight(best_values.astype(np.int8), best_scales[:, 0].astype(np.float32))


def dequantise_rows(weight: StaticWeight) -> np.ndarray:
    """float32 [numOutputs, numInputs]: the matrix that is multiplied with."""
    return weight.values.astype(np.float32) * weight.scales[:, None]


def rounded_activations(x: Tensor, activation: ActivationRange) -> Tensor:
    """What quantisation leaves of x."""
    steps = ((x / activation.scale).round() + activation.zero_point).clamp(0, ACTIVATION_STEPS)
    return (steps - activation.zero_point) * activation.scale


def activation_range(samples: Tensor) -> ActivationRange:
    """The range, zero in it, with the least square error over `samples`, of any shape."""
    flat = samples.flatten()
    if len(flat) > NUM_SAMPLES:
        flat = flat[torch.randint(len(flat), (NUM_SAMPLES,), generator=torch.Generator().manual_seed(1))]
    low, high = min(flat.min().item(), 0.0), max(flat.max().item(), 1e-6)
    found: list[tuple[float, ActivationRange]] = []
    for low_share in ACTIVATION_SHARES if low < 0 else (1.0,):
        for high_share in ACTIVATION_SHARES:
            scale = (high * high_share - low * low_share) / ACTIVATION_STEPS
            activation = ActivationRange(scale, round(-low * low_share / scale))
            error = (rounded_activations(flat, activation) - flat).square().mean().item()
            found.append((error, activation))
    return min(found, key=lambda pair: pair[0])[1]


@contextmanager
def recorded_inputs(model: CodeModel) -> Iterator[dict[str, list[Tensor]]]:
    """Inputs [rows, numInputs] of every matrix but the output head while the model runs, by the matrix' name."""
    inputs: dict[str, list[Tensor]] = {
        name: [] for name, m in model.named_modules() if isinstance(m, nn.Linear) and m is not model.head
    }
    hooks = [
        module.register_forward_pre_hook(lambda _, x, name=name: inputs[name].append(x[0].flatten(0, -2).clone()))
        for name, module in model.named_modules()
        if name in inputs
    ]
    yield inputs
    for hook in hooks:
        hook.remove()


@torch.no_grad()
def inputs_of_matrices(model: CodeModel, rows: np.ndarray) -> dict[str, Tensor]:
    """By matrix, what it is given: [about n * length, numInputs]. rows: token ids [n, length]."""
    tokens = torch.from_numpy(rows.astype(np.int64))
    with recorded_inputs(model) as inputs:
        for batch in tokens.split(BATCH_ROWS):
            states = model.hidden_states(batch)
            for step in range(1, MTP_STEPS + 1):
                states = model.mtp_states(states[:, :-1], batch[:, step:])
    return {name: torch.cat(parts) for name, parts in inputs.items()}


@torch.no_grad()
def prepared(model: CodeModel, rows: np.ndarray) -> tuple[CodeModel, StaticActivations]:
    """A copy with evener activations, and with weights that `quantise_rows` keeps, and how to quantise the activations.

    rows: token ids [n, length].
    """
    smoothed = smoothed_copy(model, rows)
    inputs = inputs_of_matrices(smoothed, rows)
    ranges = {name: activation_range(samples) for name, samples in inputs.items()}
    for name, activation in ranges.items():
        weight = smoothed.get_submodule(name).weight
        weight.copy_(rounded_with_feedback(weight, rounded_activations(inputs[name], activation)))
    return smoothed, ranges


@torch.no_grad()
def smoothed_copy(model: CodeModel, rows: np.ndarray) -> CodeModel:
    """Computes the same from evener activations. rows: token ids [n, length]."""
    inputs = inputs_of_matrices(model, rows)
    smoothed = copy.deepcopy(model)
    blocks = {f"blocks.{i}": block for i, block in enumerate(smoothed.blocks)} | {"mtp.block": smoothed.mtp.block}
    for name, block in blocks.items():
        smooth_block(block, {part: inputs[f"{name}.{part}"] for part in ("qkv", "out", "gate_up", "down")})
    return smoothed


def rounded_with_feedback(weight: Tensor, inputs: Tensor) -> Tensor:
    """The weight on the grid that `quantise_rows` lays over it, such that products with the inputs change little.

    weight: [numOutputs, numInputs]; inputs: [rows, numInputs].
    """
    scales = torch.from_numpy(quantise_rows(weight.numpy()).scales)
    # They stay what they are, the largest of each row: with them `quantise_rows` finds the same grid again.
    is_largest = weight.abs() == weight.abs().amax(1, keepdim=True)
    moments = (inputs.T @ inputs).double()
    moments += torch.eye(len(moments)) * (DAMPING * moments.diagonal().mean() + 1e-9)
    feedback = torch.linalg.cholesky(torch.linalg.inv(moments), upper=True).float()
    left, rounded = weight.clone(), torch.empty_like(weight)
    for i in range(weight.shape[1]):
        steps = (left[:, i] / scales).round().clamp(-LARGEST_WEIGHT, LARGEST_WEIGHT)
        steps = torch.where(is_largest[:, i], LARGEST_WEIGHT * weight[:, i].sign(), steps)
        rounded[:, i] = steps * scales
        errors = (left[:, i] - rounded[:, i]) / feedback[i, i]
        left[:, i + 1 :] -= errors[:, None] * feedback[i, i + 1 :]
    return rounded


def smooth_block(block: Block, inputs: dict[str, Tensor]) -> None:
    """inputs: [rows, numInputs] of the block's matrices."""
    shape = block.shape
    largest = {part: samples.abs().amax(0) for part, samples in inputs.items()}
    for norm, linear, part in (
        (block.input_norm, block.qkv, "qkv"),
        (block.post_norm, block.gate_up, "gate_up"),
    ):
        factors = balance(largest[part], linear.weight.abs().amax(0))
        linear.weight.mul_(factors)
        norm.weight.div_(factors)
    # What the MLP's last matrix is given comes out of the upper half of the one before it.
    factors = balance(largest["down"], block.down.weight.abs().amax(0), DOWN_SMOOTHING)
    block.down.weight.mul_(factors)
    block.gate_up.weight[shape.intermediate_size :].div_(factors[:, None])
    # Attention gives mixtures of values; the query heads of a group have one value head together.
    heads = (shape.num_kv_heads, shape.group_size, shape.head_size)
    factors = balance(largest["out"].view(heads).amax(1), block.out.weight.abs().amax(0).view(heads).amax(1))
    block.out.weight.mul_(factors[:, None].expand(heads).flatten())
    block.qkv.weight[-shape.kv_size :].div_(factors.flatten()[:, None])


def balance(activations: Tensor, weights: Tensor, smoothing: float = SMOOTHING) -> Tensor:
    """What to divide each channel by, their geometric mean 1; both: largest absolute values, of one shape."""
    factors = activations.clamp(min=1e-4) ** smoothing / weights.clamp(min=1e-4) ** (1 - smoothing)
    return factors / factors.log().mean().exp()
