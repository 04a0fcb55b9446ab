"""A judge's model in this process, run by transformers."""

from __future__ import annotations

import random
from math import exp, log
from pathlib import Path

import pytest

from sftgen_judges import Item, Request, Response
from sftgen_judges.asking.local_models import PINNED, ask_transformers, by_spelling, pinned
from sftgen_judges.asking.settings import with_settings
from sftgen_judges.plugins.contracts import Failure
from sftgen_judges.plugins.judge_settings import JudgeSettings
from sftgen_judges.scoring.grading import grade_batch
from sftgen_judges.truth import INFO_MODEL, TRUTH, TRUTH_CHAT, TRUTH_LOGPROB, TRUTH_MODEL
from tests.judges.tiny_judge import example, train_judge


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train_judge(tmp_path_factory.mktemp("judge"))


def examples(count: int) -> tuple[list[Item], list[bool]]:
    drawn = [example(random.Random(f"test {n}")) for n in range(count)]
    return (
        [Item({"question": question}, Response(answer, answer=answer)) for question, answer, _ in drawn],
        [true for _, _, true in drawn],
    )


@pytest.mark.parametrize("judge", [TRUTH, TRUTH_LOGPROB], ids=["text", "logprob"])
def test_a_trained_judge_is_right_in_its_trained_format(judge: object, model: Path) -> None:
    items, true = examples(40)
    local = with_settings(judge, backend="transformers", model=str(model))  # type: ignore[arg-type]
    verdicts = grade_batch(local, items)
    assert [verdict.status for verdict in verdicts] == ["ok"] * 40
    assert [bool(verdict.score) for verdict in verdicts] == true
    assert verdicts[0].evidence["reply"] in {" yes", " no"}
    assert verdicts[0].evidence["asked_model"] == str(model)


def test_a_chat_that_is_no_judgement_is_missing(model: Path) -> None:
    judge = with_settings(TRUTH_CHAT, backend="transformers", model=str(model), max_tokens=8)
    verdicts = grade_batch(judge, examples(2)[0])
    assert [verdict.score for verdict in verdicts] == [None, None]
    assert verdicts[0].evidence["tokens"] <= 8


def test_a_batch_says_what_each_would_say_alone(model: Path) -> None:
    requests = [
        Request("Q: Is it 1?\nA: a myth\nTrue:", max_tokens=1, logprobs=3),
        Request("Q: a much longer one, is it not?\nA: indeed\nTrue:", max_tokens=12),
        Request(({"role": "user", "content": "Hi"},), max_tokens=6),
        Request("Q: Is it 7?\nA: it is so\nTrue:", max_tokens=4, stop=("s",)),
    ]
    settings = JudgeSettings(model=str(model), concurrency=4)
    together = dict(ask_transformers(settings, requests))
    for position, request in enumerate(requests):
        [(_, alone)] = ask_transformers(settings, [request])
        reply = together[position]
        assert not isinstance(reply, Failure)
        assert not isinstance(alone, Failure)
        assert (reply.text, reply.tokens, reply.finish_reason) == (alone.text, alone.tokens, alone.finish_reason)
        assert reply.logprobs == pytest.approx(alone.logprobs, abs=1e-4)
    assert max(together[0].logprobs, key=together[0].logprobs.get) == " no"  # type: ignore[union-attr,arg-type]
    assert together[3].text == " ye"  # type: ignore[union-attr]


def test_an_answer_is_cut_to_the_context_and_a_question_is_not(model: Path) -> None:
    local = with_settings(TRUTH, backend="transformers", model=str(model), max_context=100)
    questions = {"Is it 1?": "a myth", "Is it 2?": "x" * 41_000, "y" * 41_000: "x"}
    items = [Item({"question": question}, Response("x", answer=answer)) for question, answer in questions.items()]
    short, cut, bad = grade_batch(local, items)
    assert (short.score, short.measures["clipped"]) == (0, 0)
    assert cut.measures["clipped"] == 1
    # A letter is a token here. Of 100 the reply takes 4, and 17 more are kept for what follows the answer.
    kept = 41_000 - cut.evidence["clipped_chars"]
    assert cut.evidence["prompt_tokens"] == 79 + 1  # with the word at the end
    assert f"{41_000 - kept:,} characters of the response were clipped" in cut.reason
    assert (bad.score, bad.reason.partition(":")[0]) == (None, "the prompt is too long")


# ------------------------------------------------------------------------------ tokens that read alike


def llama_like(folder: Path, logits: dict[str, float]) -> Path:
    """A model that gives these logits to its next token, with a tokenizer that writes a blank as Llama 2's does."""
    import torch
    from tokenizers import Tokenizer, decoders, normalizers
    from tokenizers.models import BPE
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    names = ["<unk>", "<s>", "</s>", *logits]
    tokenizer = Tokenizer(BPE({name: number for number, name in enumerate(names)}, [], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    ).save_pretrained(folder)
    size = 8
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(names),
            hidden_size=size,
            intermediate_size=size,
            num_hidden_layers=1,
            num_attention_heads=1,
            num_key_value_heads=1,
            max_position_embeddings=512,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=2,
        )
    )
    with torch.no_grad():
        model.model.embed_tokens.weight.fill_(1.0)
        model.model.layers[0].self_attn.o_proj.weight.zero_()
        model.model.layers[0].mlp.down_proj.weight.zero_()
        for number, name in enumerate(names):
            model.lm_head.weight[number] = logits.get(name, -20.0) / size
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("logits", "score", "reason"),
    [
        # Both "\u2581yes" and "yes" read as yes: 0.722, and not 0.119 with the less likely one alone.
        ({"\u2581yes": 5, "yes": -1, "\u2581no": 4, "no": 1, "a": -3}, 1, "P(yes) 0.722"),
        ({"\u2581yes": 4, "yes": 1, "\u2581no": 5, "no": -1, "a": -3}, 0, "P(yes) 0.278"),
        ({"\u2581Yes": 3, "\u2581yes": 3, "YES": 3, "\u2581no": 4, "a": 3, "b": 3, "c": 3, "d": 3}, 1, "P(yes) 0.525"),
        ({"\u2581yes": 1, "a": 8}, None, "yes and no have 0.001 of the probability together, less than 0.1"),
        ({"a": 8}, None, "no log-probability of yes or no"),
    ],
)  # fmt: skip
def test_the_probabilities_of_all_tokens_that_read_as_a_word_are_summed(
    logits: dict[str, float], score: float | None, reason: str, tmp_path: Path
) -> None:
    judge = with_settings(TRUTH_LOGPROB, backend="transformers", model=str(llama_like(tmp_path, logits)))
    [verdict] = grade_batch(judge, examples(1)[0])
    assert (verdict.score, verdict.reason) == (score, reason)


def test_the_spelling_is_the_key_and_the_probability_the_sum() -> None:
    summed = by_spelling([("yes", log(0.3)), ("no", log(0.2)), ("yes", log(0.25)), ("yes", float("-inf"))])
    assert {text: round(exp(value), 6) for text, value in summed.items()} == {"yes": 0.55, "no": 0.2}


def test_the_published_judges_are_pinned_to_a_commit(tmp_path: Path) -> None:
    assert {TRUTH_MODEL, INFO_MODEL} == set(PINNED)
    assert pinned(TRUTH_MODEL) == (TRUTH_MODEL, PINNED[TRUTH_MODEL])
    assert pinned(f"{TRUTH_MODEL}@main") == (TRUTH_MODEL, "main")
    assert pinned("org/other") == ("org/other", None)
    folder = tmp_path / "a@b"
    folder.mkdir()
    assert pinned(str(folder)) == (str(folder), None)
