"""Writes a model folder: ONNX graphs, config, tokenizer and weights, and checks the graphs against PyTorch."""

import argparse
import json
import shutil
from pathlib import Path

import onnx
from tokenizers import Tokenizer

from .check import check, sample_ids
from .exactness import exact_widths
from .external_data import ExternalData
from .foretoken_config import foretoken_config
from .genai_config import genai_config
from .graph import GraphBuilder, mtp_graph, target_graph
from .model import CodeModel
from .quantise import PRECISION_BITS, Precision
from .reference import export_weights, quantised_model
from .weights import load_weights

COPIED_FROM_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="model.safetensors of a training run")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of tokenizer.json")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--ledger", type=Path, nargs="+", help="of every run, in order; default: beside the weights")
    parser.add_argument("--precision", choices=PRECISION_BITS, default="int8")
    parser.add_argument("--head-precision", choices=PRECISION_BITS, help="of the output head; default: the same")
    parser.add_argument("--block-size", type=int, choices=(32, 64, 128), default=32)


def run(arguments: argparse.Namespace) -> None:
    model = load_weights(arguments.weights).eval()
    precision = Precision(PRECISION_BITS[arguments.precision], arguments.block_size)
    head = Precision(PRECISION_BITS[arguments.head_precision or arguments.precision], arguments.block_size)
    arguments.out.mkdir(parents=True, exist_ok=True)
    write_graphs(model, precision, head, arguments.out)
    copy_companions(arguments)
    tokenizer = Tokenizer.from_file(str(arguments.tokenizer / "tokenizer.json"))
    ids = sample_ids(tokenizer, model.shape.context_length)
    agrees = check(quantised_model(model, precision, head), arguments.out, ids, precision)
    exact = exact_widths(arguments.out, ids)
    write_json(arguments.out / "genai_config.json", genai_config(model.shape, tokenizer))
    write_json(arguments.out / "foretoken.json", foretoken_config(tokenizer, precision, head, exact, arguments.out))
    if not (agrees and exact):
        raise SystemExit(f"{arguments.out}: the graphs are not what they should be, see above")


def write_json(path: Path, value: dict | list) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def copy_companions(arguments: argparse.Namespace) -> None:
    """Tokenizer, weights to fine-tune or convert from, and what all runs that led to them cost."""
    for name in COPIED_FROM_TOKENIZER:
        shutil.copyfile(arguments.tokenizer / name, arguments.out / name)
    shutil.copyfile(arguments.weights, arguments.out / "model.safetensors")
    beside = arguments.weights.parent / "ledger.json"
    ledgers = arguments.ledger or ([beside] if beside.exists() else [])
    entries = [entry for ledger in ledgers for entry in json.loads(ledger.read_text())]
    if entries:
        write_json(arguments.out / "ledger.json", entries)


def write_graphs(model: CodeModel, precision: Precision, head: Precision, folder: Path) -> None:
    """model.onnx, mtp.onnx and model.onnx.data, which both share."""
    weights = export_weights(model)
    rotary = (model.cos.numpy(), model.sin.numpy())
    data = ExternalData(folder / "model.onnx.data")
    for name, graph in (("model.onnx", target_graph), ("mtp.onnx", mtp_graph)):
        onnx.save(graph(GraphBuilder(model.shape, weights, data, precision), rotary, head), folder / name)
    data.close()
