# SPDX-License-Identifier: BSD-2-Clause
"""Rows that are not a peer's. Each is called with the bench and with what says a line, and returns its figures."""

import contextlib
import threading

import peers
import remote
import ring


class Idle(peers.Stgt):
    name = "stgt-idle"


class Memory(peers.Stgt):
    name = "stgt-memory"
    options = ("--reactors", "1", "--memory", "256M")


@contextlib.contextmanager
def serving(peer):
    """The peer with its null store, for a while."""
    try:
        peer.start(["null"])
        yield peer
    finally:
        peer.stop()
        peer.kill()


def resident(pid):
    """Resident bytes that are the process's own; a mapped file's pages are the page cache's."""
    own = 0
    try:
        with open("/proc/%d/status" % pid) as f:
            for line in f:
                if line.startswith(("RssAnon:", "RssShmem:")):
                    own += int(line.split()[1]) << 10
    except OSError:
        pass
    return own


def idle(bench, say):
    """What a thousand sessions without work wake up. Threads by name: tgtd-N are reactors."""
    seconds = 3 if bench.options.quick else 10
    with serving(Idle(bench)) as peer:
        result = bench.generate(peer, "null", ["--idle", "--sessions", "1000", "--qd", "1", "--warmup", "6000",
                                               "--seconds", str(seconds)])
    reactors = [t for t in result["target_threads"] if t["name"].startswith("tgtd-")]
    others = [t for t in result["target_threads"] if not t["name"].startswith("tgtd-")]
    return {"wakeups": max(t["sleeps"] for t in reactors) / result["seconds"], "sessions": result["alive_sessions"],
            "control_wakeups": sum(t["sleeps"] for t in others) / result["seconds"],
            "cpu_pct": result["target_cpu_pct"], "resident_mib": result["target_rss"] / peers.MIB}


@contextlib.contextmanager
def peak_of(pid):
    """A list whose element is the most that was resident while the block ran."""
    peak, over = [0], threading.Event()

    def watch():
        while not over.wait(0.02):
            peak[0] = max(peak[0], resident(pid))
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        over.set()
        watcher.join()


def memory(bench, say):
    """256 connections that would have 32 GiB of writes under way: what is resident, and what is said to them."""
    seconds = 3 if bench.options.quick else 10
    with serving(Memory(bench)) as peer, peak_of(peer.proc.pid) as peak:
        result = bench.generate(peer, "null", ["--rw", "write", "--bs", "1M", "--seq", "--qd", "128", "--sessions",
                                               "256", "--timeout", "60", "--seconds", str(seconds)])
    statuses = result["statuses"]
    return {"resident_mib": peak[0] / peers.MIB, "failed": statuses["check_condition"] + statuses["other"],
            "lost": 256 - result["alive_sessions"], "done": result["done"], "full": statuses["task_set_full"],
            "busy": statuses["busy"], "mb_per_s": result["mb_per_s"]}


ROWS = {"idle": idle, "memory": memory, "vhost": ring.vhost, "nbd": remote.nbd, "rbd": remote.rbd}
