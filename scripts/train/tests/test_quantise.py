import numpy as np
import pytest

from foretoken_train.quantise import Precision, dequantise, quantise, stored


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("num_inputs", [64, 80])
def test_restores_weights_within_half_a_step(bits: int, num_inputs: int) -> None:
    weight = np.random.default_rng(0).standard_normal((5, num_inputs)).astype(np.float32)
    quantised = quantise(weight, Precision(bits, 32))
    num_blocks = -(-num_inputs // 32)
    assert quantised.values.shape == (5, num_blocks, 32 * bits // 8)
    assert quantised.scales.shape == (5, num_blocks)
    step = np.abs(weight).max() / 2 ** (bits - 1)
    # The range may end a step short of the largest weight of the other sign, and be cut by a quarter at 4 bit.
    slack = 1.01 * step if bits == 8 else 3 * step
    assert np.abs(dequantise(quantised) - weight).max() <= slack


def test_keeps_zeros_and_a_blocks_largest_weight() -> None:
    weight = np.zeros((1, 32), np.float32)
    assert (stored(weight, Precision(8, 32)) == 0).all()
    weight[0, 3] = 0.75
    assert stored(weight, Precision(8, 32))[0, 3] == np.float32(0.75)


def test_four_bit_pairs_have_the_low_half_first() -> None:
    weight = np.zeros((1, 32), np.float32)
    weight[0, 0] = 1.0
    quantised = quantise(weight, Precision(4, 32))
    assert quantised.values[0, 0, 0] & 15 == 0 and quantised.values[0, 0, 0] >> 4 == 8
    assert quantised.scales[0, 0] == np.float32(-1 / 8)
