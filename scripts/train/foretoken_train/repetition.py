"""How much a continuation repeats itself: acceptance of a model that loops says nothing."""

import numpy as np
import torch.nn.functional as F
from torch import Tensor

NGRAM = 4


def distinct(continuation: np.ndarray) -> float:
    """Share of different 4-grams: 1 never repeats, near 0 loops (Li et al., arXiv 1510.03055)."""
    windows = np.lib.stride_tricks.sliding_window_view(continuation, NGRAM)
    return len(np.unique(windows, axis=0)) / len(windows)


def longest_repeat(continuation: np.ndarray) -> int:
    """Tokens of the longest span that also stands earlier in the continuation; the two may overlap."""
    longest, ending_here = 0, np.zeros(len(continuation) + 1, np.int64)
    for end in range(1, len(continuation)):
        # ending_here[i + 1]: length of the common span that ends at i and at `end`, i earlier.
        same = continuation[:end] == continuation[end]
        ending_here[1 : end + 1] = np.where(same, ending_here[:end] + 1, 0)
        longest = max(longest, int(ending_here.max()))
    return longest


def repeats(ids: Tensor, span: int) -> Tensor:
    """Booleans of ids [batch, length]: whether the `span` tokens that end with one stood in its row before."""
    windows = ids.unfold(1, span, 1)
    same = (windows[:, :, None] == windows[:, None]).all(-1)
    return F.pad(same.tril(-1).any(-1), (span - 1, 0))


def beyond(marks: Tensor, free_share: float) -> Tensor:
    """`marks` [batch, length] without the first of each row that a share of `free_share` of its places has room for."""
    return marks & (marks.cumsum(1) > free_share * marks.shape[1])


def looping(ids: np.ndarray, span: int) -> np.ndarray:
    """Booleans, one a token: whether it ends a stretch that repeats the one right before it, of at least `span` tokens
    or of a whole period, whichever is longer. Code has 0.05% of them (span 8), a model in a loop nothing else."""
    marks = np.zeros(len(ids), bool)
    places = np.arange(len(ids))
    for period in range(1, len(ids) // 2 + 1):
        same = np.concatenate([np.zeros(period, bool), ids[period:] == ids[:-period]])
        run = places - np.maximum.accumulate(np.where(same, -1, places))
        marks |= run >= max(span, period)
    return marks
