"""Optimisers and their learning rates. Knows nothing of data or losses."""

import argparse
import math
from collections import defaultdict
from collections.abc import Collection

import torch
from torch import Tensor

from .model import CodeModel
from .run_record import product_type

MIN_LEARNING_RATE_SHARE = 0.02
MAX_GRADIENT_NORM = 1.0


def add_optimizer_arguments(
    parser: argparse.ArgumentParser, muon_lr: float, adamw_lr: float, warm_up_steps: int
) -> None:
    parser.add_argument("--muon-lr", type=float, default=muon_lr)
    parser.add_argument("--muon-weight-decay", type=float, default=0.01, help="times its rate, at each step")
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
    muon = {"lr": arguments.muon_lr, "momentum": 0.95, "weight_decay": arguments.muon_weight_decay}
    return (
        StackedMuon(groups, product_type(arguments), **muon),
        torch.optim.AdamW(others, lr=arguments.adamw_lr, betas=(0.9, 0.95), weight_decay=0.0),
    )


class StackedMuon(torch.optim.Muon):
    """Muon as the library has it by default, for all matrices of one shape at a time: one by one, those of a small
    model keep a GPU waiting. Products in `product_type`: processors without products of bfloat16 take a minute for a
    step of them."""

    def __init__(self, groups: list[dict], product_type: torch.dtype, **settings: float):
        super().__init__(groups, **settings)
        self.product_type = product_type

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            by_shape = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                self.step_of_one_shape(group, shape, parameters)

    def step_of_one_shape(self, group: dict, shape: torch.Size, parameters: list[Tensor]) -> None:
        rate, momentum = group["lr"], group["momentum"]
        gradients = [parameter.grad for parameter in parameters]
        buffers = [self.state[p].setdefault("momentum_buffer", torch.zeros_like(p)) for p in parameters]
        torch._foreach_lerp_(buffers, gradients, 1 - momentum)
        updates = torch.stack(torch._foreach_lerp(gradients, buffers, momentum)).to(self.product_type)
        updates = orthogonalised(updates, group["ns_coefficients"], group["ns_steps"]).to(parameters[0].dtype)
        torch._foreach_mul_(parameters, 1 - rate * group["weight_decay"])
        torch._foreach_add_(parameters, updates.unbind(), alpha=-rate * math.sqrt(max(1, shape[0] / shape[1])))


def orthogonalised(matrices: Tensor, coefficients: tuple[float, float, float], steps: int) -> Tensor:
    """About the nearest orthogonal matrices (Newton-Schulz, https://kellerjordan.github.io/posts/muon/).

    matrices: [count, rows, columns], same shape out.
    """
    a, b, c = coefficients
    is_tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if is_tall else matrices
    x = x / torch.linalg.matrix_norm(x, keepdim=True).clamp_min(1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


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
