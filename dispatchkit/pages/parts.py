"""Parts of the HTML page: cards, tables, charts, folds. Each escapes the text it is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from dispatchkit.kernel.metrics import Metric, Table
from dispatchkit.pages import words
from dispatchkit.pages.charts import BANDS


def card(metric: Metric) -> str:
    """Return one headline metric with its interval, its fraction and its target."""
    interval = words.interval(metric)
    counts = metric.missing_reason if metric.value is None else metric.fraction
    lines = [
        f"<b>{escape(words.value(metric.value, metric.unit))}</b>",
        f"<span>{escape(words.title(metric.name))}</span>",
    ]
    lines += [
        f"<span>{escape(text)}</span>"
        for text in (interval and f"95 %: {interval}", counts, metric.remark)
        if text
    ]
    return f'<div class="card">{"".join(lines)}{target(metric, "target ")}</div>'


def target(metric: Metric, word: str = "") -> str:
    """Return the target with a mark whether the metric meets it; empty without a target."""
    if metric.target is None:
        return ""
    undecided = " ~" if metric.value is not None and metric.target.sign else ""
    kind, mark = {True: ("good", " ✓"), False: ("bad", " ✗"), None: ("", undecided)}[
        metric.target_met
    ]
    return f'<span class="target {kind}">{word}{escape(metric.target.text)}{mark}</span>'


def metrics(rows: Iterable[Metric]) -> str:
    """Return metrics as a table: value, interval, fraction, exclusions, target."""
    body = []
    for m in rows:
        failed = ' <span class="bad">too much excluded</span>' if m.failed else ""
        body.append(
            f"<tr><td>{escape(words.title(m.name))}{failed}</td>"
            f"<td class=n><b>{escape(words.value(m.value, m.unit))}</b></td>"
            f"<td class=n>{escape(words.interval(m))}</td><td class=n>{escape(m.fraction)}</td>"
            f"<td>{escape(words.remarks(m))}</td><td>{target(m)}</td></tr>"
        )
    head = (
        "<th>metric<th class=n>value<th class=n>95 % interval<th class=n>calculated from"
        "<th>excluded, open<th>target"
    )
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(body)}</table></div>'


def table(shown: Table, tz: str, *, columns: list[str] | None = None, max_rows: int = 60) -> str:
    """Return a table with bands as coloured words; rows beyond `max_rows` are only in the files."""
    picked = columns or shown.frame.columns
    numeric = [c in shown.units for c in picked]
    head = "".join(
        f"<th{' class=n' if n else ''}>{escape(words.heading(c))}"
        for c, n in zip(picked, numeric, strict=True)
    )
    texts = words.rows(shown, tz, columns=picked)
    body = "".join(f"<tr>{_cells(row, numeric)}</tr>" for row in texts[:max_rows])
    if not texts:
        body = f"<tr><td colspan={len(picked)}>No rows.</td></tr>"
    more = (
        f'<p class="note">… and {len(texts) - max_rows:,} more rows in the files.</p>'
        if len(texts) > max_rows
        else ""
    )
    note = f'<p class="note">{escape(shown.note)}</p>' if shown.note else ""
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>{more}{note}'


def _cells(row: Sequence[str], numeric: Sequence[bool]) -> str:
    return "".join(
        f'<td><span class="band {text}">{text}</span>'
        if text in BANDS
        else f"<td{' class=n' if n else ''}>{escape(text)}"
        for text, n in zip(row, numeric, strict=True)
    )


def bars(rows: Sequence[tuple[str, int, float | None, str]]) -> str:
    """Return named counts as bars: (name, count, share of the widest, remark)."""
    lines = [
        f"<tr><td>{escape(name)}<td class=n>{count:,}"
        f'<td class="bar"><u style="width:{100 * (share or 0):.1f}%"></u>'
        f"{escape(words.value(share, 'share'))}<td>{escape(remark)}</tr>"
        for name, count, share, remark in rows
    ]
    return f"<table>{''.join(lines)}</table>"


def figure(svg: str, *keys: tuple[str, str]) -> str:
    """Return a chart with its legend: (colour, meaning) pairs."""
    legend = "".join(f'<i style="--c:{color}">{escape(text)}</i>' for color, text in keys)
    return f"<figure>{svg}<figcaption>{legend}</figcaption></figure>"


def fold(title: str, body: str) -> str:
    """Return a part that opens on a click on its title."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def notes(texts: Iterable[str]) -> str:
    """Return remarks, one paragraph each."""
    return "".join(f'<p class="note">{escape(text)}</p>' for text in texts)
