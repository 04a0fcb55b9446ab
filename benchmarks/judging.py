"""Judging 330 responses with a server that takes one second a call, 32 calls at once.

    python benchmarks/judging.py

The server is a real one on this machine, in a process of its own; the judge is `policy`. The peer is what
no client can beat: eleven rounds of 32 calls, one second each. Ours is `grade_batch` from a cold start: it
begins with half the calls at once, retries, parses every reply and writes every verdict to disk.

The last line is one JSON object: our time over the ideal one, and both times.
"""

from __future__ import annotations

import asyncio
import json
import math
import multiprocessing
import os
import re
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import openai  # noqa: F401 - imported before the clock starts

from sftgen_judges import Item, Response
from sftgen_judges.asking.settings import with_settings
from sftgen_judges.policy import POLICY
from sftgen_judges.records.journal import read_rows
from sftgen_judges.scoring.grading import grade_batch

JUDGEMENTS, LATENCY, AT_ONCE = 330, 1.0, 32


def serve(told: Connection) -> None:
    """Answer every request after `LATENCY`; on any word, tell how many there were and the most at once, and end."""

    async def main() -> None:
        running = most = calls = 0
        reply = json.dumps({"model": "stand-in", "choices": [{"message": {"content": '{"score": 1}'}}]}).encode()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal running, most, calls
            while True:
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except asyncio.IncompleteReadError:  # the client has hung up
                    writer.close()
                    return
                found = re.search(rb"(?i)content-length: (\d+)", head)
                await reader.readexactly(int(found[1]) if found else 0)
                running, calls = running + 1, calls + 1
                most = max(most, running)
                await asyncio.sleep(LATENCY)
                running -= 1
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(reply)
                )
                writer.write(reply)

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await asyncio.to_thread(told.recv)
        told.send((calls, most))
        os._exit(0)  # connections are still open

    asyncio.run(main())


def main() -> None:
    """Run once and print."""
    ours_end, server_end = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(server_end,), daemon=True)
    process.start()
    judge = with_settings(
        POLICY, base_url=f"http://127.0.0.1:{ours_end.recv()}/v1", model="stand-in", concurrency=AT_ONCE
    )
    items = [Item({"question": f"Question {n}"}, Response("fine", answer="fine")) for n in range(JUDGEMENTS)]
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "verdicts.jsonl"
        started = time.perf_counter()
        verdicts = grade_batch(judge, items, journal=journal, label="judging")
        seconds = time.perf_counter() - started
        written = len(list(read_rows(journal)))
    ours_end.send("end")
    calls, most = ours_end.recv()
    process.join()
    assert [verdict.score for verdict in verdicts] == [1.0] * JUDGEMENTS
    assert (written, calls) == (JUDGEMENTS, JUDGEMENTS)
    assert most <= AT_ONCE
    ideal = math.ceil(JUDGEMENTS / AT_ONCE) * LATENCY
    print(f"{JUDGEMENTS} judgements, {LATENCY:g} s each, at most {most} at once: {seconds:.2f} s, ideal {ideal:.2f} s")
    facts = {"ratio": round(seconds / ideal, 3), "ours": round(seconds, 3), "peer": ideal, "unit": "seconds"}
    print(json.dumps({"name": "judging", **facts}))


if __name__ == "__main__":
    main()
