"""Held-out rows and prompts to evaluate on. Knows nothing of models."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .batches import TokenFile


@dataclass(frozen=True)
class ValidationSet:
    """A token file never trained on, and the summary that `prepare` wrote beside it."""

    name: str
    file: TokenFile
    bytes_per_token: float
    end_of_text: int

    def rows(self, row_length: int, num_rows: int) -> np.ndarray:
        """int64 [num_rows, row_length] or fewer rows: windows of documents, none across two, spread over the file."""
        documents = (self.file.document(index) for index in range(len(self.file.offsets) - 1))
        windows = [
            document[start : start + row_length]
            for document in documents
            for start in range(0, len(document) - row_length + 1, row_length)
        ]
        if not windows:
            raise ValueError(f"{self.name}: expected documents of at least {row_length} tokens")
        chosen = np.linspace(0, len(windows) - 1, min(num_rows, len(windows))).astype(int)
        return np.stack([windows[index] for index in chosen]).astype(np.int64)

    def prompts(self, prompt_length: int, num_prompts: int) -> np.ndarray:
        """int64 [num_prompts, prompt_length]: from a third into each of documents spread over those long enough."""
        documents = (self.file.document(index) for index in range(len(self.file.offsets) - 1))
        windows = [document[len(document) // 3 :][:prompt_length] for document in documents]
        long_enough = [window for window in windows if len(window) == prompt_length]
        if len(long_enough) < num_prompts:
            raise ValueError(f"expected {num_prompts} documents of {prompt_length} tokens, got {len(long_enough)}")
        chosen = np.linspace(0, len(long_enough) - 1, num_prompts).astype(int)
        return np.stack([long_enough[index] for index in chosen]).astype(np.int64)

    def bits_per_byte(self, nats_per_token: float) -> float:
        return nats_per_token / math.log(2) / self.bytes_per_token


def load_validation(path: Path, end_of_text: int) -> ValidationSet:
    summary = json.loads(path.with_suffix(".json").read_text())
    return ValidationSet(path.stem, TokenFile(path), summary["bytes_per_token"], end_of_text)
