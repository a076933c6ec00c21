# SPDX-License-Identifier: BSD-2-Clause
"""docs/performance.md between its two markers, and docs/performance.svg."""

import os
import time

import machine
import show
from rows import GATES, STORES
from stats import ratio, summary

BEGIN = "<!-- bench: begin; what follows is written by make bench -->"
END = "<!-- bench: end -->"


def table(head, body):
    yield "| " + " | ".join(head) + " |"
    yield "|---|" + "---:|" * (len(head) - 1)
    for line in body:
        yield "| " + " | ".join(line) + " |"
    yield ""


def cell(c):
    if c is None:
        return ""
    if c.value("iops") is None:
        return "no"
    return show.cell_text(c).replace(" ", ", ")


def gate_table(verdicts):
    def limit(gate, value):
        return "" if value is None else ("≤ " if gate.better == "low" else "≥ ") + show.limit_text(value, gate)
    body = []
    for gate in GATES:
        verdict, worst = summary(gate, verdicts)
        body.append([gate.name, limit(gate, gate.gate), limit(gate, gate.goal),
                     show.limit_text(worst.value, gate) if worst else "not measured",
                     worst.row if worst else "", {"none": ""}.get(verdict, show.WORDS[verdict])])
    return table(("what", "gate", "goal", "measured, at worst", "row", ""), body)


def ratio_cell(cells, peer, key):
    text = show.ratio_text(cells, peer, key)
    return "" if text == "-" else text


def store_table(store, measurement, names):
    rows = [r for r in measurement.rows if r.store == store and r.name in measurement.cells]
    used = [n for n in names if any(n in measurement.cells[r.name] for r in rows)]
    # of whom there is a figure
    ratios = [(title, peer, key) for title, peer, key in (
        ("CPU / floor", "floor", "target_cpu_us"), ("IOPS / floor", "floor", "iops"), ("IOPS / tgt", "tgt", "iops"))
        if peer in used]
    body = []
    for r in rows:
        cells = measurement.cells[r.name]
        stgt = cells.get("stgt")
        p99 = "" if stgt is None or stgt.value("iops") is None else "%.0f" % stgt.latency("p99")
        body.append([r.name.split("/")[1]] + [cell(cells.get(n)) for n in used] +
                    [p99] + [ratio_cell(cells, peer, key) for _, peer, key in ratios] +
                    [str(sum(len(c.dirty) for c in cells.values()))])
    return table([store] + used + ["p99 us"] + [title for title, _, _ in ratios] + ["rejected"], body)


def generated(o, measurement, names, verdicts, about):
    from peers import ALL
    yield "Measured %s on: %s." % (time.strftime("%Y-%m-%d"), machine.sentence(about))
    yield ""
    yield "%d runs of %d s in a cell (%d at QD1), after %d ms of warm-up. File %d MiB in pieces of %s, memory %d MiB." \
        % (o.runs, o.seconds, o.runs_qd1, o.warmup, o.file_size >> 20, o.file_pieces, o.mem_size >> 20)
    yield ""
    yield "### Gates and goals"
    yield ""
    yield from gate_table(verdicts)
    yield "![CPU per I/O against the floor, IOPS against tgt](performance.svg)"
    yield ""
    yield "### Figures"
    yield ""
    yield ("Each cell: I/O per second, microseconds of the target's CPU per I/O (medians). A ? marks cells without a "
           "clean run, a ! those with fewer than asked for; `rejected` counts runs that were disturbed, of all peers. "
           "`read-4k-qd32x4`: four connections. `mmap` serves the file of `file` by a mapping; `direct` serves another "
           "around the page cache, from the disk.")
    yield ""
    for store in STORES:
        if store in measurement.bench.stores:
            yield from store_table(store, measurement, names)
    for line in show.special_lines(measurement.special):
        yield "- " + line
    yield ""
    yield "Peers:"
    yield ""
    for name in names:
        why = measurement.bench.refused.get(name)
        yield "- `%s`: %s%s" % (name, ALL[name].what, " (took no part: %s)" % why if why else "")


