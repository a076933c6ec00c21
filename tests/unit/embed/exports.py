#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""exports.py LIBRARY HEADER...: the library exports the functions that its headers declare, and nothing else."""

import re
import subprocess
import sys

DECLARED = re.compile(r"^[a-z][\w \t*]*?\b((?:stgt|store|channel)_\w+)\(", re.M)


def declared(path):
    with open(path, encoding="utf-8") as f:
        text = re.sub(r"/\*.*?\*/", "", f.read(), flags=re.S)
    return {m.group(1) for m in DECLARED.finditer(text) if not m.group(0).startswith("static")}


def exported(path):
    out = subprocess.run(["nm", "-D", "--defined-only", path], stdout=subprocess.PIPE, text=True, check=True).stdout
    words = [line.split() for line in out.splitlines()]
    return {w[2].split("@")[0] for w in words if w[1] in "TWDBRi"}


def main():
    want = set().union(*(declared(path) for path in sys.argv[2:]))
    have = exported(sys.argv[1])
    print("1..2")
    for number, name, odd in ((1, "what_the_headers_declare_is_exported", want - have),
                              (2, "nothing_else_is_exported", have - want)):
        if odd:
            print("# " + " ".join(sorted(odd)))
        print("%sok %d - %s" % ("not " if odd or not want else "", number, name))


main()
