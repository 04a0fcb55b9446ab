"""The reward judge: the right text to the model, its logit whatever else is in the batch, failures as missing."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sftgen_judges import Item, Verdict, split_thinking
from sftgen_judges.asking.paper import after_thinking
from sftgen_judges.asking.settings import missing_settings
from sftgen_judges.plugins.judge_settings import JudgeSettings
from sftgen_judges.reward.engines import LocalModel, batches
from sftgen_judges.reward.judge import REWARD
from sftgen_judges.reward.models import Options, Reader, RewardModel, RewardModelError, check_config, reward_models
from sftgen_judges.scoring.grading import grade_batch
from tests.judges.reward.tiny_reward import build_reward_model, reference

QUESTION = "Name a colour."
PAIRS = [
    (QUESTION, "Blue."),
    ("What is the answer?", "It is 42, " * 40),
    (QUESTION, ""),
    ("Wie heißt du?", "Ich heiße Bot 🤖."),
    ("Why? " * 30, "Because."),
    *((f"Add {number} and 1.", f"That makes {number + 1}. " * number) for number in range(1, 12)),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_reward_model(tmp_path_factory.mktemp("reward") / "Tiny RM")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_reward_model(tmp_path_factory.mktemp("other") / "Other", seed=1)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, model: Path) -> pytest.MonkeyPatch:
    monkeypatch.setenv("SFTGEN_JUDGE_REWARD_MODEL", str(model))
    monkeypatch.setenv("SFTGEN_JUDGE_REWARD_BACKEND", "transformers")
    return monkeypatch


def logits(folder: Path, pairs: list[tuple[str, str]], **options: Any) -> list[float]:
    engine = LocalModel(RewardModel("tiny", str(folder)), JudgeSettings(backend="transformers", extra_body=options))
    found = dict(engine.logits([engine.reader.read(*pair) for pair in pairs]))
    return [found[index] for index in range(len(pairs))]


def item(text: str, question: str = QUESTION, finish_reason: str | None = None) -> Item:
    return Item({"question": question}, split_thinking(text, finish_reason=finish_reason))


def grade(*texts: str) -> list[Verdict]:
    return grade_batch(REWARD, [item(text) for text in texts])


@pytest.fixture(scope="module")
def expected(model: Path) -> list[float]:
    return [reference(model, *pair) for pair in PAIRS]


def test_the_logits_are_apart(expected: list[float]) -> None:
    assert max(expected) - min(expected) > 5
    assert len({round(logit, 2) for logit in expected}) == len(PAIRS)


@pytest.mark.parametrize("batch_tokens", [1, 500, 2000, 100_000])
def test_batches_give_the_logits_of_single_pairs_in_float64(
    model: Path, expected: list[float], batch_tokens: int
) -> None:
    assert logits(model, PAIRS, batch_tokens=batch_tokens) == pytest.approx(expected, abs=1e-4)
    assert logits(model, PAIRS[::-1], batch_tokens=batch_tokens) == pytest.approx(expected[::-1], abs=1e-4)


def test_batches_are_of_similar_length_and_no_larger_than_allowed() -> None:
    assert list(batches([5, 1, 9, 4, 1], 10)) == [[2], [0, 3], [1, 4]]
    assert list(batches([50, 2, 2], 10)) == [[0], [1, 2]]
    assert list(batches([], 10)) == []


END = "{% for m in messages %}{{ m['role'] + m['content'] + '<|endoftext|>' }}{% endfor %}"


@pytest.mark.parametrize("pad", ["<|endoftext|>", None])
def test_padding_is_no_part_of_a_text_even_if_texts_end_with_it(tmp_path: Path, pad: str | None) -> None:
    folder = build_reward_model(tmp_path / "rm", template=END)
    if pad is None:
        for name in ("config.json", "tokenizer_config.json"):
            settings = json.loads((folder / name).read_text())
            settings.pop("pad_token", None)
            settings.pop("pad_token_id", None)
            (folder / name).write_text(json.dumps(settings))
    assert logits(folder, PAIRS) == pytest.approx([reference(folder, *pair) for pair in PAIRS], abs=1e-4)


@pytest.mark.parametrize("template_begins", [True, False])
@pytest.mark.parametrize("tokenizer_begins", [True, False])
def test_a_text_begins_once(tmp_path: Path, template_begins: bool, tokenizer_begins: bool) -> None:
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    template = "{% for m in messages %}{{ m['role'] + m['content'] }}{% endfor %}"
    folder = build_reward_model(tmp_path / "rm", template="{{ bos_token }}" * template_begins + template)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.bos_token = "<|im_start|>"
    if tokenizer_begins:
        special = [("<|im_start|>", tokenizer.bos_token_id)]
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<|im_start|> $A", pair="$A $B", special_tokens=special
        )
    tokenizer.save_pretrained(folder)
    tokens = Reader(RewardModel("rm", str(folder)), Options()).read("a", "b").tokens
    text = tokenizer.decode(tokens)
    assert text == "<|im_start|>" * (template_begins or tokenizer_begins) + "useraassistantb"


def test_a_long_answer_is_cut_at_its_end_and_its_turn_closed(model: Path) -> None:
    reader = Reader(RewardModel("rm", str(model)), Options(max_length=60))
    short, long = reader.read(QUESTION, "Blue."), reader.read(QUESTION, "Blue, " * 30)
    assert (short.truncated, long.truncated, len(long.tokens)) == (False, True, 60)
    shown = reader.tokenizer.decode(long.tokens)
    assert shown.startswith(f"<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\nBlue, Blue, ")
    kept = shown.partition("assistant\n")[2]
    assert kept.endswith("<|im_end|>\n")
    [logit] = logits(model, [(QUESTION, "Blue, " * 30)], max_length=60)
    assert logit == pytest.approx(reference(model, QUESTION, kept.removesuffix("<|im_end|>\n")), abs=1e-4)
    with pytest.raises(RewardModelError, match="the instruction alone has more than the 60 tokens"):
        reader.read("Why? " * 30, "Because.")


def test_in_bfloat16_logits_are_near(model: Path, expected: list[float]) -> None:
    assert logits(model, PAIRS, dtype="bfloat16") == pytest.approx(expected, abs=1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ('{"dtype": "int8"}', "SFTGEN_JUDGE_REWARD_EXTRA_BODY, dtype 'int8': Input should be 'float32'"),
        ('{"batch_tokens": 0}', "batch_tokens 0: Input should be greater than 0"),
        ('{"device": "nowhere"}', "its model cannot be loaded: RuntimeError"),
    ],
)
def test_options_that_cannot_be_used(settings: pytest.MonkeyPatch, options: str, says: str) -> None:
    settings.setenv("SFTGEN_JUDGE_REWARD_EXTRA_BODY", options)
    [verdict] = grade("Blue.")
    assert verdict.status == "not_graded"
    assert says in verdict.reason


# The response, the text that `strict` scores, and the text that `paper` scores.
RULES: dict[str, tuple[str, str, str, str]] = {
    "plain": ("Blue.", "ok", "Blue.", "Blue."),
    "thinking": ("<think>hm</think>\n\nBlue.<|im_end|>", "ok", "Blue.", "Blue."),
    "no opener": ("hm</think>Blue.", "ok", "Blue.", "Blue."),
    "unclosed": ("<think>hm, blue", "truncated", "", "<think>hm, blue"),
    "closed twice": ("<think>a</think>Red.\n<think>b</think>Blue.", "ok", "Red.\nBlue.", "Blue."),
    "a tag in quotes": ("Write `</think>` to end.", "ok", "Write `</think>` to end.", "` to end."),
    "nothing": ("", "no_answer", "", ""),
    "thinking only": ("<think>hm</think>\n", "no_answer", "", ""),
}


def test_what_is_scored(settings: pytest.MonkeyPatch, model: Path) -> None:
    verdicts = grade(*(text for text, *_ in RULES.values()))
    for (text, status, strict, paper), verdict in zip(RULES.values(), verdicts, strict=True):
        assert after_thinking(text) == paper
        assert (verdict.status, verdict.score, verdict.paper) == (
            status,
            pytest.approx(reference(model, QUESTION, strict), abs=1e-4),
            pytest.approx(reference(model, QUESTION, paper), abs=1e-4),
        ), text
        answered = {"reward_answered": verdict.score} if status == "ok" else {}
        unclosed = float(split_thinking(text).think == "unclosed")
        told = {"reward_tiny_rm": verdict.score, "reward_truncated": 0.0, "unclosed": unclosed}
        assert verdict.measures == {**told, **answered}
        assert verdict.evidence["tiny_rm"]["model"] == str(model)


def test_several_reward_models_in_one_pass(
    settings: pytest.MonkeyPatch, model: Path, other: Path, tmp_path: Path
) -> None:
    settings.setenv("SFTGEN_JUDGE_REWARD_MODEL", f"{model}, second={other}")
    journal = tmp_path / "verdicts.jsonl"
    items = [item("Blue."), item("<think>hm")]
    verdicts = grade_batch(REWARD, items, journal=journal)
    for verdict, text in zip(verdicts, ("Blue.", ""), strict=True):
        assert (
            verdict.score
            == verdict.measures["reward_tiny_rm"]
            == pytest.approx(reference(model, QUESTION, text), abs=1e-4)
        )
        assert verdict.measures["reward_second"] == pytest.approx(reference(other, QUESTION, text), abs=1e-4)
    assert verdicts[1].paper == pytest.approx(reference(model, QUESTION, "<think>hm"), abs=1e-4)
    # Known now: the models are not even looked for. Another order is another score.
    written = journal.read_text()
    assert grade_batch(REWARD, items, journal=journal) == verdicts
    assert journal.read_text() == written
    settings.setenv("SFTGEN_JUDGE_REWARD_MODEL", f"second={other},{model}")
    assert grade_batch(REWARD, items, journal=journal)[0].score == verdicts[0].measures["reward_second"]


def test_truncation_is_counted_and_a_pair_that_cannot_be_read_is_missing(settings: pytest.MonkeyPatch) -> None:
    settings.setenv("SFTGEN_JUDGE_REWARD_EXTRA_BODY", '{"max_length": 60}')
    cut, whole, missing = grade_batch(REWARD, [item("Blue, " * 30), item("Blue."), item("Blue.", "Why? " * 30)])
    assert (cut.measures["reward_truncated"], whole.measures["reward_truncated"]) == (1.0, 0.0)
    assert (missing.status, missing.score) == ("judge_error", None)
    assert "the instruction alone has more than the 60 tokens" in missing.reason


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("rb2", [("rb2", "allenai/Llama-3.1-8B-Instruct-RM-RB2", "7206709bea1a3499b3019c58a9786be689ae3b84")]),
        ("org/My RM (v2)", [("my_rm_v2_", "org/My RM (v2)", None)]),
        (" a/b@main , x=c/b", [("b", "a/b", "main"), ("x", "c/b", None)]),
        ("mine=rb2", [("mine", "allenai/Llama-3.1-8B-Instruct-RM-RB2", "7206709bea1a3499b3019c58a9786be689ae3b84")]),
        ("sky,/models/rm/", [("sky", "Skywork/Skywork-Reward-V2-Llama-3.1-8B", None), ("rm", "/models/rm/", None)]),
    ],
)
def test_names_of_reward_models(names: str, expected: list[tuple[str, str, str | None]]) -> None:
    assert reward_models(names) == tuple(RewardModel(*fields) for fields in expected)


@pytest.mark.parametrize("names", ["", " , ", "a/rm,b/rm", "rb2,rb2"])
def test_names_that_cannot_be(names: str) -> None:
    with pytest.raises(RewardModelError, match="each different"):
        reward_models(names)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"architectures": ["Qwen3ForCausalLM"]}, "its architecture is Qwen3ForCausalLM; expected a model for seq"),
        ({}, "its architecture is not named"),
        ({"architectures": ["Qwen3ForSequenceClassification"]}, "it has 2 labels"),
        ({"architectures": ["Qwen3ForSequenceClassification"], "id2label": {"0": "a", "1": "b", "2": "c"}}, "3 labels"),
        (None, "no folder with a readable config.json"),
    ],
)
def test_a_folder_without_a_reward_model_is_refused(
    settings: pytest.MonkeyPatch, tmp_path: Path, config: dict[str, Any] | None, says: str
) -> None:
    if config is not None:
        (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RewardModelError, match=says):
        check_config(RewardModel("rm", str(tmp_path)))
    settings.setenv("SFTGEN_JUDGE_REWARD_MODEL", str(tmp_path))
    [verdict] = grade("Blue.")
    assert verdict.status == "not_graded"
    assert says in verdict.reason


def test_a_reward_head_is_not_made_up(settings: pytest.MonkeyPatch, tiny_model: Path, tmp_path: Path) -> None:
    for path in tiny_model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"architectures": ["Qwen3ForSequenceClassification"], "id2label": {"0": "reward"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    settings.setenv("SFTGEN_JUDGE_REWARD_MODEL", str(tmp_path))
    [verdict] = grade("Blue.")
    assert verdict.status == "not_graded"
    assert "its weights lack score.weight" in verdict.reason


def test_a_logit_that_is_no_number_is_missing(settings: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from transformers import AutoModelForSequenceClassification

    folder = build_reward_model(tmp_path / "rm")
    broken = AutoModelForSequenceClassification.from_pretrained(folder)
    broken.score.weight.data.fill_(float("nan"))
    broken.save_pretrained(folder)
    settings.setenv("SFTGEN_JUDGE_REWARD_MODEL", str(folder))
    [verdict] = grade("Blue.")
    assert (verdict.status, verdict.score, verdict.reason) == ("judge_error", None, "rm: its logit is nan")


@pytest.mark.parametrize("others", [{}, {"OPENAI_API_KEY": "k"}, {"SFTGEN_JUDGE_BACKEND": "vllm"}])
def test_without_a_place_to_run_nothing_is_graded(others: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in others.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SFTGEN_JUDGE_MODEL", "a chat model")
    [verdict] = grade("Blue.")
    assert (verdict.status, verdict.score) == ("not_graded", None)
    assert verdict.reason == missing_settings(REWARD)
    assert verdict.reason.startswith("set SFTGEN_JUDGE_REWARD_BASE_URL to a server of the reward model, or ")


class Server(ThreadingHTTPServer):
    """Speaks vLLM's protocol for one reward model, with faults to come."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.engine = LocalModel(RewardModel("rm", str(folder)), JudgeSettings(backend="transformers"))
        self.folder, self.faults, self.labels = folder, list[int](), 1
        self.body: Any = None
        self.cards: Any = [{"id": "served", "root": str(folder), "max_model_len": 200}]
        self.address = f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._send(200, {"data": self.server.cards})

    def do_POST(self) -> None:
        from sftgen_judges.reward.models import Pair

        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        assert (self.path, body["model"], body["use_activation"]) == ("/classify", "served", False)
        if self.server.body is not None:
            self._send(200, self.server.body)
            return
        if self.server.faults:
            self._send(self.server.faults.pop(0), {"error": {"message": "no"}})
            return
        found = self.server.engine.logits([Pair(tokens, truncated=False) for tokens in body["input"]])
        rows = [{"index": index, "probs": [logit] * self.server.labels} for index, logit in found]
        self._send(200, {"data": rows})

    def _send(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def server(settings: pytest.MonkeyPatch, model: Path) -> Iterator[Server]:
    with Server(model) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        settings.setenv("SFTGEN_JUDGE_REWARD_BACKEND", "server")
        settings.setenv("SFTGEN_JUDGE_REWARD_BASE_URL", serving.address)
        yield serving
        serving.shutdown()


def test_a_server_gives_the_same_verdicts(server: Server, settings: pytest.MonkeyPatch) -> None:
    items = [item(answer, question) for question, answer in PAIRS * 5]
    served = grade_batch(REWARD, items)
    assert sum(verdict.measures["reward_truncated"] == 1 for verdict in served) == 5 * sum(
        len(question + answer) > 200 for question, answer in PAIRS
    )
    settings.setenv("SFTGEN_JUDGE_REWARD_BACKEND", "transformers")
    settings.setenv("SFTGEN_JUDGE_REWARD_EXTRA_BODY", '{"max_length": 200}')
    here = grade_batch(REWARD, items)
    assert [verdict.score for verdict in served] == pytest.approx([verdict.score for verdict in here], abs=1e-4)
    assert [verdict.status for verdict in served] == [verdict.status for verdict in here]


def test_two_servers_for_two_models(server: Server, settings: pytest.MonkeyPatch, model: Path, other: Path) -> None:
    with Server(other) as second:
        threading.Thread(target=second.serve_forever, daemon=True).start()
        settings.setenv("SFTGEN_JUDGE_REWARD_MODEL", f"{model},{other}")
        settings.setenv("SFTGEN_JUDGE_REWARD_BASE_URL", f"{server.address},{second.address}")
        [verdict] = grade("Blue.")
        second.shutdown()
    assert verdict.measures["reward_other"] == pytest.approx(reference(other, QUESTION, "Blue."), abs=1e-4)


@pytest.mark.parametrize(
    ("faults", "labels", "says"),
    [
        ([503, 429], 1, ""),
        ([500] * 3, 1, "HTTP 500"),
        ([404], 1, "HTTP 404: no (serve it with `vllm serve MODEL --runner pooling`)"),
        ([], 2, "expected one number for each of 1 pairs"),
    ],
)
def test_faults_of_a_server(
    server: Server, settings: pytest.MonkeyPatch, faults: list[int], labels: int, says: str
) -> None:
    settings.setenv("SFTGEN_JUDGE_REWARD_ATTEMPTS", "3")
    server.faults, server.labels = list(faults), labels
    [verdict] = grade("Blue.")
    assert verdict.status == ("judge_error" if says else "ok")
    assert says in verdict.reason
    assert (verdict.score is None) == bool(says)


@pytest.mark.parametrize(
    "body",
    [
        [], "text", {"data": "x"}, {"data": [7]}, {"data": [{"index": 0}]}, {"data": [{"index": "0", "probs": [1.0]}]},
        {"data": [{"index": 0, "probs": 1.0}]}, {"data": [{"index": 0, "probs": ["1"]}]}, {"data": []},
        {"data": [{"index": 1, "probs": [1.0]}]},
        {"data": [{"index": 0, "probs": [1.0]}, {"index": 0, "probs": [2.0]}]},
        {"data": [{"index": 0, "probs": [float("nan")]}]}, {"data": "x" * 2_000_000},
    ],
)  # fmt: skip
def test_logits_of_another_shape_are_no_verdict(server: Server, settings: pytest.MonkeyPatch, body: Any) -> None:
    settings.setenv("SFTGEN_JUDGE_REWARD_ATTEMPTS", "1")
    server.body = body
    [verdict] = grade("Blue.")
    assert (verdict.status, verdict.score) == ("judge_error", None)


@pytest.mark.parametrize("cards", [5, ["x"], [{"id": None}], [{}]])
def test_a_list_of_models_of_another_shape_names_no_model(
    server: Server, settings: pytest.MonkeyPatch, cards: Any
) -> None:
    settings.setenv("SFTGEN_JUDGE_REWARD_ATTEMPTS", "1")
    server.cards = cards
    [verdict] = grade("Blue.")
    assert verdict.status == "not_graded"
    assert "no model instead" in verdict.reason or "unreadable reply" in verdict.reason


def test_a_server_of_something_else_or_none_at_all(server: Server, settings: pytest.MonkeyPatch, other: Path) -> None:
    settings.setenv("SFTGEN_JUDGE_REWARD_MODEL", str(other))
    [verdict] = grade("Blue.")
    assert verdict.status == "not_graded"
    assert "the server has served instead" in verdict.reason
    settings.setenv("SFTGEN_JUDGE_REWARD_BASE_URL", "http://me:pass-word@127.0.0.1:9/v1")
    settings.setenv("SFTGEN_JUDGE_REWARD_ATTEMPTS", "1")
    [verdict] = grade("Blue.")
    assert verdict.status == "not_graded"
    assert "connection: ConnectError" in verdict.reason
    assert "pass-word" not in verdict.reason
