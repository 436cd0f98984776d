"""Optimisers and their learning rates. Knows nothing of data or losses."""

import argparse

import torch

from .model import CodeModel

WARM_UP_STEPS = 50
MIN_LEARNING_RATE_SHARE = 0.02


def build_optimizers(model: CodeModel, arguments: argparse.Namespace) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices of the layers, AdamW for embedding, output head and norms."""
    matrices, others = [], []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_matrix = parameter.ndim == 2 and name not in ("embedding.weight", "head.weight")
            (matrices if is_matrix else others).append(parameter)
    return (
        torch.optim.Muon(matrices, lr=arguments.muon_lr, momentum=0.95, weight_decay=0.01),
        torch.optim.AdamW(others, lr=arguments.adamw_lr, betas=(0.9, 0.95), weight_decay=0.0),
    )


def learning_rate_share(step: int, progress: float, decay_share: float) -> float:
    """Warm-up, stable, then linear decay."""
    decay = min(1.0, (1 - progress) / decay_share) if decay_share else 1.0
    return min(1.0, (step + 1) / WARM_UP_STEPS) * max(MIN_LEARNING_RATE_SHARE, decay)
