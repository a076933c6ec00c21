# SPDX-License-Identifier: BSD-2-Clause
"""The machine by name, as far as figures depend on it."""

import os
import platform
import re


def _read(path):
    try:
        with open(path) as f:
            return f.read()
    except OSError:
        return ""


def cpu_name():
    match = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.M)
    return match.group(1).strip() if match else platform.machine()


def memory_bytes(field="MemTotal"):
    match = re.search(r"^%s:\s+(\d+) kB" % field, _read("/proc/meminfo"), re.M)
    return int(match.group(1)) << 10 if match else 0


def filesystem(folder):
    best = ("", "?")
    for line in _read("/proc/mounts").splitlines():
        _, where, kind = line.split()[:3]
        if (folder + "/").startswith(where.rstrip("/") + "/") and len(where) > len(best[0]):
            best = (where, kind)
    return best[1]


def describe(folder):
    virtual = "hypervisor" in _read("/proc/cpuinfo")
    return {"cpu": cpu_name(), "cores": os.cpu_count(), "virtual": virtual,
            "memory_gib": round(memory_bytes() / 2 ** 30), "kernel": platform.release(),
            "filesystem": filesystem(os.path.realpath(folder))}


def sentence(m):
    return "%s%s, %d cores, %d GiB, Linux %s, files on %s" % (
        m["cpu"], " (virtual)" if m["virtual"] else "", m["cores"], m["memory_gib"], m["kernel"],
        m["filesystem"])
