"""Loss and MTP agreement of exported graphs, as a server runs them. Knows nothing of PyTorch."""

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
