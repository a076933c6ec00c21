#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Debian's iscsi-test-cu (package libiscsi-bin), destructive tests included, over two paths. Each of its tests is a
test point; one that it skips is skipped with the reason that it gives."""

import re

from lab import NAME, cases, main

SUITE = re.compile(r"^Suite: (\S+)")
TEST = re.compile(r"^  Test: (.+?) \.\.\.(.*)$")
SKIPPED = re.compile(r"\[SKIPPED\]\s*(.*)")

# Tests whose expectation contradicts a clause: name -> clause. One that passes all the same is taken off this list.
CONTRADICTS = {}


def parse(text):
    """Yields (name, verdict, lines) of each test; the verdict is 'passed', 'FAILED' or None if it never came."""
    suite = name = None
    lines = []
    for line in text.splitlines():
        match = SUITE.match(line)
        test = TEST.match(line)
        if match or test or line.startswith("Run Summary"):
            if name:
                yield "%s.%s" % (suite, name), verdict_of(lines), lines
            name, lines = None, []
        if match:
            suite = match.group(1)
        elif test:
            name, lines = test.group(1), [test.group(2)]
        elif name:
            lines.append(line)
    if name:
        yield "%s.%s" % (suite, name), verdict_of(lines), lines


def verdict_of(lines):
    """CUnit's word comes at the start of a line; what is printed between tests may follow it on the same line."""
    for line in lines:
        for word in ("passed", "FAILED"):
            if line.startswith(word):
                return word
    return None


def report(lab, text, label):
    seen = 0
    for name, verdict, lines in parse(text):
        seen += 1
        reasons = [m.group(1) for m in map(SKIPPED.search, lines) if m]
        ok = verdict == "passed"
        detail = "" if ok else "\n".join(lines[:40])
        if name in CONTRADICTS:
            ok, reasons, detail = not ok, [CONTRADICTS[name]], "" if not ok else "it passes: take it off the list"
        lab.point("%s, %s" % (name, label), ok, reasons[0] if reasons and ok else None, detail)
    summary = re.search(r"^\s*tests\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)", text, re.M)
    assert summary, "iscsi-test-cu did not come to its end:\n" + text[-2000:]
    assert int(summary.group(2)) == seen > 200, "%d tests seen, its summary: %s" % (seen, summary.group())


def two_paths(lab, label, options, size, block_size, params):
    d = lab.start(portals=("127.0.0.1", "127.0.0.1"), options=options)
    d.export(lab.image(size), name=NAME, block_size=block_size, params=params)
    text = lab.run("iscsi-test-cu", "--dataloss", "--test=ALL", d.url(0), d.url(1), seconds=280, status=None).stdout
    assert d.alive(), "tgtd ended"
    report(lab, text, label)


@cases(("thick, 512, one reactor", "100M", 512, None, ("--reactors", "1")),
       ("thin, 4096, two reactors", "100M", 4096, "thin_provisioning=1", ("--reactors", "2")))
def iscsi_test_cu_finds_nothing(lab, size, block_size, params, options):
    label = "%s %d" % ("thin" if params else "thick", block_size)
    two_paths(lab, label, options, size, block_size, params)


main()
