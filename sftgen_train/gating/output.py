"""A decision as JSON and as JUnit XML, for continuous integration."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any
from xml.etree import ElementTree

from sftgen_judges.records.journal import clean
from sftgen_judges.records.schema import printable
from sftgen_train.gating.decision import BenchmarkDecision, Decision


def as_json(decision: Decision) -> str:
    """Every number of a decision; one that JSON cannot hold is null."""

    def whole(found: BenchmarkDecision) -> dict[str, Any]:
        return {
            **{name: value for name, value in vars(found).items() if name not in {"rule", "comparisons", "needed"}},
            **found.rule.model_dump(),
            "comparisons": [asdict(each) for each in found.comparisons],
            "needed": asdict(found.needed) if found.needed else None,
        }

    return json.dumps(
        clean(
            {
                "outcome": decision.outcome,
                "exit_code": decision.exit_code,
                "why": decision.why,
                "benchmarks": [whole(each) for each in decision.benchmarks],
            }
        ),
        indent=2,
    )


def as_junit(decision: Decision) -> str:
    """A test case for each benchmark.

    NO-GO is a failure, a critical benchmark that is not decided an error; others that do not decide are skipped.
    """
    suite = ElementTree.Element("testsuite", name="sftgen gate")
    counts = {"failure": 0, "error": 0, "skipped": 0}
    for found in decision.benchmarks:
        case = ElementTree.SubElement(
            suite, "testcase", classname=f"sftgen.gate.{found.rule.tier}", name=printable(found.name)
        )
        kind = _kind(found)
        if kind:
            counts[kind] += 1
            ElementTree.SubElement(case, kind, message=printable(f"{found.outcome}: {found.why}"))
        ElementTree.SubElement(case, "system-out").text = printable(found.told)
    totals = {"failures": counts["failure"], "errors": counts["error"], "skipped": counts["skipped"]}
    for name, number in {"tests": len(decision.benchmarks), **totals}.items():
        suite.set(name, str(number))
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode")


def _kind(found: BenchmarkDecision) -> str:
    if found.outcome == "GO":
        return ""
    if found.rule.tier == "advisory":
        return "skipped"
    if found.outcome == "NO-GO":
        return "failure"
    return "error" if found.rule.tier == "critical" else "skipped"
