"""Trains the tokenizer if there is none yet, and writes a corpus as token ids."""

import argparse
import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
from tqdm import tqdm

from .corpus import read_documents
from .tokenizer import save_tokenizer, train_tokenizer

BATCH_DOCUMENTS = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", type=Path, nargs="+", help="JSON lines, plain or .xz")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of tokenizer.json; made if it is absent")
    parser.add_argument("--out", type=Path, help="token file (.npz) to write")
    parser.add_argument("--vocab-size", type=int, default=6144)
    parser.add_argument("--context-length", type=int, default=2048)
    parser.add_argument("--tokenizer-every", type=int, default=1, help="learn the tokenizer from every n-th document")
    parser.add_argument("--generated-weight", type=float, default=0.2, help="sampling weight of generated files")


def run(arguments: argparse.Namespace) -> None:
    file = arguments.tokenizer / "tokenizer.json"
    if not file.exists():
        texts = (d.text for i, d in enumerate(read_documents(arguments.corpus)) if i % arguments.tokenizer_every == 0)
        save_tokenizer(
            train_tokenizer(texts, arguments.vocab_size), arguments.tokenizer, context_length=arguments.context_length
        )
    if arguments.out:
        write_tokens(Tokenizer.from_file(str(file)), arguments)


def write_tokens(tokenizer: Tokenizer, arguments: argparse.Namespace) -> None:
    """Writes `tokens` uint16 [numTokens], `offsets` int64 [numDocuments + 1], `weights` float32 [numDocuments]."""
    documents = list(read_documents(arguments.corpus))
    arrays, num_bytes = [], 0
    for start in tqdm(range(0, len(documents), BATCH_DOCUMENTS), desc="tokenise", unit="batch"):
        batch = documents[start : start + BATCH_DOCUMENTS]
        num_bytes += sum(len(d.text.encode()) for d in batch)
        encoded = tokenizer.encode_batch([d.text for d in batch], add_special_tokens=False)
        arrays.extend(np.asarray(e.ids, dtype=np.uint16) for e in encoded)
    offsets = np.cumsum([0] + [len(a) for a in arrays])
    weights = [arguments.generated_weight if d.is_generated else 1.0 for d in documents]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        arguments.out,
        tokens=np.concatenate(arrays),
        offsets=offsets.astype(np.int64),
        weights=np.asarray(weights, np.float32),
    )
    summary = {
        "documents": len(documents),
        "generated": sum(d.is_generated for d in documents),
        "tokens": int(offsets[-1]),
        "bytes": num_bytes,
        "bytes_per_token": round(num_bytes / int(offsets[-1]), 3),
        "repositories": sorted({f"{d.repo} ({d.license})" for d in documents}),
    }
    arguments.out.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary))
