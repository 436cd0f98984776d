"""Trains target and MTP module together, from scratch, from earlier weights, or from an interrupted run."""

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tqdm import tqdm

from .batches import BatchBuilder, TokenFile, validation_rows
from .ledger import LedgerEntry, record
from .model import CodeModel, stacked
from .optimisers import build_optimizers, learning_rate_share
from .shape import ModelShape
from .tokenizer import END_OF_TEXT
from .weights import load_weights, save_weights

VALIDATION_ROWS = 48


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="token files made by `prepare`")
    parser.add_argument("--validation", type=Path, nargs="+", required=True, help="token files never trained on")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of tokenizer.json")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint, weights, log and ledger")
    parser.add_argument("--init-from", type=Path, help="model.safetensors to go on from; fewer layers are stacked")
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float, help="wall-clock budget, resumed runs included")
    budget.add_argument("--steps", type=int, help="optimiser steps, for a run that repeats exactly")
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--sequence-length", type=int, default=512)
    parser.add_argument("--mtp-weight", type=float, default=0.3, help="0 trains the target alone")
    parser.add_argument("--mtp-steps", type=int, default=1, help="depth of the MTP recursion before the decay")
    parser.add_argument("--mtp-steps-decay", type=int, default=3, help="and during it, in every second step")
    parser.add_argument("--freeze-target", action="store_true", help="train the MTP module only")
    parser.add_argument("--fim-rate", type=float, default=0.5)
    parser.add_argument("--muon-lr", type=float, default=0.02)
    parser.add_argument("--adamw-lr", type=float, default=3e-3)
    parser.add_argument("--decay-share", type=float, default=0.4)
    parser.add_argument("--checkpoint-minutes", type=float, default=4)
    parser.add_argument("--validate-minutes", type=float, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compile", action="store_true")
    for field in ("hidden_size", "num_layers", "num_heads", "num_kv_heads", "intermediate_size", "context_length"):
        default = getattr(ModelShape, field)
        parser.add_argument(f"--{field.replace('_', '-')}", type=int, default=default)


def run(arguments: argparse.Namespace) -> None:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    PretrainingRun(arguments).train()


class PretrainingRun:
    """One run: everything that must survive an interruption is in its checkpoint."""

    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        self.device = torch.device(arguments.device)
        arguments.out.mkdir(parents=True, exist_ok=True)
        torch.manual_seed(arguments.seed)
        tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
        self.model = initial_model(arguments, tokenizer.get_vocab_size()).to(self.device)
        if arguments.freeze_target:
            for name, parameter in self.model.named_parameters():
                parameter.requires_grad_(name.startswith("mtp."))
        self.muon, self.adamw = build_optimizers(self.model, arguments)
        self.step, self.tokens, self.seconds, self.flops = 0, 0, 0.0, 0.0
        self.started_at = datetime.now(UTC).isoformat(timespec="seconds")
        self.validation: dict = {}
        self.checkpoint_path = arguments.out / "checkpoint.pt"
        if self.checkpoint_path.exists():
            self.resume()
        depth = max(arguments.mtp_steps, arguments.mtp_steps_decay) if arguments.mtp_weight else 0
        self.row_length = arguments.sequence_length + depth + 1
        files = [TokenFile(path) for path in arguments.data]
        self.batches = BatchBuilder(files, tokenizer, self.row_length, arguments.fim_rate, arguments.seed)
        end_of_text = tokenizer.token_to_id(END_OF_TEXT)
        self.validation_sets = {
            path.stem: torch.from_numpy(validation_rows(TokenFile(path), self.row_length, VALIDATION_ROWS, end_of_text))
            for path in arguments.validation
        }
        self.forward = torch.compile(self.model) if arguments.compile else self.model

    @property
    def progress(self) -> float:
        """Share of the budget that is spent, 0 to 1."""
        if self.arguments.steps:
            return self.step / self.arguments.steps
        return self.seconds / 60 / self.arguments.minutes

    @property
    def decaying(self) -> bool:
        return self.progress >= 1 - self.arguments.decay_share

    def mtp_depth(self) -> int:
        """MTP steps of the coming optimiser step."""
        if not self.arguments.mtp_weight:
            return 0
        deep = self.decaying and self.step % 2 == 1
        return self.arguments.mtp_steps_decay if deep else self.arguments.mtp_steps

    def train(self) -> None:
        arguments = self.arguments
        last_checkpoint = last_validation = clock = time.monotonic()
        bar = tqdm(total=1.0, initial=min(1.0, self.progress), bar_format="{percentage:5.1f}%|{bar:20}| {postfix}")
        saved_before_decay = self.decaying
        for batch in self.batches.stream(self.step, arguments.batch_size):
            if self.progress >= 1:
                break
            if self.decaying and not saved_before_decay:
                save_weights(self.model, arguments.out / "before-decay.safetensors")
                saved_before_decay = True
            losses = self.optimise(torch.from_numpy(batch).to(self.device))
            now = time.monotonic()
            self.seconds += now - clock
            clock = now
            bar.n = min(1.0, self.progress)
            rate = arguments.batch_size * arguments.sequence_length * self.step / max(self.seconds, 1e-9)
            shown = " ".join(f"{loss:.3f}" for loss in losses)
            bar.set_postfix_str(f"step {self.step} losses {shown} ({rate:.0f} tok/s)")
            self.log({"losses": [round(x, 4) for x in losses]})
            if now - last_validation > arguments.validate_minutes * 60:
                self.validate()
                last_validation = time.monotonic()
            if now - last_checkpoint > arguments.checkpoint_minutes * 60:
                self.save()
                last_checkpoint = time.monotonic()
            clock = time.monotonic()
        self.validate()
        self.save()
        bar.close()

    def optimise(self, batch: torch.Tensor) -> list[float]:
        """One optimiser step; returns the target's and each MTP step's loss in nats per token."""
        arguments, depth = self.arguments, self.mtp_depth()
        share = learning_rate_share(self.step, self.progress, arguments.decay_share)
        for optimizer, rate in ((self.muon, arguments.muon_lr), (self.adamw, arguments.adamw_lr)):
            for group in optimizer.param_groups:
                group["lr"] = rate * share
        with torch.autocast(self.device.type, torch.bfloat16):
            target_loss, mtp_losses = self.forward(batch[:, : arguments.sequence_length + depth + 1], depth)
            loss = target_loss.new_zeros(()) if arguments.freeze_target else target_loss
            if mtp_losses:
                loss = loss + arguments.mtp_weight * torch.stack(mtp_losses).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in (self.muon, self.adamw):
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        tokens = arguments.batch_size * arguments.sequence_length
        self.tokens += tokens
        self.flops += tokens * self.model.shape.training_flops_per_token(
            arguments.sequence_length, depth, arguments.freeze_target
        )
        return [x.item() for x in (target_loss, *mtp_losses)]

    @torch.no_grad()
    def validate(self) -> None:
        depth = self.row_length - self.arguments.sequence_length - 1
        for name, rows in self.validation_sets.items():
            sums = torch.zeros(depth + 1)
            for part in rows.split(self.arguments.batch_size):
                with torch.autocast(self.device.type, torch.bfloat16):
                    target_loss, mtp_losses = self.model(part.to(self.device), depth)
                sums += torch.stack([target_loss, *mtp_losses]).float().cpu() * len(part)
            self.validation[name] = [round(x, 4) for x in (sums / len(rows)).tolist()]
        self.log({"validation": self.validation})

    def log(self, fields: dict) -> None:
        line = {"step": self.step, "tokens": self.tokens, "seconds": round(self.seconds, 1), **fields}
        with open(self.arguments.out / "log.jsonl", "a") as file:
            file.write(json.dumps(line) + "\n")

    def save(self) -> None:
        """Writes checkpoint, weights and ledger; the checkpoint replaces the old one in one move."""
        state = {
            "model": self.model.state_dict(),
            "muon": self.muon.state_dict(),
            "adamw": self.adamw.state_dict(),
            "counters": (self.step, self.tokens, self.seconds, self.flops, self.started_at),
        }
        partial = self.checkpoint_path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint_path)
        save_weights(self.model, self.arguments.out / "model.safetensors")
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(self.arguments).items() if k != "run"}
        for paths in ("data", "validation"):
            settings[paths] = [path.stem for path in getattr(self.arguments, paths)]
        for path in ("out", "tokenizer", "init_from", "command"):
            settings.pop(path, None)
        entry = LedgerEntry(
            started_at=self.started_at,
            stage="mtp" if self.arguments.freeze_target else "pretrain",
            device=device_name(self.device),
            hours=round(self.seconds / 3600, 4),
            steps=self.step,
            tokens=self.tokens,
            flops=self.flops,
            shape=self.model.shape.as_dict(),
            settings=settings,
            validation=self.validation,
        )
        record(self.arguments.out / "ledger.json", entry)

    def resume(self) -> None:
        state = torch.load(self.checkpoint_path, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.muon.load_state_dict(state["muon"])
        self.adamw.load_state_dict(state["adamw"])
        self.step, self.tokens, self.seconds, self.flops, self.started_at = state["counters"]


def initial_model(arguments: argparse.Namespace, vocab_size: int) -> CodeModel:
    """A fresh model, or the given weights, stacked where more layers are asked for."""
    shape = ModelShape(
        vocab_size=vocab_size,
        hidden_size=arguments.hidden_size,
        num_layers=arguments.num_layers,
        num_heads=arguments.num_heads,
        num_kv_heads=arguments.num_kv_heads,
        intermediate_size=arguments.intermediate_size,
        context_length=arguments.context_length,
    )
    if not arguments.init_from:
        return CodeModel(shape)
    source = load_weights(arguments.init_from)
    return source if source.shape == shape else stacked(source, shape)


def device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
