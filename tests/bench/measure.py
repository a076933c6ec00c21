# SPDX-License-Identifier: BSD-2-Clause
"""The measuring itself: peers take turns, dirty runs are rejected and repeated, and the page cache is looked after."""

import json
import os
import subprocess
import threading
import time

import peers
from peers import Trouble
from stats import Cell

ANY = "1000000"  # a limit that is none
SECONDS_MAX = 120  # for one run of the generator that does not end


class Bench:
    """What all parts share: folders, CPUs, sizes, the peers that run."""

    def __init__(self, options, folder, build):
        self.options, self.folder, self.build = options, folder, build
        self.file = os.path.join(folder, "disk.img")
        self.target_cpus, self.generator_cpus = options.target_cpus, {options.generator_cpu}
        self.file_size, self.mem_size = options.file_size, options.mem_size
        self.stgt_options, self.other, self.other_options = options.tgtd_options, options.other, options.other_options
        self.spdk, self.spdk_options = options.spdk, options.spdk_options
        self.peers, self.keeper, self.stores = {}, None, []
        self.refused = {}  # peer: why it takes no part
        self.current = None  # the generator that runs

    def size_of(self, store):
        return {"null": 4 << 30, "mem": self.mem_size, "file": self.file_size}[store]

    def bring_up(self, names, rows, say):
        self.stores = [s for s in ("null", "mem", "file") if any(r.store == s for r in rows)]
        if "file" in self.stores:
            say("writing a file of %d MiB into the page cache" % (self.file_size >> 20))
            self.keeper = peers.Keeper(self, self.file_size)
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


def row_arguments(row, options):
    args = ["--rw", row.rw, "--bs", row.bs, "--qd", str(row.qd), "--sessions", str(row.sessions),
            "--seconds", str(options.seconds), "--warmup", str(options.warmup)]
    if row.seq:
        args.append("--seq")
    if row.digests:
        args += ["--header-digest", "--data-digest"]
    return args


def limits(peer, options):
    """How much disturbance a run of this peer may have. Threads that share a CPU by design wait for each other."""
    wait = str(options.max_wait)
    target = ANY if peer.several_threads else wait
    own = wait if peer.pinned else ANY
    return ["--max-wait", own, "--max-target-wait", target, "--max-others", str(options.max_others),
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

    def rounds_of(self, row):
        return max(self.options.runs, self.options.runs_qd1) if row.qd == 1 else self.options.runs

    def expected_runs(self):
        return sum(len(self.taking_part(row)) * self.rounds_of(row) for row in self.rows)

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
        watched = row.store == "file" and self.bench.keeper
        missing = self.bench.keeper.missing() if watched else 0
        result = self.bench.generate(peer, row.store, row_arguments(row, self.options) + limits(peer, self.options))
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
        self.cells[row.name] = {n: Cell(self.rounds_of(row)) for n in names}
        for number in range(self.rounds_of(row)):
            if self.out_of_time() and number:
                break
            for i in range(len(names)):  # another one begins each round: nobody always follows the same
                name = names[(i + number) % len(names)]
                if not self.cells[row.name][name].trouble:
                    self.progress.run(row, name, number + 1, self.rounds_of(row))
                    self.turn(row, name, number)
                self.progress.count += 1

    def run(self):
        for row in self.rows:
            if self.out_of_time():
                break
            self.measure(row)
            self.progress.row_done(row, self.cells[row.name])

    # -- rows that are not a peer's --------------------------------------------------------------------------------

    def run_special(self, name):
        self.progress.note("measuring " + name)
        peer = {"idle": Idle, "memory": Memory}[name](self.bench)
        try:
            peer.start(["null"])
            self.special[name] = {"idle": self.idle, "memory": self.memory}[name](peer)
        finally:
            peer.stop()
            peer.kill()

    def idle(self, peer):
        """What a thousand sessions without work wake up. Threads by name: tgtd-N are reactors."""
        seconds = 3 if self.options.quick else 10
        result = self.bench.generate(peer, "null", ["--idle", "--sessions", "1000", "--qd", "1", "--warmup", "6000",
                                                    "--seconds", str(seconds)])
        reactors = [t for t in result["target_threads"] if t["name"].startswith("tgtd-")]
        others = [t for t in result["target_threads"] if not t["name"].startswith("tgtd-")]
        return {"wakeups": max(t["sleeps"] for t in reactors) / result["seconds"], "sessions": result["alive_sessions"],
                "control_wakeups": sum(t["sleeps"] for t in others) / result["seconds"],
                "cpu_pct": result["target_cpu_pct"], "resident_mib": result["target_rss"] / peers.MIB}

    def memory(self, peer):
        """256 connections that would have 32 GiB of writes under way: what is resident, and what is said to them."""
        peak = [0]
        over = threading.Event()

        def watch():
            while not over.wait(0.02):
                peak[0] = max(peak[0], resident(peer.proc.pid))
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            result = self.bench.generate(peer, "null", ["--rw", "write", "--bs", "1M", "--seq", "--qd", "128",
                                                        "--sessions", "256", "--timeout", "60", "--seconds",
                                                        "3" if self.options.quick else "10"])
        finally:
            over.set()
            watcher.join()
        statuses = result["statuses"]
        return {"resident_mib": peak[0] / peers.MIB, "failed": statuses["check_condition"] + statuses["other"],
                "lost": 256 - result["alive_sessions"], "done": result["done"], "full": statuses["task_set_full"],
                "busy": statuses["busy"], "mb_per_s": result["mb_per_s"]}


class Idle(peers.Stgt):
    name = "stgt-idle"


class Memory(peers.Stgt):
    name = "stgt-memory"
    options = ("--reactors", "1", "--memory", "256M")


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