# -- the chart ----------------------------------------------------------------------------------------------------

STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #1f2328 }
  .dim { fill: #59636e } .grid { stroke: #d1d9e0 } .one { stroke: #59636e; stroke-dasharray: 3 3 }
  .back { fill: #ffffff } .bar { fill: #0969da } .other { fill: #1a7f37 } .head { font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .dim { fill: #9198a1 } .grid { stroke: #3d444d } .one { stroke: #9198a1 }
    .back { fill: #0d1117 } .bar { fill: #4493f8 } .other { fill: #3fb950 }
  }"""
LABEL, PANEL, GAP, LINE, TOP = 220, 280, 60, 20, 56


def panel(x, title, values, css, step):
    """Bars to the right from zero. values: [(y, ratio or None)]"""
    most = max([v for _, v in values if v is not None] + [step])
    end = (int(most / step) + 1) * step
    scale = PANEL / end
    bottom = TOP + LINE * len(values)
    yield '<text class="head" x="%d" y="20">%s</text>' % (x, title)
    for i in range(int(round(end / step)) + 1):
        at = x + i * step * scale
        yield '<line class="grid" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>' % (at, TOP - 6, at, bottom)
        yield '<text class="dim" x="%.1f" y="%d" text-anchor="middle">%g</text>' % (at, TOP - 12, i * step)
    for y, value in values:
        if value is None:
            continue
        yield '<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>' % (
            css, x, y + 3, value * scale, LINE - 6)
        yield '<text class="dim" x="%.1f" y="%d">%.2f</text>' % (x + value * scale + 4, y + 14, value)
    yield '<line class="one" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>' % (x + scale, TOP - 6, x + scale, bottom)


def chart(measurement):
    # rows with somebody to be compared with
    rows = [r for r in measurement.rows if {"floor", "tgt"} & set(measurement.cells.get(r.name, ()))]

    def values(peer, key):
        found = []
        for i, r in enumerate(rows):
            cells = measurement.cells[r.name]
            both = "stgt" in cells and peer in cells
            found.append((TOP + LINE * i, ratio(cells["stgt"], cells[peer], key) if both else None))
        return found
    tgt = values("tgt", "iops")
    most = max([v for _, v in tgt if v is not None] + [1])
    width, height = LABEL + 2 * PANEL + 2 * GAP + 20, TOP + LINE * len(rows) + 16
    out = ['<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">' % (
        width, height, width, height), "<title>stgt against the floor and against tgt</title>",
        "<style>%s\n</style>" % STYLE, '<rect class="back" width="%d" height="%d"/>' % (width, height)]
    for i, r in enumerate(rows):
        out.append('<text x="%d" y="%d" text-anchor="end">%s</text>' % (LABEL - 10, TOP + LINE * i + 14, r.name))
    out += panel(LABEL, "CPU per I/O, times the floor's (less is better)", values("floor", "target_cpu_us"), "bar", 0.5)
    out += panel(LABEL + PANEL + GAP, "IOPS, times tgt's (more is better)", tgt, "other", 1 if most < 8 else
                 2 if most < 16 else 5)
    return "\n".join(out + ["</svg>", ""])


def replace_between(text, new):
    before, begin, rest = text.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("docs/performance.md has lost its markers: %s ... %s" % (BEGIN, END))
    return before + BEGIN + "\n\n" + new.strip() + "\n\n" + END + after


def write(source, o, measurement, names, verdicts, about):
    path = os.path.join(source, "docs", "performance.md")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    text = replace_between(text, "\n".join(generated(o, measurement, names, verdicts, about)))
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(path + ".new", path)
    with open(os.path.join(source, "docs", "performance.svg"), "w", encoding="utf-8") as f:
        f.write(chart(measurement))
