"""Writes a model folder: ONNX graphs, config, tokenizer and weights, and checks the graphs against PyTorch."""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import torch
from tokenizers import Tokenizer

from .batches import BatchBuilder, TokenFile
from .cached_attention import CachedAttention
from .check import check, sample_ids
from .continuations import continued
from .exactness import exact_widths
from .external_data import ExternalData
from .foretoken_config import SHARED_PASSES, STANDARD_TARGET, foretoken_config
from .genai_config import genai_config
from .graph import mtp_graph, target_graph
from .graph_builder import Attention, GraphBuilder
from .group_query_attention import GroupQueryAttention
from .model import CodeModel
from .quantise import PRECISION_BITS, Precision, head_precision, named_precision
from .reference import export_weights, folded, quantised_model
from .static_quantisation import StaticActivations, prepared
from .weights import load_weights

# What activations are measured on; the prompt is code of a row that goes on in the model's own words.
CALIBRATION_ROWS = 32
CALIBRATION_LENGTH = 512
CALIBRATION_PROMPT = 64
COPIED_FROM_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, required=True, help="model.safetensors of a training run")
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of tokenizer.json")
    parser.add_argument("--out", type=Path, required=True, help="model folder to write")
    parser.add_argument("--ledger", type=Path, nargs="+", help="of every run, in order; default: beside the weights")
    parser.add_argument("--precision", choices=PRECISION_BITS, default="int8")
    parser.add_argument(
        "--head-precision",
        choices=[name for name in PRECISION_BITS if name != "int8-static"],
        help="of the output head; default: the same, int8 in blocks of 64 with int8-static",
    )
    parser.add_argument("--block-size", type=int, choices=(32, 64, 128), default=32)
    parser.add_argument("--calibration", type=Path, nargs="+", help="token files to measure static activations on")
    parser.add_argument("--draft-vocabulary", type=int, help="most frequent tokens that may be drafted; default: all")
    parser.add_argument("--draft-data", type=Path, nargs="+", help="token files in which to count them")


def run(arguments: argparse.Namespace) -> None:
    model = load_weights(arguments.weights).eval()
    precision = named_precision(arguments.precision, arguments.block_size)
    head = head_precision(precision, arguments.head_precision, arguments.block_size)
    calibration = None
    if precision.is_static:
        if not arguments.calibration:
            raise SystemExit("--precision int8-static: expected --calibration, token files to measure activations on")
        calibration = calibration_rows(model, arguments.calibration, arguments.tokenizer)
    draft_ids = None
    if arguments.draft_vocabulary:
        if not arguments.draft_data:
            raise SystemExit("--draft-vocabulary: expected --draft-data, token files in which to count tokens")
        draft_ids = frequent_ids(arguments.draft_data, arguments.draft_vocabulary, model.shape.vocab_size)
    arguments.out.mkdir(parents=True, exist_ok=True)
    copy_weights(arguments)
    if not write_folder(model, arguments.tokenizer, precision, head, arguments.out, draft_ids, calibration):
        raise SystemExit(f"{arguments.out}: the graphs are not what they should be, see above")


def frequent_ids(data: list[Path], count: int, vocab_size: int) -> np.ndarray:
    """The `count` token ids that come most often in the token files, sorted."""
    counts = sum(np.bincount(TokenFile(path).tokens, minlength=vocab_size) for path in data)
    return np.sort(np.argsort(-counts, kind="stable")[:count])


