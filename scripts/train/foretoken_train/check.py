"""Compares exported graphs with PyTorch: target in one pass, target through its cache, MTP module chained."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from .cached_session import CachedSession
from .model import CodeModel
from .quantise import Precision

NUM_TOKENS = 384
CHUNKS = (100, 1, 7, 2, 33, 16, 5, 64, 3, 9)
MTP_STEPS = 3
MTP_STARTS = range(40, 380, 5)
THREADS = 2


@dataclass(frozen=True)
class Tolerance:
    """Largest root mean square of the differences, as a share of the values' own, and least share of positions with
    the same most likely token.

    Quantised graphs are compared with the dequantised weights, but still round activations to 8 bit
    (accuracy_level 4), which PyTorch does not: their tolerance is that rounding, through all layers.
    """

    relative_error: float
    min_agreement: float


TOLERANCES = {32: Tolerance(1e-4, 0.995), 8: Tolerance(0.05, 0.9), 4: Tolerance(0.05, 0.9)}
# The reference rounds to the same steps, but what lies between two of them falls to either side, and layers add it up.
STATIC_TOLERANCE = Tolerance(0.1, 0.9)


def sample_ids(tokenizer: Tokenizer, length: int) -> np.ndarray:
    """Token ids of this package's own source: int64 [length]."""
    text = "\n".join(path.read_text() for path in sorted(Path(__file__).parent.glob("*.py")))
    return np.resize(np.asarray(tokenizer.encode(text).ids, np.int64), length)


def check(
    reference: CodeModel, folder: Path, ids: np.ndarray, precision: Precision, draft_ids: np.ndarray | None = None
) -> bool:
    """Prints each comparison; whether all are within the precision's tolerance. draft_ids: all that MTP may draft."""
    ids = ids[:NUM_TOKENS]
    tolerance = STATIC_TOLERANCE if precision.is_static else TOLERANCES[precision.bits]
    with torch.no_grad():
        states = reference.hidden_states(torch.from_numpy(ids)[None])
        logits = reference.head(states).numpy()
        target = CachedSession(folder / "model.onnx", THREADS, reference.shape.context_length)
        prefill = target.run(ids, 0)
        cached = run_in_chunks(target, ids)
        mtp = mtp_chains(reference, folder, ids, states)
    if draft_ids is not None:
        mtp = tuple(logits[..., draft_ids] for logits in mtp)
    compared = {
        "target logits, one pass": (logits, prefill["logits"]),
        "target hidden states, one pass": (states.numpy(), prefill["hidden_states"]),
        "target logits, through the cache with rollback": (logits, cached),
        f"MTP logits, {MTP_STEPS} chained steps": mtp,
    }
    return all([within(name, *pair, tolerance) for name, pair in compared.items()])


def within(name: str, expected: np.ndarray, actual: np.ndarray, tolerance: Tolerance) -> bool:
    difference = expected - actual
    relative_error = np.sqrt(np.square(difference).mean() / np.square(expected).mean())
    agreement = (expected.argmax(-1) == actual.argmax(-1)).mean() if "logits" in name else 1.0
    good = relative_error <= tolerance.relative_error and agreement >= tolerance.min_agreement
    print(
        f"{'ok  ' if good else 'FAIL'} {name}: relative error {relative_error:.1e} (at most "
        f"{tolerance.relative_error:g}), largest difference {np.abs(difference).max():.1e}, "
        f"same most likely token {agreement:.4f} (at least {tolerance.min_agreement})"
    )
    return bool(good)


def run_in_chunks(target: CachedSession, ids: np.ndarray) -> np.ndarray:
    """Logits [1, n, vocabSize]; before each chunk wrong tokens are run and rolled back."""
    parts, past = [], 0
    while past < len(ids):
        chunk = ids[past : past + CHUNKS[len(parts) % len(CHUNKS)]]
        target.run(ids[::-1][:4], past)
        parts.append(target.run(chunk, past)["logits"])
        past += len(chunk)
    return np.concatenate(parts, axis=1)


def mtp_chains(reference: CodeModel, folder: Path, ids: np.ndarray, states: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Expected and actual logits [starts, steps, vocabSize], each chain through the cache and rolled back after it.

    Step s of a chain from position i takes the module's own state and the token at i + s, at position i + s - 1.
    """
    mtp = CachedSession(folder / "mtp.onnx", THREADS, reference.shape.context_length)
    expected, actual = [], []
    past = 0
    for start in MTP_STARTS:
        state = states[:, past : start + 1].numpy()
        tokens, position, history = ids[past + 1 : start + 2], past, states[:, : start + 1]
        for step in range(MTP_STEPS):
            outputs = mtp.run(tokens, position, hidden_states=state)
            actual.append(outputs["logits"][0, 0])
            next_token = start + step + 2
            shifted = torch.from_numpy(ids[1:next_token])[None]
            expected_state = reference.mtp_states(history, shifted)[:, -1:]
            expected.append(reference.head(expected_state)[0, 0].numpy())
            history = torch.cat([history, expected_state], dim=1)
            state = outputs["hidden_states_out"][:, -1:]
            tokens, position = ids[next_token : next_token + 1], next_token - 1
        past = start + 1
    shape = (len(MTP_STARTS), MTP_STEPS, -1)
    return np.stack(expected).reshape(shape), np.stack(actual).reshape(shape)
