import json
from pathlib import Path

from conftest import SHAPE

from foretoken_train.card import card
from foretoken_train.catalogue import catalogue
from foretoken_train.model_facts import model_facts, training_commands

ENTRY = {
    "started_at": "2026-01-01T00:00:00+00:00",
    "stage": "pretrain",
    "device": "CPU, 2 threads",
    "hours": 0.5,
    "steps": 10,
    "tokens": 5_000_000,
    "flops": 1e15,
    "shape": SHAPE.as_dict(),
    "settings": {"data": ["typescript-train"], "validation": ["typescript-valid"], "batch_size": 8, "fim_rate": 0.5},
    "validation": {},
}
CORPUS = {"documents": 10, "bytes": 70_000_000, "tokens": 20_000_000, "repositories": ["a/b (MIT)"]}


def model_folder(tmp_path: Path) -> tuple[Path, Path]:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "ledger.json").write_text(json.dumps([ENTRY, ENTRY | {"stage": "mtp"}]))
    settings = {"precision": "int8", "head_precision": "int8", "block_size": 32, "sha256": {"model.onnx": "abc"}}
    (folder / "foretoken.json").write_text(json.dumps(settings))
    for name in ("model.onnx.data", "model.safetensors"):
        (folder / name).write_bytes(bytes(1000))
    corpus = tmp_path / "typescript-train.json"
    corpus.write_text(json.dumps(CORPUS))
    return folder, corpus


def test_card_says_what_was_seen_and_what_it_cost(tmp_path: Path) -> None:
    folder, corpus = model_folder(tmp_path)
    results = {"bench": {"acceptance rate": "0.70"}, "acceptance": {"depth 4: acceptance rate": "0.60"}}
    for name, rows in results.items():
        (tmp_path / f"{name}.json").write_text(json.dumps({"card": rows}))
    text = card(model_facts(folder, [corpus], [tmp_path / f"{name}.json" for name in results]))
    assert text.startswith("---\nlicense: apache-2.0\n")
    assert "- typescript\n" in text and "a/b (MIT)" in text
    assert "Trained on 10.0 M tokens drawn from this: about 0.5 passes over it." in text
    assert "| acceptance rate | 0.70 |\n| depth 4: acceptance rate | 0.60 |" in text
    assert text.count("CPU, 2 threads") == 2


def test_later_runs_start_from_earlier_weights(tmp_path: Path) -> None:
    folder, corpus = model_folder(tmp_path)
    facts = model_facts(folder, [corpus])
    first, second = training_commands(facts)
    assert "--init-from" not in first and "--batch-size 8" in first and "--fim-rate" not in first
    assert "--init-from runs/1/model.safetensors" in second
    text = catalogue([facts])
    assert "abc  tiny/model.onnx" in text and "--out models/tiny --precision int8" in text
