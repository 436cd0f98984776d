"""Measures loss, bits per byte, MTP agreement and repetition on held-out code; writes evaluation.json."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer
from tqdm import tqdm

from .evaluation_data import ValidationSet, load_validation
from .model import CodeModel
from .onnx_evaluation import onnx_agreement, onnx_loss
from .tokenizer import END_OF_TEXT
from .weights import load_weights

BATCH_ROWS = 4
MTP_DEPTH = 4
NGRAM = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="model.safetensors")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of tokenizer.json")
    parser.add_argument("--validation", type=Path, nargs="+", required=True, help="token files never trained on")
    parser.add_argument("--onnx", type=Path, help="model folder whose graphs are evaluated as well")
    parser.add_argument("--out", type=Path, required=True, help="evaluation.json to write")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--row-length", type=int, default=512)
    parser.add_argument("--prompts", type=int, default=30, help="greedy continuations for the repetition measure")
    parser.add_argument("--prompt-length", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=96)


def run(arguments: argparse.Namespace) -> None:
    model = load_weights(arguments.weights).eval()
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
    results = {"parameters": parameters(model), "validation": {}}
    for path in arguments.validation:
        validation = load_validation(path, tokenizer.token_to_id(END_OF_TEXT))
        rows = validation.rows(arguments.row_length, arguments.rows)
        prompts = validation.prompts(arguments.prompt_length, arguments.prompts)
        measured = evaluate(model, validation, rows)
        measured["greedy_distinct_4"] = round(distinct(greedy(model, prompts, arguments.new_tokens)), 4)
        if arguments.onnx:
            measured["onnx"] = evaluate_onnx(arguments.onnx, validation, rows)
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


@torch.no_grad()
def greedy(model: CodeModel, prompts: np.ndarray, new_tokens: int) -> np.ndarray:
    """Greedy continuations [numPrompts, new_tokens]."""
    ids = torch.from_numpy(prompts)
    for _ in tqdm(range(new_tokens), desc="greedy", unit="token"):
        last = model.head(model.hidden_states(ids)[:, -1])
        ids = torch.cat([ids, last.argmax(-1, keepdim=True)], dim=1)
    return ids[:, prompts.shape[1] :].numpy()


def distinct(continuations: np.ndarray) -> float:
    """Mean share of distinct n-grams in a continuation: 1 never repeats, near 0 loops (Li et al., arXiv 1510.03055)."""
    windows = np.lib.stride_tricks.sliding_window_view(continuations, NGRAM, axis=1)
    return float(np.mean([len(np.unique(w, axis=0)) / len(w) for w in windows]))


def evaluate_onnx(folder: Path, validation: ValidationSet, rows: np.ndarray) -> dict:
    nats_per_token = onnx_loss(folder, rows)
    return {
        "nats_per_token": round(nats_per_token, 4),
        "bits_per_byte": round(validation.bits_per_byte(nats_per_token), 4),
        "mtp_agreement": [round(x, 4) for x in onnx_agreement(folder, rows, MTP_DEPTH)],
    }
