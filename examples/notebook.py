"""A run in a notebook: `marimo edit examples/notebook.py -- RUN [OTHER]`; it runs as a script too."""

import marimo

app = marimo.App(width="medium")


@app.cell
def _():
    import sys

    import sftgen

    # Everything after `--`, or after the script's name.
    runs = [argument for argument in sys.argv[1:] if not argument.startswith("-")]
    return runs, sftgen


@app.cell
def _(runs, sftgen):
    # The runs, and what was measured in each. Nothing else is read before a query asks for it.
    records = sftgen.load_run(runs)
    records
    return (records,)


@app.cell
def _(runs, sftgen):
    # What became of the scores, and what stands behind it.
    explained = sftgen.explain(runs[0])
    explained
    return (explained,)


@app.cell
def _(records):
    # Any question in SQL (docs/queries.md). Responses are counted here, not shown: .to_pandas() has them.
    lengths = records.sql("""
        SELECT task, step, avg(tokens) AS tokens, avg(truncated::INT) AS truncated, count(*) AS answers
        FROM samples GROUP BY ALL ORDER BY ALL
    """)
    lengths
    return (lengths,)


@app.cell
def _(runs, sftgen):
    # The other runs against the first; of one run alone its landmarks.
    comparison = sftgen.compare(runs)
    comparison
    return (comparison,)


@app.cell
def _(runs, sftgen):
    # What diagnostics found (`sftgen diagnose RUN`).
    findings = sftgen.findings(runs[0])
    findings
    return (findings,)


if __name__ == "__main__":
    app.run()
