"""Mixes the weights of two runs of one shape, of which the later went on from the earlier: some noise cancels out."""

import argparse
from datetime import UTC, datetime
from pathlib import Path

from .ledger import LedgerEntry, record
from .weights import load_weights, save_weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", type=Path, nargs=2, required=True, help="model.safetensors of each")
    parser.add_argument("--share", type=float, required=True, help="of the second, 0 to 1")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and ledger")


def run(arguments: argparse.Namespace) -> None:
    if not 0 <= arguments.share <= 1:
        raise ValueError(f"expected a share from 0 to 1, got {arguments.share}")
    first, second = (load_weights(path) for path in arguments.weights)
    if first.shape != second.shape:
        raise ValueError(f"expected weights of one shape, got {first.shape} and {second.shape}")
    others = second.state_dict()
    mixed = {name: value.lerp(others[name], arguments.share) for name, value in first.state_dict().items()}
    first.load_state_dict(mixed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    save_weights(first, arguments.out / "model.safetensors")
    entry = LedgerEntry(
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        stage="mix",
        device="CPU",
        hours=0,
        steps=0,
        tokens=0,
        flops=0,
        shape=first.shape.as_dict(),
        settings={"data": [], "validation": [], "share": arguments.share},
        validation={},
    )
    record(arguments.out / "ledger.json", entry)
