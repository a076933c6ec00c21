#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The examples of the stores' pages work as they are printed, but for the paths."""

import glob
import os
import re
import shlex
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lab import Skip, cases, main, need, wait_until  # noqa: E402

# Examples with these need what only their stores' own tests make: devices, keys, other hosts.
ELSEWHERE = ("/dev/", "key_file=", "nbds://")
PAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "man")


def examples(page):
    """Command lines between .Bd and .Ed of the section EXAMPLES."""
    with open(page, encoding="utf-8") as f:
        section = f.read().split(".Sh EXAMPLES\n")[1].split(".Sh ")[0]
    for block in re.findall(r"^\.Bd .*?\n(.*?)^\.Ed$", section, re.M | re.S):
        text = block.replace("\\e\n", " ").replace("\\-", "-").replace("\\(aq", "'")
        for line in text.splitlines():
            words = shlex.split(line, comments=True)
            if words:
                yield words


def moved(lab, word):
    """A path of an example is one below the test's folder; an image is made there."""
    match = re.fullmatch(r"(.*?)(/(?:srv|run|var)/[\w./-]+)(.*)", word)
    if not match:
        return word
    path = lab.path(os.path.basename(match.group(2)))
    if path.endswith((".img", ".raw")) and not os.path.exists(path):
        lab.image("64M", os.path.basename(path))
    return match.group(1) + path + match.group(3)


def serve(lab, words):
    lab.helper(subprocess.Popen([need("nbdkit"), "-f", *words], stdin=subprocess.DEVNULL))
    wait_until("nbdkit listens", lambda: os.path.exists(words[words.index("-U") + 1]))


def names_of_pages():
    names = [os.path.basename(p)[len("tgt-store-"):-2] for p in sorted(glob.glob(PAGES + "/tgt-store-*.7"))]
    return [(name, name) for name in names]


@cases(*names_of_pages())
def the_examples_of_a_page_work(lab, name):
    commands = list(examples("%s/tgt-store-%s.7" % (PAGES, name)))
    assert commands, "no example"
    if name in ("rbd", "sg"):
        raise Skip("its examples need a cluster or a device, which its own tests bring")
    commands = [[moved(lab, w) for w in words] for words in commands]
    left = [words for words in commands if not any(word in " ".join(words) for word in ELSEWHERE)]
    d = lab.start()
    if any(words[0] == "tgtadm" for words in left):
        d.tgtadm("--op", "new", "--mode", "target", "--tid", "1", "-T", "iqn.2026-01.org.example:a")
    for program, *words in left:
        if program == "tgtadm":
            d.tgtadm(*words)
        elif program == "tgtctl":
            d.tgtctl(*words)
        elif program == "nbdkit":
            serve(lab, words)
        else:
            lab.run(need(program), *words)


main()
