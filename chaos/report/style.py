"""The look of the page: few colours, large enough at night, and nothing that has to be fetched."""

from __future__ import annotations

__all__ = ["STYLE"]

STYLE = """
:root { --ink: #1c2430; --soft: #5b6675; --line: #dde2e8; --paper: #fbfcfd;
  --good: #1f7a5c; --good-soft: #e3f3ec; --bad: #c11f2b; --bad-soft: #fde8e9;
  --void: #9a6700; --void-soft: #fff4d6; --none: #eef1f4; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 1040px; margin: 0 auto; padding: 28px 20px 80px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 6px; }
h2 { font-size: 20px; margin: 44px 0 10px; padding-top: 14px; border-top: 1px solid var(--line); }
p { margin: 6px 0; max-width: 78ch; }
.soft, dt { color: var(--soft); }
.verdict { display: flex; gap: 14px; align-items: baseline; flex-wrap: wrap;
  padding: 14px 18px; border-radius: 10px; margin: 16px 0; font-size: 18px; }
.verdict.good { background: var(--good-soft); } .verdict.bad { background: var(--bad-soft); }
.verdict b { font-size: 24px; } .good b { color: var(--good); } .bad b { color: var(--bad); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 18px; margin: 10px 0; }
dd { margin: 0; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
.matrix { display: grid; grid-template-columns: repeat(10, 1fr); gap: 6px; margin: 14px 0; }
.matrix a { display: block; text-align: center; padding: 9px 2px; border-radius: 7px;
  font-weight: 600; text-decoration: none; font-variant-numeric: tabular-nums; }
.matrix small { display: block; font-weight: 400; font-size: 12px; }
.passed { background: var(--good-soft); color: var(--good); }
.failed { background: var(--bad); color: #fff; }
.void { background: var(--void-soft); color: var(--void); }
.test, .nothing, .notrun { background: var(--none); color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 10px 0; font-size: 14px;
  font-variant-numeric: tabular-nums; }
th { text-align: left; color: var(--soft); font-weight: 500; }
th, td { padding: 6px 10px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; white-space: nowrap; }
.mark { display: inline-block; padding: 1px 9px; border-radius: 99px; font-size: 13px;
  font-weight: 600; white-space: nowrap; }
details { border: 1px solid var(--line); border-radius: 10px; background: #fff; margin: 10px 0; }
summary { cursor: pointer; padding: 12px 16px; display: flex; gap: 12px; align-items: baseline; }
summary .what { flex: 1; } summary .n { color: var(--soft); font-variant-numeric: tabular-nums; }
details > div { padding: 2px 16px 16px; }
.problems { color: var(--bad); margin: 8px 0; padding-left: 20px; }
svg { width: 100%; height: auto; display: block; margin: 10px 0 4px; }
svg text { font: 11px system-ui, sans-serif; fill: #5b6675; }
svg .fault { fill: #f3e3cf; } svg .grid { stroke: #e6eaee; }
svg .limit { stroke: #c11f2b; stroke-dasharray: 5 4; }
svg .instant { stroke: #1c2430; stroke-width: 1.2; }
svg polyline { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
svg .p50 { stroke: #1c2430; } svg .p99 { stroke: #8c98a6; }
.legend { display: flex; gap: 16px; flex-wrap: wrap; font-size: 13px; color: var(--soft); }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px;
  margin-right: 6px; }
@media (max-width: 640px) { .matrix { grid-template-columns: repeat(5, 1fr); } }
@media print { details { break-inside: avoid; } }
"""
