"""What is read of a forward pass, against float64 and by hand."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from sftgen_train.training.tokens import outputs
from sftgen_train.training.tokens.counting import Counts, Tally, summed
from sftgen_train.training.tokens.outputs import NO_KEY, Tokens, UnreadError, read
from sftgen_train.training.tokens.rising import CHANGE, Seen

IGNORED = outputs.IGNORED


@dataclass
class Output:
    logits: Tensor | None = None
    log_probs: Tensor | None = None
    is_top1: Tensor | None = None
    label_mask: Tensor | None = None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_give_the_losses_of_float64(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    logits = (6 * torch.randn(3, 9, 50)).to(dtype).requires_grad_()
    ids = torch.randint(0, 50, (3, 9))
    labels = ids.masked_fill(torch.rand(3, 9) < 0.3, IGNORED)
    monkeypatch.setattr(outputs, "LARGEST_COPY", 4 * 50 * 4)  # four positions at once
    tokens = read((), {"input_ids": ids, "labels": labels}, Output(logits=logits))
    wanted = -logits.detach().double()[:, :-1].log_softmax(-1)
    counted = labels[:, 1:] != IGNORED
    expected = wanted.gather(-1, ids[:, 1:, None])[..., 0][counted]
    torch.testing.assert_close(tokens.losses[counted].double(), expected, rtol=1e-6, atol=2e-6)
    assert torch.equal(tokens.right[counted], (logits[:, :-1].argmax(-1) == ids[:, 1:])[counted])
    assert torch.equal(tokens.counted, counted)
    assert not tokens.losses.requires_grad


def test_labels_that_are_shifted_already_are_not_shifted_again() -> None:
    logits, ids = torch.randn(2, 5, 7), torch.randint(0, 7, (2, 5))
    ahead = torch.cat([ids[:, 1:], torch.full((2, 1), IGNORED)], 1)
    once = read((ids,), {"labels": ids}, Output(logits=logits))
    again = read((ids,), {"shift_labels": ahead}, Output(logits=logits))
    assert torch.equal(again.losses[:, :-1], once.losses)
    assert torch.equal(again.keys[:, :-1], once.keys)
    assert not again.counted[:, -1].any()


def test_nothing_waits_for_the_device() -> None:
    """A fake tensor has no values: whatever needs one on the way raises."""
    with FakeTensorMode():
        ids = torch.zeros(4, 600, dtype=torch.long)
        shape = (4, 599)
        fused = Output(
            log_probs=torch.zeros(shape), is_top1=torch.zeros(shape).bool(), label_mask=torch.ones(shape).bool()
        )
        for output in (fused, Output(logits=torch.zeros(4, 600, 50, dtype=torch.bfloat16))):
            tokens = read((), {"input_ids": ids, "labels": ids, "attention_mask": torch.ones_like(ids)}, output)
            tally = Tally()
            for part in tokens.parts(2):
                tally.add(part)
            assert len(tally) == 2
        with pytest.raises(DataDependentOutputException):  # what a value would do
            bool(ids.sum() > 3)


@pytest.mark.parametrize(
    ("given", "output", "says"),
    [
        ({}, Output(logits=torch.zeros(1, 3, 5)), "keeps the labels from the model"),
        ({"labels": torch.zeros(1, 3).long()}, Output(), "makes no logits"),
        ({"labels": torch.zeros(1, 9).long()}, Output(logits=torch.zeros(1, 3, 5)), "logits of shape"),
    ],
)
def test_a_pass_that_says_nothing_is_named(given: dict[str, Any], output: Output, says: str) -> None:
    with pytest.raises(UnreadError, match=says):
        read((), given, output)


def keys_of(rows: list[list[int]], **given: Tensor) -> Tensor:
    ids = torch.tensor(rows)
    found = read((), {"input_ids": ids, "labels": ids, **given}, Output(logits=torch.zeros(*ids.shape, 100)))
    assert found.keys is not None
    return found.keys


def test_a_token_has_one_key_wherever_its_sequence_stands() -> None:
    alone = keys_of([[5, 6, 7, 8]])[0]
    assert len(set(alone.tolist())) == 3
    assert ((alone >= 0) & (alone < NO_KEY)).all()
    right = keys_of([[9, 9, 9, 9, 9, 9], [5, 6, 7, 8, 0, 0]], attention_mask=torch.tensor([[1] * 6, [1] * 4 + [0] * 2]))
    assert torch.equal(right[1, :3], alone)
    left = keys_of([[0, 0, 5, 6, 7, 8]], attention_mask=torch.tensor([[0] * 2 + [1] * 4]))
    assert torch.equal(left[0, 2:], alone)
    packed = keys_of([[3, 4, 5, 6, 7, 8, 1, 2]], position_ids=torch.tensor([[0, 1, 0, 1, 2, 3, 0, 1]]))
    assert torch.equal(packed[0, 2:5], alone)
    # Another token before it, another order, another label or another place is another token.
    others = [keys_of([row])[0] for row in ([5, 9, 7, 8], [6, 5, 7, 8], [5, 6, 7, 9], [7, 5, 6, 7, 8])]
    assert all(int(other[-1]) != int(alone[2]) for other in others)
    assert torch.equal(others[2][:2], alone[:2])


def counted(losses: Tensor, counted: Tensor | None = None, keys: Tensor | None = None) -> Counts:
    tally = Tally()
    there = torch.ones_like(losses, dtype=torch.bool) if counted is None else counted
    tally.add(Tokens(losses, losses < 0.5, there, keys))
    return tally.take()


def test_quantiles_of_the_histogram_are_within_six_tenths_of_a_percent() -> None:
    torch.manual_seed(0)
    losses = torch.exp(3 * torch.randn(40, 500) - 3).clamp(max=60)
    found = counted(losses)
    for share in (0.05, 0.25, 0.5, 0.75, 0.95):
        exact = float(np.quantile(losses.double().numpy(), share, method="inverted_cdf"))
        assert found.quantile(share) == pytest.approx(exact, rel=0.006)
    assert found.loss == pytest.approx(float(losses.double().sum()), rel=1e-9)
    assert (found.tokens, found.right) == (20_000, int((losses < 0.5).sum()))


def test_what_is_masked_or_no_number_is_in_no_mean() -> None:
    losses = torch.tensor([[1.0, torch.nan, torch.inf, 0.0, -1e-7, 1e9, 3.0]])
    found = counted(losses, torch.tensor([[1, 1, 1, 1, 1, 1, 0]]).bool(), torch.arange(7)[None])
    assert (found.tokens, found.not_finite, int(found.bins.sum())) == (6, 2, 4)
    assert found.loss == pytest.approx(1e9 + 1)
    assert sorted(found.keys.tolist()) == [0, 3, 4, 5]
    assert (found.quantile(0.25), found.quantile(1.0)) == (0.0, 64.0)
    assert np.isnan(Counts().quantile(0.5))
    both = summed([found, found, Counts()])
    assert (both.tokens, both.right, len(both.keys)) == (12, 4, 8)


def test_a_sample_of_tokens_is_bounded_and_says_what_rose() -> None:
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 2**62, 5000)
    seen = Seen(most=400)
    first = rng.random(5000).astype(np.float32)
    before = seen.compare(Counts(keys=keys, losses=first))
    assert before.again == 0
    assert before.rising is None
    assert 200 <= len(seen) <= 400
    change = rng.choice([-0.2, 0.0, 0.05, 0.2], 5000, p=[0.3, 0.2, 0.2, 0.3]).astype(np.float32)
    order = rng.permutation(5000)
    after = seen.compare(Counts(keys=keys[order], losses=(first + change)[order]))
    assert after.sampled == after.again == len(seen)
    kept = np.sort(keys)[: after.again]  # the smallest keys, whenever they came
    of = np.isin(keys, kept)
    assert after.rising == pytest.approx(float((change[of] > CHANGE).mean()))
    assert after.falling == pytest.approx(float((change[of] < -CHANGE).mean()))


def test_parts_of_a_batch_are_equal() -> None:
    given = Tokens(torch.arange(8.0).view(4, 2), None, torch.ones(4, 2).bool(), None)
    assert [part.losses[0, 0].item() for part in given.parts(2)] == [0.0, 4.0]
    with pytest.raises(UnreadError, match="4 rows, expected 3 equal parts"):
        list(given.parts(3))


def test_trainers_that_have_no_such_tokens_are_named() -> None:
    from trl import DistillationConfig, KTOConfig

    decoder, both = (SimpleNamespace(config=SimpleNamespace(is_encoder_decoder=of)) for of in (False, True))
    for kind, says in ((DistillationConfig, "neither logits"), (KTOConfig, "undesirable")):
        args: Any = kind.__new__(kind)
        assert not outputs.source_of(args, decoder).kinds
        assert says in outputs.source_of(args, decoder).reason
    assert "encoder-decoder" in outputs.source_of(args, both).reason
