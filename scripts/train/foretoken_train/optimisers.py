"""Optimisers and their learning rates. Knows nothing of data or losses."""

import argparse
import math
from collections.abc import Collection

import torch
from torch import Tensor

from .model import CodeModel

MIN_LEARNING_RATE_SHARE = 0.02
MAX_GRADIENT_NORM = 1.0


def add_optimizer_arguments(
    parser: argparse.ArgumentParser, muon_lr: float, adamw_lr: float, warm_up_steps: int
) -> None:
    parser.add_argument("--muon-lr", type=float, default=muon_lr)
    parser.add_argument("--adamw-lr", type=float, default=adamw_lr)
    parser.add_argument("--warm-up-steps", type=int, default=warm_up_steps)
    parser.add_argument(
        "--decay-share", type=float, default=0.4, help="last share of the budget, over which rates fall"
    )


def build_optimizers(
    model: CodeModel, arguments: argparse.Namespace, new_layers: Collection[int] = ()
) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices of the layers, AdamW for embedding, output head and norms.

    The matrices of `new_layers` of the target learn `arguments.new_layers_rate` times as fast.
    """
    matrices, new, others = [], [], []
    prefixes = tuple(f"blocks.{layer}." for layer in new_layers)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_matrix = parameter.ndim == 2 and name not in ("embedding.weight", "head.weight")
            is_new = bool(prefixes) and name.startswith(prefixes)
            (others if not is_matrix else new if is_new else matrices).append(parameter)
    groups = [{"params": matrices, "times": 1.0}]
    if new:
        groups.append({"params": new, "times": arguments.new_layers_rate})
    muon = Float32Muon if arguments.float32 else torch.optim.Muon
    return (
        muon(groups, lr=arguments.muon_lr, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(others, lr=arguments.adamw_lr, betas=(0.9, 0.95), weight_decay=0.0),
    )


class Float32Muon(torch.optim.Muon):
    """Muon as the library has it by default, its products in float32: in bfloat16, processors without products of that
    take a minute for a step."""

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                buffer = self.state[parameter].setdefault("momentum_buffer", torch.zeros_like(parameter))
                buffer.lerp_(parameter.grad, 1 - momentum)
                update = orthogonalised(
                    parameter.grad.lerp(buffer, momentum), group["ns_coefficients"], group["ns_steps"]
                )
                rows, columns = parameter.shape
                parameter.mul_(1 - rate * group["weight_decay"])
                parameter.add_(update, alpha=-rate * math.sqrt(max(1, rows / columns)))


def orthogonalised(matrix: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """About the nearest orthogonal matrix (Newton-Schulz, https://kellerjordan.github.io/posts/muon/)."""
    a, b, c = coefficients
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if is_tall else matrix
    x = x / x.norm().clamp_min(1e-7)
    for _ in range(steps):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if is_tall else x


def learning_rate_share(step: int, warm_up_steps: int, progress: float, decay_share: float) -> float:
    """Warm-up, stable, then linear decay."""
    decay = min(1.0, (1 - progress) / decay_share) if decay_share else 1.0
    return min(1.0, (step + 1) / warm_up_steps) * max(MIN_LEARNING_RATE_SHARE, decay)


def set_learning_rates(
    optimizers: tuple[torch.optim.Optimizer, ...], arguments: argparse.Namespace, step: int, progress: float
) -> None:
    """Of the coming step, for (Muon, AdamW) as `build_optimizers` gives them."""
    share = learning_rate_share(step, arguments.warm_up_steps, progress, arguments.decay_share)
    for optimizer, rate in zip(optimizers, (arguments.muon_lr, arguments.adamw_lr), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate * share * group.get("times", 1.0)


def apply_gradients(loss: torch.Tensor, model: CodeModel, optimizers: tuple[torch.optim.Optimizer, ...]) -> None:
    """One optimiser step down from `loss`."""
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRADIENT_NORM)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
