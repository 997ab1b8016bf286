"""The style sheet of the HTML page, for light, dark and paper."""

CSS = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5c6675; --line: #dfe3e8; --paper: #fff; --card: #f6f7f9;
  --good: #1f8a7d; --bad: #c23b4e; --warn: #b9760f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa4b2; --line: #323a46; --paper: #14181e;
  --card: #1c222b; --good: #45c4b4; --bad: #f07c8b; --warn: #e9b04f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.2rem 1.4rem 4rem; max-width: 60rem; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
h1 { font-size: 1.7rem; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 1.2rem; margin: 2.8rem 0 .6rem; padding-top: .9rem; border-top: 2px solid var(--line); }
h3 { font-size: .95rem; margin: 1.5rem 0 .4rem; }
p { margin: .4rem 0; } .soft, .note { color: var(--soft); } .note { font-size: .85rem; }
.alarm { border-left: 4px solid var(--bad); background: var(--card); padding: .6rem .9rem; margin: 1rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(12.5rem, 1fr)); gap: .8rem; margin: 1.4rem 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .7rem .9rem; }
.card b { display: block; font-size: 1.65rem; line-height: 1.25; font-weight: 650; font-variant-numeric: tabular-nums; }
.card span { display: block; font-size: .8rem; color: var(--soft); }
.card .target { margin-top: .25rem; } .good { color: var(--good) !important; } .bad { color: var(--bad) !important; }
figure { margin: .8rem 0; } svg { width: 100%; height: auto; display: block; }
figcaption { font-size: .85rem; color: var(--soft); } figcaption i { font-style: normal; padding-right: .9rem; }
figcaption i::before { content: ""; display: inline-block; width: .75rem; height: .75rem; margin-right: .35rem;
  border-radius: .15rem; background: var(--c); vertical-align: -.05rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .85rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); }
th, td { padding: .28rem .9rem .28rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.wide th, .wide td { padding-right: .55rem; } th { vertical-align: bottom; }
td.n, th.n { text-align: right; } td.n { white-space: nowrap; }
tr:last-child td { border-bottom: 0; }
th:last-child, td:last-child { padding-right: 0; }
.bar { position: relative; min-width: 9rem; } .bar u { position: absolute; inset: .3rem auto .3rem 0;
  background: #4a86d8; opacity: .35; border-radius: .2rem; }
.band { padding: .05rem .5rem; border-radius: 1rem; font-size: .75rem; font-weight: 600; color: #fff; }
.HEALTHY { background: #1f8a7d; } .STRAINED { background: #b9760f; } .CRITICAL { background: #c23b4e; }
.UNKNOWN { background: #76808e; }
details { margin: .9rem 0; } summary { cursor: pointer; color: var(--soft); font-size: .9rem; }
dt { font-weight: 600; margin-top: .6rem; } dd { margin: 0; font-size: .85rem; color: var(--soft); }
code { font: .8rem ui-monospace, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
footer { margin-top: 3rem; padding-top: .8rem; border-top: 2px solid var(--line); font-size: .8rem;
  color: var(--soft); }
@media print { body { max-width: none; padding: 0; font-size: 11px; color: #000; background: #fff; }
  h2 { break-after: avoid; } figure, table, .card { break-inside: avoid; } }
"""
