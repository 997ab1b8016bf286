"""Charts as SVG text: no script, no network, readable on light and dark paper."""

from __future__ import annotations

import re
from typing import Any

import altair as alt
import polars as pl
import vl_convert

from dispatchkit.kernel.clock import zone

BLUE, TEAL, AMBER, RED, GREY = "#4a86d8", "#2a9d8f", "#e0962b", "#d1495b", "#8a94a3"
BANDS = {"HEALTHY": TEAL, "STRAINED": AMBER, "CRITICAL": RED, "UNKNOWN": GREY}
WIDTH = 860


def day(quarters: pl.DataFrame, tz: str) -> str:
    """Return the day: orders placed and assigned by quarter hour, and how many waited for a driver."""
    local = quarters.with_columns(
        at=_local(pl.col("at"), tz), until=_local(pl.col("at"), tz).dt.offset_by("15m")
    )
    x = alt.X("at:T", title=None, axis=alt.Axis(format="%H:%M"), scale=alt.Scale(type="utc"))
    flow = _chart(_times(local))
    bars = flow.mark_rect(color=BLUE, opacity=0.45).encode(
        x=x, x2="until:T", y=alt.Y("orders:Q", title="orders"), y2=alt.datum(0)
    )
    middle = alt.X("at:T", scale=alt.Scale(type="utc"))
    lines = [
        flow.mark_line(color=color, strokeWidth=2, interpolate="monotone").encode(
            x=middle, y=f"{column}:Q"
        )
        for column, color in (("assigned", TEAL), ("delivered", GREY))
    ]
    waiting = (
        flow.mark_area(color=RED, opacity=0.75, interpolate="step-after")
        .encode(x=x, y=alt.Y("unassigned:Q", title="waiting"))
        .properties(width=WIDTH, height=70)
    )
    top = alt.layer(bars, *lines).properties(width=WIDTH, height=190)
    return svg(alt.vconcat(top, waiting, spacing=8).resolve_scale(x="shared"), "day")


def waterfall(bridge: pl.DataFrame) -> str:
    """Return money from revenue down to contribution, in whole currency units."""
    rows, level = [], 0.0  # level: the money left before a step
    for step, cents in bridge.iter_rows():
        total = step == "contribution"
        start, end = (0.0, cents / 100) if total else (level, level + cents / 100)
        color = (TEAL if cents >= 0 else RED) if total else BLUE if cents >= 0 else AMBER
        rows.append({"step": step, "from": start, "to": end, "amount": cents / 100, "color": color})
        level = end
    order = [row["step"] for row in rows]
    base = _chart(rows).encode(
        x=alt.X("step:N", sort=order, title=None, axis=alt.Axis(labelAngle=0, labelLimit=140))
    )
    bars = base.mark_bar(size=64).encode(
        y=alt.Y("from:Q", title=None), y2="to:Q", color=alt.Color("color:N", scale=None)
    )
    labels = base.mark_text(dy=-8, fontSize=12, color="currentColor").encode(
        y=alt.Y("top:Q"), text=alt.Text("amount:Q", format=",.0f")
    )
    labels = labels.transform_calculate(top="max(datum['from'], datum.to)")
    return svg(alt.layer(bars, labels).properties(width=WIDTH, height=220), "money")


def heat(hours: pl.DataFrame, tz: str, zones: list[str]) -> str:
    """Return zones by hour, coloured by band, with the orders of each hour."""
    shown = hours.filter(pl.col("zone").is_in(zones)).with_columns(hour=_local(pl.col("hour"), tz))
    order = shown.sort("hour").with_columns(label=pl.col("hour").dt.strftime("%H"))
    labels = order["label"].unique(maintain_order=True).to_list()
    rows = order.select("zone", "label", "band", "orders").to_dicts()
    base = _chart(rows).encode(
        x=alt.X("label:O", sort=labels, title="hour", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("zone:N", sort=zones, title=None),
    )
    colors = alt.Scale(domain=list(BANDS), range=list(BANDS.values()))
    legend = alt.Legend(orient="top", title=None)
    cells = base.mark_rect(opacity=0.8, stroke="currentColor", strokeOpacity=0.15).encode(
        color=alt.Color("band:N", scale=colors, legend=legend)
    )
    numbers = base.mark_text(fontSize=11, color="currentColor").encode(text="orders:Q")
    return svg(
        alt.layer(cells, numbers).properties(width=WIDTH, height=max(60, 26 * len(zones))), "heat"
    )


def errors(frame: pl.DataFrame, events: list[str]) -> str:
    """Return the errors of quotes, one strip per quote event; the shaded band is five minutes."""
    rows = frame.to_dicts()
    strips = []
    for event in events:
        close = _chart([{"a": -5, "b": 5}]).mark_rect(color=TEAL, opacity=0.15)
        band = close.encode(x=alt.X("a:Q", scale=alt.Scale(domain=[-30, 30])), x2="b:Q")
        axis = alt.Axis(
            labels=event == events[-1], ticks=event == events[-1], values=list(range(-30, 31, 5))
        )
        title = "minutes later than quoted" if event == events[-1] else None
        bars = _chart([row for row in rows if row["event"] == event]).mark_bar(color=BLUE, size=10)
        bars = bars.encode(
            x=alt.X("late_min:Q", title=title, scale=alt.Scale(domain=[-30, 30]), axis=axis),
            y=alt.Y("quotes:Q", title=event.replace("_", " "), axis=alt.Axis(tickCount=2)),
        )
        strips.append(alt.layer(band, bars).properties(width=WIDTH, height=62))
    return svg(alt.vconcat(*strips, spacing=6), "errors")


def svg(chart: Any, key: str) -> str:
    """Return a chart as inline SVG that scales with its column.

    key: prefix of its ids, so that charts of one page share none.
    """
    styled = chart.configure(
        background="transparent", font="Helvetica, Arial, sans-serif"
    ).configure_view(stroke=None)
    styled = styled.configure_axis(
        labelColor="currentColor",
        titleColor="currentColor",
        gridColor="#8885",
        domainColor="#8888",
        tickColor="#8888",
    ).configure_legend(labelColor="currentColor", titleColor="currentColor")
    text: str = vl_convert.vegalite_to_svg(styled.to_dict())
    new_ids: dict[str, str] = {}
    for old in re.findall(r'id="([^"]+)"', text):
        new_ids.setdefault(old, f"{key}{len(new_ids)}")
    for old, new in new_ids.items():
        text = re.sub(rf'(id="|url\(#|href="#){re.escape(old)}(?=["\)])', rf"\g<1>{new}", text)
    return re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", text, count=1)


def _chart(rows: list[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.Data(values=rows))  # type: ignore[no-untyped-call]


def _local(at: pl.Expr, tz: str) -> pl.Expr:
    """Return the market's local time without a zone, which is what the charts write."""
    return at.dt.convert_time_zone(zone(tz).key).dt.replace_time_zone(None)


def _times(frame: pl.DataFrame) -> list[dict[str, Any]]:
    text = [pl.col(c).dt.strftime("%Y-%m-%dT%H:%M:%SZ") for c in ("at", "until")]
    return frame.with_columns(text).to_dicts()
