"""Whether a position's logits are the same bits however many tokens share its forward, which losslessness rests on.

Some kernels treat a single row by itself, some the last row of an odd number of them; such a model is exact from
width 2 on, or at even widths, to which a step can be padded.
"""

from pathlib import Path

import numpy as np

from .cached_session import CachedSession

WIDTHS = range(1, 10)
CONTEXTS = (1, 15, 64, 100, 255, 256, 511, 512, 1000, 1023, 1024, 1490)
CHUNKS = (2, 16, 33, 64, 100, 128, 256, 512, 1000)
NUM_TOKENS = 1500
REFERENCE_CHUNK = 4
THREAD_COUNTS = (1, 2)


def run_in_chunks(session: CachedSession, ids: np.ndarray, size: int) -> np.ndarray:
    """Logits [n, vocabSize] of forwards of `size` tokens, the last one of those that are left."""
    starts = range(0, len(ids), size)
    return np.concatenate([session.run(ids[past : past + size], past)["logits"][0] for past in starts])


def same_bits(expected: np.ndarray, actual: np.ndarray) -> bool:
    return bool((expected.view(np.uint32) == actual.view(np.uint32)).all())


def compare_widths(folder: Path, ids: np.ndarray) -> dict[int, list[str]]:
    """By width of a forward, the conditions under which it changed a bit; an empty list where none did."""
    ids = ids[: min(NUM_TOKENS, len(ids) // 4 * 4)]
    failures: dict[int, list[str]] = {width: [] for width in (*WIDTHS, *CHUNKS, len(ids))}
    expected = run_in_chunks(CachedSession(folder / "model.onnx", 1, len(ids)), ids, REFERENCE_CHUNK)
    for threads in THREAD_COUNTS:
        session = CachedSession(folder / "model.onnx", threads, len(ids))
        for size in (*CHUNKS, len(ids)):
            whole = len(ids) // size * size
            if whole and not same_bits(expected[:whole], run_in_chunks(session, ids[:whole], size)):
                failures[size].append(f"prefill, {threads} threads")
        # The cache now holds what a prefill in one chunk wrote.
        for width in WIDTHS:
            for context in (c for c in CONTEXTS if c + width <= len(ids)):
                actual = session.run(ids[context : context + width], context)["logits"][0]
                if not same_bits(expected[context : context + width], actual):
                    failures[width].append(f"after {context} tokens, {threads} threads")
    return failures


def exact_widths(folder: Path, ids: np.ndarray) -> str | None:
    """'all' widths, those 'from_two' on, 'even' ones alone, or None; prints every width that fails."""
    failures = compare_widths(folder, ids)
    failing = sorted(width for width, conditions in failures.items() if conditions)
    for width in failing:
        print(f"     width {width} changes bits: {'; '.join(failures[width])}")
    exact = "all" if not failing else "from_two" if failing == [1] else "even"
    if any(width % 2 == 0 for width in failing):
        exact = None
    tested = ", ".join(str(width) for width in sorted(failures))
    print(f"{'ok  ' if exact else 'FAIL'} bit-identical logits at widths: {exact} (of {tested})")
    return exact
