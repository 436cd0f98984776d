"""Measures what a smaller vocabulary for drafts costs in agreement; writes draft-heads.json."""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from .evaluation_data import load_validation
from .export import frequent_ids, write_folder
from .onnx_evaluation import onnx_agreement
from .quantise import PRECISION_BITS, named_precision
from .quantise_table import variant_name
from .tokenizer import END_OF_TEXT
from .weights import load_weights

MTP_DEPTH = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="model.safetensors")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of tokenizer.json")
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="token files in which to count tokens")
    parser.add_argument("--validation", type=Path, required=True, help="token file never trained on")
    parser.add_argument("--out", type=Path, required=True, help="draft-heads.json to write")
    parser.add_argument("--keep", type=Path, help="folder for a model folder of each size, to time")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1024, 2048, 3072])
    parser.add_argument("--precision", choices=PRECISION_BITS, default="int8")
    parser.add_argument("--block-size", type=int, choices=(32, 64, 128), default=64)
    parser.add_argument("--rows", type=int, default=24)
    parser.add_argument("--row-length", type=int, default=512)


def run(arguments: argparse.Namespace) -> None:
    model = load_weights(arguments.weights).eval()
    vocab_size = model.shape.vocab_size
    precision = named_precision(arguments.precision, arguments.block_size)
    end_of_text = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json")).token_to_id(END_OF_TEXT)
    validation = load_validation(arguments.validation, end_of_text)
    tokens = validation.rows(arguments.row_length, arguments.rows)
    rows = []
    for size in (*arguments.sizes, vocab_size):
        draft_ids = None if size == vocab_size else frequent_ids(arguments.data, size, vocab_size)
        name = f"draft-{size}"
        with tempfile.TemporaryDirectory() as temporary:
            folder = (arguments.keep or Path(temporary)) / name
            write_folder(model, arguments.tokenizer, precision, precision, folder, draft_ids)
            agreement = onnx_agreement(folder, tokens, MTP_DEPTH)
        covered = 1.0 if draft_ids is None else float(np.isin(tokens, draft_ids).mean())
        row = {
            "name": name,
            "draft_vocab_size": size,
            "covered": round(covered, 4),
            "mtp_agreement": [round(share, 4) for share in agreement],
        }
        rows.append(row)
        print(json.dumps(row))
    table = {
        "precision": variant_name(precision, precision),
        "validation": validation.name,
        "tokens": tokens.size,
        "rows": rows,
    }
    arguments.out.write_text(json.dumps(table, indent=2) + "\n")
