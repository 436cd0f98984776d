"""foretoken.json: what the server needs beside genai_config.json, which takes no members of others."""

import hashlib
from pathlib import Path

from tokenizers import Tokenizer

from .quantise import Precision
from .tokenizer import FIM_MIDDLE, FIM_PREFIX, FIM_SUFFIX

FORMAT_VERSION = 1
NUM_SPEC_TOKENS = 16
MAX_SPEC_TOKENS = 16
# Suffix first: the middle goes on where the prefix ends. Prefix first, no held-out line was ever right (docs/log.md).
FIM_ORDER = "spm"
# Graphs that take several sequences in one pass over the weights.
SHARED_PASSES = [
    {"num_sequences": count, "target": f"model-{count}.onnx", "mtp": f"mtp-{count}.onnx"} for count in (2, 4)
]
# The target for other runtimes, with GroupQueryAttention; the server has no use for it.
STANDARD_TARGET = "standard.onnx"
LOADED_FILES = (
    "genai_config.json",
    "model.onnx",
    "mtp.onnx",
    *(shared[graph] for shared in SHARED_PASSES for graph in ("target", "mtp")),
    "model.onnx.data",
    "tokenizer.json",
    "tokenizer_config.json",
)


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def foretoken_config(
    tokenizer: Tokenizer,
    precision: Precision,
    head: Precision,
    exact_widths: str | None,
    draft_vocab_size: int,
    folder: Path,
) -> dict:
    """Of the model that lies in `folder`, genai_config.json included. exact_widths: see exactness.py."""
    return {
        "format_version": FORMAT_VERSION,
        "num_spec_tokens": NUM_SPEC_TOKENS,
        "max_spec_tokens": MAX_SPEC_TOKENS,
        "precision": precision.name,
        "head_precision": head.name,
        "block_size": precision.block_size or head.block_size,
        "exact_widths": exact_widths,
        "draft_vocab_size": draft_vocab_size,
        "fim": {
            "prefix": tokenizer.token_to_id(FIM_PREFIX),
            "suffix": tokenizer.token_to_id(FIM_SUFFIX),
            "middle": tokenizer.token_to_id(FIM_MIDDLE),
            "order": FIM_ORDER,
        },
        "shared_passes": SHARED_PASSES,
        "sha256": {name: sha256(folder / name) for name in LOADED_FILES},
    }
