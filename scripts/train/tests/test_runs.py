"""Whole training commands on a tiny model and corpus."""

import argparse
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from foretoken_train import pretrain, tune_mtp, unlearn_loops
from foretoken_train.weights import load_weights

TEXT = "".join(f"export const value{i} = (a: number) => a * {i};\n" for i in range(40))


@pytest.fixture
def data(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    ids = np.asarray(tokenizer.encode(TEXT).ids, np.uint16)
    path = tmp_path / "sample.npz"
    np.savez(path, tokens=np.tile(ids, 3), offsets=np.arange(4) * len(ids), weights=np.ones(3, np.float32))
    return path


def ran(command: ModuleType, out: Path, data: Path, tokenizer_folder: Path, more: str) -> list[dict]:
    """The run's log."""
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    places = f"--data {data} --validation {data} --tokenizer {tokenizer_folder} --out {out} --device cpu"
    command.run(parser.parse_args(f"{places} {more}".split()))
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def pretrained(out: Path, data: Path, tokenizer_folder: Path, steps: int) -> list[dict]:
    shape = "--hidden-size 64 --num-layers 2 --num-heads 1 --num-kv-heads 1 --intermediate-size 96"
    more = f"--steps {steps} --batch-size 4 --sequence-length 64 --warm-up-steps 2 {shape}"
    return ran(pretrain, out, data, tokenizer_folder, more)


def test_pretraining_repeats_and_learns(data: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    first, second = (pretrained(tmp_path / name, data, tokenizer_folder, 12) for name in ("1", "2"))
    curves = [[line["losses"] for line in log if "losses" in line] for log in (first, second)]
    assert curves[0] == curves[1] and len(curves[0]) == 12
    assert curves[0][-1][0] < curves[0][0][0] - 0.5
    (entry,) = json.loads((tmp_path / "1" / "ledger.json").read_text())
    assert entry["stage"] == "pretrain" and entry["tokens"] == 12 * 4 * 64


def test_tuning_changes_its_part_alone(data: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    pretrained(tmp_path / "1", data, tokenizer_folder, 3)
    start = f"--steps 3 --weights {tmp_path / '1' / 'model.safetensors'} --prompt-length 8 --new-tokens 24 --span 4"
    log = ran(unlearn_loops, tmp_path / "2", data, tokenizer_folder, f"{start} --pool 8 --prompts 4 --batch-size 2")
    assert "validation" in log[-1] and all(0 <= line["repeated"] <= 1 for line in log if "repeated" in line)
    start = f"--steps 3 --weights {tmp_path / '2' / 'model.safetensors'} --prompt-length 8 --new-tokens 24 --pool 8"
    log = ran(tune_mtp, tmp_path / "3", data, tokenizer_folder, f"{start} --validation-prompts 8 --batch-size 4")
    measured = log[-1]["validation"]["sample"]
    assert len(measured["greedy"]) == len(measured["sampled"]) == 4
    before, unlearned, tuned = (load_weights(tmp_path / n / "model.safetensors") for n in "123")
    for name, parameter in before.named_parameters():
        mine = name.startswith("mtp.")
        assert torch.equal(parameter, unlearned.get_parameter(name)) == mine or parameter.ndim == 1, name
        assert torch.equal(unlearned.get_parameter(name), tuned.get_parameter(name)) != mine or parameter.ndim == 1


def test_the_module_can_learn_while_loops_are_unlearned(data: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    pretrained(tmp_path / "1", data, tokenizer_folder, 3)
    start = f"--steps 3 --weights {tmp_path / '1' / 'model.safetensors'} --prompt-length 8 --new-tokens 24 --span 4"
    chains = "--mtp-weight 1 --mtp-rows 1 --agreement 0.5 --tv-weight 0.5 --coupled-weight 0.4"
    rows = "--pool 8 --prompts 4 --sampled-prompts 1 --batch-size 2"
    log = ran(unlearn_loops, tmp_path / "2", data, tokenizer_folder, f"{start} {rows} {chains}")
    assert all(line["chains"] > 0 and line["own"] > 0 for line in log if "likelihood" in line)
    assert len(log[-1]["validation"]["sample"]["greedy"]) == 4
    before, after = (load_weights(tmp_path / n / "model.safetensors") for n in "12")
    for name, parameter in before.named_parameters():
        assert not torch.equal(parameter, after.get_parameter(name)) or parameter.ndim == 1, name
