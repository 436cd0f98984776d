"""Trains target and MTP module together, from scratch, from earlier weights, or from an interrupted run."""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from tqdm import tqdm

from .batches import BatchBuilder, TokenFile, validation_rows
from .model import CodeModel, stacked
from .optimisers import add_optimizer_arguments, apply_gradients, build_optimizers, set_learning_rates
from .run_record import RunRecord, add_run_arguments, autocast
from .shape import ModelShape
from .tokenizer import END_OF_TEXT
from .weights import load_weights, save_weights

VALIDATION_ROWS = 48


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument("--init-from", type=Path, help="model.safetensors to go on from; fewer layers are stacked")
    parser.add_argument("--batch-size", type=int, default=12)
    parser.add_argument("--sequence-length", type=int, default=512)
    parser.add_argument("--mtp-weight", type=float, default=0.3, help="0 trains the target alone")
    parser.add_argument("--mtp-steps", type=int, default=1, help="depth of the MTP recursion before the decay")
    parser.add_argument("--mtp-steps-decay", type=int, default=3, help="and during it, in every second step")
    add_optimizer_arguments(parser, muon_lr=0.02, adamw_lr=3e-3, warm_up_steps=50)
    parser.add_argument("--checkpoint-minutes", type=float, default=4)
    parser.add_argument("--validate-minutes", type=float, default=8)
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
        self.record = RunRecord(arguments, "pretrain")
        torch.manual_seed(arguments.seed)
        tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
        self.model = initial_model(arguments, tokenizer.get_vocab_size()).to(self.device)
        self.optimizers = build_optimizers(self.model, arguments)
        self.checkpoint_path = arguments.out / "checkpoint.pt"
        if self.checkpoint_path.exists():
            self.resume()
        depth = max(arguments.mtp_steps, arguments.mtp_steps_decay) if arguments.mtp_weight else 0
        self.row_length = arguments.sequence_length + depth + 1
        files = [TokenFile(path) for path in arguments.data]
        self.batches = BatchBuilder(
            files, tokenizer, self.row_length, arguments.fim_rate, arguments.seed, arguments.data_shares
        )
        self.end_of_text = tokenizer.token_to_id(END_OF_TEXT)
        self.validation_sets = {
            path.stem: torch.from_numpy(self.validation_rows(TokenFile(path))) for path in arguments.validation
        }
        if arguments.compile:
            self.model.compile_parts()

    def validation_rows(self, file: TokenFile) -> np.ndarray:
        return validation_rows(file, self.row_length, VALIDATION_ROWS, self.end_of_text)

    @property
    def decaying(self) -> bool:
        return self.record.progress >= 1 - self.arguments.decay_share

    def mtp_depth(self) -> int:
        """MTP steps of the coming optimiser step."""
        if not self.arguments.mtp_weight:
            return 0
        deep = self.decaying and self.record.step % 2 == 1
        return self.arguments.mtp_steps_decay if deep else self.arguments.mtp_steps

    def train(self) -> None:
        arguments, record = self.arguments, self.record
        last_checkpoint = last_validation = clock = time.monotonic()
        bar = tqdm(total=1.0, initial=min(1.0, record.progress), bar_format="{percentage:5.1f}%|{bar:20}| {postfix}")
        saved_before_decay = self.decaying
        for batch in self.batches.stream(record.step, arguments.batch_size, arguments.workers):
            if record.is_over:
                break
            if self.decaying and not saved_before_decay:
                save_weights(self.model, arguments.out / "before-decay.safetensors")
                saved_before_decay = True
            losses = self.optimise(batch.to(self.device))
            now = time.monotonic()
            record.seconds += now - clock
            clock = now
            bar.n = min(1.0, record.progress)
            rate = arguments.batch_size * arguments.sequence_length * record.step / max(record.seconds, 1e-9)
            shown = " ".join(f"{loss:.3f}" for loss in losses)
            bar.set_postfix_str(f"step {record.step} losses {shown} ({rate:.0f} tok/s)")
            record.log({"losses": [round(x, 4) for x in losses]})
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
        set_learning_rates(self.optimizers, arguments, self.record.step, self.record.progress)
        batch = batch[:, : arguments.sequence_length + depth + 1]
        with autocast(self.arguments):
            target_loss, mtp_losses = self.model(batch, depth, self.end_of_text)
            loss = target_loss
            if mtp_losses:
                loss = loss + arguments.mtp_weight * torch.stack(mtp_losses).mean()
        apply_gradients(loss, self.model, self.optimizers)
        flops = self.model.shape.training_flops_per_token(arguments.sequence_length, depth, freeze_target=False)
        tokens = arguments.batch_size * arguments.sequence_length
        self.record.advance(tokens, tokens * flops)
        return [x.item() for x in (target_loss, *mtp_losses)]

    @torch.no_grad()
    def validate(self) -> None:
        depth = self.row_length - self.arguments.sequence_length - 1
        for name, rows in self.validation_sets.items():
            sums = torch.zeros(depth + 1)
            for part in rows.split(self.arguments.batch_size):
                with autocast(self.arguments):
                    target_loss, mtp_losses = self.model(part.to(self.device), depth, self.end_of_text)
                sums += torch.stack([target_loss, *mtp_losses]).float().cpu() * len(part)
            self.record.validation[name] = [round(x, 4) for x in (sums / len(rows)).tolist()]
        self.record.log({"validation": self.record.validation})

    def save(self) -> None:
        """Writes checkpoint, weights and ledger; the checkpoint replaces the old one in one move."""
        state = {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "counters": self.record.state(),
        }
        partial = self.checkpoint_path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.checkpoint_path)
        self.record.save(self.model)

    def resume(self) -> None:
        state = torch.load(self.checkpoint_path, map_location=self.device)
        self.model.load_state_dict(state["model"])
        for optimizer, its_state in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(its_state)
        self.record.restore(state["counters"])


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
