# SPDX-License-Identifier: BSD-2-Clause
"""The measuring itself: peers take turns, dirty runs are rejected and repeated, and the page cache is looked after."""

import json
import os
import subprocess
import time

import peers
import special
from peers import Trouble
from rows import CACHED, CLOSE, CLOSE_TIMES, LAYERED, MEMORY, STORES
from stats import Cell

ANY = "1000000"  # a limit that is none
SECONDS_MAX = 120  # for one run of the generator that does not end


class Bench:
    """What all parts share: folders, CPUs, sizes, the peers that run."""

    def __init__(self, options, folder, build):
        self.options, self.folder, self.build = options, folder, build
        self.file = os.path.join(folder, "disk.img")
        self.direct_file = os.path.join(folder, "direct.img")  # O_DIRECT would drop pages of the other
        self.target_cpus, self.generator_cpus = options.target_cpus, {options.generator_cpu}
        self.file_size, self.mem_size = options.file_size, options.mem_size
        self.stgt_options, self.other, self.other_options = options.tgtd_options, options.other, options.other_options
        self.spdk, self.spdk_options = options.spdk, options.spdk_options
        self.peers, self.keeper, self.stores = {}, None, []
        self.holder = None  # (peer, store): the tgtd that has a file to itself
        self.refused = {}  # peer: why it takes no part
        self.current = None  # the generator that runs

    def size_of(self, store):
        return {"null": 4 << 30, "mem": self.mem_size}.get(store, self.file_size)

    def path_of(self, store):
        return self.direct_file if store == "direct" else self.file

    def bring_up(self, names, rows, say):
        self.stores = [s for s in STORES if any(r.store == s for r in rows)]
        if any(s in CACHED for s in self.stores):
            say("writing a file of %d MiB into the page cache" % (self.file_size >> 20))
            self.keeper = peers.Keeper(self, self.file_size)
        if "direct" in self.stores:
            say("writing another that is not in the page cache")
            write_uncached(self.direct_file, self.file_size)
        for name in names:
            stores = [s for s in self.stores if any(r.store == s and peers.takes_part(name, r) for r in rows)]
            if not stores:
                continue
            say("starting " + name)
            peer = peers.ALL[name](self)
            self.peers[name] = peer
            try:
                peer.start(stores)
            except Trouble as e:
                if name in ("stgt", "floor"):
                    raise
                self.refused[name] = str(e)
                peer.kill()
                del self.peers[name]
        for name, peer in self.peers.items():
            if "mem" in peer.luns and any(r.store == "mem" and peers.takes_part(name, r) for r in rows):
                say("filling the memory of " + name)
                self.generate(peer, "mem", ["--rw", "write", "--bs", "1M", "--seq", "--qd", "8", "--seconds", "2"])

    def end_generator(self):
        if self.current and self.current.poll() is None:
            self.current.kill()
            self.current.wait()

    def take_down(self):
        self.end_generator()
        ended = 0
        for peer in self.peers.values():
            peer.stop()
            peer.kill()
            ended += 1
        if self.keeper:
            self.keeper.stop()
            ended += 1
        return ended

    def generate(self, peer, store, args):
        """One run of the generator; its result. Raises Trouble with what it said."""
        name, lun = peer.luns[store]
        peer.wake(store)
        command = [os.path.join(self.build, "tests/bench/bench-load"), peer.address(), name, "--lun", str(lun),
                   "--pid", str(peer.proc.pid), "--json", *args]
        try:
            self.current = peers.spawn(command, self.generator_cpus, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       text=True)
            out, err = self.current.communicate(timeout=SECONDS_MAX + self.options.seconds)
        except subprocess.TimeoutExpired:
            raise Trouble("%s: the generator does not end" % peer.name) from None
        finally:
            self.end_generator()
            if peer.proc.poll() is None:
                peer.rest()
        if not out.startswith("{"):
            raise Trouble((err.strip().splitlines() or ["the generator says nothing"])[-1])
        result = json.loads(out)
        result["trouble"] = err.strip()
        return result


def write_uncached(path, size):
    """A file of data, not of holes, and none of it in the page cache."""
    piece = os.urandom(peers.MIB)
    try:
        with open(path, "wb", buffering=0) as f:
            for _ in range(0, size, len(piece)):
                f.write(piece)
            os.fsync(f.fileno())
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    except OSError as e:
        raise Trouble("%s: %s" % (path, e.strerror)) from None


