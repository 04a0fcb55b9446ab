"""`sftgen-hf` samples as vLLM does, and a row does not depend on the others in its batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance

from sftgen_tasks.harness.backends.hf import ON_CPU, RecordingHFLM
from sftgen_tasks.harness.backends.hf_sampling import end_at, processors
from sftgen_tasks.harness.sampling import SettingError

PROMPTS = ["a", "What is 7 + 5? Think, then answer.", "Count: one, two, three, one, two", "z"]


def peaked(model: Path, **options: Any) -> RecordingHFLM:
    """An untrained model finds all tokens about equally likely; this one is surer."""
    made = RecordingHFLM(str(model), device="cpu", **{"batch_size": 4, **options})
    made.model.lm_head.register_forward_hook(lambda module, given, logits: logits * 25)
    return made


@pytest.fixture(scope="module")
def lm(tiny_model: Path) -> RecordingHFLM:
    return peaked(tiny_model)


def answers(lm: RecordingHFLM, prompts: list[str] = PROMPTS, **settings: Any) -> list[str]:
    given = {"until": [], "max_gen_toks": 8, **settings}
    return lm.generate_until(
        [Instance("generate_until", {}, (prompt, given), 0, metadata=("task", 0, 1), doc_id=0) for prompt in prompts]
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"do_sample": True, "temperature": 0},
        {"do_sample": True, "temperature": 0.0, "top_p": 0.95},
        {"do_sample": False, "temperature": 0.7},
        {"do_sample": True, "temperature": 5.0, "min_p": 1.0},
        {"do_sample": True, "temperature": 5.0, "top_k": 1},
        {"do_sample": True, "temperature": 5.0, "top_p": 1e-6},
        {"do_sample": True, "temperature": 5.0, "epsilon_cutoff": 0.99},
        {"do_sample": True, "temperature": 5.0, "top_h": 1e-6},
        {},
    ],
    ids=str,
)
def test_settings_that_leave_one_token_are_greedy(lm: RecordingHFLM, settings: dict[str, Any]) -> None:
    assert answers(lm, **settings) == answers(lm, do_sample=False)


@pytest.mark.parametrize(
    "settings",
    [
        {"min_p": 0.5}, {"typical_p": 0.2}, {"epsilon_cutoff": 0.02}, {"eta_cutoff": 0.02}, {"top_h": 0.3},
        {"repetition_penalty": 1.9}, {"presence_penalty": 2.0}, {"frequency_penalty": 2.0},
        {"no_repeat_ngram_size": 1}, {"min_new_tokens": 8}, {"suppress_tokens": list(range(33, 127))},
        {"bad_words_ids": [[number] for number in range(33, 127)]},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("temperature", [0, 3.0])
def test_settings_do_something_and_a_row_is_the_same_alone(
    lm: RecordingHFLM, settings: dict[str, Any], temperature: float
) -> None:
    sampling = {"do_sample": True, "temperature": temperature}
    together = answers(lm, **sampling, **settings)
    assert together == [answers(lm, [prompt], **sampling, **settings)[0] for prompt in PROMPTS]
    shapes = {"min_p", "typical_p", "epsilon_cutoff", "eta_cutoff", "top_h"}
    if temperature or not settings.keys() & shapes:
        assert settings.keys() & {"min_new_tokens", "presence_penalty"} or together != answers(lm, **sampling)


def test_penalties_are_vllms(lm: RecordingHFLM) -> None:
    prompts, mask = torch.tensor([[0, 0, 2, 3], [1, 2, 2, 3]]), torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    settings = {"repetition_penalty": 2.0, "presence_penalty": 0.5, "frequency_penalty": 0.25, "max_gen_toks": 3}
    [penalties] = processors(settings, [1, 2], prompts, mask)
    assert settings == {"max_gen_toks": 3}
    logits = torch.tensor([[4.0, -4.0, 4.0, -4.0, 1.0]] * 2)
    assert penalties(prompts, logits).tolist() == [[4, -4, 2, -8, 1], [4, -8, 2, -8, 1]]
    said = torch.cat([prompts, torch.tensor([[4], [2]])], dim=1)
    assert penalties(said, logits).tolist() == [[4, -4, 2, -8, -0.25], [4, -8, 1.25, -8, 1]]
    said = torch.cat([said, torch.tensor([[4], [2]])], dim=1)
    assert penalties(said, logits).tolist() == [[4, -4, 2, -8, -0.5], [4, -8, 1, -8, 1]]


def test_min_p_comes_before_top_p_as_in_vllm() -> None:
    """Of 0.5, 0.3, 0.2, min_p 0.5 leaves two, and of these top_p 0.6 leaves one; the other way round two would stay."""
    settings = {"do_sample": True, "temperature": 1.0, "top_p": 0.6, "min_p": 0.5}
    [noise] = processors(settings, [1], torch.tensor([[0]]), torch.tensor([[1]]))
    logits = torch.tensor([[0.5, 0.3, 0.2]]).log()
    assert torch.isfinite(noise.warpers(torch.tensor([[0]]), logits)).tolist() == [[True, False, False]]


def test_a_row_ends_at_a_length_of_its_own() -> None:
    [ends] = end_at([3, 5], [2, 1])
    scores = ends(torch.zeros(2, 3, dtype=torch.long), torch.ones(2, 4))
    assert scores.tolist() == [[-torch.inf, -torch.inf, 0, -torch.inf], [1, 1, 1, 1]]
    assert not end_at([3, 3], 2)  # the batch ends there
    assert not end_at([3, 5], None)


@pytest.mark.parametrize(
    "configured",
    [
        {"repetition_penalty": 5.0}, {"no_repeat_ngram_size": 1}, {"max_new_tokens": 2}, {"min_new_tokens": 7},
        {"suppress_tokens": list(range(33, 127))}, {"temperature": 9.0, "top_k": 3, "do_sample": True},
        {"exponential_decay_length_penalty": (1, 99.0)},
    ],
    ids=str,
)  # fmt: skip
def test_what_the_models_own_settings_ask_for_is_not_applied(
    tiny_model: Path, lm: RecordingHFLM, configured: dict[str, Any]
) -> None:
    other = peaked(tiny_model)
    other.model.generation_config.update(**configured)
    before = other.model.generation_config.to_dict()
    for sampling in ({"do_sample": False}, {"do_sample": True, "temperature": 1.0}):
        assert answers(other, **sampling) == answers(lm, **sampling)
    assert other.model.generation_config.to_dict() == before


def test_an_unknown_setting_is_refused_before_anything_is_generated(lm: RecordingHFLM) -> None:
    with pytest.raises(SettingError, match="top_n_sigma"):
        answers(lm, do_sample=True, temperature=1.0, top_n_sigma=1.0)


# ------------------------------------------------------------------------------ batch size


def with_memory_for(lm: RecordingHFLM, rows: int, error: Callable[[], Exception]) -> list[int]:
    """Let a model fail as a full card does, for more rows than it holds; the sizes that are tried."""
    tried: list[int] = []
    generate = lm._model_generate

    def limited(context: torch.Tensor, **options: Any) -> Any:
        tried.append(len(context))
        if len(context) > rows:
            raise error()
        return generate(context=context, **options)

    lm._model_generate = limited
    return tried


@pytest.mark.parametrize("size", ["auto", "auto:4"])
def test_auto_is_a_fixed_number_on_a_cpu_and_halves_without_memory(
    tiny_model: Path, lm: RecordingHFLM, size: str
) -> None:
    searching = peaked(tiny_model, batch_size=size)
    assert searching.rows == ON_CPU
    sampling = {"do_sample": True, "temperature": 1.0}
    expected = answers(lm, PROMPTS * 5, **sampling)
    tried = with_memory_for(searching, 3, lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    assert answers(searching, PROMPTS * 5, **sampling) == expected
    assert tried[:4] == [16, 8, 4, 2]
    assert max(tried[4:]) == searching.rows == 2
    assert sum(tried[3:]) == 20


def test_a_model_that_does_not_fit_at_all_and_another_error_stop(tiny_model: Path) -> None:
    searching = peaked(tiny_model, batch_size="auto", max_batch_size=2)
    with_memory_for(searching, 0, lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    with pytest.raises(torch.OutOfMemoryError):
        answers(searching)
    assert searching.rows == 1
    searching = peaked(tiny_model, batch_size="auto")
    with_memory_for(searching, 0, lambda: RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        answers(searching)
    fixed = peaked(tiny_model, batch_size=4)
    with_memory_for(fixed, 3, lambda: torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"))
    with pytest.raises(torch.OutOfMemoryError):
        answers(fixed)
