# SPDX-License-Identifier: BSD-2-Clause
"""What people see in the terminal: progress, a line for each row as it is done, gates."""

import sys
import time

from stats import ratio, summary

SHOWN = ("stgt", "floor", "tgt")  # peers with a column of their own
WORDS = {"goal": "GOAL", "pass": "pass", "fail": "FAIL", "miss": "not met", "doubt": "DIRTY", "none": "-"}


def thousands(value):
    return "%.0f" % value if value < 1000 else "%.1fk" % (value / 1e3) if value < 1e5 else "%.0fk" % (value / 1e3)


def cell_text(cell):
    if cell is None:
        return "-"
    if cell.value("iops") is None:
        return "no"
    us = cell.value("target_cpu_us")
    return "%s %s%s" % (thousands(cell.value("iops")), "%.0f" % us if us >= 100 else "%.2f" % us,
                        "?" if cell.doubtful else "!" if cell.short else "")


def ratio_text(cells, peer, key):
    if "stgt" not in cells or peer not in cells:
        return "-"
    value = ratio(cells["stgt"], cells[peer], key)
    return "-" if value is None else "%.2f" % value


def row_line(row, cells):
    line = "%-26s" % row.name + "".join("%16s" % cell_text(cells.get(p)) for p in SHOWN)
    line += "%9s%9s%9s" % (ratio_text(cells, "floor", "target_cpu_us"), ratio_text(cells, "floor", "iops"),
                           ratio_text(cells, "tgt", "iops"))
    line += "%5d" % sum(len(c.dirty) for c in cells.values())
    others = ["%s %s" % (p, cell_text(c)) for p, c in cells.items() if p not in SHOWN]
    return line + ("   " + ", ".join(others) if others else "")


def header():
    """Marks: ? only disturbed runs, ! fewer clean runs than asked for, rej: runs rejected, of all peers."""
    line = "%-26s" % "IOPS, CPU us per I/O" + "".join("%16s" % p for p in SHOWN)
    return line + "%9s%9s%9s%5s" % ("us/floor", "IO/floor", "IO/tgt", "rej")


def p99_text(cells):
    return ", ".join("%s %.0f us" % (p, c.latency("p99")) for p, c in cells.items() if c.value("iops") is not None)


class Progress:
    def __init__(self, stream=sys.stdout):
        self.stream, self.live = stream, stream.isatty()
        self.count, self.total, self.begun = 0, 0, None
        self.headed = False

    def clear(self):
        if self.live:
            self.stream.write("\r\033[K")

    def line(self, text):
        self.clear()
        self.stream.write(text + "\n")
        self.stream.flush()

    def note(self, text):
        if self.live:
            self.clear()
            self.stream.write(text + " ...")
            self.stream.flush()
        else:
            self.line(text)

    def left(self):
        if not self.count:
            return ""
        seconds = (time.monotonic() - self.begun) / self.count * (self.total - self.count)
        return ", about %d s left" % seconds if seconds < 100 else ", about %d min left" % (seconds / 60 + 1)

    def run(self, row, name, number, of):
        """A run begins. On a terminal one line that changes; elsewhere rows are enough."""
        if self.begun is None:
            self.begun = time.monotonic()
        if self.live:
            self.clear()
            self.stream.write("[%d/%d] %s: %s, run %d of %d%s" % (self.count + 1, self.total, row.name, name, number,
                                                                 of, self.left()))
            self.stream.flush()

    def row_done(self, row, cells):
        if not self.headed:
            self.line(header())
            self.headed = True
        self.line(row_line(row, cells))
        for name, cell in cells.items():
            if cell.trouble:
                self.line("    %s: %s" % (name, cell.trouble))


def limit_text(value, gate):
    if value is None:
        return "-"
    if gate.unit == "x":
        return "%.2fx" % value
    return ("%+.2f %s" if gate.measure == "extra" else "%.1f %s" if gate.unit in ("/s", "MiB") else "%d%s") % (
        value, gate.unit)


def gate_lines(gates, verdicts):
    yield "%-58s %12s %12s %12s  %-8s %s" % ("gate", "gate", "goal", "measured", "", "where it is worst")
    for gate in gates:
        verdict, worst = summary(gate, verdicts)
        sign = "<=" if gate.better == "low" else ">="
        yield "%-58s %12s %12s %12s  %-8s %s" % (
            gate.name, "-" if gate.gate is None else sign + limit_text(gate.gate, gate),
            "-" if gate.goal is None else sign + limit_text(gate.goal, gate),
            limit_text(worst.value, gate) if worst else "-", WORDS[verdict], worst.row if worst else "not measured")
        mine = [v for v in verdicts if v.gate == gate]
        for v in mine:
            if v.verdict == "fail" and v != worst:
                yield "    %-54s %12s %12s %12s  %-8s" % (v.row, "", "", limit_text(v.value, gate), WORDS[v.verdict])
        doubtful = [v.row for v in mine if v.verdict == "doubt" and v != worst]
        if doubtful:
            yield "    no clean run in %s" % ", ".join(doubtful[:3]) + (
                " and %d more" % (len(doubtful) - 3) if len(doubtful) > 3 else "")


def rate_lines(name, s):
    """Of a special row with rates of two."""
    for what in (key[len("ratio "):] for key in s if key.startswith("ratio ")):
        yield "%s: %s: %s/s of its own, %s/s through tgtd: %.2f" % (
            name, what, thousands(s["own " + what]), thousands(s["ours " + what]), s["ratio " + what])


def ring_lines(s):
    for what in (key[len("ratio "):] for key in s if key.startswith("ratio ")):
        yield ("vhost: %s: %.3f us of CPU per I/O (%s IOPS), the floor %.3f us (%s IOPS): %.2f; %.3f interrupts per "
               "I/O, the floor %.3f" % (what, s["cpu " + what], thousands(s["iops " + what]), s["floor cpu " + what],
                                        thousands(s["floor iops " + what]), s["ratio " + what],
                                        s["calls per io " + what], s["floor calls per io " + what]))
    if s["dirty"]:
        yield "vhost: %d of the runs that count were disturbed" % s["dirty"]


def idle_lines(s):
    yield ("idle: %d sessions alive, %.2f wake-ups per second of a reactor, %.2f of the control thread, %.2f%% of a "
           "CPU, %.0f MiB resident" % (s["sessions"], s["wakeups"], s["control_wakeups"], s["cpu_pct"],
                                       s["resident_mib"]))


def memory_lines(s):
    yield ("memory: %d writes of 1 MiB done (%.0f MB/s), %d TASK SET FULL, %d BUSY, %d failed, %d sessions lost, at "
           "most %.0f MiB resident" % (s["done"], s["mb_per_s"], s["full"], s["busy"], s["failed"], s["lost"],
                                       s["resident_mib"]))


def special_lines(special):
    for name, s in special.items():
        if "left_out" in s:
            yield "%s: left out: %s" % (name, s["left_out"])
        elif name == "idle":
            yield from idle_lines(s)
        elif name == "memory":
            yield from memory_lines(s)
        elif name == "vhost":
            yield from ring_lines(s)
        else:
            yield from rate_lines(name, s)
