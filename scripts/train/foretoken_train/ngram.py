"""An n-gram model with interpolated Kneser-Ney smoothing: the baseline that a language model must beat.

Chen and Goodman, "An empirical study of smoothing techniques for language modeling" (1998), section 3: one discount per
order, lower orders count distinct left neighbours. N-grams are integers in base `vocab_size`, kept sorted: counting
and looking up are a sort and a binary search, so that 30 M tokens take a minute. Knows nothing of files.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Order:
    """N-grams of one length, ascending by code = context * vocab_size + token."""

    codes: np.ndarray  # int64 [numNgrams]
    counts: np.ndarray  # float64 [numNgrams]
    contexts: np.ndarray  # int64 [numContexts], ascending
    context_counts: np.ndarray  # float64 [numContexts]: summed over the context's n-grams
    num_continuations: np.ndarray  # float64 [numContexts]: different tokens seen behind the context
    discount: float

    @classmethod
    def of(cls, codes: np.ndarray, counts: np.ndarray, vocab_size: int) -> "Order":
        contexts, starts = np.unique(codes // vocab_size, return_index=True)
        once, twice = (counts == 1).sum(), (counts == 2).sum()
        return cls(
            codes=codes,
            counts=counts.astype(np.float64),
            contexts=contexts,
            context_counts=np.add.reduceat(counts, starts).astype(np.float64),
            num_continuations=np.diff(np.append(starts, len(codes))).astype(np.float64),
            discount=float(once / (once + 2 * twice)) if once else 0.5,
        )

    def interpolate(self, contexts: np.ndarray, codes: np.ndarray, lower: np.ndarray) -> np.ndarray:
        """Probabilities of `codes` behind `contexts`, given those of the next lower order; all of one shape."""
        at, known = found(self.contexts, contexts)
        count, seen = found(self.codes, codes)
        total = self.context_counts[at]
        own = np.where(seen, np.maximum(self.counts[count] - self.discount, 0), 0) / total
        return np.where(known, own + self.discount * self.num_continuations[at] / total * lower, lower)


def found(ascending: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(index, whether it is there), the index valid in any case."""
    index = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return index, ascending[index] == wanted


class NgramModel:
    """Orders 1 to `order` over token ids below `vocab_size`; vocab_size ** order must be below 2 ** 63."""

    def __init__(self, tokens: np.ndarray, vocab_size: int, order: int = 5):
        """tokens: [numTokens], documents joined by their end marker."""
        if vocab_size**order >= 2**63:
            raise ValueError(f"expected vocab_size ** order below 2 ** 63, got {vocab_size} ** {order}")
        self.vocab_size = vocab_size
        self.order = order
        self.orders: list[Order] = []
        windows = np.lib.stride_tricks.sliding_window_view(tokens.astype(np.int64), order)
        codes, counts = np.unique(self.code(windows), return_counts=True)
        for length in range(order, 0, -1):
            self.orders.insert(0, Order.of(codes, counts, vocab_size))
            # How many different tokens stand before each shorter n-gram.
            codes, counts = np.unique(codes % vocab_size ** (length - 1), return_counts=True)

    def code(self, ids: np.ndarray) -> np.ndarray:
        """ids: [..., length] to [...]."""
        code = np.zeros(ids.shape[:-1], np.int64)
        for column in range(ids.shape[-1]):
            code = code * self.vocab_size + ids[..., column]
        return code

    def probabilities(self, contexts: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """P(token | context). contexts: [n, order - 1], or fewer columns where no more is known; tokens: [n]."""
        result = np.full(len(tokens), 1 / self.vocab_size)
        num_known = contexts.shape[1]
        for length, order in enumerate(self.orders[: num_known + 1], start=1):
            context = self.code(contexts[:, num_known - length + 1 :])
            result = order.interpolate(context, context * self.vocab_size + tokens, result)
        return result

    def nats_per_token(self, rows: np.ndarray) -> float:
        """Mean over all tokens of rows [numRows, length] but the first order - 1 of each."""
        windows = np.lib.stride_tricks.sliding_window_view(rows, self.order, axis=1).reshape(-1, self.order)
        return float(-np.log(self.probabilities(windows[:, :-1], windows[:, -1])).mean())

    def next_token(self, context: np.ndarray) -> int:
        """The most likely token behind context [numTokens], of which the last order - 1 count."""
        nearest = context[max(0, len(context) - self.order + 1) :]
        contexts = np.broadcast_to(nearest, (self.vocab_size, len(nearest)))
        return int(self.probabilities(contexts, np.arange(self.vocab_size)).argmax())

    def continuation(self, prompt: np.ndarray) -> Iterator[int]:
        """The most likely tokens, one after the other, without end."""
        context = prompt.tolist()
        while True:
            context.append(self.next_token(np.asarray(context[-self.order :])))
            yield context[-1]
