"""Trains the target out of its greedy loops: unlikelihood of what it repeats, beside cross-entropy on the corpus.

A small model decoded greedily falls into loops, which no code has and which flatter acceptance. Every optimiser step
takes continuations that the target wrote greedily and lowers the probability of tokens that end a span already
written since the prompt (sequence-level unlikelihood, Welleck et al., arXiv 1908.04319), while ordinary rows go on
teaching it. Repeating what the prompt has is left alone, and so is as much repetition as code has of itself. Loops made
of code, a few tokens over and over, teach the same without being written by the target (Xu et al., arXiv 2206.02369):
code has next to none, so that nothing is lost by it.

With `--mtp-weight` the MTP module learns beside the target, on some corpus rows and on what the target writes, and
what it asks of the target's states is heard (as when DeepSeek-V3 is trained, arXiv 2412.19437). With `--agreement` the
target also leans towards what can be drafted, where the corpus leaves it the choice, and in what it writes at a
temperature (`--sampled-prompts`), where no loops draw it in.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

from .batches import BatchBuilder, TokenFile, validation_rows
from .chain_losses import ChainLossWeights, add_chain_loss_arguments, chain_acceptance
from .continuations import continued
from .loop_losses import ChainSettings, corpus_losses, own_losses
from .model import expanded, new_layers
from .optimisers import add_optimizer_arguments, apply_gradients, build_optimizers, set_learning_rates
from .repetition import beyond, distinct, looping, repeats
from .run_record import RunRecord, add_run_arguments, autocast, product_type
from .tokenizer import END_OF_TEXT
from .weights import load_weights

PROMPT_TOKENS_CUT_OFF = 64
# Of loops that are made: tokens of code before, and of the loop itself.
LOOP_PREFIX_TOKENS = 32
LOOP_TOKENS = 96
MAX_PERIOD = 32

VALIDATION_ROWS = 32
VALIDATION_PROMPTS = 24
VALIDATION_TOKENS = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add_optimizer_arguments(parser, muon_lr=0.01, adamw_lr=1.5e-3, warm_up_steps=20)
    parser.add_argument("--weights", type=Path, required=True, help="model.safetensors to start from")
    parser.add_argument("--num-layers", type=int, help="more than the weights have: new ones that add nothing at first")
    parser.add_argument("--new-layers-rate", type=float, default=1.0, help="times Muon's learning rate, for those")
    parser.add_argument("--span", type=int, default=8, help="tokens of a span that must not come twice")
    parser.add_argument(
        "--free-share", type=float, default=0.1, help="share of a continuation that may repeat itself unpunished"
    )
    parser.add_argument("--unlikelihood-weight", type=float, default=1.0, help="of the mean over a continuation")
    parser.add_argument("--loops", type=int, default=8, help="loops made of code, in each optimiser step")
    parser.add_argument("--prompt-length", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=224)
    parser.add_argument("--pool", type=int, default=96, help="prompts continued at a time")
    parser.add_argument("--prompts", type=int, default=3, help="of them, in each optimiser step")
    parser.add_argument("--sampled-prompts", type=int, default=0, help="of those, continued at --sampled-temperature")
    parser.add_argument("--sampled-temperature", type=float, default=0.8)
    parser.add_argument("--batch-size", type=int, default=12, help="corpus rows of each optimiser step")
    parser.add_argument("--sequence-length", type=int, default=512)
    parser.add_argument("--mtp-weight", type=float, default=0.0, help="0 leaves the MTP module alone")
    parser.add_argument("--mtp-rows", type=int, default=4, help="of the corpus rows, those that chains are drafted on")
    parser.add_argument(
        "--agreement", type=float, default=0.0, help="share of total variation's gradient that the target gets"
    )
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.0, 0.6, 0.8, 1.0], help="of shared noise")
    add_chain_loss_arguments(parser)
    parser.add_argument("--validate-every", type=int, default=100, help="optimiser steps")


def run(arguments: argparse.Namespace) -> None:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    LoopUnlearning(arguments).train()


class LoopUnlearning:
    """One run, of minutes: nothing of it survives an interruption but its last weights."""

    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        self.device = torch.device(arguments.device)
        self.record = RunRecord(arguments, "unlearn-loops")
        torch.manual_seed(arguments.seed)
        tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
        self.end_of_text = tokenizer.token_to_id(END_OF_TEXT)
        source = load_weights(arguments.weights)
        num_layers = arguments.num_layers or source.shape.num_layers
        self.model = expanded(source, num_layers).to(self.device)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(bool(arguments.mtp_weight) or not name.startswith("mtp."))
        self.optimizers = build_optimizers(self.model, arguments, new_layers(source.shape.num_layers, num_layers))
        files, shares = [TokenFile(path) for path in arguments.data], arguments.data_shares
        self.rows = BatchBuilder(
            files, tokenizer, arguments.sequence_length + 1, arguments.fim_rate, arguments.seed, shares
        )
        prompt_rows = arguments.prompt_length + PROMPT_TOKENS_CUT_OFF
        self.prompts = BatchBuilder(files, tokenizer, prompt_rows, arguments.fim_rate, arguments.seed + 1, shares)
        self.loop_code = BatchBuilder(files, tokenizer, LOOP_PREFIX_TOKENS + MAX_PERIOD, 0, arguments.seed, shares)
        if arguments.compile:
            self.model.compile_parts()
        self.validation_sets = {}
        for path in arguments.validation:
            file = TokenFile(path)
            rows = validation_rows(file, arguments.sequence_length + 1, VALIDATION_ROWS, self.end_of_text)
            builder = BatchBuilder([file], tokenizer, prompt_rows, 0, arguments.seed)
            prompts = builder.batch(0, VALIDATION_PROMPTS)[:, : arguments.prompt_length]
            self.validation_sets[path.stem] = (torch.from_numpy(rows), torch.from_numpy(prompts))

    def train(self) -> None:
        arguments, record = self.arguments, self.record
        bar = tqdm(total=1.0, bar_format="{percentage:5.1f}%|{bar:20}| {postfix}")
        self.validate()
        clock = time.monotonic()
        rows = self.rows.stream(0, arguments.batch_size, arguments.workers)
        for prompts in self.prompts.stream(0, arguments.pool, arguments.workers):
            for written in self.continuations(prompts).split(arguments.prompts):
                losses = self.optimise(next(rows), written)
                now = time.monotonic()
                record.seconds, clock = record.seconds + now - clock, now
                bar.n = min(1.0, record.progress)
                bar.set_postfix_str(f"step {record.step} " + " ".join(f"{k} {v:.3f}" for k, v in losses.items()))
                record.log({k: round(v, 4) for k, v in losses.items()})
                if record.step % arguments.validate_every == 0:
                    self.save_and_validate()
                    clock = time.monotonic()
                if record.is_over:
                    break
            if record.is_over:
                break
        self.save_and_validate()
        bar.close()

    def save_and_validate(self) -> None:
        """Saves first as well: a machine that is lent for minutes may go while loss and acceptance are measured."""
        self.record.save(self.model)
        self.validate()
        self.record.save(self.model)

    def continuations(self, prompts: Tensor) -> Tensor:
        """prompts: [batch, at least prompt_length], cut to that; those that `sampled` marks at a temperature."""
        arguments = self.arguments
        temperatures = self.sampled(len(prompts)) * arguments.sampled_temperature
        return self.written(prompts[:, : arguments.prompt_length], temperatures, arguments.new_tokens)

    def written(self, prompts: Tensor, temperatures: Tensor, new_tokens: int) -> Tensor:
        random = torch.Generator(self.device).manual_seed(self.arguments.seed + self.record.step)
        dtype = product_type(self.arguments)
        return continued(self.model, prompts.to(self.device), new_tokens, temperatures, random, dtype)

    def sampled(self, count: int) -> Tensor:
        """1 for the prompts that are continued at a temperature, the last of each optimiser step's: [count]."""
        prompts, sampled_prompts = self.arguments.prompts, self.arguments.sampled_prompts
        return (torch.arange(count, device=self.device) % prompts >= prompts - sampled_prompts).float()

    def optimise(self, rows: Tensor, written: Tensor) -> dict[str, float]:
        """rows: corpus [batch, sequence_length + 1]; written: prompts and their continuations."""
        arguments, record = self.arguments, self.record
        repeated = beyond(repeats(written[:, arguments.prompt_length :], arguments.span), arguments.free_share)
        set_learning_rates(self.optimizers, arguments, record.step, record.progress)
        chains = self.chain_settings()
        with autocast(self.arguments):
            likelihood, corpus_chains = corpus_losses(self.model, rows.to(self.device), self.end_of_text, chains)
            sampled = self.sampled(len(written)) if arguments.sampled_prompts else None
            unlikelihood, own_chains = own_losses(self.model, written, repeated, chains, sampled)
            looped = self.looped(record.step)
        unlearned = unlikelihood if looped is None else unlikelihood + looped
        loss = likelihood + arguments.unlikelihood_weight * unlearned
        shares = {"likelihood": likelihood, "unlikelihood": unlikelihood}
        if chains:
            loss = loss + arguments.mtp_weight * (corpus_chains.mean() + own_chains.mean()) / 2
            shares |= {"chains": corpus_chains.mean(), "own": own_chains.mean()}
        if looped is not None:
            shares["looped"] = looped
        apply_gradients(loss, self.model, self.optimizers)
        tokens = arguments.batch_size * arguments.sequence_length + written.numel()
        tokens += arguments.loops * (LOOP_PREFIX_TOKENS + LOOP_TOKENS)
        record.advance(tokens, self.flops(tokens, written.numel()))
        return {name: share.item() for name, share in shares.items()} | {"repeated": repeated.float().mean().item()}

    def flops(self, tokens: int, written: int) -> float:
        """Of an optimiser step of `tokens`, `written` of them by the target."""
        arguments, shape = self.arguments, self.model.shape
        target = shape.training_flops_per_token(arguments.sequence_length, 0, freeze_target=False)
        if not arguments.mtp_weight:
            return tokens * target
        chained = shape.training_flops_per_token(arguments.sequence_length, arguments.mtp_steps, freeze_target=False)
        return tokens * target + (written + arguments.mtp_rows * arguments.sequence_length) * (chained - target)

    def chain_settings(self) -> ChainSettings | None:
        """Of the coming step; None where the MTP module is left alone."""
        arguments = self.arguments
        if not arguments.mtp_weight:
            return None
        # In turn, and a tensor, lest each temperature be compiled anew.
        temperature = torch.tensor(arguments.temperatures[self.record.step % len(arguments.temperatures)])
        weights = ChainLossWeights.of(arguments)
        return ChainSettings(arguments.mtp_rows, arguments.mtp_steps, weights, temperature.to(self.device))

    def looped(self, step: int) -> Tensor | None:
        """Unlikelihood of going on with loops made of code, None where none are asked for."""
        count, random = self.arguments.loops, np.random.default_rng([self.arguments.seed, step])
        if not count:
            return None
        rows = np.stack([made_loop(self.loop_code.row(random), random) for _ in range(count)])
        marks = np.stack([looping(row[LOOP_PREFIX_TOKENS:], self.arguments.span) for row in rows])
        ids = torch.from_numpy(rows).to(self.device)
        loss, _ = own_losses(self.model, ids, torch.from_numpy(marks).to(self.device), None)
        return loss

    @torch.no_grad()
    @torch.compiler.set_stance("force_eager")
    def validate(self) -> None:
        """Loss in nats per token, median distinct-4 of greedy continuations, and conditional acceptance in them."""
        for name, (rows, prompts) in self.validation_sets.items():
            losses = []
            for part in rows.split(self.arguments.batch_size):
                with autocast(self.arguments):
                    loss, _ = self.model(part.to(self.device), 0, self.end_of_text)
                losses.append(loss.item() * len(part))
            greedy = torch.zeros(len(prompts), device=self.device)
            written = self.written(prompts, greedy, VALIDATION_TOKENS)
            shares = [distinct(row[prompts.shape[1] :]) for row in written.cpu().numpy()]
            steps = self.arguments.mtp_steps
            counts = sum(chain_acceptance(self.model, part, prompts.shape[1], steps, 0) for part in written.split(8))
            self.record.validation[name] = {
                "loss": round(sum(losses) / len(rows), 4),
                "distinct_4": round(float(np.median(shares)), 4),
                "greedy": [round(x, 4) for x in (counts[0] / counts[1].clamp_min(1)).tolist()],
            }
        self.record.log({"validation": self.record.validation})


def made_loop(code: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """LOOP_PREFIX_TOKENS of `code`, then the 1 to MAX_PERIOD tokens that follow, over and over; short periods are as
    frequent as long ones."""
    period = int(np.exp(random.uniform(0, np.log(MAX_PERIOD + 1))))
    prefix, span = np.split(code[: LOOP_PREFIX_TOKENS + period], [LOOP_PREFIX_TOKENS])
    return np.concatenate([prefix, np.resize(span, LOOP_TOKENS)])
