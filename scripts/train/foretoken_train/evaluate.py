"""Measures loss, MTP agreement, repetition and next lines on held-out code, a 5-gram model beside it."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from tqdm import tqdm

from .batches import TokenFile, joined
from .evaluation_data import ValidationSet, load_validation
from .model import CodeModel
from .next_line import MAX_LINE_TOKENS, MAX_PREFIX_TOKENS, MAX_SUFFIX_TOKENS, Position, exact_match, positions
from .ngram import NgramModel
from .onnx_evaluation import greedy_continuation, onnx_agreement, onnx_greedy, onnx_loss
from .repetition import distinct, longest_repeat
from .tokenizer import END_OF_TEXT
from .weights import load_weights

BATCH_ROWS = 4
MTP_DEPTH = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="model.safetensors")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of tokenizer.json")
    parser.add_argument("--validation", type=Path, nargs="+", required=True, help="token files never trained on")
    parser.add_argument("--onnx", type=Path, help="model folder whose graphs are evaluated as well")
    parser.add_argument("--out", type=Path, required=True, help="evaluation.json to write")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--row-length", type=int, default=512)
    parser.add_argument("--prompts", type=int, default=30, help="greedy continuations for the repetition measures")
    parser.add_argument("--prompt-length", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=256)
    parser.add_argument("--next-lines", type=int, default=0, help="positions at which the next line must match exactly")
    parser.add_argument("--ngram-data", type=Path, nargs="+", help="training token files for a 5-gram baseline")


def run(arguments: argparse.Namespace) -> None:
    model = load_weights(arguments.weights).eval()
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
    end_of_text = tokenizer.token_to_id(END_OF_TEXT)
    ngram = None
    if arguments.ngram_data:
        parts = [joined(TokenFile(path), end_of_text) for path in arguments.ngram_data]
        ngram = NgramModel(np.concatenate(parts), tokenizer.get_vocab_size())
    results = {"parameters": parameters(model), "validation": {}}
    for path in arguments.validation:
        validation = load_validation(path, end_of_text)
        rows = validation.rows(arguments.row_length, arguments.rows)
        measured = evaluate(model, validation, rows)
        if arguments.onnx:
            measured["onnx"] = evaluate_onnx(arguments.onnx, validation, rows, arguments)
        if ngram:
            measured["ngram"] = evaluate_ngram(ngram, validation, rows)
        if arguments.next_lines:
            where = positions(validation, tokenizer, arguments.next_lines)
            measured["next_line"] = next_line_matches(where, tokenizer, arguments.onnx, ngram)
        results["validation"][validation.name] = measured
    arguments.out.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results))


def parameters(model: CodeModel) -> dict[str, int]:
    """Counted with norms; embedding and output head belong to the target."""
    counts = {"mtp": sum(p.numel() for p in model.mtp.parameters())}
    counts["total"] = sum(p.numel() for p in model.parameters())
    return counts | {"target": counts["total"] - counts["mtp"]}


@torch.no_grad()
def evaluate(model: CodeModel, validation: ValidationSet, rows: np.ndarray) -> dict:
    losses, agreements = [], []
    for batch in tqdm(torch.from_numpy(rows).split(BATCH_ROWS), desc=validation.name, unit="batch"):
        states = model.hidden_states(batch)
        logits = model.head(states)
        losses += F.cross_entropy(logits[:, :-1].transpose(1, 2), batch[:, 1:], reduction="none").mean(1).tolist()
        agreements.append(mtp_agreement(model, batch, states, logits.argmax(-1)))
    nats_per_token = float(np.mean(losses))
    return {
        "tokens": rows.size,
        "bytes_per_token": validation.bytes_per_token,
        "nats_per_token": round(nats_per_token, 4),
        "bits_per_byte": round(validation.bits_per_byte(nats_per_token), 4),
        "mtp_agreement": [round(x, 4) for x in np.mean(agreements, axis=0).tolist()],
    }


def mtp_agreement(model: CodeModel, ids: torch.Tensor, states: torch.Tensor, choices: torch.Tensor) -> list[float]:
    """Share of positions where the MTP module, fed the true tokens, chooses as the target, at depths 1 to MTP_DEPTH.

    Depth by depth over all positions at once, as in training. choices: the target's argmax [batch, length].
    """
    shares, length = [], ids.shape[1]
    for depth in range(1, MTP_DEPTH + 1):
        states = model.mtp_states(states[:, : length - depth], ids[:, depth:])
        shares.append((model.head(states).argmax(-1) == choices[:, depth:]).float().mean().item())
    return shares


def evaluate_onnx(folder: Path, validation: ValidationSet, rows: np.ndarray, arguments: argparse.Namespace) -> dict:
    """Of the graphs, as a server runs them."""
    nats_per_token = onnx_loss(folder, rows)
    prompts = validation.prompts(arguments.prompt_length, arguments.prompts)
    continuations = onnx_greedy(folder, prompts, arguments.new_tokens)
    return {
        "nats_per_token": round(nats_per_token, 4),
        "bits_per_byte": round(validation.bits_per_byte(nats_per_token), 4),
        "mtp_agreement": [round(x, 4) for x in onnx_agreement(folder, rows, MTP_DEPTH)],
        "greedy": {
            "prompts": len(prompts),
            "new_tokens": arguments.new_tokens,
            "median_distinct_4": round(float(np.median([distinct(each) for each in continuations])), 4),
            "median_longest_repeat": int(np.median([longest_repeat(each) for each in continuations])),
        },
    }


def next_line_matches(
    where: list[Position], tokenizer: Tokenizer, folder: Path | None, ngram: NgramModel | None
) -> dict[str, float]:
    """Exact match of the next line, greedy, by whoever there is."""
    shares = {"positions": len(where)}
    if folder:
        target = greedy_continuation(folder, MAX_PREFIX_TOKENS + MAX_SUFFIX_TOKENS + MAX_LINE_TOKENS + 8)
        for name, order in (("prefix", None), ("psm", "psm"), ("spm", "spm")):
            shares[name] = round(exact_match(where, tokenizer, target, order, f"next line, {name}"), 4)
    if ngram:
        shares["ngram"] = round(exact_match(where, tokenizer, ngram.continuation, None, "next line, n-gram"), 4)
    return shares


def evaluate_ngram(ngram: NgramModel, validation: ValidationSet, rows: np.ndarray) -> dict:
    nats_per_token = ngram.nats_per_token(rows)
    return {
        "order": ngram.order,
        "nats_per_token": round(nats_per_token, 4),
        "bits_per_byte": round(validation.bits_per_byte(nats_per_token), 4),
    }
