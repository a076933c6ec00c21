#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Who may include whom (docs/design.md, section 1), read from the #include lines. Prints findings; status 1 if any."""

import os
import re
import sys

# A room may include itself and these. A transport is a room of its own: transport/iscsi, transport/loop, ...
MAY = {
    "include": set(),
    "base": set(),
    "reactor": {"base"},
    "store": {"base", "reactor", "include"},
    "sam": {"base", "reactor", "include"},
    "cmdset": {"base", "reactor", "sam", "include"},
    "transport": {"base", "reactor", "sam"},
    "control": None,  # everything
    "embed": None,
    "main": None,
    "tools": {"base"},
}
# Headers that only one room sees: the engines are behind engine.h.
OWNED = {"liburing.h": "reactor", "liburing/": "reactor", "libaio.h": "reactor", "linux/io_uring.h": "reactor",
         "linux/aio_abi.h": "reactor"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def room_of(path):
    """Room of a file, from its path below the project: 'sam', 'transport/iscsi', 'include', 'tools', 'main'."""
    parts = path.split("/")
    if parts[0] == "src":
        if len(parts) == 2:
            return "main"
        return "/".join(parts[1:3]) if parts[1] == "transport" else parts[1]
    return parts[0]


def resolve(path, name, exists):
    """Path below the project of an included file of ours, or None."""
    beside = os.path.normpath(os.path.join(os.path.dirname(path), name))
    for candidate in (beside, "src/" + name, "include/" + name):
        if exists(os.path.normpath(candidate)):
            return os.path.normpath(candidate)
    return None


def allowed(room, other):
    if room == other:
        return True
    if other == "embed":  # who embeds sees stgt/stgt.h alone
        return False
    may = MAY.get(room.split("/")[0], set())
    return may is None or other in may


def check(path, text, exists):
    room = room_of(path)
    if room not in MAY and not room.startswith("transport/"):
        yield "%s: no room '%s' in the design: add it to docs/design.md and to tests/lint/layers.py" % (path, room)
        return
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        name = match.group(2)
        for header, owner in OWNED.items():
            if (name == header or header.endswith("/") and name.startswith(header)) and room != owner:
                yield "%s:%d: only src/%s may include <%s>" % (path, number, owner, name)
        target = resolve(path, name, exists)
        if target and not allowed(room, room_of(target)):
            yield "%s:%d: %s may not include %s (%s)" % (path, number, room, room_of(target), name)


def self_test():
    files = {"src/base/list.h", "src/reactor/reactor.h", "src/sam/lu.h", "src/store/store.h", "include/stgt/store.h",
             "src/cmdset/sbc.h", "src/control/rpc.h", "src/embed/embed.h", "include/stgt/stgt.h",
             "src/transport/iscsi/pdu.h", "src/transport/loop/loop.h"}

    def findings(path, include):
        return len(list(check(path, "#include %s\n" % include, files.__contains__)))
    for path, include, count in (
            ("src/sam/lu.c", '"base/list.h"', 0), ("src/sam/lu.c", '"lu.h"', 0), ("src/sam/lu.c", '"cmdset/sbc.h"', 1),
            ("src/sam/lu.c", "<stgt/store.h>", 0), ("src/sam/lu.c", '"transport/loop/loop.h"', 1),
            ("src/cmdset/sbc.c", "<stgt/store.h>", 0), ("src/cmdset/sbc.c", '"store/store.h"', 1),
            ("src/cmdset/sbc.c", '"transport/iscsi/pdu.h"', 1), ("src/store/file.c", '"sam/lu.h"', 1),
            ("src/store/file.c", '"reactor/reactor.h"', 0), ("src/base/pool.c", '"reactor/reactor.h"', 1),
            ("src/transport/iscsi/login.c", '"../loop/loop.h"', 1), ("src/transport/iscsi/login.c", '"pdu.h"', 0),
            ("src/transport/iscsi/login.c", '"control/rpc.h"', 1), ("src/main.c", '"control/rpc.h"', 0),
            ("src/control/rpc.c", '"transport/iscsi/pdu.h"', 0), ("src/store/file.c", "<liburing.h>", 1),
            ("src/reactor/uring.c", "<liburing.h>", 0), ("src/reactor/reactor.h", '"sam/lu.h"', 1),
            ("src/embed/life.c", '"control/control.h"', 0), ("src/embed/life.c", "<stgt/stgt.h>", 0),
            ("src/control/rpc.c", '"embed/embed.h"', 1), ("include/stgt/stgt.h", '"sam/lu.h"', 1),
            ("include/stgt/store.h", '"base/list.h"', 1), ("src/attic/x.c", "<stdio.h>", 1)):
        assert findings(path, include) == count, (path, include)


def main():
    self_test()
    os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    findings = []
    for top in ("src", "include", "tools"):
        for folder, _, names in os.walk(top):
            for name in sorted(names):
                if name.endswith((".c", ".h")):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as f:
                        findings += check(path, f.read(), os.path.exists)
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
