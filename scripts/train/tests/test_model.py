import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from foretoken_train import mix
from foretoken_train.evaluate import mtp_agreement
from foretoken_train.loop_losses import unlikelihood_loss
from foretoken_train.model import CodeModel, attend, document_numbers, expanded, fused_mask, stacked
from foretoken_train.optimisers import StackedMuon, build_optimizers, learning_rate_share, set_learning_rates
from foretoken_train.repetition import beyond, distinct, longest_repeat, looping, repeats
from foretoken_train.unlearn_loops import (
    LOOP_PREFIX_TOKENS,
    LOOP_TOKENS,
    MAX_PERIOD,
    made_loop,
)
from foretoken_train.weights import load_weights, save_weights


def test_weights_survive_a_round_trip(model: CodeModel, weights_path: Path) -> None:
    ids = torch.arange(30)[None]
    with torch.no_grad():
        assert torch.allclose(load_weights(weights_path).hidden_states(ids), model.hidden_states(ids), atol=1e-4)


def test_mixed_weights_lie_between(model: CodeModel, weights_path: Path, tmp_path: Path) -> None:
    other, out = tmp_path / "other.safetensors", tmp_path / "mixed"
    save_weights(CodeModel(model.shape), other, torch.float32)
    mix.run(argparse.Namespace(weights=[weights_path, other], share=0.25, out=out))
    first, second, mixed = (load_weights(path).head.weight for path in (weights_path, other, out / "model.safetensors"))
    assert torch.allclose(mixed, 0.75 * first + 0.25 * second, rtol=0.01, atol=1e-3)
    (entry,) = json.loads((out / "ledger.json").read_text())
    assert entry["stage"] == "mix" and entry["settings"]["share"] == 0.25 and entry["tokens"] == 0
    with pytest.raises(ValueError, match="expected a share from 0 to 1, got 2"):
        mix.run(argparse.Namespace(weights=[weights_path, other], share=2, out=out))


def test_later_tokens_do_not_change_earlier_states(model: CodeModel) -> None:
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.allclose(model.hidden_states(ids)[:, :10], model.hidden_states(ids[:, :10]), atol=1e-5)


def test_loss_counts_each_mtp_step(model: CodeModel) -> None:
    target, mtp = model(torch.randint(0, 512, (2, 40)), 3, end_of_text=0)
    assert target.isfinite() and len(mtp) == 3


def test_stacking_repeats_the_layers(model: CodeModel) -> None:
    grown = stacked(model, dataclasses.replace(model.shape, num_layers=4))
    assert torch.equal(grown.blocks[3].out.weight, model.blocks[1].out.weight)
    assert torch.equal(grown.blocks[2].out.weight, model.blocks[0].out.weight)


def test_expanded_layers_add_nothing_yet(model: CodeModel) -> None:
    grown, ids = expanded(model, 3 * model.shape.num_layers), torch.arange(30)[None]
    with torch.no_grad():
        assert torch.allclose(grown.hidden_states(ids), model.hidden_states(ids), atol=1e-6)
    assert torch.equal(grown.blocks[5].qkv.weight, model.blocks[1].qkv.weight)
    with pytest.raises(ValueError, match="a multiple of 2 layers, got 5"):
        expanded(model, 5)


def test_new_layers_learn_at_a_rate_of_their_own(model: CodeModel) -> None:
    arguments = argparse.Namespace(
        muon_lr=0.01,
        adamw_lr=0.001,
        muon_weight_decay=0.01,
        new_layers_rate=3.0,
        warm_up_steps=1,
        decay_share=0,
        float32=False,
    )
    optimizers = build_optimizers(model, arguments, new_layers=[1])
    set_learning_rates(optimizers, arguments, 0, 0.0)
    rates = {id(p): group["lr"] for group in optimizers[0].param_groups for p in group["params"]}
    assert rates[id(model.blocks[1].out.weight)] == pytest.approx(0.03)
    assert rates[id(model.blocks[0].out.weight)] == rates[id(model.mtp.projection.weight)] == pytest.approx(0.01)


def test_learning_rate_warms_up_and_decays() -> None:
    shares = [learning_rate_share(step, 50, step / 1000, 0.4) for step in (0, 100, 600, 800, 999)]
    assert shares[0] < 0.1 and shares[1] == shares[2] == 1 and 0.4 < shares[3] < 0.6 and shares[4] < 0.1


def test_agreement_is_one_where_the_choices_are_the_modules(model: CodeModel) -> None:
    ids = torch.randint(0, 512, (1, 24))
    with torch.no_grad():
        states = model.hidden_states(ids)
        choices = torch.zeros_like(ids)
        choices[:, 1:] = model.head(model.mtp_states(states[:, :-1], ids[:, 1:])).argmax(-1)
        assert mtp_agreement(model, ids, states, choices)[0] == 1


def test_distinct_counts_repeats() -> None:
    assert distinct(np.arange(20)) == 1
    assert distinct(np.zeros(20, int)) == 1 / 17


