import numpy as np
import pytest

from foretoken_train.ngram import NgramModel

VOCAB_SIZE = 11


@pytest.fixture(scope="module")
def model() -> NgramModel:
    random = np.random.default_rng(1)
    # Mostly a cycle of 0..6, now and then a random token: there is something to learn, and not everything is seen.
    tokens = np.arange(3000) % 7
    noisy = random.random(3000) < 0.1
    tokens[noisy] = random.integers(0, VOCAB_SIZE, noisy.sum())
    return NgramModel(tokens, VOCAB_SIZE, order=4)


def test_probabilities_sum_to_one_for_seen_and_unseen_contexts(model: NgramModel):
    for context in ([0, 1, 2], [9, 9, 9], [5, 10, 3]):
        contexts = np.tile(context, (VOCAB_SIZE, 1))
        probabilities = model.probabilities(contexts, np.arange(VOCAB_SIZE))
        assert probabilities.sum() == pytest.approx(1, abs=1e-9)
        assert (probabilities > 0).all()


def test_it_learns_the_cycle(model: NgramModel):
    assert model.next_token(np.asarray([8, 0, 1, 2])) == 3
    assert model.next_token(np.asarray([5])) == 6
    assert 0 <= model.next_token(np.asarray([], np.int64)) < VOCAB_SIZE
    cycle = (np.arange(140) % 7)[None]
    assert model.nats_per_token(cycle) < 0.3
    assert model.nats_per_token(np.random.default_rng(2).integers(0, VOCAB_SIZE, (1, 140))) > 1.5


def test_a_bigram_agrees_with_the_formula_by_hand():
    # Bigrams 01 x2, 10 x1, 12 x1; once = 2, twice = 1: discount 2 / 4.
    model = NgramModel(np.asarray([0, 1, 0, 1, 2]), 3, order=2)
    # Different left neighbours: 0 has {1}, 1 has {0}, 2 has {1}: one each, so the unigram is 1/3 whatever its discount.
    expected = [(2 - 0.5) / 2 + 0.5 * 1 / 2 / 3, (1 - 0.5) / 2 + 0.5 * 2 / 2 / 3, 0.5 * 2 / 2 / 3]
    actual = model.probabilities(np.asarray([[0], [1], [1]]), np.asarray([1, 2, 1]))
    assert actual == pytest.approx(expected)


def test_codes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"expected vocab_size \*\* order below"):
        NgramModel(np.zeros(10, np.int64), 100_000, order=5)
