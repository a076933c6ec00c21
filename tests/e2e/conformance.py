#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Debian's iscsi-test-cu (package libiscsi-bin), destructive tests included, over two paths. Each of its tests is a
test point; one that it skips is skipped with the reason that it gives."""

import re

from lab import NAME, cases, main

SUITE = re.compile(r"^Suite: (\S+)")
TEST = re.compile(r"^  Test: (.+?) \.\.\.(.*)$")
SKIPPED = re.compile(r"\[SKIPPED\]\s*(.*)")

# Tests that, on a removable disk, want what contradicts a clause: name -> clause. One that passes all the same is to be
# taken off this list.
CONTRADICTS_IF_REMOVABLE = {
    "StartStopUnit.PwrCnd": "it wants every POWER CONDITION accepted, reserved ones too (SBC-4, START STOP UNIT)",
    "StartStopUnit.NoLoej": "it wants a stopped unit ready, but SBC-4 (START STOP UNIT, stopped power condition) says "
                            "INITIALIZING COMMAND REQUIRED",
}

# Tests of many commands that go on after those which are not there.
GOES_ON = {"ReadOnly.ReadOnlySBC", "NoMedia.NoMediaSBC"}


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


def report(lab, text, label, least, contradicts):
    seen = 0
    for name, verdict, lines in parse(text):
        seen += 1
        reasons = [m.group(1) for m in map(SKIPPED.search, lines) if m]
        ok = verdict == "passed"
        detail = "" if ok else "\n".join(lines[:40])
        if name in contradicts:
            ok, reasons, detail = not ok, [contradicts[name]], "it passes: take it off the list" if ok else ""
        lab.point("%s, %s" % (name, label), ok, reasons[0] if ok and reasons and name not in GOES_ON else None, detail)
    summary = re.search(r"^\s*tests\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)", text, re.M)
    assert summary, "iscsi-test-cu did not come to its end:\n" + text[-2000:]
    assert int(summary.group(2)) == seen >= least, "%d tests seen, its summary: %s" % (seen, summary.group())


@cases(("thick, 512, one reactor", "thick 512", "ALL", 200, 512, None, 1),
       ("thin, removable, 4096, two reactors", "thin 4096", "ALL", 200, 4096, "thin_provisioning=1,removable=1", 2),
       ("read-only", "read-only", "ALL.ReadOnly", 1, 512, "readonly=1", 2))
def iscsi_test_cu_finds_nothing(lab, label, tests, least, block_size, params, reactors):
    d = lab.start(portals=("127.0.0.1", "127.0.0.1"), options=("--reactors", str(reactors)))
    d.export(lab.image("100M"), name=NAME, block_size=block_size, params=params)
    text = lab.run("iscsi-test-cu", "--dataloss", "--test=" + tests, d.url(0), d.url(1), seconds=280,
                   status=None).stdout
    assert d.alive(), "tgtd ended"
    report(lab, text, label, least, CONTRADICTS_IF_REMOVABLE if params and "removable" in params else {})


main()
