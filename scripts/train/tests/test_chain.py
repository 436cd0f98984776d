import torch

from foretoken_train.chain import chained_states
from foretoken_train.chain_losses import ChainLossWeights, chain_acceptance, chain_losses, coupled_loss
from foretoken_train.continuations import CachedDecoder, choose, continued, gumbel
from foretoken_train.model import CodeModel, document_numbers
from foretoken_train.tune_mtp import frozen_chain_losses

LENGTH = 24
STEPS = 4


def served_chain(model: CodeModel, hidden: torch.Tensor, ids: torch.Tensor, start: int, steps: int) -> list:
    """One chain, as served: first-step entries up to `start`, then the chain's own, one after the other."""
    embedded = model.embed(ids)
    inputs = model.mtp.joined(hidden[:, : start + 1], embedded[:, 1 : start + 2])
    states = []
    for step in range(1, steps + 1):
        length = inputs.shape[1]
        output = model.mtp.norm(model.mtp.block(inputs, model.cos[:length], model.sin[:length], None))
        states.append(output[:, -1:])
        following = model.mtp.joined(states[-1], embedded[:, start + step + 1 : start + step + 2])
        inputs = torch.cat([inputs, following], dim=1)
    return states


def test_chains_see_what_they_see_when_served(model: CodeModel) -> None:
    ids = torch.randint(0, 512, (2, LENGTH))
    with torch.no_grad():
        hidden = model.hidden_states(ids)
        chains = chained_states(model, hidden, ids, STEPS, None)
        for start in (0, 7, LENGTH - STEPS - 2):
            for chained, served in zip(chains, served_chain(model, hidden, ids, start, STEPS), strict=True):
                assert torch.allclose(chained[:, start : start + 1], served, atol=1e-4)


def test_first_step_is_the_module(model: CodeModel) -> None:
    ids = torch.randint(0, 512, (2, LENGTH))
    with torch.no_grad():
        hidden = model.hidden_states(ids)
        (first,) = chained_states(model, hidden, ids, 1, None)
        assert torch.allclose(first, model.mtp_states(hidden[:, :-1], ids[:, 1:]), atol=1e-5)


def test_chains_stay_inside_documents(model: CodeModel) -> None:
    ids = torch.randint(1, 512, (1, LENGTH))
    ids[0, 9] = 0
    other = ids.clone()
    other[0, :9] = torch.randint(1, 512, (9,))
    with torch.no_grad():
        chains = [
            chained_states(model, model.hidden_states(row, numbers), row, 3, numbers)
            for row in (ids, other)
            for numbers in [document_numbers(row, 0)]
        ]
    for one, two in zip(*chains, strict=True):
        assert torch.allclose(one[:, 10:], two[:, 10:], atol=1e-5)
        assert not torch.allclose(one[:, 5], two[:, 5], atol=1e-3)


def test_cached_decoding_gives_the_logits_of_one_pass(model: CodeModel) -> None:
    ids = torch.randint(0, 512, (3, 12))
    decoder = CachedDecoder(model, batch=3, max_length=12)
    with torch.no_grad():
        expected = model.head(model.hidden_states(ids))
        assert torch.allclose(decoder.append(ids[:, :7]), expected[:, 6], atol=1e-4)
        for place in range(7, 12):
            assert torch.allclose(decoder.append(ids[:, place : place + 1]), expected[:, place], atol=1e-4)


def test_continuations_keep_the_prompt_and_repeat_with_the_seed(model: CodeModel) -> None:
    prompts = torch.randint(0, 512, (2, 8))
    temperatures = torch.tensor([0.0, 1.0])
    first, second = (continued(model, prompts, 6, temperatures, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.shape == (2, 14) and torch.equal(first[:, :8], prompts) and torch.equal(first, second)


def test_choices_follow_the_distribution() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.2])).expand(20_000, 3)
    random = torch.Generator().manual_seed(1)
    shares = torch.bincount(choose(logits, torch.ones(20_000), random), minlength=3) / 20_000
    assert torch.allclose(shares, torch.tensor([0.5, 0.3, 0.2]), atol=0.02)
    assert (choose(logits, torch.zeros(20_000), random) == 0).all()


def test_chain_losses_train_the_module_alone(model: CodeModel) -> None:
    ids = torch.randint(1, 512, (2, LENGTH))
    losses = frozen_chain_losses(model, ids, STEPS, ChainLossWeights(0, 1, 0), torch.tensor(0.8), end_of_text=0)
    assert losses.shape == (STEPS,) and (losses > 0).all() and (losses < 1).all()
    halves = ChainLossWeights(0, 0.5, 0.5)
    coupled = frozen_chain_losses(model, ids, STEPS, halves, torch.tensor(0.8), end_of_text=0)
    assert (coupled > losses / 2).all()
    losses.sum().backward()
    assert model.mtp.projection.weight.grad is not None and model.blocks[0].out.weight.grad is None
    model.zero_grad()


def test_agreement_draws_the_target_to_the_draft(model: CodeModel) -> None:
    ids = torch.randint(1, 512, (2, LENGTH))
    hidden = model.hidden_states(ids)
    for agreement in (0.0, 0.5):
        target = model.head(hidden).float().detach().requires_grad_()
        weights = ChainLossWeights(0, 1, 0, agreement)
        losses = chain_losses(model, hidden, target, ids, STEPS, weights, torch.tensor(0.0), None)
        gradient = torch.autograd.grad(losses.sum(), target, allow_unused=True)[0]
        if agreement:
            closer = (target - 20 * gradient).detach()
            nearer = chain_losses(model, hidden, closer, ids, STEPS, weights, torch.tensor(0.0), None)
            assert (nearer < losses).all()
        else:
            assert gradient is None


def test_rows_may_agree_each_by_its_own_share(model: CodeModel) -> None:
    ids = torch.randint(1, 512, (2, LENGTH))
    hidden = model.hidden_states(ids)
    target = model.head(hidden).float().detach().requires_grad_()
    weights = ChainLossWeights(0, 1, 0, torch.tensor([0.0, 0.5])[:, None, None])
    losses = chain_losses(model, hidden, target, ids, STEPS, weights, torch.tensor(0.0), None)
    (gradient,) = torch.autograd.grad(losses.sum(), target)
    assert not gradient[0].any() and gradient[1].any()


def test_coupled_loss_is_of_the_choice_under_the_same_noise() -> None:
    wanted = torch.log(torch.tensor([0.7, 0.2, 0.1])).expand(4_000, 3)
    other = torch.log(torch.tensor([0.1, 0.2, 0.7])).expand(4_000, 3)
    greedy, warm = torch.tensor(0.0), torch.tensor(1.0)
    noise = gumbel(wanted.shape, wanted.device, torch.Generator().manual_seed(1))
    assert torch.allclose(coupled_loss(wanted, wanted, greedy, noise), -torch.log(torch.tensor(0.7)), atol=1e-4)
    # The same logits choose the same token; others are sometimes right by luck.
    assert coupled_loss(50 * wanted, 50 * wanted, warm, noise) < 0.1
    assert coupled_loss(wanted, wanted, warm, noise) < coupled_loss(other, wanted, warm, noise)


def test_acceptance_counts_what_the_drafts_before_it_reached(model: CodeModel) -> None:
    ids = torch.randint(0, 512, (2, LENGTH))
    for temperature, coupled in ((0, False), (0.8, False), (0.8, True)):
        accepted, reached = chain_acceptance(model, ids, 8, 3, temperature, coupled)
        assert reached[0] == 2 * (LENGTH - 3 - 7)
        assert torch.allclose(reached[1:], accepted[:-1], atol=1e-4)
