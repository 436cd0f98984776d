"""What a training run cost, kept in a file that goes into the model card."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class LedgerEntry:
    """One run: started_at is ISO 8601 in UTC and names the run."""

    started_at: str
    stage: str
    device: str
    hours: float
    steps: int
    tokens: int
    flops: float
    shape: dict
    settings: dict
    validation: dict


def record(path: Path, entry: LedgerEntry) -> None:
    """Appends the run, or replaces what was recorded of it so far."""
    entries = json.loads(path.read_text()) if path.exists() else []
    kept = [e for e in entries if e["started_at"] != entry.started_at]
    path.write_text(json.dumps([*kept, asdict(entry)], indent=2) + "\n")
