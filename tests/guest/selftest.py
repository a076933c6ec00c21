#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The lab's verdicts are what everybody trusts: scenarios that hang, die, bring the guest down or cannot run are told
from those that pass, and do not take the others with them."""

import os
import re
import shutil
import subprocess
import sys
import tempfile

LAB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lab")
BEGINS = 'with point("it begins"):\n\tpass\n'
SHELL = '. "$LAB_SOURCE/tests/guest/guest/scenario.sh"\n'

# file: (its text, the verdicts expected: ok, not ok, or skip, with the sentence's beginning)
FILES = {
    "a-passes.py": (BEGINS, ["ok a-passes: it begins"]),
    "b-hangs.py": ("# lab: seconds 4\n" + BEGINS + "time.sleep(1000)\n",
                   ["ok b-hangs: it begins", "not ok b-hangs: ended well"]),
    "c-dies.py": (BEGINS + "os.kill(os.getpid(), 9)\n", ["ok c-dies: it begins", "not ok c-dies: ended well"]),
    "d-raises.py": ("1 / 0\n", ["not ok d-raises: ends without an exception"]),
    "e-fails.py": ('with point("first", go_on=True):\n\tassert 0\nwith point("second"):\n\tassert 0\n' + BEGINS,
                   ["not ok e-fails: first", "not ok e-fails: second"]),
    "f-silent.py": ("", ["not ok f-silent: has said something"]),
    "g-program.py": ("# lab: needs no-such-program\n" + BEGINS, ["skip g-program"]),
    "h-module.py": ("# lab: modules no_such_module\n" + BEGINS, ["skip h-module"]),
    "i-host.py": ('with point("the host answers"):\n\tassert host("hello", "you") == "hello you\\n"\n'
                  'with point("its status comes, too"):\n\thost("fail", status=3)\n',
                  ["ok i-host: the host answers", "ok i-host: its status comes, too"]),
    "i-host.host": ('case $1 in hello) echo hello "$2" ;; fail) exit 3 ;; esac\n', []),
    "j-refuses.py": (BEGINS, ["not ok j-refuses: its host side starts"]),
    "j-refuses.host": ("exit 1\n", []),
    "k-skips.py": (BEGINS, ["skip k-skips"]),
    "k-skips.host": ("echo there is none here\nexit 77\n", []),
    "l-panics.py": (BEGINS + 'write("/proc/sysrq-trigger", "c")\ntime.sleep(30)\n',
                    ["ok l-panics: it begins", "not ok l-panics: the guest lived to its end"]),
    "m-after.py": ('with point("nothing is left of those before"):\n'
                   '\tassert not os.path.exists("/img/b-hangs") and "sleep" not in run("ps", "ax")\n',
                   ["ok m-after: nothing is left of those before"]),
    "n-shell.sh": (SHELL + 'point "true is true" true\npoint "the host answers" lab_host hello\n'
                   'point "false is true" false\npoint "never" true\n',
                   ["ok n-shell: true is true", "ok n-shell: the host answers", "not ok n-shell: false is true"]),
    "n-shell.host": ("echo $1\n", []),
}


def verdicts(text):
    for line in text.splitlines():
        match = re.match(r"(not ok|ok) \d+ - (.*?)(?: # SKIP (.+))?$", line)
        if match:
            yield "%s %s" % ("skip" if match.group(3) else match.group(1), match.group(2))


def main():
    folder = tempfile.mkdtemp(prefix="selftest-", dir=os.environ.get("TMPDIR"))
    try:
        for name, (text, _) in FILES.items():
            with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                f.write(("from scenario import *\n" if name.endswith(".py") else "") + text)
        paths = [os.path.join(folder, n) for n in sorted(FILES) if not n.endswith(".host")]
        done = subprocess.run([LAB, "run"] + paths, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    finally:
        shutil.rmtree(folder)
    skipped = re.match(r"^(?:#.*\n)*1\.\.0 # SKIP (.*)$", done.stdout)
    if skipped:
        print("1..0 # SKIP " + skipped.group(1))
        return 0
    wanted = [v for name in sorted(FILES) for v in FILES[name][1]]
    got = list(verdicts(done.stdout))
    points = [("scenario %s is judged rightly" % name, all(any(g.startswith(v) for g in got) for v in verdict))
              for name, (_, verdict) in sorted(FILES.items()) if verdict]
    points += [("there are no other verdicts", len(got) == len(wanted)), ("the status says it", done.returncode == 1),
               ("the plan is the number of points", done.stdout.endswith("\n1..%d\n" % len(got)))]
    for number, (sentence, ok) in enumerate(points, 1):
        print("%sok %d - %s" % ("" if ok else "not ", number, sentence))
    print("1..%d" % len(points))
    if not all(ok for _, ok in points):
        print("".join("# %s\n" % line for line in done.stdout.splitlines()))
        return 1
    return 0


sys.exit(main())
