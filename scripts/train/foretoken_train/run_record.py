"""What a training run leaves beside its weights: log, ledger entry and how far it has come. Knows nothing of losses."""

import argparse
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

from .ledger import LedgerEntry, record
from .model import CodeModel
from .weights import save_weights

PATHS_LEFT_OUT = ("out", "tokenizer", "init_from", "weights", "command", "run")


@dataclass
class RunRecord:
    """Counters of a run and its folder; `state` and `restore` carry the counters over an interruption."""

    arguments: argparse.Namespace
    stage: str
    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    flops: float = 0.0
    started_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    validation: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.arguments.out.mkdir(parents=True, exist_ok=True)

    @property
    def progress(self) -> float:
        """Share of the budget (`--steps` or `--minutes`) that is spent, 0 to 1."""
        if self.arguments.steps:
            return self.step / self.arguments.steps
        return self.seconds / 60 / self.arguments.minutes

    @property
    def is_over(self) -> bool:
        return self.progress >= self.arguments.stop_at

    def state(self) -> tuple:
        return self.step, self.tokens, self.seconds, self.flops, self.started_at

    def restore(self, state: tuple) -> None:
        self.step, self.tokens, self.seconds, self.flops, self.started_at = state

    def advance(self, tokens: int, flops: float) -> None:
        self.step += 1
        self.tokens += tokens
        self.flops += flops

    def log(self, fields: dict) -> None:
        line = {"step": self.step, "tokens": self.tokens, "seconds": round(self.seconds, 1), **fields}
        with open(self.arguments.out / "log.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")

    def save(self, model: CodeModel) -> None:
        """Writes weights and ledger."""
        save_weights(model, self.arguments.out / "model.safetensors")
        settings = {k: v for k, v in vars(self.arguments).items() if k not in PATHS_LEFT_OUT}
        for paths in ("data", "validation"):
            settings[paths] = [path.stem for path in settings[paths]]
        entry = LedgerEntry(
            started_at=self.started_at,
            stage=self.stage,
            device=device_name(model.head.weight.device),
            hours=round(self.seconds / 3600, 4),
            steps=self.step,
            tokens=self.tokens,
            flops=self.flops,
            shape=model.shape.as_dict(),
            settings=settings,
            validation=self.validation,
        )
        record(self.arguments.out / "ledger.json", entry)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """What every training command takes."""
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="token files made by `prepare`")
    parser.add_argument(
        "--data-shares", type=float, nargs="+", help="share of each token file; by their sizes if left out"
    )
    parser.add_argument("--validation", type=Path, nargs="+", required=True, help="token files never trained on")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of tokenizer.json")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights, log and ledger")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="wall-clock budget")
    budget.add_argument("--steps", type=int, help="optimiser steps, for a run that repeats exactly")
    parser.add_argument(
        "--stop-at", type=float, default=1.0, help="share of the budget to end at, learning rates as they then are"
    )
    parser.add_argument("--fim-rate", type=float, default=0.5, help="share of documents cut in three")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that make batches ahead")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--float32", action="store_true", help="no bfloat16, for processors without products of it")
    parser.add_argument("--compile", action="store_true", help="fuse with torch.compile, which takes a while to start")


def product_type(arguments: argparse.Namespace) -> torch.dtype:
    return torch.float32 if arguments.float32 else torch.bfloat16


def autocast(arguments: argparse.Namespace) -> torch.autocast:
    """Products of `product_type`; parameters and sums stay float32."""
    return torch.autocast(torch.device(arguments.device).type, torch.bfloat16, enabled=not arguments.float32)


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
