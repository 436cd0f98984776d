"""Packs documents into training rows, some of them rearranged for fill-in-the-middle. Knows nothing of models."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .tokenizer import END_OF_TEXT, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX

# Markers, end of text, and the few tokens that cutting a text in three adds.
FIM_OVERHEAD = 12
MIN_FIM_TOKENS = 32
# Of each process that makes them.
PREFETCHED_BATCHES = 4


class TokenFile:
    """A corpus as token ids: `tokens` uint16 [numTokens], `offsets` int64 [numDocuments + 1]."""

    def __init__(self, path: Path):
        with np.load(path) as arrays:
            self.tokens = arrays["tokens"]
            self.offsets = arrays["offsets"]
            self.weights = arrays["weights"]

    def document(self, index: int) -> np.ndarray:
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]


class BatchBuilder:
    """Rows of `row_length` tokens. Batch n depends on (seed, n) alone: a resumed run sees what it would have."""

    def __init__(
        self,
        corpus: list[TokenFile],
        tokenizer: Tokenizer,
        row_length: int,
        fim_rate: float,
        seed: int,
        shares: list[float] | None = None,
    ):
        """shares: how much of the tokens each file of `corpus` gives; by their sizes if None."""
        self.corpus = corpus
        self.tokenizer = tokenizer
        self.row_length = row_length
        self.fim_rate = fim_rate
        self.seed = seed
        self.special = {t: tokenizer.token_to_id(t) for t in (END_OF_TEXT, FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE)}
        weights = [np.diff(f.offsets) * f.weights for f in corpus]
        if shares:
            weights = [w / w.sum() * share for w, share in zip(weights, shares, strict=True)]
        weights = np.concatenate(weights)
        self.cumulative = np.cumsum(weights / weights.sum())
        self.places = [(f, i) for f, file in enumerate(corpus) for i in range(len(file.offsets) - 1)]

    def batch(self, index: int, batch_size: int) -> np.ndarray:
        """int64 [batch_size, row_length]."""
        random = np.random.default_rng([self.seed, index])
        return np.stack([self.row(random) for _ in range(batch_size)])

    def row(self, random: np.random.Generator) -> np.ndarray:
        parts, length = [], 0
        while length < self.row_length:
            part = self.part(random, self.row_length - length)
            parts.append(part)
            length += len(part)
        return np.concatenate(parts)[: self.row_length].astype(np.int64)

    def part(self, random: np.random.Generator, room: int) -> np.ndarray:
        """A document, or a window of one that is longer than `room`, ended by END_OF_TEXT where it is whole."""
        file, document_index = self.places[min(np.searchsorted(self.cumulative, random.random()), len(self.places) - 1)]
        document = self.corpus[file].document(document_index)
        fim = random.random() < self.fim_rate and room > MIN_FIM_TOKENS + FIM_OVERHEAD
        limit = room - FIM_OVERHEAD if fim else room
        start = int(random.integers(0, max(1, len(document) - limit // 2))) if len(document) > limit else 0
        window = document[start : start + limit]
        if fim and len(window) >= MIN_FIM_TOKENS:
            rearranged = self.fill_in_the_middle(window, random)
            if rearranged is not None:
                return rearranged
        return np.append(window, self.special[END_OF_TEXT])

    def fill_in_the_middle(self, window: np.ndarray, random: np.random.Generator) -> np.ndarray | None:
        """Cuts at two characters, not tokens: an editor's cursor stands anywhere (Bavarian et al., arXiv 2207.14255).

        Prefix-suffix-middle or suffix-prefix-middle, half each. None if the window does not hold whole characters.
        """
        text = self.tokenizer.decode(window.tolist(), skip_special_tokens=False)
        if "\ufffd" in text:
            return None
        first, second = sorted(int(c) for c in random.integers(0, len(text) + 1, size=2))
        pieces = (text[:first], text[second:], text[first:second])
        encoded = [e.ids for e in self.tokenizer.encode_batch(list(pieces), add_special_tokens=False)]
        prefix, suffix, middle = encoded
        s = self.special
        if random.random() < 0.5:
            ids = [s[FIM_PREFIX], *prefix, s[FIM_SUFFIX], *suffix, s[FIM_MIDDLE], *middle]
        else:
            ids = [s[FIM_PREFIX], s[FIM_SUFFIX], *suffix, s[FIM_MIDDLE], *prefix, *middle]
        return np.asarray([*ids, s[END_OF_TEXT]])

    def stream(self, start: int, batch_size: int, workers: int) -> Iterator[Tensor]:
        """Batches from number `start` on, in order, made ahead in so many processes: int64 [batch_size, row_length]."""
        batches = NumberedBatches(self, batch_size)
        return iter(
            DataLoader(
                batches,
                batch_size=None,
                sampler=itertools.count(start),
                num_workers=workers,
                prefetch_factor=PREFETCHED_BATCHES,
            )
        )


class NumberedBatches(Dataset):
    """The batches of a builder by their numbers, as a DataLoader takes them."""

    def __init__(self, builder: BatchBuilder, batch_size: int):
        self.builder = builder
        self.batch_size = batch_size

    def __getitem__(self, index: int) -> np.ndarray:
        return self.builder.batch(index, self.batch_size)


def joined(file: TokenFile, end_of_text: int) -> np.ndarray:
    """All documents in order, each ended by END_OF_TEXT: uint16 [numTokens + numDocuments]."""
    return np.insert(file.tokens, file.offsets[1:], end_of_text)


def validation_rows(file: TokenFile, row_length: int, max_rows: int, end_of_text: int) -> np.ndarray:
    """Consecutive rows over all documents in order, joined by END_OF_TEXT: int64 [rows, row_length]."""
    tokens = joined(file, end_of_text)
    rows = min(len(tokens) // row_length, max_rows)
    step = max(1, len(tokens) // row_length // rows)
    return np.stack([tokens[i * step * row_length :][:row_length] for i in range(rows)]).astype(np.int64)
