"""`make bench` keeps what each benchmark says, and says why one was not measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scripts import bench

END = 'if __name__ == "__main__":\n    raise SystemExit("no | way")\n'
QUICK = '''"""How long is nothing?

It is short."""
if __name__ == "__main__":
    print("so")
    print('{"name": "quick", "ratio": 1.25, "ours": 2, "peer": 2.5, "unit": "s", "limit": 3}')
'''


@pytest.fixture
def some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    scripts = tmp_path / "benchmarks"
    scripts.mkdir()
    (scripts / "quick.py").write_text(QUICK)
    (scripts / "broken.py").write_text('"""Does it work?"""\n' + END)
    (scripts / "silent.py").write_text('"""Does it tell?"""\nif __name__ == "__main__":\n    print("no")\n')
    (scripts / "half.py").write_text('"""Does it compare?"""\nif __name__ == "__main__":\n    print(\'{"name": 1}\')\n')
    (scripts / "contamination.py").write_text('"""Needs data."""\n' + END)
    (scripts / "shared.py").write_text('"""What others import."""\n')
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    monkeypatch.setattr(bench, "BUILD", tmp_path / "build")
    monkeypatch.setattr(bench, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(bench.psutil, "cpu_percent", lambda interval: 5.0)
    monkeypatch.delenv("SFTGEN_DATA_DIR", raising=False)
    return tmp_path / "build"


def test_figures_failures_and_what_is_missing_stand_in_json_and_page(
    some: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main([]) == 1
    kept = json.loads((some / "bench.json").read_text())
    found = {result["name"]: result for result in kept["results"]}
    assert found["quick"]["figures"]["ratio"] == 1.25
    assert (found["broken"]["failed"], found["broken"]["missing"]) == (True, "exit code 1: no | way")
    assert found["silent"]["missing"] == "its last line is no JSON object"
    assert found["half"]["missing"] == "its last line lacks ratio, ours, peer, unit"
    assert "shared" not in found
    assert (found["contamination"]["failed"], found["quick"]["failed"]) == (False, False)
    assert kept["machine"]["torch"]
    page = (some / "bench.md").read_text()
    assert "| [quick](#quick) | 1.25 | 2 | 2.5 | s | limit 3 |" in page
    assert "`quick`: How long is nothing?\n" in page
    assert "`contamination`: Needs data. **Not measured**: set SFTGEN_DATA_DIR" in page
    assert "exit code 1: no | way." in page
    assert bench.main(["--only", "quick"]) == 0
    capsys.readouterr()
    assert bench.main(["quik"]) == 2
    assert "unknown: quik; expected some of broken, contamination, half, quick, silent" in capsys.readouterr().err


def test_every_script_that_needs_more_exists() -> None:
    assert bench.SPECIAL.keys() <= set(bench.names())


def test_what_was_measured_stands_and_what_takes_too_long_ends(
    some: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    (tmp_path / "benchmarks" / "endless.py").write_text(f'"""Does it end?"""\nif "__main__":\n    {child}\n')
    assert bench.main(["quick"]) == 0
    assert bench.main(["quick", "endless", "--limit", "0.5"]) == 1
    first = json.loads((some / "bench.json").read_text())["results"]
    assert [(one["name"], one["missing"]) for one in first] == [("endless", "not done after 0.5 s"), ("quick", "")]
    (tmp_path / "benchmarks" / "quick.py").write_text(QUICK.replace("1.25", "1.5"))
    capsys.readouterr()
    assert bench.main(["quick", "--publish"]) == 0
    assert "quick: stands" in capsys.readouterr().out
    assert "| 1.25 |" in (tmp_path / "page.md").read_text()
    assert bench.main(["quick", "--again"]) == 0
    assert "| 1.5 |" in (some / "bench.md").read_text()


def test_a_machine_that_was_busy_is_told(some: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.psutil, "cpu_percent", lambda interval: 85.0)
    assert bench.main(["quick"]) == 0
    assert "limit 3, others 85 % |" in (some / "bench.md").read_text()