def row_arguments(row, options):
    args = ["--rw", row.rw, "--bs", row.bs, "--qd", str(row.qd), "--sessions", str(row.sessions),
            "--seconds", str(options.seconds), "--warmup", str(options.warmup)]
    if row.seq:
        args.append("--seq")
    if row.digests:
        args += ["--header-digest", "--data-digest"]
    return args


def limits(peer, row, options):
    """How much disturbance a run of this peer may have. Threads that share a CPU by design wait for each other; the
    kernel's work for a disk is nobody's and keeps others waiting, but is a part of what is measured."""
    wait, others = str(options.max_wait), str(options.max_others)
    target = ANY if peer.several_threads else wait
    own = wait if peer.pinned else ANY
    if row.store not in MEMORY:
        own = target = others = ANY
    return ["--max-wait", own, "--max-target-wait", target, "--max-others", others,
            "--max-stolen", str(options.max_stolen)]


class Measurement:
    """All rows. cells: {row name: {peer name: Cell}}"""

    def __init__(self, bench, rows, names, progress):
        self.bench, self.rows, self.options, self.progress = bench, rows, bench.options, progress
        self.names = [n for n in names if n in bench.peers]
        self.cells = {}
        self.special = {}
        self.begun = time.monotonic()
        self.cut_short = False

    def taking_part(self, row):
        return [n for n in self.names if row.store in self.bench.peers[n].luns and peers.takes_part(n, row)]

    def rounds_of(self, row, name):
        """More where a few percent are to be told from noise."""
        if row.qd == 1:
            return max(self.options.runs, self.options.runs_qd1)
        close = row.name in LAYERED and name in CLOSE and set(CLOSE) <= set(self.names)
        return self.options.runs * (CLOSE_TIMES if close else 1)

    def expected_runs(self):
        return sum(self.rounds_of(row, n) for row in self.rows for n in self.taking_part(row))

    def out_of_time(self):
        if self.options.limit and time.monotonic() - self.begun > self.options.limit:
            self.cut_short = True
        return self.cut_short

    def behind(self):
        """Repeating a run now would cost another row its time."""
        share = (self.progress.count + 1) / max(1, self.progress.total)
        return self.options.limit and time.monotonic() - self.begun > self.options.limit * share

    def one(self, peer, row):
        """One run; returns (result, clean)."""
        watched = row.store in CACHED and self.bench.keeper
        missing = self.bench.keeper.missing() if watched else 0
        result = self.bench.generate(peer, row.store, row_arguments(row, self.options) +
                                     limits(peer, row, self.options))
        if watched:
            missing = max(missing, self.bench.keeper.missing())
        if missing:
            result["dirty"], result["why_dirty"] = True, "%d pages were not in the page cache" % missing
        statuses = result["statuses"]
        if not result["done"] or statuses["check_condition"] or statuses["other"] or result["lost_sessions"]:
            raise Trouble(result["trouble"] or "no command was done")
        return result, not result["dirty"]

    def turn(self, row, name, number):
        """The run of a peer in a round, repeated while it is dirty."""
        cell = self.cells[row.name][name]
        for attempt in range(1 + self.options.retries):
            if attempt and self.behind():
                return
            try:
                result, clean = self.one(self.bench.peers[name], row)
            except Trouble as e:
                cell.trouble = str(e)
                return
            cell.add(number, result, clean)
            if clean:
                return

    def measure(self, row):
        names = self.taking_part(row)
        rounds = {n: self.rounds_of(row, n) for n in names}
        self.cells[row.name] = {n: Cell(rounds[n]) for n in names}
        for number in range(max(rounds.values(), default=0)):
            if self.out_of_time() and number:
                break
            names = [n for n in names if number < rounds[n]]
            for i in range(len(names)):  # another one begins each round: nobody always follows the same
                name = names[(i + number) % len(names)]
                if not self.cells[row.name][name].trouble:
                    self.progress.run(row, name, number + 1, rounds[name])
                    self.turn(row, name, number)
                self.progress.count += 1

    def run(self):
        for row in self.rows:
            if self.out_of_time():
                break
            self.measure(row)
            self.progress.row_done(row, self.cells[row.name])

    def run_special(self, name):
        self.progress.note("measuring " + name)
        try:
            self.special[name] = special.ROWS[name](self.bench, self.progress.note)
        except Trouble as e:
            self.special[name] = {"left_out": str(e)}
