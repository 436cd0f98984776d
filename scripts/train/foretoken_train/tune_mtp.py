"""Trains the MTP module alone, on what the frozen target itself writes and on its distribution.

Prompts of the corpus are continued by the target at several temperatures; the module drafts in chains from every
position, with the cache it has when served. The loss at each depth has three parts: cross-entropy and total variation
to the target's distribution, whose complement is what rejection sampling accepts (Leviathan et al., arXiv 2211.17192),
and cross-entropy to the token that the target chooses under noise that the draft has too, which is what a server with
coupled noise accepts (Daliri et al., arXiv 2408.07978): with total variation d, (1 - d) / (1 + d) of drafts and more.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from torch import Tensor
from tqdm import tqdm

from .batches import BatchBuilder, TokenFile
from .chain import chained_states
from .continuations import continued, gumbel
from .model import CodeModel, document_numbers
from .optimisers import add_optimizer_arguments, apply_gradients, build_optimizers, set_learning_rates
from .run_record import RunRecord, add_run_arguments
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
    parser.add_argument("--mtp-steps", type=int, default=4, help="drafts in a chain")
    parser.add_argument("--tv-weight", type=float, default=0.9, help="of total variation")
    parser.add_argument(
        "--coupled-weight", type=float, default=0.0, help="of the choice under shared noise; cross-entropy has the rest"
    )
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
        self.chain_losses = torch.compile(chain_losses) if arguments.compile else chain_losses
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
        return continued(self.model, prompts, self.arguments.new_tokens, each[: len(prompts)], self.random)

    def train(self) -> None:
        arguments, record = self.arguments, self.record
        self.validate()
        bar = tqdm(total=1.0, bar_format="{percentage:5.1f}%|{bar:20}| {postfix}")
        choose_own = np.random.default_rng(arguments.seed)
        for taken in self.batches.stream(0, arguments.pool):
            clock = time.monotonic()
            corpus = torch.from_numpy(taken)
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

    @property
    def loss_weights(self) -> tuple[float, float, float]:
        """Of cross-entropy, total variation and the choice under shared noise."""
        tv, coupled = self.arguments.tv_weight, self.arguments.coupled_weight
        return 1 - tv - coupled, tv, coupled

    def coupled_temperature(self) -> Tensor:
        """Of the coming step's choices under shared noise: each in turn. A tensor, lest each be compiled anew."""
        temperatures = self.arguments.temperatures
        return torch.tensor(temperatures[self.record.step % len(temperatures)], device=self.device)

    def optimise(self, batch: Tensor) -> list[float]:
        """One optimiser step; returns the loss at each depth."""
        arguments, record = self.arguments, self.record
        set_learning_rates(self.optimizers, arguments, record.step, record.progress)
        with torch.autocast(self.device.type, torch.bfloat16):
            losses = self.chain_losses(
                self.model, batch, arguments.mtp_steps, self.loss_weights, self.coupled_temperature(), self.end_of_text
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


def chain_losses(
    model: CodeModel,
    ids: Tensor,
    steps: int,
    weights: tuple[float, float, float],
    temperature: Tensor,
    end_of_text: int,
) -> Tensor:
    """The mean over all chains of the loss at each depth: [steps].

    ids: [batch, length]; weights: of cross-entropy, total variation and the choice under shared noise at `temperature`.
    """
    documents = document_numbers(ids, end_of_text)
    with torch.no_grad():
        hidden = model.hidden_states(ids, documents)
        target = model.head(hidden).float()
    losses = []
    for step, states in enumerate(chained_states(model, hidden, ids, steps, documents), 1):
        draft = model.head(states).float()
        wanted = target[:, step : step + states.shape[1]]
        log_draft, probs = draft.log_softmax(-1), wanted.softmax(-1)
        cross_entropy = -(probs * log_draft).sum(-1).mean()
        total_variation = 0.5 * (probs - log_draft.exp()).abs().sum(-1).mean()
        parts = [cross_entropy, total_variation]
        if weights[2]:
            parts.append(coupled_loss(draft, wanted, temperature))
        losses.append(sum(weight * part for weight, part in zip(weights, parts, strict=False)))
    return torch.stack(losses)


def coupled_loss(draft: Tensor, wanted: Tensor, temperature: Tensor) -> Tensor:
    """Mean cross-entropy of the draft under noise to what the target chooses under the same noise.

    draft, wanted: logits [..., vocab_size]; temperature: one number, 0 for no noise.
    """
    is_sampling = temperature > 0
    scale = 1 / torch.where(is_sampling, temperature, 1)
    noise = gumbel(wanted.shape, wanted.device) * is_sampling
    choices = (wanted * scale + noise).argmax(-1)
    return F.cross_entropy((draft * scale + noise).flatten(0, -2), choices.flatten())


def chain_acceptance(
    model: CodeModel, ids: Tensor, prompt_length: int, steps: int, temperature: float, coupled: bool = False
) -> Tensor:
    """Expected [accepted, reached] chains by depth, [2, steps], over chains that start in a continuation.

    ids: [batch, length], continuations at `temperature`. Greedy and `coupled`, as served, count drafts that are the
    target's choice, under the same noise. Otherwise the overlap of the distributions is added up, what rejection
    sampling accepts. A draft is reached if all before it were accepted.
    """
    hidden = model.hidden_states(ids)
    target = model.head(hidden)
    reached = torch.ones(())
    counts = torch.zeros(2, steps)
    for step, states in enumerate(chained_states(model, hidden, ids, steps, None), 1):
        first = prompt_length - 1
        draft = model.head(states)[:, first:]
        wanted = target[:, first + step : first + step + draft.shape[1]]
        if temperature and coupled:
            noise = gumbel(wanted.shape, wanted.device, torch.Generator(wanted.device).manual_seed(step))
            accepted = ((draft / temperature + noise).argmax(-1) == (wanted / temperature + noise).argmax(-1)).float()
        elif temperature:
            accepted = torch.minimum((draft / temperature).softmax(-1), (wanted / temperature).softmax(-1)).sum(-1)
        else:
            accepted = (draft.argmax(-1) == wanted.argmax(-1)).float()
        reached = reached.expand_as(accepted)
        counts[0, step - 1], counts[1, step - 1] = (reached * accepted).sum(), reached.sum()
        reached = reached * accepted
    return counts
