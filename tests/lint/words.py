#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Words that must not be in the tree: calls that hostile input can abuse, unfinished work, one machine's paths, files
without a licence line, files too long to hold in the head. Prints findings; status 1 if any."""

import os
import re
import subprocess
import sys

CALLS = re.compile(r"\b(strcpy|stpcpy|strcat|strncpy|strncat|sprintf|vsprintf|gets|atoi|atol|atoll|alloca|system|popen|"
                   r"mktemp|tmpnam|strtok)\s*\(")
ENDS = re.compile(r"\b(exit|_exit|abort|quick_exit)\s*\(")
MAY_END = ("src/main.c", "src/reactor/sim")  # the simulated host serves tests only
MARKS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
PATHS = re.compile(r"(?<![\w.])/(?:work|farm)/")
C_SOURCE = (".c", ".h")
MAX_LINES = 900
MAX_COLUMNS = 120


def strip_c(text):
    """C without comments and strings, lines kept."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def check(path, text):
    lines = text.splitlines()
    is_c = path.endswith(C_SOURCE)
    if os.path.basename(path) not in ("words.py",):
        for number, line in enumerate(lines, 1):
            for pattern, what in ((MARKS, "unfinished work"), (PATHS, "a path of one machine")):
                match = pattern.search(line)
                if match:
                    yield "%s:%d: %s: %s" % (path, number, what, match.group())
    if is_c and path.startswith(("src/", "tools/", "include/")):
        for number, line in enumerate(strip_c(text).splitlines(), 1):
            match = CALLS.search(line)
            if match:
                yield "%s:%d: call of %s()" % (path, number, match.group(1))
            match = ENDS.search(line)
            if match and path.startswith("src/") and not path.startswith(MAY_END):
                yield "%s:%d: %s() outside main.c" % (path, number, match.group(1))
        if len(lines) > MAX_LINES:
            yield "%s: %d lines (at most %d)" % (path, len(lines), MAX_LINES)
    if is_c or path.endswith((".py", "meson.build")):
        for number, line in enumerate(lines, 1):
            if len(line.expandtabs(8)) > MAX_COLUMNS:
                yield "%s:%d: longer than %d columns" % (path, number, MAX_COLUMNS)
            if line != line.rstrip():
                yield "%s:%d: white space at the end" % (path, number)
        if "SPDX-License-Identifier: BSD-2-Clause" not in "".join(lines[:3]):
            yield "%s: no SPDX line" % path


def self_test():
    spdx = "/* SPDX-License-Identifier: BSD-2-Clause */\n"
    for path, text, count in (
            ("src/a/b.c", spdx + "strcpy(a, b);\n", 1), ("src/a/b.c", spdx + "/* strcpy(a, b) */\n", 0),
            ("src/a/b.c", spdx + 'puts("exit(1)");\n', 0), ("src/a/b.c", spdx + "exit(1);\n", 1),
            ("src/main.c", spdx + "exit(1);\n", 0), ("src/a/b.c", spdx + "my_exit(1);\n", 0),
            ("src/a/b.c", "int a;\n", 1),
            ("src/a/b.c", spdx + "// TO" + "DO\n", 1), ("docs/a.md", "see /wor" + "k/main\n", 1),
            ("src/a/b.c", spdx + "x\n" * MAX_LINES, 1), ("src/a/b.c", spdx + "x" * 121 + "\n", 1)):
        assert len(list(check(path, text))) == count, (path, text[-20:])


def main():
    self_test()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                           stdout=subprocess.PIPE, check=True).stdout.decode().split("\0")
    findings = []
    for path in names:
        if not path or not os.path.isfile(path):
            continue
        with open(path, "rb") as f:
            data = f.read()
        if b"\0" in data:
            continue  # corpora of fuzzers
        findings += check(path, data.decode(errors="replace"))
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
