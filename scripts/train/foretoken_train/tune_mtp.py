"""Trains the MTP module alone, on what the frozen target itself writes and on its distribution.

Prompts of the corpus are continued by the target at several temperatures; the module drafts in chains from every
position, with the cache it has when served.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

from .batches import BatchBuilder, TokenFile
from .chain_losses import ChainLossWeights, add_chain_loss_arguments, chain_acceptance, chain_losses
from .continuations import continued
from .model import CodeModel, document_numbers
from .optimisers import add_optimizer_arguments, apply_gradients, build_optimizers, set_learning_rates
from .run_record import RunRecord, add_run_arguments, autocast, product_type
from .tokenizer import END_OF_TEXT
from .weights import load_weights

# Prompts are cut out of longer rows: a row of its own ends with the end of a text, which nothing should continue.
ROW_TOKENS_CUT_OFF = 64
GREEDY, WARM = 0.0, 0.8
# What is measured, on what words, at which temperature.
KINDS = (("greedy", "greedy", GREEDY), ("sampled", "sampled", WARM), ("coupled", "sampled", WARM))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    add_optimizer_arguments(parser, muon_lr=0.01, adamw_lr=1e-3, warm_up_steps=20)
    parser.add_argument("--weights", type=Path, required=True, help="model.safetensors of the target")
    parser.add_argument("--own-share", type=float, default=0.5, help="share of batches of the target's own words")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.0, 0.6, 0.8, 1.0])
    parser.add_argument("--prompt-length", type=int, default=96)
    parser.add_argument("--new-tokens", type=int, default=160)
    parser.add_argument("--pool", type=int, default=64, help="prompts continued at a time")
    parser.add_argument("--batch-size", type=int, default=8)
    add_chain_loss_arguments(parser)
    parser.add_argument("--validation-prompts", type=int, default=48)


def run(arguments: argparse.Namespace) -> None:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    MtpTuning(arguments).train()


class MtpTuning:
    """One run, of minutes: nothing of it survives an interruption but its last weights."""

    def __init__(self, arguments: argparse.Namespace):
        self.arguments = arguments
        self.device = torch.device(arguments.device)
        self.record = RunRecord(arguments, "tune-mtp")
        torch.manual_seed(arguments.seed)
        self.random = torch.Generator(self.device).manual_seed(arguments.seed)
        tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
        self.end_of_text = tokenizer.token_to_id(END_OF_TEXT)
        self.model = load_weights(arguments.weights).to(self.device)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name.startswith("mtp."))
        self.optimizers = build_optimizers(self.model, arguments)
        self.row_length = arguments.prompt_length + arguments.new_tokens
        files = [TokenFile(path) for path in arguments.data]
        row_length = max(self.row_length, arguments.prompt_length + ROW_TOKENS_CUT_OFF)
        self.batches = BatchBuilder(
            files, tokenizer, row_length, arguments.fim_rate, arguments.seed, arguments.data_shares
        )
        self.chain_losses = torch.compile(frozen_chain_losses) if arguments.compile else frozen_chain_losses
        self.validation_sets = {
            path.stem: {
                name: self.own_words(self.validation_prompts(TokenFile(path), tokenizer), [temperature])
                for name, temperature in (("greedy", GREEDY), ("sampled", WARM))
            }
            for path in arguments.validation
        }

    def validation_prompts(self, file: TokenFile, tokenizer: Tokenizer) -> Tensor:
        arguments = self.arguments
        builder = BatchBuilder(
            [file], tokenizer, arguments.prompt_length + ROW_TOKENS_CUT_OFF, fim_rate=0, seed=arguments.seed
        )
        return torch.from_numpy(builder.batch(0, arguments.validation_prompts)[:, : arguments.prompt_length])

    def own_words(self, prompts: Tensor, temperatures: list[float]) -> Tensor:
        """Prompts with the target's continuations at `temperatures` in turn: [batch, row_length]."""
        prompts = prompts.to(self.device)
        each = torch.tensor(temperatures, device=self.device).repeat(len(prompts) // len(temperatures) + 1)
        dtype = product_type(self.arguments)
        return continued(self.model, prompts, self.arguments.new_tokens, each[: len(prompts)], self.random, dtype)

    def train(self) -> None:
        arguments, record = self.arguments, self.record
        self.validate()
        bar = tqdm(total=1.0, bar_format="{percentage:5.1f}%|{bar:20}| {postfix}")
        choose_own = np.random.default_rng(arguments.seed)
        for corpus in self.batches.stream(0, arguments.pool, arguments.workers):
            clock = time.monotonic()
            own = choose_own.random() < arguments.own_share
            if own:
                rows = self.own_words(corpus[:, : arguments.prompt_length], arguments.temperatures)
            else:
                rows = corpus[:, : self.row_length].to(self.device)
            for batch in rows.split(arguments.batch_size):
                losses = self.optimise(batch)
                now = time.monotonic()
                record.seconds, clock = record.seconds + now - clock, now
                bar.n = min(1.0, record.progress)
                bar.set_postfix_str(f"step {record.step} losses {' '.join(f'{loss:.3f}' for loss in losses)}")
                record.log({"own_words": own, "losses": [round(loss, 4) for loss in losses]})
                if record.is_over:
                    break
            if record.is_over:
                break
        self.validate()
        record.save(self.model)
        bar.close()

    def coupled_temperature(self) -> Tensor:
        """Of the coming step's choices under shared noise: each in turn. A tensor, lest each be compiled anew."""
        temperatures = self.arguments.temperatures
        return torch.tensor(temperatures[self.record.step % len(temperatures)], device=self.device)

    def optimise(self, batch: Tensor) -> list[float]:
        """One optimiser step; returns the loss at each depth."""
        arguments, record = self.arguments, self.record
        set_learning_rates(self.optimizers, arguments, record.step, record.progress)
        with autocast(self.arguments):
            losses = self.chain_losses(
                self.model,
                batch,
                arguments.mtp_steps,
                ChainLossWeights.of(arguments),
                self.coupled_temperature(),
                self.end_of_text,
            )
        apply_gradients(losses.mean(), self.model, self.optimizers)
        flops = self.model.shape.training_flops_per_token(batch.shape[1], arguments.mtp_steps, freeze_target=True)
        record.advance(batch.numel(), batch.numel() * flops)
        return losses.tolist()

    @torch.no_grad()
    def validate(self) -> None:
        """Conditional acceptance by depth on what the target writes after held-out prompts."""
        arguments = self.arguments
        for name, sets in self.validation_sets.items():
            measured = {}
            for kind, words, temperature in KINDS:
                counts = sum(
                    chain_acceptance(
                        self.model, part, arguments.prompt_length, arguments.mtp_steps, temperature, kind == "coupled"
                    )
                    for part in sets[words].split(arguments.batch_size)
                )
                measured[kind] = [round(x, 4) for x in (counts[0] / counts[1].clamp_min(1)).tolist()]
            self.record.validation[name] = measured
        self.record.log({"validation": self.record.validation})


def frozen_chain_losses(
    model: CodeModel, ids: Tensor, steps: int, weights: ChainLossWeights, temperature: Tensor, end_of_text: int
) -> Tensor:
    """`chain_losses` of rows [batch, length] whose target learns nothing."""
    documents = document_numbers(ids, end_of_text)
    with torch.no_grad():
        hidden = model.hidden_states(ids, documents)
        target = model.head(hidden).float()
    return chain_losses(model, hidden, target, ids, steps, weights, temperature, documents)
