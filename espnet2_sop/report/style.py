"""The style sheet of the page. No fonts, scripts or pictures from elsewhere; wide things scroll in their own box."""

STYLE = """
:root { --ink: #1d2328; --soft: #5a646d; --line: #dde1e5; --wash: #f5f7f9; --accent: #0b5a94; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; color: var(--ink); background: #fff; overflow-wrap: break-word;
       font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main, header, footer { max-width: 1240px; margin: 0 auto; padding: 0 20px; }
header { padding-top: 28px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 4px; }
h2 { font-size: 20px; margin: 44px 0 10px; padding-top: 10px; border-top: 2px solid var(--ink); }
h3 { font-size: 16px; margin: 26px 0 6px; }
h4 { font-size: 14px; margin: 14px 0 4px; font-weight: 600; }
p { margin: 6px 0; max-width: 78ch; }
a { color: var(--accent); }
code { font-size: 13px; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 4px 16px; margin: 14px 0; padding: 8px 0; border-top: 1px solid var(--line);
      border-bottom: 1px solid var(--line); }
nav a { text-decoration: none; padding: 3px 0; }
.soft, figcaption, footer { color: var(--soft); font-size: 13.5px; }
footer { margin-top: 48px; padding-bottom: 32px; }
.tiles { display: flex; flex-wrap: wrap; gap: 10px; margin: 16px 0; padding: 0; list-style: none; }
.tiles li { border: 1px solid var(--line); border-radius: 6px; padding: 8px 14px; min-width: 118px; }
.tiles b { display: block; font-size: 20px; }
.note { background: var(--wash); border-left: 3px solid #9aa5ae; padding: 6px 10px; margin: 8px 0; max-width: 90ch; }
.scroll { overflow-x: auto; margin: 8px 0; max-width: 100%; }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 12px; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top;
         white-space: nowrap; }
thead th { border-bottom: 2px solid #9aa5ae; vertical-align: bottom; font-weight: 600; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; padding-left: 0; }
table.plain td, table.plain th { text-align: left; white-space: normal; }
tbody tr:hover td { background: var(--wash); }
.interval { display: block; color: var(--soft); font-size: 12px; }
.better { color: #005b96; font-weight: 600; }
.worse { color: #9a4400; font-weight: 600; }
.key { vertical-align: -1px; margin-right: 6px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 6px 0; padding: 0; list-style: none;
          font-size: 13.5px; }
.panels { display: flex; flex-wrap: wrap; gap: 8px 14px; }
figure { margin: 8px 0 18px; }
figcaption { max-width: 90ch; }
.panels svg { display: block; max-width: 100%; height: auto; }
details { margin: 12px 0; }
summary { cursor: pointer; font-weight: 600; padding: 4px 0; }
article { border: 1px solid var(--line); border-radius: 6px; padding: 4px 16px 12px; margin: 16px 0; }
article h3 { margin-top: 10px; }
audio { display: block; width: 100%; max-width: 520px; margin: 10px 0; }
.timeline { max-width: 520px; margin: 8px 0; font-size: 12px; }
.timeline div { position: relative; height: 17px; margin: 2px 0; background: var(--wash); }
.timeline span { position: absolute; top: 0; bottom: 0; min-width: 2px; overflow: hidden; padding: 0 5px; color: #fff;
                 line-height: 17px; white-space: nowrap; }
.chip { display: inline-block; min-width: 20px; padding: 0 6px; border-radius: 9px; color: #fff; font-size: 12px;
        line-height: 18px; text-align: center; margin-right: 4px; }
.t0 { background: #3a5fa8; } .t1 { background: #a8324f; } .t2 { background: #287a3a; } .t3 { background: #75559c; }
.t4 { background: #8a5a00; } .t5 { background: #44606b; }
.system { white-space: nowrap; }
.columns { display: flex; flex-wrap: wrap; gap: 0 64px; }
.columns > div { min-width: 0; }
.words td, .words th { padding: 2px 3px; text-align: left; border-bottom: 1px solid #eef0f2; vertical-align: middle; }
.words td span { padding: 1px 4px; border-radius: 3px; }
.words tr > :first-child { min-width: 168px; max-width: 260px; padding-right: 14px; font-weight: 400;
                           white-space: normal; }
.words tbody tr:hover td { background: none; }
.words tbody .ref td { font-weight: 600; background: var(--wash); }
.words .ref > :first-child { background: var(--wash); }
.words + .words { margin-top: 10px; }
.correct { color: #59636b; }
.substituted { background: #ffdfb3; }
.deleted { background: #e9ddf3; color: #6a3d9a; }
.inserted { background: #cfe6fa; color: #0b4a7a; }
.sample { padding: 1px 7px; border-radius: 3px; margin-right: 8px; white-space: nowrap; }
@media (max-width: 640px) {
  main, header, footer { padding-left: 12px; padding-right: 12px; }
  h1 { font-size: 21px; }
  article { padding: 2px 10px 8px; }
  th, td { padding: 5px 8px; }
  th:first-child, td:first-child { max-width: 46vw; white-space: normal; }
  .words tr > :first-child { min-width: 108px; max-width: 46vw; padding-right: 6px; font-size: 12.5px; }
  .words .system, .legend .system { white-space: normal; }
  .words .key { margin-right: 3px; width: 16px; }
}
@media print { nav, audio { display: none; } article, figure { break-inside: avoid; } }
""".strip()
