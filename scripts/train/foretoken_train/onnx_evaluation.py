"""Loss and MTP agreement of exported graphs, as a server runs them. Knows nothing of PyTorch."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .cached_session import CachedSession

THREADS = 2
CHAIN_EVERY = 16


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def onnx_loss(folder: Path, rows: np.ndarray) -> float:
    """Nats per token of model.onnx over rows [numRows, rowLength]."""
    target = CachedSession(folder / "model.onnx", THREADS, rows.shape[1])
    losses = []
    for row in tqdm(rows, desc=folder.name, unit="row"):
        log_probs = log_softmax(target.run(row, 0)["logits"][0, :-1])
        losses.append(-np.take_along_axis(log_probs, row[1:, None], 1).mean())
    return float(np.mean(losses))


def greedy_continuation(folder: Path, max_length: int) -> Callable[[np.ndarray], Iterator[int]]:
    """Continues prompts greedily, one after the other, up to `max_length` tokens with the prompt."""
    target = CachedSession(folder / "model.onnx", THREADS, max_length + 1)

    def continue_(prompt: np.ndarray) -> Iterator[int]:
        token = int(target.run(prompt, 0)["logits"][0, -1].argmax())
        yield token
        for past in range(len(prompt), max_length):
            # Two tokens wide, the second of them padding: the width at which a server decides tokens.
            token = int(target.run(np.asarray([token, 0]), past)["logits"][0, 0].argmax())
            yield token

    return continue_


def onnx_greedy(folder: Path, prompts: np.ndarray, new_tokens: int) -> np.ndarray:
    """prompts: [numPrompts, length]; greedy continuations [numPrompts, new_tokens]."""
    continue_ = greedy_continuation(folder, prompts.shape[1] + new_tokens)
    return np.stack([np.fromiter(islice(continue_(prompt), new_tokens), np.int64) for prompt in tqdm(prompts)])


def onnx_agreement(folder: Path, rows: np.ndarray, depth: int) -> list[float]:
    """Share of chains whose draft at depth 1 to `depth` is the target's choice, given the true tokens before it.

    Chains start every CHAIN_EVERY tokens, on a cache of first-depth entries, and are rolled back: as served.
    """
    length = rows.shape[1]
    target = CachedSession(folder / "model.onnx", THREADS, length)
    mtp = CachedSession(folder / "mtp.onnx", THREADS, length + depth)
    hits = []
    for row in tqdm(rows, desc=f"{folder.name} MTP", unit="row"):
        outputs = target.run(row, 0)
        choices, states = outputs["logits"][0].argmax(-1), outputs["hidden_states"]
        for past in range(0, length - CHAIN_EVERY - depth, CHAIN_EVERY):
            hits.append(chain_hits(mtp, row, states, choices, past, depth))
    return np.mean(hits, axis=0).tolist()


def chain_hits(
    mtp: CachedSession, row: np.ndarray, states: np.ndarray, choices: np.ndarray, past: int, depth: int
) -> list[bool]:
    """One chain from position past + CHAIN_EVERY - 1; the cache holds `past` positions before it."""
    last = past + CHAIN_EVERY - 1
    state, tokens, position = states[:, past : last + 1], row[past + 1 : last + 2], past
    hits = []
    for step in range(1, depth + 1):
        outputs = mtp.run(tokens, position, hidden_states=state)
        hits.append(bool(outputs["logits"][0, 0].argmax() == choices[last + step]))
        state, tokens, position = outputs["hidden_states_out"][:, -1:], row[last + step + 1 :][:1], last + step
    return hits
