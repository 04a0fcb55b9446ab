"""Where shards are made. A real cluster with a killed node is `benchmarks/ray_cluster.py`: it costs a minute."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from sftgen_judges.plugins.contracts import Executor, Workers
from sftgen_judges.plugins.manager import UnknownNameError
from sftgen_train.curation.countdown.rows import Recipe, write_countdown
from sftgen_train.curation.engines import EngineError, engine_of, workers
from sftgen_train.curation.sets import write_set
from tests.ports import own_port


def make(index: int, part: list[int]) -> list[dict[str, Any]]:
    return [{"number": number, "square": number**2} for number in part]


class Task:
    """A remote function: arguments and result go through pickle, as they would to another node."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def options(self, **given: Any) -> Task:
        return self

    def remote(self, *args: Any) -> Any:
        future: Future[Any] = Future()
        future.set_result(pickle.loads(pickle.dumps(self._function(*pickle.loads(pickle.dumps(args))))))
        return SimpleNamespace(future=lambda: future)


class UnschedulableError(RuntimeError):
    """What Ray says of a node that died before the cluster noticed."""


def cluster(nodes: int, *, blind: bool = False, died: bool = False) -> ModuleType:
    ray: Any = ModuleType("ray")
    ray.is_initialized = lambda: True
    ray.remote = lambda **options: Task
    ray.nodes = lambda: [{"Alive": True, "NodeID": "n", "NodeManagerHostname": f"host{n}"} for n in range(nodes)]
    ray.cluster_resources = lambda: {"CPU": float(nodes)}
    ray.exceptions = SimpleNamespace(
        RayError=RuntimeError, NodeDiedError=UnschedulableError, TaskUnschedulableError=UnschedulableError
    )

    def get(answer: Any) -> bool:
        if died:
            raise UnschedulableError
        return not blind and answer.future().result()

    ray.get = get
    return ray


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Any:
    scheduling: Any = ModuleType("ray.util.scheduling_strategies")
    scheduling.NodeAffinitySchedulingStrategy = lambda *args, **kwargs: None

    def installed(made: ModuleType | None) -> None:
        monkeypatch.setitem(sys.modules, "ray", made)
        monkeypatch.setitem(sys.modules, "ray.util", ModuleType("ray.util"))
        monkeypatch.setitem(sys.modules, "ray.util.scheduling_strategies", scheduling)

    return installed


def test_a_set_is_the_same_on_every_engine(ray: Any, tmp_path: Path) -> None:
    ray(cluster(3))
    parts = [list(range(start, start + 10)) for start in range(0, 70, 10)]
    one = write_set(tmp_path / "one", {"of": 1}, parts, make, shards=7)
    with workers("ray", 1) as crew:
        on_ray = write_set(tmp_path / "ray", {"of": 1}, parts, make, shards=7, crew=crew)
    assert on_ray.content_hash == one.content_hash
    assert len(list((tmp_path / "ray").glob("*.parquet"))) == 7


def test_a_node_that_does_not_see_the_folder_is_named_before_anything_is_made(ray: Any, tmp_path: Path) -> None:
    ray(cluster(2, blind=True))
    with workers("ray", 1) as crew, pytest.raises(EngineError, match="host0, host1 of the Ray cluster does not see it"):
        write_set(tmp_path / "set", {"of": 1}, [[1], [2]], make, shards=2, crew=crew)
    assert not list((tmp_path / "set").glob("*.parquet"))


def test_a_node_that_died_a_moment_ago_is_passed_over(ray: Any, tmp_path: Path) -> None:
    ray(cluster(2, died=True))
    with workers("ray", 1) as crew:
        assert write_set(tmp_path / "set", {"of": 1}, [[1], [2]], make, shards=2, crew=crew).rows == 2


def test_a_plugins_executor_makes_the_same_set(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    @contextmanager
    def threads(processes: int, *, gpus: int = 0) -> Iterator[Workers]:
        asked.append((processes, gpus))
        with ThreadPoolExecutor(2) as pool:
            yield Workers(pool, 2)

    recipe = Recipe(60, seed=1)
    here = write_countdown(tmp_path / "here", recipe)
    there = write_countdown(tmp_path / "there", recipe, processes=3, engine=Executor("threads", threads))
    assert there.content_hash == here.content_hash
    assert asked == [(3, 0)]


def test_an_engine_that_is_not_there_is_named(ray: Any, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Known: local, ray"):
        engine_of("spark")
    ray(None)
    with pytest.raises(EngineError, match=r"pip install 'sftgen\[ray\]'"), workers("ray", 1):
        pass


def test_a_cluster_that_does_not_answer_is_named_at_once(ray: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made: Any = cluster(1)
    made.is_initialized = lambda: False
    ray(made)
    with own_port() as port:
        address = f"127.0.0.1:{port}"
        monkeypatch.setenv("RAY_ADDRESS", address)
        with pytest.raises(EngineError, match=f"no cluster at {address} "), workers("ray", 1):
            pass
