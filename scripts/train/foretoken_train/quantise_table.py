"""Measures what each precision costs in size and validation loss; writes quantisation.json."""

import argparse
import json
import tempfile
from pathlib import Path

from tokenizers import Tokenizer

from .evaluation_data import load_validation
from .export import calibration_rows, write_folder
from .onnx_evaluation import onnx_loss
from .quantise import STATIC_HEAD, Precision, head_precision
from .tokenizer import END_OF_TEXT
from .weights import load_weights

FP32 = Precision(32, None)
STATIC = Precision(8, None)
CHOICES = [(FP32, FP32), (STATIC, STATIC_HEAD), (Precision(4, 32), Precision(8, 32))]
CHOICES[2:2] = [(Precision(bits, size),) * 2 for bits in (8, 4) for size in (32, 64, 128)]
GRAPH_FILES = ("model.onnx", "mtp.onnx", "model.onnx.data")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="model.safetensors")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of tokenizer.json")
    parser.add_argument("--validation", type=Path, required=True, help="token file never trained on")
    parser.add_argument("--calibration", type=Path, nargs="+", help="token files; without them, no static quantisation")
    parser.add_argument("--out", type=Path, required=True, help="quantisation.json to write")
    parser.add_argument("--keep", type=Path, help="folder for a model folder of each precision, to time")
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--row-length", type=int, default=512)


def variant_name(precision: Precision, head: Precision) -> str:
    name = f"{precision.name}-{precision.block_size}" if precision.block_size else precision.name
    return name if head == head_precision(precision, None, 0) else f"{name}-head-{head.name}"


def run(arguments: argparse.Namespace) -> None:
    model = load_weights(arguments.weights).eval()
    end_of_text = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json")).token_to_id(END_OF_TEXT)
    validation = load_validation(arguments.validation, end_of_text)
    tokens = validation.rows(arguments.row_length, arguments.rows)
    rows = []
    calibration = calibration_rows(model, arguments.calibration, arguments.tokenizer) if arguments.calibration else None
    for precision, head in CHOICES:
        if precision.is_static and calibration is None:
            continue
        name = variant_name(precision, head)
        with tempfile.TemporaryDirectory() as temporary:
            folder = (arguments.keep or Path(temporary)) / name
            write_folder(
                model,
                arguments.tokenizer,
                precision,
                head,
                folder,
                calibration=calibration if precision.is_static else None,
            )
            nats_per_token = onnx_loss(folder, tokens)
            num_bytes = sum((folder / file).stat().st_size for file in GRAPH_FILES)
        row = {
            "name": name,
            "precision": precision.name,
            "head_precision": head.name,
            "block_size": precision.block_size or head.block_size,
            "graph_megabytes": round(num_bytes / 1e6, 1),
            "nats_per_token": round(nats_per_token, 4),
        }
        rows.append(row)
        print(json.dumps(row))
    table = {"validation": validation.name, "tokens": tokens.size, "rows": rows}
    arguments.out.write_text(json.dumps(table, indent=2) + "\n")
