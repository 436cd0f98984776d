"""What a model folder says of itself, gathered for its card. Knows nothing of Markdown."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import pretrain, tune_mtp, unlearn_loops
from .shape import ModelShape

# The commands that train, by the stage that they write to the ledger.
STAGES = {"pretrain": pretrain, "unlearn-loops": unlearn_loops, "tune-mtp": tune_mtp}


@dataclass(frozen=True)
class ModelFacts:
    """The folder's JSON files; those that are absent are empty."""

    folder: Path
    config: dict
    ledger: list[dict]
    evaluation: dict
    previous_evaluation: dict
    quantisation: dict
    draft_heads: dict
    corpora: dict[str, dict]
    benchmarks: list[dict]
    speeds: dict[str, dict]

    @property
    def shape(self) -> ModelShape:
        return ModelShape(**self.ledger[-1]["shape"])

    @property
    def tokens_trained(self) -> int:
        return sum(entry["tokens"] for entry in self.ledger)

    @property
    def training_sets(self) -> list[str]:
        """In the order of their first use."""
        return list(dict.fromkeys(name for entry in self.ledger for name in entry["settings"]["data"]))

    @property
    def validation_sets(self) -> list[str]:
        return sorted({name for entry in self.ledger for name in entry["settings"]["validation"]})

    def megabytes(self, name: str) -> str:
        return f"{(self.folder / name).stat().st_size / 1e6:.1f} MB"


def read_json(path: Path | None, default: dict | list) -> dict | list:
    return json.loads(path.read_text()) if path and path.exists() else default


def model_facts(
    folder: Path, corpora: list[Path], benchmarks: Sequence[Path] = (), speeds: Sequence[Path] = ()
) -> ModelFacts:
    """corpora: the summaries that `prepare` wrote, named as the token files that the ledger names.

    speeds: results of `npm run bench:folders`, whose rows are told apart by their folders' names.
    """
    ledger = read_json(folder / "ledger.json", [])
    if not ledger:
        raise ValueError(f"{folder}: expected a ledger.json with at least one run")
    return ModelFacts(
        folder=folder,
        config=read_json(folder / "foretoken.json", {}),
        ledger=ledger,
        evaluation=read_json(folder / "evaluation.json", {}),
        previous_evaluation=read_json(folder / "previous-evaluation.json", {}),
        quantisation=read_json(folder / "quantisation.json", {}),
        corpora={path.stem: read_json(path, {}) for path in corpora},
        draft_heads=read_json(folder / "draft-heads.json", {}),
        benchmarks=[read_json(path, {}) for path in benchmarks],
        speeds={row["name"]: row for path in speeds for row in read_json(path, {})["rows"]},
    )


def training_commands(facts: ModelFacts) -> list[str]:
    """The commands of the ledger, in order; each run starts from the weights of the one before it. Mixed are the two
    before."""
    commands = []
    for number, entry in enumerate(facts.ledger, start=1):
        stage, settings = entry["stage"], entry["settings"]
        if stage == "mix":
            weights = " ".join(f"runs/{number - before}/model.safetensors" for before in (2, 1))
            commands.append(f"foretoken-train mix --weights {weights} --share {settings['share']} --out runs/{number}")
            continue
        parser = argparse.ArgumentParser()
        STAGES[stage].add_arguments(parser)
        steps = round(entry["steps"] / settings.get("stop_at", 1.0))
        parts = [f"foretoken-train {stage} --tokenizer runs/tokenizer --out runs/{number} --steps {steps}"]
        parts += [f"--{key} " + " ".join(f"runs/{n}.npz" for n in settings[key]) for key in ("data", "validation")]
        if number > 1:
            start = "--init-from" if stage == "pretrain" else "--weights"
            parts.append(f"{start} runs/{number - 1}/model.safetensors")
        parts += [option(key, value) for key, value in settings.items() if chosen(parser, key, value)]
        commands.append(" ".join(parts))
    return commands


def chosen(parser: argparse.ArgumentParser, key: str, value: object) -> bool:
    """Whether a setting shapes the run and is not the default; budget, data and device are given elsewhere."""
    placed = ("data", "validation", "minutes", "steps", "device", "threads", "checkpoint_minutes", "validate_minutes")
    # By identity: 0 is a choice too, though it equals False.
    return key not in placed and not (value is None or value is False or value == parser.get_default(key))


def option(key: str, value: object) -> str:
    flag = f"--{key.replace('_', '-')}"
    values = value if isinstance(value, list) else [value]
    return flag if value is True else " ".join([flag, *map(str, values)])
