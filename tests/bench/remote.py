# SPDX-License-Identifier: BSD-2-Clause
"""What is left of the rate of another server (nbdkit, a Ceph cluster) when tgtd passes it on.

Its own rate is measured by a client that speaks its protocol, ours by bench-load on a LUN with it, in turns. Only
bench-load has a CPU of its own choice; the others are where the scheduler puts them, in both halves of a round. With
two CPUs, client and server have one each, but bench-load, tgtd and the server have to share them.
"""

import os
import re
import shutil
import signal
import subprocess
import time

import peers
from peers import Trouble
from rows import NBD, RBD
from stats import median

HERE = os.path.dirname(os.path.abspath(__file__))
MINI_CEPH = os.path.join(os.path.dirname(HERE), "e2e", "mini-ceph")
NBD_SIZE = 512 << 20
RBD_SIZE = 256 << 20
RBD_ROUNDS = 3
WAIT_SECONDS = 120


class Remote(peers.Stgt):
    """A tgtd with one LUN of a store that is elsewhere: store type, path, options."""

    pinned = False

    def __init__(self, bench, store, path, bsopts=None):
        self.name, self.what = "stgt-" + store, "tgtd with " + store
        super().__init__(bench)
        self.store, self.path, self.bsopts = store, path, bsopts
        self.stores = (store,)

    def configure(self, stores):
        name = peers.TARGET + self.store
        self.tgtctl("export", self.path, "--type", self.store, "--name", name,
                    *(("--bsopts", self.bsopts) if self.bsopts else ()))
        self.luns[self.store] = (name, 1)


def need(programs, built, bench, packages):
    """Raises Trouble with the remedy if a program, or what is built where its library is here, is missing."""
    missing = [p for p in programs if not shutil.which(p)]
    if missing:
        raise Trouble("%s is missing: apt-get install --no-install-recommends %s" % (missing[0], packages))
    for path in built:
        if not os.path.exists(os.path.join(bench.build, path)):
            raise Trouble("%s was not built: apt-get install --no-install-recommends %s" % (path, packages))


def in_turns(rounds, theirs, ours):
    """What figures() makes of the rates of both, measured in turns; another one begins each round."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            b = ours()
            pairs.append((theirs(), b))
        else:
            a = theirs()
            pairs.append((a, ours()))
    return figures(pairs)


def figures(pairs):
    """(theirs, ours, ratio) of (theirs, ours) by round: medians; the ratio's is of those within rounds."""
    if any(not a for a, _ in pairs):
        raise Trouble("the server's own rate is nothing")
    return (median([a for a, _ in pairs]), median([b for _, b in pairs]), median([b / a for a, b in pairs]))


def collect(catalogue, measure):
    """{figure: value} of all workloads of a row; measure(argument) returns what in_turns() does."""
    found = {}
    for what, argument in catalogue.items():
        theirs, ours, ratio = measure(argument)
        found.update({"own " + what: theirs, "ours " + what: ours, "ratio " + what: ratio})
    return found


def rate_of(bench, peer, args):
    """What bench-load gets of the peer; a run that was disturbed counts, as CPUs are shared here."""
    result = bench.generate(peer, peer.store, [*args, "--seconds", str(bench.options.seconds), "--warmup",
                                               str(bench.options.warmup)])
    statuses = result["statuses"]
    if not result["done"] or statuses["check_condition"] or statuses["other"] or result["lost_sessions"]:
        raise Trouble(result["trouble"] or "tgtd did no command")
    return result["iops"]


