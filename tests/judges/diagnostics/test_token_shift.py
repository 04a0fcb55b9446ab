"""Token shift: numbers against float64, memory by the window, kinds of words, loss classes, what is kept."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch

from sftgen_judges.diagnostics.token_shift import forcing
from sftgen_judges.diagnostics.token_shift.alignment import stretches, summed
from sftgen_judges.diagnostics.token_shift.forcing import QUANTITIES, ForcingError, compare, force, logprobs
from sftgen_judges.diagnostics.token_shift.losses import LOSS_CLASSES, loss_classes, risen
from sftgen_judges.diagnostics.token_shift.summary import COLUMNS, Shift, positions_of, sums_of, table_of
from sftgen_judges.diagnostics.token_shift.words import CLASSES, classes_of
from sftgen_train.demo.tiny import Size, build_model, build_tokenizer


def by_definition(base: torch.Tensor, other: torch.Tensor, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """Every quantity as a textbook has it, in float64."""
    p, q = base.double().log_softmax(-1), other.double().log_softmax(-1)
    own, theirs = (values.gather(-1, tokens[:, None]) for values in (p, q))
    middle = ((p.exp() + q.exp()) / 2).log()
    return {
        "base_logprob": own[:, 0],
        "logprob": theirs[:, 0],
        "rank": (p > own).sum(-1) + 1,
        "own_rank": (q > theirs).sum(-1) + 1,
        "kl": (p.exp() * (p - q)).sum(-1),
        "js": ((p.exp() * (p - middle)).sum(-1) + (q.exp() * (q - middle)).sum(-1)) / 2,
        "base_entropy": -(p.exp() * p).sum(-1),
        "entropy": -(q.exp() * q).sum(-1),
    }


@pytest.fixture(scope="module")
def models() -> tuple[Any, Any]:
    """An untrained Qwen3 and the same with other weights."""
    torch.manual_seed(0)
    base = build_model(build_tokenizer([]), Size(hidden=32, inner=64, layers=2, heads=2, head=16)).eval()
    other = copy.deepcopy(base)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return base, other


def text(length: int, seed: int = 1) -> list[int]:
    return torch.randint(0, 260, (length,), generator=torch.Generator().manual_seed(seed)).tolist()


@pytest.mark.parametrize("vocabulary", [300, 150_000])
@pytest.mark.parametrize("scale", [0.5, 6.0])
def test_float32_is_within_a_millionth_of_float64(vocabulary: int, scale: float) -> None:
    torch.manual_seed(2)
    base = torch.randn(4, vocabulary) * scale + 20
    other, tokens = base + torch.randn(4, vocabulary) * 0.3, torch.randint(0, vocabulary, (4,))
    expected = by_definition(base, other, tokens)
    for name, found in zip(QUANTITIES, compare(base, other, tokens), strict=True):
        assert float((found.double() - expected[name].double()).abs().max()) < 1e-6, name


def test_equal_and_far_distributions_have_the_divergences_that_they_must() -> None:
    logits = torch.randn(2, 50, generator=torch.Generator().manual_seed(0)) * 3
    same = dict(zip(QUANTITIES, compare(logits, logits, torch.tensor([3, 4])), strict=True))
    assert float(same["kl"].max()) < 1e-6
    assert float(same["js"].max()) < 1e-6
    one, two = torch.full((1, 50), -200.0), torch.full((1, 50), -200.0)
    one[0, 0], two[0, 1] = 200.0, 200.0
    far = dict(zip(QUANTITIES, compare(one, two, torch.tensor([1])), strict=True))
    assert float(far["js"]) == pytest.approx(math.log(2), abs=1e-6)
    assert float(far["kl"]) == pytest.approx(400, abs=1e-3)
    assert (int(far["rank"]), int(far["own_rank"])) == (2, 1)


def test_a_text_is_scored_as_a_plain_pass_would(models: tuple[Any, Any]) -> None:
    base, other = (copy.deepcopy(model).double() for model in models)
    ids, start = text(60), 7
    with torch.no_grad():
        logits = [model(input_ids=torch.tensor([ids])).logits[0, start - 1 : -1] for model in (base, other)]
    expected = by_definition(logits[0], logits[1], torch.tensor(ids[start:]))
    for window in (2048, 13):
        forced = force(base, other, ids, start=start, window=window)
        assert (forced.start, len(forced)) == (start, 53)
        for name in QUANTITIES:
            np.testing.assert_allclose(getattr(forced, name), expected[name].numpy(), atol=1e-9, err_msg=name)


def test_memory_is_bounded_by_block_and_window(models: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    compared: list[int] = []
    real = compare

    def noted(base: torch.Tensor, *given: Any) -> Any:
        compared.append(base.numel())
        return real(base, *given)

    force(*models, text(9))
    monkeypatch.setattr(forcing, "compare", noted)
    monkeypatch.setattr(forcing, "ELEMENTS_ON_CPU", 1000)
    monkeypatch.setattr(forcing, "BLOCK", 16)
    read: list[int] = []
    hooks = [model.lm_head.register_forward_hook(lambda *given: made.append(len(given[-1]))) for model in models]
    hooks += [model.model.register_forward_pre_hook(noted_lengths(read), with_kwargs=True) for model in models]
    forced = force(*models, text(400), start=300, window=32)
    for hook in hooks:
        hook.remove()
    assert len(forced) == 100
    assert max(made) == 16
    assert sum(made) == 200  # of the prompt no logits are made
    assert max(read) == 32
    assert max(compared) <= 1000


def noted_lengths(read: list[int]) -> Any:
    return lambda _, __, given: read.append(given["input_ids"].shape[1])


@pytest.mark.parametrize("window", [2048, 16])
def test_a_model_that_caps_its_logits_is_read_through_its_own_pass(window: int) -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, final_logit_softcapping=0.5, sliding_window=8,
    )  # fmt: skip
    base, other = (Gemma2ForCausalLM(config).eval() for _ in range(2))
    ids = text(40)
    forced = force(base, other, ids, window=window)
    with torch.no_grad():
        logits = [model(input_ids=torch.tensor([ids])).logits[0, :-1] for model in (base, other)]
    assert float(logits[0].max()) <= 0.5
    expected = by_definition(logits[0], logits[1], torch.tensor(ids[1:]))
    for name in ("logprob", "kl", "base_entropy"):
        np.testing.assert_allclose(getattr(forced, name), expected[name].numpy(), atol=1e-5, err_msg=name)


def test_what_cannot_be_forced_is_told(models: tuple[Any, Any]) -> None:
    base, other = models
    with pytest.raises(ForcingError, match="start 5 of a text of 5 tokens: expected a place from 1 to 4"):
        force(base, other, text(5), start=5)
    broken = copy.deepcopy(other)
    with torch.no_grad():
        broken.model.norm.weight[0] = float("nan")
    with pytest.raises(ForcingError, match="hold NaN"):
        force(base, broken, text(20))
    wider = copy.deepcopy(other)
    wider.resize_token_embeddings(300)
    with pytest.raises(ForcingError, match="300; expected the same vocabulary"):
        force(base, wider, text(20))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Wait, 12 + 3", "cue rest number number number"),
        ("Let me check it", "cue cue cue rest"),
        ("so therefore x", "connective connective rest"),
        ("sofa bucket", "rest rest"),
        ("</think> \\boxed{4}", "format format number"),
        ("Actually but", "cue connective"),
    ],
)
def test_kinds_of_words(said: str, expected: str) -> None:
    pieces, spans, place = said.replace("{", " ").replace("}", " ").replace(",", " ").split(), [], 0
    for piece in pieces:
        start = said.index(piece, place)
        place = start + len(piece)
        spans.append((start, place))
    if said.startswith("Wait"):
        spans.insert(1, (4, 5))
    assert " ".join(CLASSES[kind] for kind in classes_of(said, spans)) == expected


def test_a_token_belongs_to_its_first_visible_character_and_an_end_token_is_format() -> None:
    found = classes_of("a wait\n\n ", [(0, 1), (1, 6), (6, 8), (8, 9), (9, 9)])
    assert [CLASSES[kind] for kind in found] == ["rest", "cue", "format", "rest", "format"]


def test_loss_classes_by_the_line_that_fits() -> None:
    losses = np.array([[4.0, 0.1, 4.0, 0.1, 2.0], [4.1, 0.9, 3.0, 0.1, 2.4], [4.0, 1.6, 1.0, 0.1, 1.95]])
    assert [LOSS_CLASSES[place] for place in loss_classes(losses)] == ["H→H", "L→H", "H→L", "L→L", "H→H"]
    assert risen(losses)[1].tolist() == [False, True, False, False, True]


def test_what_is_kept_comes_back_and_what_a_stranger_wrote_is_refused(models: tuple[Any, Any]) -> None:
    forced = force(*models, text(50))
    shift = Shift.of(forced.quantities, np.arange(49, dtype=np.uint8) % 5, range(2, 100, 2))
    packed = shift.packed()
    again = Shift.unpacked(packed)
    for name, values in again.values.items():
        np.testing.assert_allclose(values, shift[name], rtol=1e-6, err_msg=name)
    for changed in ({"kl": "!"}, {"kl": packed["kind"]}, {"rank": None}, {"kind": packed["kl"]}):
        with pytest.raises(ValueError, match=r"cannot be read|belong together|not known"):
            Shift.unpacked({**packed, **changed})
    sums = sums_of(again)
    assert sums["tokens"] == 49
    assert sums["tokens first 5 %"] + sums["tokens middle"] + sums["tokens last 5 %"] == 49
    assert sums["kl"] == pytest.approx(float(forced.kl.sum()), rel=1e-5)
    rows = {row[0]: row for row in table_of([again, again])}
    assert rows["all"][1] == 98
    assert len(rows) == 1 + len(CLASSES) + 3
    assert all(len(row) == len(COLUMNS) for row in rows.values())


def test_positions() -> None:
    assert np.bincount(positions_of(100)).tolist() == [5, 90, 5]
    assert positions_of(0).tolist() == []


def test_one_model_alone_has_the_numbers_of_two(models: tuple[Any, Any]) -> None:
    ids = text(90)
    forced = force(*models, ids, start=7)
    for model, own, rank in ((models[0], "base_logprob", "rank"), (models[1], "logprob", "own_rank")):
        found, ranks = logprobs(model, ids, start=7, window=32)
        np.testing.assert_allclose(found, getattr(forced, own), atol=1e-5)
        assert (ranks == getattr(forced, rank)).all()
    with pytest.raises(ForcingError, match="start 90 of a text of 90 tokens"):
        logprobs(models[0], ids, start=90)


def test_two_readings_meet_at_the_smallest_stretches_that_both_have() -> None:
    # Two bytes of one letter end at one place: `summed` takes them together.
    ours, theirs = [1, 3, 3, 6, 8], [3, 4, 6, 8]
    of = stretches(ours, theirs)
    assert of == [(0, 3), (3, 6), (6, 8)]
    assert summed(np.array([1.0, 2, 4, 8, 16]), ours, of).tolist() == [7, 8, 16]
    assert summed(np.array([1.0, 2, 4, 8]), theirs, of).tolist() == [1, 6, 8]
    # The first token of a text without a prompt is not scored: what it covers is left out.
    assert stretches([3, 6], [6], (1, 3)) == [(3, 6)]
    assert stretches([4, 6], [6], (2, 3)) == []
    assert stretches([], [6], (0, 0)) == []
