import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import torch.nn.functional as F
from conftest import SHAPE
from tokenizers import Tokenizer

from foretoken_train import export
from foretoken_train.cached_session import CachedSession, attention_bias
from foretoken_train.model import CodeModel
from foretoken_train.onnx_evaluation import onnx_agreement, onnx_loss
from foretoken_train.quantise import Precision
from foretoken_train.reference import export_weights, quantised_model
from foretoken_train.weights import save_weights


def tokens_file(tokenizer_folder: Path, path: Path) -> Path:
    """This package's own source."""
    tokenizer = Tokenizer.from_file(str(tokenizer_folder / "tokenizer.json"))
    sources = [p.read_text() for p in sorted(Path(export.__file__).parent.glob("*.py"))]
    documents = [np.asarray(tokenizer.encode(source).ids, np.uint16) for source in sources]
    offsets = np.cumsum([0, *(len(document) for document in documents)])
    np.savez(path, tokens=np.concatenate(documents), offsets=offsets, weights=np.ones(len(documents)))
    return path


def exported(
    weights_path: Path, tokenizer_folder: Path, folder: Path, precision: str, block_size: int = 32, more: str = ""
) -> Path:
    if precision == "int8-static":
        more += f" --calibration {tokens_file(tokenizer_folder, folder.parent / f'{folder.name}.npz')}"
    parser = argparse.ArgumentParser()
    export.add_arguments(parser)
    export.run(
        parser.parse_args(
            f"--weights {weights_path} --tokenizer {tokenizer_folder} --out {folder} "
            f"--precision {precision} --block-size {block_size} {more}".split()
        )
    )
    return folder


def test_every_second_row_of_the_calibration_goes_on_in_the_models_own_words(
    model: CodeModel, tokenizer_folder: Path, tmp_path: Path
) -> None:
    data = [tokens_file(tokenizer_folder, tmp_path / "tokens.npz")]
    rows = export.calibration_rows(model, data, tokenizer_folder)
    other = CodeModel(model.shape).eval()
    others = export.calibration_rows(other, data, tokenizer_folder)
    assert rows.shape == (export.CALIBRATION_ROWS, export.CALIBRATION_LENGTH)
    assert (rows[::2] == others[::2]).all()
    assert (rows[1::2, : export.CALIBRATION_PROMPT] == others[1::2, : export.CALIBRATION_PROMPT]).all()
    assert (rows[1::2, export.CALIBRATION_PROMPT :] != others[1::2, export.CALIBRATION_PROMPT :]).any(1).all()


