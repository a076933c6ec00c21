# SPDX-License-Identifier: BSD-2-Clause
"""What a ring costs: tgtd behind a vhost-user-scsi socket against the least program that serves one, by the tests' own
front end, which plays Linux's driver. Both have the target's CPU, in turns; the front end has the generator's."""

import json
import os
import subprocess
import time

import peers
from peers import Trouble
from rows import RINGS
from stats import median

FIGURES = ("target_cpu_us", "iops", "calls_per_io", "kicks_per_io")


class Ring(peers.Stgt):
    """tgtd with a null store behind a socket."""

    name = "stgt-vhost"
    what = "tgtd behind a vhost-user-scsi socket"
    stores = ("null",)

    def __init__(self, bench):
        super().__init__(bench)
        self.path = os.path.join(bench.folder, "vhost.sock")

    def configure(self, stores):
        super().configure(stores)
        self.tgtctl("vhost", "add", self.luns["null"][0], self.path)


class RingFloor:
    def __init__(self, bench):
        self.path = os.path.join(bench.folder, "vhost-floor.sock")
        self.proc = peers.spawn([os.path.join(bench.build, "tests/bench/bench-vhost-floor"), self.path, "--seconds",
                                 "86400"], bench.target_cpus[:1], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                text=True)
        if not self.proc.stdout.readline().startswith("ready"):
            self.kill()
            raise Trouble("the ring's floor does not start")

    def kill(self):
        if self.proc.poll() is None:
            self.proc.kill()
        self.proc.wait()


def one(bench, path, pid, args):
    """A run of the front end."""
    o = bench.options
    proc = peers.spawn([os.path.join(bench.build, "tests/bench/bench-vhost-load"), path, "--pid", str(pid), "--qd",
                        "32", "--bs", "4K", "--seconds", str(o.seconds), "--warmup", str(o.warmup), *args],
                       bench.generator_cpus, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = proc.communicate(timeout=o.seconds + 60)
    except subprocess.TimeoutExpired:
        raise Trouble("the front end does not end") from None
    finally:
        if proc.poll() is None:
            proc.kill()
            proc.wait()
    if not out.startswith("{"):
        raise Trouble((err.strip().splitlines() or ["the front end says nothing"])[-1])
    return json.loads(out)


def is_dirty(run, o):
    return (max(run["target_wait_pct"], run["generator_wait_pct"]) > o.max_wait or
            run["others_cpu_pct"] > o.max_others or run["stolen_pct"] > o.max_stolen)


def clean(bench, path, pid, args):
    """(run, whether it was disturbed all the same)."""
    for attempt in range(1 + bench.options.retries):
        run = one(bench, path, pid, args)
        if not is_dirty(run, bench.options):
            return run, False
        time.sleep(0.2 * attempt)
    return run, True


def figures(what, pairs):
    """Of pairs (ours, the floor's) by round: medians; the ratio's is of those within rounds."""
    found = {"ratio " + what: median([a["target_cpu_us"] / b["target_cpu_us"] for a, b in pairs])}
    for i, prefix in enumerate(("", "floor ")):
        for key, name in zip(FIGURES, ("cpu ", "iops ", "calls per io ", "kicks per io ")):
            found[prefix + name + what] = median([pair[i][key] for pair in pairs])
    return found


def vhost(bench, say):
    """Split and packed ring, 4 KiB reads of a null disk, 32 at a time."""
    found, dirty = {}, 0
    peer = Ring(bench)
    floor = RingFloor(bench)
    try:
        peer.start(["null"])
        for what, args in RINGS.items():
            pairs = []
            for number in range(bench.options.runs):
                say("measuring vhost, %s, round %d of %d" % (what, number + 1, bench.options.runs))
                sides = [(peer.path, peer.proc.pid), (floor.path, floor.proc.pid)]
                runs = {}
                for path, pid in sides[::-1] if number % 2 else sides:
                    runs[path], spoilt = clean(bench, path, pid, args)
                    dirty += spoilt
                pairs.append((runs[peer.path], runs[floor.path]))
            found.update(figures(what, pairs))
    finally:
        peer.stop()
        peer.kill()
        floor.kill()
    found["dirty"] = dirty
    return found