def output_of(command):
    """What a client prints; it ends with us."""
    proc = peers.spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace")
    try:
        out, err = proc.communicate(timeout=WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        raise Trouble("%s does not end" % command[0]) from None
    finally:
        if proc.poll() is None:
            proc.kill()
            proc.wait()
    if proc.returncode:
        said = (err or out).strip().splitlines() or ["status %d" % proc.returncode]
        raise Trouble("%s: %s" % (os.path.basename(command[0]), said[-1]))
    return out


# -- nbd: nbdkit's memory on a Unix socket ----------------------------------------------------------------------------

def start_nbdkit(bench, path):
    proc = peers.spawn(["nbdkit", "--foreground", "--unix", path, "memory", str(NBD_SIZE)], stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    end = time.monotonic() + peers.READY_SECONDS
    while not os.path.exists(path):
        if proc.poll() is not None or time.monotonic() > end:
            proc.kill()
            proc.wait()
            raise Trouble("nbdkit does not start")
        time.sleep(0.02)
    return proc


def nbd(bench, say):
    """One connection each: tgtd has one for a reactor."""
    need(["nbdkit"], ["tests/bench/bench-nbd", "store-nbd.so"], bench, "nbdkit libnbd-dev")
    o, path = bench.options, os.path.join(bench.folder, "nbd.sock")
    client = [os.path.join(bench.build, "tests/bench/bench-nbd"), path, "--qd", "32", "--seconds", str(o.seconds),
              "--warmup", str(o.warmup)]
    peer = Remote(bench, "nbd", path)
    server = start_nbdkit(bench, path)
    try:
        output_of([*client[:2], "--rw", "write", "--bs", "1M", "--fill"])  # what was never written costs less to read
        peer.start(["nbd"])
        return collect(NBD, lambda args: in_turns(
            o.runs, lambda: float(output_of(client + list(args))),
            lambda: rate_of(bench, peer, ["--qd", "32", *args])))
    finally:
        peer.stop()
        peer.kill()
        server.kill()
        server.wait()


# -- rbd: a cluster of one node ---------------------------------------------------------------------------------------

class Cluster:
    """Its daemons fork, so they are ended by the script that started them."""

    def __init__(self, folder):
        self.folder, self.conf = folder, os.path.join(folder, "ceph.conf")

    def start(self):
        done = subprocess.run([MINI_CEPH, "start", self.folder], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True)
        if done.returncode:
            raise Trouble((done.stdout.strip().splitlines() or ["mini-ceph failed"])[-1])

    def wipe(self):
        if os.path.exists(os.path.join(self.folder, "settings")):
            # an impatient second Ctrl-C would leave daemons behind
            before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
            subprocess.run([MINI_CEPH, "wipe", self.folder], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL, start_new_session=True)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def rbd(self, *args):
        return output_of(["rbd", "--conf", self.conf, "--rbd-cache=false", *args])

    def bench(self, kind, total, *args):
        """Requests per second; it does a number of bytes, not seconds."""
        out = self.rbd("bench", "disk", "--io-type", kind, "--io-total", str(total), *args)
        return bench_rate(out)


def bench_rate(text):
    """The last line of rbd bench: elapsed: 1 ops: 8192 ops/sec: 6553.6 bytes/sec: 26 MiB/s"""
    match = re.search(r"ops/sec:\s*([0-9.]+)\s+bytes/sec", text)
    if not match:
        raise Trouble("rbd bench says no rate: %r" % text[-80:])
    return float(match.group(1))


RANDOM_4K = ("--io-size", "4096", "--io-threads", "16", "--io-pattern", "rand")


def total_of(rate, seconds):
    """Bytes of 4 KiB requests that take so long at this rate."""
    return max(512, int(rate * seconds)) * 4096


def rbd(bench, say):
    """librbd's cache is off in both, as a write that is answered has to be in the cluster."""
    need(["ceph-mon", "ceph-osd", "ceph", "rbd"], ["store-rbd.so"], bench,
         "ceph-mon ceph-osd ceph-common librbd-dev librados-dev")
    cluster = Cluster(os.path.join(bench.folder, "ceph"))
    peer = Remote(bench, "rbd", "rbd/disk", "conf=" + cluster.conf)

    def measure(kind):
        total = total_of(cluster.bench(kind, total_of(0, 0), *RANDOM_4K), bench.options.seconds)
        return in_turns(min(RBD_ROUNDS, bench.options.runs), lambda: cluster.bench(kind, total, *RANDOM_4K),
                        lambda: rate_of(bench, peer, ["--rw", kind, "--bs", "4K", "--qd", "16"]))
    try:
        cluster.start()
        cluster.rbd("create", "--size", "%dM" % (RBD_SIZE >> 20), "disk")
        cluster.bench("write", RBD_SIZE, "--io-size", "4M", "--io-threads", "4", "--io-pattern", "seq")
        peer.start(["rbd"])
        return collect(RBD, measure)
    finally:
        peer.stop()
        peer.kill()
        cluster.wipe()
