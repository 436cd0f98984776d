import numpy as np
import pytest
import torch

from foretoken_train.model import CodeModel
from foretoken_train.reference import folded
from foretoken_train.static_quantisation import (
    LARGEST_WEIGHT,
    ActivationRange,
    activation_range,
    dequantise_rows,
    prepared,
    quantise_rows,
    rounded_activations,
    rounded_with_feedback,
    smoothed_copy,
)

ROWS = np.random.default_rng(3).integers(0, 512, (6, 64))


def test_rows_have_a_scale_each_and_seven_bits() -> None:
    weight = np.random.default_rng(1).normal(size=(8, 64)).astype(np.float32) * (10.0 ** np.arange(-4, 4))[:, None]
    weight = weight.astype(np.float32)
    weight[3] = 0
    quantised = quantise_rows(weight)
    assert quantised.values.dtype == np.int8
    assert np.abs(quantised.values).max() <= LARGEST_WEIGHT
    errors = np.abs(dequantise_rows(quantised) - weight).max(1)
    assert (errors <= np.abs(weight).max(1) * 0.26).all()
    typical = np.sqrt(np.square(dequantise_rows(quantised) - weight).mean(1))
    assert (typical <= np.sqrt(np.square(weight).mean(1)) * 0.02).all()
    assert (dequantise_rows(quantised)[3] == 0).all()


def test_weights_of_one_size_are_kept_exactly() -> None:
    weight = np.sign(np.random.default_rng(2).normal(size=(4, 32))).astype(np.float32) * 0.5
    assert dequantise_rows(quantise_rows(weight)) == pytest.approx(weight, rel=1e-6)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 3.0), (0.5, 2.0), (-2.0, -1.0)])
def test_a_range_covers_its_samples_and_zero(low: float, high: float) -> None:
    samples = torch.linspace(low, high, 1001)
    activation = activation_range(samples)
    assert (rounded_activations(samples, activation) - samples).abs().max() <= activation.scale
    assert rounded_activations(torch.zeros(1), activation) == 0
    assert 0 <= activation.zero_point <= 255


def test_a_few_wild_samples_do_not_cost_the_others_their_steps() -> None:
    samples = torch.cat([torch.linspace(-1, 1, 100_000), torch.tensor([10.0])])
    whole = ActivationRange(11 / 255, round(255 / 11))
    assert activation_range(samples).scale < whole.scale


def test_weights_make_up_for_one_another() -> None:
    random = torch.Generator().manual_seed(4)
    inputs = torch.randn(500, 8, generator=random) @ torch.randn(8, 48, generator=random)
    inputs += 0.1 * torch.randn(500, 48, generator=random)
    weight = torch.randn(16, 48, generator=random)
    plain = torch.from_numpy(dequantise_rows(quantise_rows(weight.numpy())))
    rounded = rounded_with_feedback(weight, inputs)
    errors = [(inputs @ (matrix - weight).T).square().mean() for matrix in (plain, rounded)]
    assert errors[1] < errors[0] / 4
    again = torch.from_numpy(dequantise_rows(quantise_rows(rounded.numpy())))
    torch.testing.assert_close(again, rounded, rtol=1e-6, atol=0)


def test_what_is_prepared_is_on_the_grid(model: CodeModel) -> None:
    prepared_model, static = prepared(model, ROWS)
    assert "head" not in static
    for name in static:
        weight = prepared_model.get_submodule(name).weight.detach()
        again = torch.from_numpy(dequantise_rows(quantise_rows(weight.numpy())))
        torch.testing.assert_close(again, weight, rtol=1e-6, atol=0)


def test_smoothing_computes_the_same(model: CodeModel) -> None:
    smoothed = smoothed_copy(model, ROWS)
    tokens = torch.from_numpy(ROWS)
    with torch.no_grad():
        states, others = model.hidden_states(tokens), smoothed.hidden_states(tokens)
        torch.testing.assert_close(others, states, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(smoothed.head(others), model.head(states), rtol=1e-3, atol=2e-3)
        drafted = model.mtp_states(states[:, :-1], tokens[:, 1:])
        again = smoothed.mtp_states(others[:, :-1], tokens[:, 1:])
        torch.testing.assert_close(again, drafted, rtol=1e-3, atol=1e-3)


def test_channels_are_evener_afterwards(model: CodeModel) -> None:
    """Each block's matrices get a range, and what goes into one is less spread over its channels than before."""
    uneven = CodeModel(model.shape).eval()
    uneven.load_state_dict(model.state_dict())
    with torch.no_grad():
        uneven.blocks[0].input_norm.weight[5] = 100
    _, static = prepared(uneven, ROWS)
    _, plain = prepared(model, ROWS)
    assert static.keys() == plain.keys()
    assert static["blocks.0.qkv"].scale < 100 / 255


def test_the_embedding_norm_is_no_part_of_an_activation_once_it_is_folded(model: CodeModel) -> None:
    """The graph multiplies it into the projection, so that its input must be measured without it."""
    scaled = CodeModel(model.shape).eval()
    scaled.load_state_dict(model.state_dict())
    with torch.no_grad():
        scaled.mtp.embedding_norm.weight.fill_(50)
    scale = prepared(folded(scaled), ROWS)[1]["mtp.projection"].scale
    assert scale < 0.2 * prepared(scaled, ROWS)[1]["mtp.projection"].scale
