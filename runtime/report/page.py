"""The frame of a report: one HTML file without scripts or anything from outside."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from compiler.targets.diagram import STYLE as DIAGRAM_STYLE

STYLE = """\
:root{color-scheme:light dark;--back:#fff;--panel:#f6f8fa;--text:#1c2430;--dim:#5d6878;
--line:#9aa5b4;--rule:#dfe4ea;--accent:#2f62c0;--warm:#c2410c;--good:#15803d;--box:#f6f8fa;
--call:#e4edfb;--heat:47,98,192;--wrong:194,65,12}
@media(prefers-color-scheme:dark){:root{--back:#12161c;--panel:#1a2029;--text:#e3e8ef;
--dim:#98a4b3;--line:#6d7a8b;--rule:#2b3440;--accent:#7ea8f8;--warm:#fb923c;--good:#4ade80;
--box:#1a2029;--call:#1c2b47;--heat:96,145,240;--wrong:251,146,60}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);
font:15px/1.5 ui-sans-serif,system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1120px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:26px;margin:0}h2{font-size:19px;margin:40px 0 12px;padding-top:14px;
border-top:1px solid var(--rule)}h3{font-size:15px;margin:22px 0 8px}
p{margin:6px 0}.dim,.remark{color:var(--dim)}.remark{font-size:13px}
nav{margin:14px 0;display:flex;flex-wrap:wrap;gap:4px 16px;font-size:14px}
a{color:var(--accent)}
.tiles{display:flex;flex-wrap:wrap;gap:10px;margin:18px 0}
.tile{background:var(--panel);border-radius:8px;padding:9px 14px;min-width:110px}
.tile b{display:block;font-size:19px;font-variant-numeric:tabular-nums}
.tile span{color:var(--dim);font-size:13px}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,330px),1fr));gap:18px}
figure{margin:0;min-width:0}
.chart{max-width:560px}
.chart svg{width:100%;height:auto;display:block}
.chart text{fill:var(--dim);font-size:14px;font-variant-numeric:tabular-nums}
.chart figcaption{display:flex;flex-wrap:wrap;gap:2px 14px;font-size:14px}
.chart figcaption i{display:inline-block;width:14px;height:3px;margin-right:5px;
vertical-align:middle}
.grid{stroke:var(--rule)}.line{fill:none;stroke-width:1.8;stroke-linejoin:round}
.line.train{stroke:var(--line)}circle.train,i.train{fill:var(--line);background:var(--line)}
.line.validation,.line.model{stroke:var(--accent)}
circle.validation,i.validation,circle.model,i.model{fill:var(--accent);background:var(--accent)}
.line.truth{stroke:var(--text)}circle.truth,i.truth{fill:var(--text);background:var(--text)}
.line.other{stroke:var(--warm);stroke-dasharray:4 3}
circle.other,i.other{fill:var(--warm);background:var(--warm)}
.line.band{stroke:none;fill:var(--accent);fill-opacity:.18}
.chart i.band{background:var(--accent);opacity:.3;height:10px}
.line.area{stroke:var(--accent);fill:var(--accent);fill-opacity:.2}i.area{background:var(--accent)}
circle.dots,i.dots{fill:var(--warm);background:var(--warm)}
circle.cloud,i.cloud{fill:var(--accent);background:var(--accent)}circle.cloud{opacity:.55}
.wide{overflow-x:auto}
table{border-collapse:collapse;font-size:13.5px;font-variant-numeric:tabular-nums}
th{text-align:left;font-weight:600;color:var(--dim)}
th,td{padding:3px 10px 3px 0;vertical-align:top}
td.n,th.n{text-align:right}td.n{white-space:nowrap}
tbody tr{border-top:1px solid var(--rule)}
.plan td{white-space:pre}
.matrix td,.matrix th{padding:4px 6px;text-align:center;border:1px solid var(--back)}
.matrix th.row{text-align:right}.matrix td{min-width:34px}
.shots{display:grid;grid-template-columns:repeat(auto-fill,minmax(132px,1fr));gap:14px}
.shots.wide2{grid-template-columns:repeat(auto-fill,minmax(230px,1fr))}
.shots img{width:100%;image-rendering:pixelated;border-radius:5px;display:block;
border:1px solid var(--rule)}
.shots figcaption{font-size:13px;line-height:1.4;margin-top:4px;overflow-wrap:anywhere}
.shots .words{grid-column:span 2}
.row2{display:flex;flex-wrap:wrap;gap:10px;margin-top:14px}.row2 svg{max-width:100%;height:auto}
.row4{display:grid;grid-template-columns:repeat(4,minmax(0,1fr));gap:10px;max-width:760px;
margin-top:14px}
.row4 img{width:100%;image-rendering:pixelated;border-radius:5px;display:block;
border:1px solid var(--rule)}
.row4 figcaption{font-size:13px;color:var(--dim);margin-top:3px}
.legend{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:14px}
.legend i{display:inline-block;width:12px;height:12px;border-radius:3px;margin-right:6px;
vertical-align:-1px}
.steps{display:flex;flex-wrap:wrap;gap:6px 10px;padding:8px 0;margin:0;
border-top:1px solid var(--rule)}
.steps>span>*{display:block;font-style:normal}.steps b{font-weight:400}
.steps i{font-size:12px;line-height:1.3}
.steps>.dim{font-size:13px;min-width:min(150px,100%);overflow-wrap:anywhere}
.said{color:var(--warm)}.true{color:var(--good)}
pre{background:var(--panel);border-radius:8px;padding:12px 14px;overflow-x:auto;margin:8px 0;
font:13px/1.45 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
pre.text{white-space:pre-wrap;overflow-wrap:anywhere}
.drawing{max-width:100%;overflow-x:auto}
summary{cursor:pointer;color:var(--accent)}
@media(max-width:600px){.steps>.dim{flex-basis:100%}}
@media print{main{max-width:none}}
"""


def page(title: str, head: str, sections: Sequence[tuple[str, str, str]]) -> str:
    """The whole document.

    Args:
        title: the run's name.
        head: what stands above the sections.
        sections: (anchor, heading, body); those without a body are left out.
    """
    shown = [section for section in sections if section[2]]
    links = "".join(f'<a href="#{anchor}">{escape(heading)}</a>' for anchor, heading, _ in shown)
    bodies = "".join(f'<section id="{anchor}"><h2>{escape(heading)}</h2>{body}</section>\n'
                     for anchor, heading, body in shown)
    return ('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width,initial-scale=1">'
            # Nothing is fetched, even if a name or text of the data tries to.
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            'img-src data:; style-src \'unsafe-inline\'">'
            f"<title>{escape(title)}</title>\n<style>\n{STYLE}{DIAGRAM_STYLE}\n</style></head>\n"
            f"<body><main>\n{head}\n<nav>{links}</nav>\n{bodies}</main></body></html>\n")


def tile(value: str, name: str) -> str:
    """A figure in large type."""
    return f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>'


def table(
    heads: Sequence[str], rows: Sequence[Sequence[str]], right: str, kind: str = "",
) -> str:
    """A table of texts.

    Args:
        heads: the names of the columns.
        rows: their cells.
        right: for each column "<" or ">": where its cells stand.
        kind: a class for the style.
    """
    marks = [' class="n"' if side == ">" else "" for side in right]

    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}{mark}>{escape(cell)}</{tag}>"
                                for cell, mark in zip(cells, marks)) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return (f'<div class="wide"><table class="{kind}"><thead>{line(heads, "th")}</thead>'
            f"<tbody>{body}</tbody></table></div>")


def rich_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose cells are HTML already; its heads are texts."""
    head = "".join(f"<th>{escape(word)}</th>" for word in heads)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (f'<div class="wide"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>")