def test_longest_repeat_may_overlap_itself() -> None:
    assert longest_repeat(np.arange(20)) == 0
    assert longest_repeat(np.asarray([1, 2, 3, 9, 1, 2, 3, 8, 2, 3])) == 3
    assert longest_repeat(np.zeros(20, int)) == 19


def test_repeats_are_spans_seen_before() -> None:
    ids = torch.tensor([[1, 2, 3, 9, 1, 2, 3, 1, 2], [9, 8, 7, 6, 5, 4, 3, 2, 1]])
    assert repeats(ids, 3).nonzero().tolist() == [[0, 6]]
    assert repeats(ids, 2).nonzero().tolist() == [[0, 5], [0, 6], [0, 8]]


def test_loops_are_told_from_copies() -> None:
    text = list(range(20))
    copied = np.asarray([*text, 50, *text])
    assert not looping(copied, 4).any() and repeats(torch.from_numpy(copied)[None], 4).any()
    assert looping(np.asarray([*text, *[1, 2] * 5]), 4).nonzero()[0].tolist() == list(range(25, 30))
    assert looping(np.asarray([*text, *text]), 4).nonzero()[0].tolist() == [39]


def test_made_loops_repeat_what_follows_the_prefix() -> None:
    code = np.arange(LOOP_PREFIX_TOKENS + MAX_PERIOD)
    for seed in range(50):
        row = made_loop(code, np.random.default_rng(seed))
        period = len(np.unique(row)) - LOOP_PREFIX_TOKENS
        assert 1 <= period <= MAX_PERIOD and len(row) == LOOP_PREFIX_TOKENS + LOOP_TOKENS
        assert row[: LOOP_PREFIX_TOKENS + period].tolist() == code[: LOOP_PREFIX_TOKENS + period].tolist()
        assert looping(row[LOOP_PREFIX_TOKENS:], 8)[2 * MAX_PERIOD :].all()


def test_some_repetition_is_free() -> None:
    marks = torch.tensor([[False, True, True, False, True, True, False, False, True, False], [True] + 9 * [False]])
    assert beyond(marks, 0.2).nonzero().tolist() == [[0, 4], [0, 5], [0, 8]]
    assert beyond(marks, 0).equal(marks)


def test_attention_is_that_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretoken_train.model.QUERY_CHUNK", 5)
    query, key, value = torch.randn(2, 4, 13, 8), torch.randn(2, 2, 13, 8), torch.randn(2, 2, 13, 8)
    expected = scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
    assert torch.allclose(attend(query, key, value, None), expected, atol=1e-5)


def test_attention_of_one_kernel_is_the_same() -> None:
    documents = torch.tensor([[0] * 5 + [1] * 8, [0] * 13])
    query, key, value = torch.randn(2, 4, 13, 8), torch.randn(2, 2, 13, 8), torch.randn(2, 2, 13, 8)
    fused = attend(query, key, value, fused_mask(documents))
    assert torch.allclose(attend(query, key, value, documents), fused, atol=1e-5)


def test_attention_stays_inside_documents(model: CodeModel) -> None:
    ids = torch.randint(1, 512, (1, 40))
    ids[0, 15] = 0
    with torch.no_grad():
        joined = model.hidden_states(ids, document_numbers(ids, 0))
        alone = model.hidden_states(torch.cat([ids[:, 16:], ids[:, :16]], 1))[:, :24]
        # The rotary embedding is relative, so that a document's place in its row does not matter.
        assert torch.allclose(joined[:, 16:], alone, atol=1e-4)
        assert torch.allclose(joined[:, :16], model.hidden_states(ids[:, :16]), atol=1e-4)


def test_unlikelihood_counts_repeated_tokens_alone(model: CodeModel) -> None:
    ids = torch.randint(0, 512, (2, 20))
    repeated = torch.zeros(2, 12, dtype=torch.bool)
    with torch.no_grad():
        logits = model.head(model.hidden_states(ids))
    assert unlikelihood_loss(logits, ids, repeated) == 0
    repeated[1, 4] = True
    chance = logits[1, 11].softmax(-1)[ids[1, 12]]
    assert torch.allclose(
        unlikelihood_loss(logits, ids, repeated), -torch.log(1 - chance) / repeated.numel(), atol=1e-5
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_stacked_muon_is_that_of_the_library(dtype: torch.dtype) -> None:
    steps = []
    for muon in (torch.optim.Muon, lambda matrices, **settings: StackedMuon(matrices, dtype, **settings)):
        torch.manual_seed(0)
        matrices = [torch.nn.Parameter(torch.randn(shape)) for shape in ((24, 8), (8, 24), (24, 8))]
        optimizer = muon(matrices, lr=0.1, momentum=0.95, weight_decay=0.01)
        for _ in range(3):
            sum((matrix**2).sum() + matrix.sum() for matrix in matrices).backward()
            optimizer.step()
            optimizer.zero_grad()
        steps.append(matrices)
    for theirs, ours in zip(*steps, strict=True):
        assert torch.allclose(theirs, ours, atol=0.02)
