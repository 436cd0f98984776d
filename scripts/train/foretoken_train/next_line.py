"""Exact match of the next line on held-out code. Knows nothing of models: it is given what continues a prompt."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer
from tqdm import tqdm

from .evaluation_data import ValidationSet
from .tokenizer import END_OF_TEXT, FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX

MAX_PREFIX_TOKENS = 384
MAX_SUFFIX_TOKENS = 128
MAX_LINE_TOKENS = 48
MIN_LINE_CHARACTERS = 3

# Prompt to token ids, one after the other, greedily.
Continue = Callable[[np.ndarray], Iterator[int]]


@dataclass(frozen=True)
class Position:
    """A line of a document, what stands before it (without the line break) and behind it (from its line break on)."""

    prefix: str
    line: str
    suffix: str


def positions(validation: ValidationSet, tokenizer: Tokenizer, count: int, seed: int = 1) -> list[Position]:
    """Lines that say something, drawn from all documents alike."""
    random = np.random.default_rng(seed)
    order = random.permutation(len(validation.file.offsets) - 1)
    chosen: list[Position] = []
    while len(chosen) < count:
        before = len(chosen)
        for index in order[: count - len(chosen)]:
            text = tokenizer.decode(validation.file.document(index).tolist(), skip_special_tokens=False)
            lines = text.split("\n")
            candidates = [i for i in range(1, len(lines)) if len(lines[i].strip()) >= MIN_LINE_CHARACTERS]
            if candidates:
                at = int(random.choice(candidates))
                rest = "".join(f"\n{line}" for line in lines[at + 1 :])
                chosen.append(Position("\n".join(lines[:at]), lines[at].strip(), rest))
        if len(chosen) == before:
            raise ValueError(f"{validation.name}: expected documents with more than one line")
    return chosen


def prompt_ids(position: Position, tokenizer: Tokenizer, order: str | None) -> np.ndarray:
    """int64 [n]: nearest tokens of the prefix, and in fill-in-the-middle `order`, psm or spm, those of the suffix."""
    prefix = tokenizer.encode(position.prefix, add_special_tokens=False).ids[-MAX_PREFIX_TOKENS:]
    if order is None:
        return np.asarray(prefix, np.int64)
    suffix = tokenizer.encode(position.suffix, add_special_tokens=False).ids[:MAX_SUFFIX_TOKENS]
    marker = {name: tokenizer.token_to_id(name) for name in (FIM_PREFIX, FIM_SUFFIX, FIM_MIDDLE)}
    if order == "psm":
        ids = [marker[FIM_PREFIX], *prefix, marker[FIM_SUFFIX], *suffix, marker[FIM_MIDDLE]]
    else:
        ids = [marker[FIM_PREFIX], marker[FIM_SUFFIX], *suffix, marker[FIM_MIDDLE], *prefix]
    return np.asarray(ids, np.int64)


def first_line(ids: Iterator[int], tokenizer: Tokenizer) -> str:
    """The first line that says something, without its indentation; the end of text ends it as a line break does."""
    produced: list[int] = []
    end_of_text = tokenizer.token_to_id(END_OF_TEXT)
    for token in ids:
        if token == end_of_text:
            break
        produced.append(token)
        head, line_break, _ = tokenizer.decode(produced).lstrip("\n \t").partition("\n")
        if line_break or len(produced) == MAX_LINE_TOKENS:
            return head.strip()
    return tokenizer.decode(produced).strip()


def exact_match(
    where: list[Position], tokenizer: Tokenizer, continue_: Continue, order: str | None, name: str
) -> float:
    """Share of positions whose line is produced character by character, indentation aside."""
    hits = 0
    for position in tqdm(where, desc=name, unit="line"):
        prompt = prompt_ids(position, tokenizer, order)
        hits += first_line(continue_(prompt), tokenizer) == position.line
    return hits / len(where)
