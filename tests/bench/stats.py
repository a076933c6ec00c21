# SPDX-License-Identifier: BSD-2-Clause
"""Figures out of runs, and verdicts out of figures. Knows nothing of processes.

A run is what bench-load --json printed. A cell holds the runs of one row (workload) by one peer, by round: peers take
turns, so that runs of one round stand for the same state of the machine, and ratios are made within rounds.
"""

import collections
import fnmatch

Verdict = collections.namedtuple("Verdict", "gate row value verdict note")


def percentile(values, q):
    """The value at q (0 to 1) of the sorted values, linear between neighbours; None if there are none."""
    values = sorted(values)
    if not values:
        return None
    at = q * (len(values) - 1)
    low = int(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (values[high] - values[low]) * (at - low)


def median(values):
    return percentile(values, 0.5)


class Cell:
    """Runs of one peer in one row. rounds: {number: run}, clean ones only; dirty: runs that were rejected."""

    def __init__(self, wanted=1):
        self.wanted = wanted  # clean runs
        self.rounds = {}
        self.dirty = []
        self.trouble = None  # why there are no runs at all

    def add(self, number, run, clean):
        if clean:
            self.rounds[number] = run
        else:
            self.dirty.append(run)

    @property
    def doubtful(self):
        """No clean run: what figures there are come from dirty ones."""
        return not self.rounds and bool(self.dirty)

    @property
    def short(self):
        """Some clean runs, but fewer than wanted."""
        return 0 < len(self.rounds) < self.wanted

    def runs(self):
        return list(self.rounds.values()) if self.rounds else self.dirty

    def value(self, key):
        return median([run[key] for run in self.runs()])

    def latency(self, key):
        return median([run["latency_us"][key] for run in self.runs()])


def ratio(ours, theirs, key):
    """Median over rounds of ours / theirs; of the medians if no round has both. None if there is nothing to divide."""
    both = [n for n in ours.rounds if n in theirs.rounds and theirs.rounds[n][key]]
    if both:
        return median([ours.rounds[n][key] / theirs.rounds[n][key] for n in both])
    a, b = ours.value(key), theirs.value(key)
    return a / b if a is not None and b else None


MEASURES = ("cpu", "iops", "extra", "missing")  # of peers


class Gate(collections.namedtuple("Gate", "name rows measure peer against gate goal better unit but")):
    """A limit for one figure of every row that matches.

    measure: cpu or iops (ratio of peer to against), extra (CPU microseconds over the same row without digests), missing
    (peers whose name begins with peer's that have no figure), or the name of a figure that a special row has. better:
    low or high. gate or goal may be None. but: rows it is not for.
    """

    def matches(self, row):
        def listed(patterns):
            return any(fnmatch.fnmatchcase(row, p) for p in patterns)
        return listed(self.rows) and not listed(self.but)

    def judge(self, value):
        """pass, goal, fail; or miss: a goal without a gate that is not met"""
        def met(limit):
            return limit is not None and (value <= limit if self.better == "low" else value >= limit)
        if met(self.goal):
            return "goal"
        if self.gate is None:
            return "miss"
        return "pass" if met(self.gate) else "fail"


def figure(gate, row, cells):
    """What the gate measures in this row, and whether only dirty runs say so; (None, why) if it cannot be had.

    cells: {row: {peer: Cell}}
    """
    if gate.measure == "missing":
        return sum(c.value("iops") is None for n, c in cells[row].items() if n.startswith(gate.peer)), False
    ours = cells[row].get(gate.peer)
    if ours is None or ours.value("iops") is None:
        return None, "%s was not measured" % gate.peer
    if gate.measure == "extra":
        base = cells.get(row.replace("+digests", ""), {}).get(gate.peer)
        if base is None or base.value("iops") is None:
            return None, "the row without digests was not measured"
        return ours.value("target_cpu_us") - base.value("target_cpu_us"), ours.doubtful or base.doubtful
    theirs = cells[row].get(gate.against)
    if theirs is None or theirs.value("iops") is None:
        return None, "%s was not measured" % gate.against
    key = {"cpu": "target_cpu_us", "iops": "iops"}[gate.measure]
    return ratio(ours, theirs, key), ours.doubtful or theirs.doubtful


def judge_all(gates, cells, special=None):
    """Verdicts of all gates on all rows; special: {row: {figure: value}} of rows that are not of peers."""
    verdicts = []
    for gate in gates:
        if gate.measure not in MEASURES:
            for row, figures in (special or {}).items():
                if gate.matches(row) and figures.get(gate.measure) is not None:
                    value = figures[gate.measure]
                    verdicts.append(Verdict(gate, row, value, gate.judge(value), ""))
            continue
        for row in cells:
            if not gate.matches(row):
                continue
            value, note = figure(gate, row, cells)
            if value is None:
                verdicts.append(Verdict(gate, row, None, "none", note))
            elif note:
                verdicts.append(Verdict(gate, row, value, "doubt", "no clean run"))
            else:
                verdicts.append(Verdict(gate, row, value, gate.judge(value), ""))
    return verdicts


def summary(gate, verdicts):
    """The gate as a whole: (verdict, the worst that has it). fail before doubt before pass before goal."""
    sign = 1 if gate.better == "low" else -1
    for verdict in ("fail", "doubt", "miss", "pass", "goal"):
        found = [v for v in verdicts if v.gate == gate and v.verdict == verdict]
        if found:
            return verdict, max(found, key=lambda v: v.value * sign)
    return "none", None
