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
    "settings": {
        "data": ["typescript-train"],
        "validation": ["typescript-valid"],
        "batch_size": 8,
        "fim_rate": 0.5,
        "mtp_weight": 0.0,
    },
    "validation": {},
}
TUNING = ENTRY | {
    "stage": "tune-mtp",
    "settings": ENTRY["settings"] | {"temperatures": [0.0, 0.7], "compile": False, "stop_at": 0.5},
}
MIX = ENTRY | {"stage": "mix", "tokens": 0, "settings": {"data": [], "validation": [], "share": 0.65}}
CORPUS = {"documents": 10, "bytes": 70_000_000, "tokens": 20_000_000, "repositories": ["a/b (MIT)"]}


def model_folder(tmp_path: Path) -> tuple[Path, Path]:
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "ledger.json").write_text(json.dumps([ENTRY, TUNING]))
    settings = {
        "draft_vocab_size": 100,
        "precision": "int8",
        "head_precision": "int8",
        "block_size": 32,
        "sha256": {"model.onnx": "abc"},
    }
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


def test_card_joins_losses_with_speeds_by_name(tmp_path: Path) -> None:
    folder, corpus = model_folder(tmp_path)
    rows = [
        {"name": n, "precision": n, "head_precision": n, "block_size": None, "graph_megabytes": 1, "nats_per_token": x}
        for n, x in (("fp32", 2.0), ("int8", 2.001))
    ]
    (folder / "quantisation.json").write_text(json.dumps({"validation": "valid", "rows": rows}))
    heads = [{"name": "draft-9", "draft_vocab_size": 9, "covered": 0.5, "mtp_agreement": [0.25, 0.125]}]
    (folder / "draft-heads.json").write_text(json.dumps({"precision": "int8-64", "validation": "valid", "rows": heads}))
    speed = {"tokens_per_second": 150.4, "baseline_tokens_per_second": 100.0, "speedup": 1.5}
    results = [speed | {"name": "int8"}, speed | {"name": "draft-9", "mean_acceptance_length": 2.5}]
    speeds = tmp_path / "speeds.json"
    speeds.write_text(json.dumps({"rows": results}))
    text = card(model_facts(folder, [corpus], speeds=[speeds]))
    assert "| int8 | int8 |  | 1 | 2.001 | +0.05% | 100 | 150 | 1.50 |" in text
    assert "| fp32 | fp32 |  | 1 | 2.0 | +0.00% |  |  |  |" in text
    assert "| 9 | 50.0% | 0.25 0.12 | 100 | 150 | 1.50 | 2.5 |" in text and "shipped: 100." in text


def test_later_runs_start_from_earlier_weights(tmp_path: Path) -> None:
    folder, corpus = model_folder(tmp_path)
    facts = model_facts(folder, [corpus])
    first, second = training_commands(facts)
    assert (
        "--init-from" not in first
        and "--batch-size 8" in first
        and "--mtp-weight 0.0" in first
        and "--fim-rate" not in first
    )
    assert second.startswith("foretoken-train tune-mtp ") and "--weights runs/1/model.safetensors" in second
    assert second.endswith("--temperatures 0.0 0.7 --stop-at 0.5") and "--steps 20" in second
    text = catalogue([facts])
    assert "abc  tiny/model.onnx" in text and "--out models/tiny --precision int8" in text
    assert "--draft-vocabulary 100 --draft-data runs/typescript-train.npz" in text
    assert "prepare corpus/typescript-train.jsonl.xz --tokenizer runs/tokenizer --tokenizer-every 3\n" in text


def test_mixed_are_the_two_before(tmp_path: Path) -> None:
    folder, corpus = model_folder(tmp_path)
    (folder / "ledger.json").write_text(json.dumps([ENTRY, TUNING, MIX]))
    facts = model_facts(folder, [corpus])
    assert training_commands(facts)[2] == (
        "foretoken-train mix --weights runs/1/model.safetensors runs/2/model.safetensors --share 0.65 --out runs/3"
    )
    assert facts.training_sets == ["typescript-train"]
    assert "| mix | CPU, 2 threads |" in card(facts)