def write_folder(
    model: CodeModel,
    tokenizer_folder: Path,
    precision: Precision,
    head: Precision,
    out: Path,
    draft_ids: np.ndarray | None = None,
    calibration: np.ndarray | None = None,
) -> bool:
    """A folder that a server can load; whether its graphs agree with PyTorch and are exact at some widths.

    calibration: token ids [rows, length] that static activations are measured on.
    """
    out.mkdir(parents=True, exist_ok=True)
    static = None
    if calibration is not None:
        # As the graphs compute: what an activation holds depends on what is folded in.
        model, static = prepared(folded(model), calibration)
    write_graphs(model, precision, head, out, draft_ids, static)
    for name in COPIED_FROM_TOKENIZER:
        shutil.copyfile(tokenizer_folder / name, out / name)
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    ids = sample_ids(tokenizer, model.shape.context_length)
    agrees = check(quantised_model(model, precision, head, static), out, ids, precision, draft_ids)
    exact = exact_widths(out, ids)
    write_json(out / "genai_config.json", genai_config(model.shape, tokenizer))
    draft_vocab_size = model.shape.vocab_size if draft_ids is None else len(draft_ids)
    config = foretoken_config(tokenizer, precision, head, exact, draft_vocab_size, out)
    write_json(out / "foretoken.json", config)
    return agrees and exact is not None


def write_json(path: Path, value: dict | list) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def copy_weights(arguments: argparse.Namespace) -> None:
    """Weights to fine-tune or convert from, and what all runs that led to them cost."""
    shutil.copyfile(arguments.weights, arguments.out / "model.safetensors")
    beside = arguments.weights.parent / "ledger.json"
    ledgers = arguments.ledger or ([beside] if beside.exists() else [])
    entries = [entry for ledger in ledgers for entry in json.loads(ledger.read_text())]
    if entries:
        write_json(arguments.out / "ledger.json", entries)


def calibration_rows(model: CodeModel, data: list[Path], tokenizer_folder: Path) -> np.ndarray:
    """Token ids [CALIBRATION_ROWS, CALIBRATION_LENGTH], drawn in equal parts from the token files.

    Of every second row all but the beginning is what the model writes behind it, greedily and at temperature 1 in turn:
    there some activations are many times what they ever are in code (docs/log.md).
    """
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    files = [TokenFile(path) for path in data]
    builder = BatchBuilder(files, tokenizer, CALIBRATION_LENGTH, 0.5, 1, [1 / len(files)] * len(files))
    rows = builder.batch(0, CALIBRATION_ROWS)
    prompts = torch.from_numpy(rows[1::2, :CALIBRATION_PROMPT])
    temperatures = torch.arange(len(prompts)) % 2 * 1.0
    random = torch.Generator().manual_seed(1)
    rows[1::2] = continued(model, prompts, CALIBRATION_LENGTH - CALIBRATION_PROMPT, temperatures, random).numpy()
    return rows


def of_nodes(static: StaticActivations | None) -> StaticActivations | None:
    """By the names that a graph's nodes have."""
    if static is None:
        return None
    named = dict(static)
    for name, activation in static.items():
        if name.endswith("gate_up"):
            block = name.removesuffix("gate_up")
            named[f"{block}gate"] = named[f"{block}up"] = activation
    return named


def write_graphs(
    model: CodeModel,
    precision: Precision,
    head: Precision,
    folder: Path,
    draft_ids: np.ndarray | None,
    static: StaticActivations | None,
) -> None:
    """model.onnx, mtp.onnx, those of several sequences, the target as other runtimes read it, and model.onnx.data,
    which all share; draft_ids as in `mtp_graph`.
    """
    weights = export_weights(model)
    rotary = (model.cos.numpy(), model.sin.numpy())
    data = ExternalData(folder / "model.onnx.data")
    static = of_nodes(static)

    def save_target(attention: Attention, name: str) -> None:
        builder = GraphBuilder(model.shape, weights, data, precision, attention, static)
        onnx.save(target_graph(builder, rotary, head), folder / name)

    def save_mtp(attention: Attention, name: str) -> None:
        builder = GraphBuilder(model.shape, weights, data, precision, attention, static)
        onnx.save(mtp_graph(builder, rotary, head, draft_ids), folder / name)

    alone = {"num_sequences": 1, "target": "model.onnx", "mtp": "mtp.onnx"}
    for graphs in (alone, *SHARED_PASSES):
        attention = CachedAttention(model.shape, graphs["num_sequences"])
        save_target(attention, graphs["target"])
        save_mtp(attention, graphs["mtp"])
    save_target(GroupQueryAttention(model.shape), STANDARD_TARGET)
    data.close()
