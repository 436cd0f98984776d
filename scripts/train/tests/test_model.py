import dataclasses
from pathlib import Path

import numpy as np
import torch

from foretoken_train.evaluate import mtp_agreement
from foretoken_train.model import CodeModel, stacked
from foretoken_train.optimisers import learning_rate_share
from foretoken_train.repetition import distinct, longest_repeat
from foretoken_train.weights import load_weights


def test_weights_survive_a_round_trip(model: CodeModel, weights_path: Path) -> None:
    ids = torch.arange(30)[None]
    with torch.no_grad():
        assert torch.allclose(load_weights(weights_path).hidden_states(ids), model.hidden_states(ids), atol=1e-4)


def test_later_tokens_do_not_change_earlier_states(model: CodeModel) -> None:
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.allclose(model.hidden_states(ids)[:, :10], model.hidden_states(ids[:, :10]), atol=1e-5)


def test_loss_counts_each_mtp_step(model: CodeModel) -> None:
    target, mtp = model(torch.randint(0, 512, (2, 40)), 3)
    assert target.isfinite() and len(mtp) == 3


def test_stacking_repeats_the_layers(model: CodeModel) -> None:
    grown = stacked(model, dataclasses.replace(model.shape, num_layers=4))
    assert torch.equal(grown.blocks[3].out.weight, model.blocks[1].out.weight)
    assert torch.equal(grown.blocks[2].out.weight, model.blocks[0].out.weight)


def test_learning_rate_warms_up_and_decays() -> None:
    shares = [learning_rate_share(step, step / 1000, 0.4) for step in (0, 100, 600, 800, 999)]
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