@pytest.mark.parametrize(
    ("precision", "block_size"), [("fp32", 32), ("int8", 32), ("int4", 32), ("int8", 64), ("int8-static", 32)]
)
def test_graphs_agree_with_pytorch(
    precision: str, block_size: int, weights_path: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    """`export` itself checks the target in one pass, through its cache with rollback, and the chained MTP module."""
    exported(weights_path, tokenizer_folder, tmp_path, precision, block_size)
    config = json.loads((tmp_path / "foretoken.json").read_text())
    assert config["precision"] == precision
    assert config["exact_widths"] in ("all", "from_two", "even")
    assert set(config["sha256"]) == {
        "genai_config.json",
        "model.onnx",
        "mtp.onnx",
        "model-2.onnx",
        "mtp-2.onnx",
        "model-4.onnx",
        "mtp-4.onnx",
        "model.onnx.data",
        "tokenizer.json",
        "tokenizer_config.json",
    }


def test_both_graphs_point_at_the_same_bytes(weights_path: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    exported(weights_path, tokenizer_folder, tmp_path, "int8")
    places = {}
    for name in ("model.onnx", "mtp.onnx"):
        graph = onnx.load(tmp_path / name, load_external_data=False).graph
        places[name] = {
            i.name: {entry.key: entry.value for entry in i.external_data} for i in graph.initializer if i.external_data
        }
    for shared in ("logits.quantised", "logits.scales", "embedding.quantised", "cos", "sin"):
        assert places["model.onnx"][shared] == places["mtp.onnx"][shared]
    assert all(int(place["offset"]) % 4096 == 0 for place in places["model.onnx"].values())


def test_drafts_come_from_the_most_frequent_tokens(weights_path: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    ids = np.concatenate([np.full(3, 400), np.full(2, 7), np.arange(512)]).astype(np.uint16)
    np.savez(tmp_path / "counts.npz", tokens=ids, offsets=np.asarray([0, len(ids)]), weights=np.ones(1))
    more = f"--draft-vocabulary 64 --draft-data {tmp_path / 'counts.npz'}"
    folder = exported(weights_path, tokenizer_folder, tmp_path / "few", "int8", more=more)
    whole = exported(weights_path, tokenizer_folder, tmp_path / "all", "int8")
    logits = []
    for each in (folder, whole):
        session = CachedSession(each / "mtp.onnx", 1, 8)
        states = np.linspace(-1, 1, 2 * 64, dtype=np.float32).reshape(1, 2, 64)
        logits.append(session.run(np.asarray([5, 9]), 0, hidden_states=states)["logits"][0, 0])
    may_be_drafted = np.isfinite(logits[0])
    assert may_be_drafted.sum() == 64 and may_be_drafted[[7, 400]].all()
    assert (logits[0][may_be_drafted] == logits[1][may_be_drafted]).all()
    assert json.loads((folder / "foretoken.json").read_text())["draft_vocab_size"] == 64


def test_a_wrong_graph_is_refused(
    weights_path: Path, tokenizer_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong_weights(model: CodeModel) -> dict[str, np.ndarray]:
        weights = export_weights(model)
        return weights | {"norm.weight": weights["norm.weight"] * 2}

    monkeypatch.setattr(export, "export_weights", wrong_weights)
    with pytest.raises(SystemExit):
        exported(weights_path, tokenizer_folder, tmp_path, "fp32")


def test_folding_leaves_the_function_unchanged(model: CodeModel) -> None:
    fp32 = Precision(32, None)
    folded = quantised_model(model, fp32, fp32)
    ids = torch.arange(40)[None]
    with torch.no_grad():
        states = model.hidden_states(ids)
        assert torch.allclose(folded.hidden_states(ids), states, atol=1e-4)
        expected = model.mtp_states(states[:, :-1], ids[:, 1:])
        assert torch.allclose(folded.mtp_states(states[:, :-1], ids[:, 1:]), expected, atol=1e-4)


def test_onnx_loss_is_pytorchs(model: CodeModel, weights_path: Path, tokenizer_folder: Path, tmp_path: Path) -> None:
    folder = exported(weights_path, tokenizer_folder, tmp_path, "fp32")
    rows = np.random.default_rng(0).integers(0, 512, (2, 64))
    with torch.no_grad():
        logits = model.head(model.hidden_states(torch.from_numpy(rows)))[:, :-1]
    expected = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(rows[:, 1:]).flatten()).item()
    assert onnx_loss(folder, rows) == pytest.approx(expected, abs=1e-4)
    shares = onnx_agreement(folder, rows, 3)
    assert len(shares) == 3 and all(0 <= share <= 1 for share in shares)


def test_every_key_value_head_has_its_cache(tokenizer_folder: Path, tmp_path: Path) -> None:
    """As above, with two caches a layer and two query heads to each."""
    torch.manual_seed(2)
    weights = tmp_path / "two.safetensors"
    save_weights(CodeModel(replace(SHAPE, num_heads=4, num_kv_heads=2, head_size=16)), weights, torch.float32)
    exported(weights, tokenizer_folder, tmp_path / "two", "fp32")
    session = CachedSession(tmp_path / "two" / "model.onnx", 1, 64)
    assert len(session.caches) == 2 * 2 * SHAPE.num_layers and session.group_size == 2


def test_the_graph_for_other_runtimes_is_the_same_model(
    weights_path: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    exported(weights_path, tokenizer_folder, tmp_path, "fp32")
    ids = np.random.default_rng(3).integers(0, 512, 30)
    expected = CachedSession(tmp_path / "model.onnx", 1, 64).run(ids, 0)["logits"]
    session = ort.InferenceSession(tmp_path / "standard.onnx", providers=["CPUExecutionProvider"])
    outputs = [output.name for output in session.get_outputs()]
    caches = {
        value.name: np.zeros((1, 1, 0, 32), np.float32)
        for value in session.get_inputs()
        if value.name.startswith("past_key_values.")
    }
    logits = []
    for part in (ids[:20], ids[20:21], ids[21:]):
        past_length = next(iter(caches.values())).shape[2]
        mask = np.ones((1, past_length + len(part)), np.int64)
        values = session.run(outputs, {"input_ids": part[None], "attention_mask": mask} | caches)
        named = dict(zip(outputs, values, strict=True))
        logits.append(named["logits"])
        caches = {name: named[name.replace("past_key_values", "present")] for name in caches}
    assert np.allclose(np.concatenate(logits, axis=1), expected, atol=1e-3)


@pytest.mark.parametrize(("precision", "block_size"), [("int8", 32), ("int8", 64), ("int8-static", 32)])
def test_sequences_that_share_a_pass_get_what_each_gets_alone(
    precision: str, block_size: int, weights_path: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    exported(weights_path, tokenizer_folder, tmp_path, precision, block_size)
    assert json.loads((tmp_path / "foretoken.json").read_text())["exact_widths"] == "all"
    generator = np.random.default_rng(1)
    for count in (2, 4):
        pasts, widths = [7, 40, 23, 100][:count], [2, 5, 3, 9][:count]
        alone, positions, buffers = [], [], {}
        for sequence, (past, width) in enumerate(zip(pasts, widths, strict=True)):
            ids = generator.integers(0, 512, past + width)
            session = CachedSession(tmp_path / "model.onnx", 1, 128)
            session.run(ids[:past], 0)
            for layer in range(2):
                for part in ("key", "value"):
                    name = f"past_key_values.{layer}.{part}"
                    buffers[f"past_key_values.{sequence}.{layer}.{part}"] = session.caches[name].copy()
            positions.append(np.arange(past, past + width))
            bias = attention_bias(past, width, session.group_size, session.buffer_length)
            buffers[f"attention_bias.{sequence}"] = bias
            alone.append((ids[past:], session.run(ids[past:], past)))
        session = ort.InferenceSession(tmp_path / f"model-{count}.onnx", providers=["CPUExecutionProvider"])
        feeds = {
            "input_ids": np.concatenate([ids for ids, _ in alone])[None],
            "position_ids": np.concatenate(positions)[None],
            "widths": np.asarray(widths),
            "past_lengths": np.asarray(pasts),
        }
        logits, states = session.run(["logits", "hidden_states"], feeds | buffers)
        for index, (ids, expected) in enumerate(alone):
            rows = slice(sum(widths[:index]), sum(widths[: index + 1]))
            assert len(ids) == widths[index]
            assert (logits[:, rows] == expected["logits"]).all()
            assert (states[:, rows] == expected["hidden_states"]).all()
