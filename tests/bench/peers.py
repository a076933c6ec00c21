# SPDX-License-Identifier: BSD-2-Clause
"""Who is measured: how each is started, told what to serve, put to rest and ended.

Everything listens on loopback, on a free port; control sockets are in the run's own folder; what was started is ended,
and nothing else. A child also dies with us (PR_SET_PDEATHSIG), however we end.
"""

import ctypes
import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

from rows import COMPLETE, LAYERED, STORES

TARGET = "iqn.2026-11.io.stgt.bench:"
READY_SECONDS = 20
STOP_SECONDS = 10
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)
MIB = 1 << 20
# Stores of tgtd that serve a file: what lun create is told
FILES = {"file": (), "mmap": ("--type", "mmap"), "direct": ("--bsoflags", "direct")}


class Trouble(Exception):
    """Raised with a sentence for people."""


def free_port():
    """A port of 127.0.0.1 that nobody listens on; below those that outgoing connections take."""
    for _ in range(200):
        port = random.SystemRandom().randrange(10000, 32000)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Trouble("there is no free port on 127.0.0.1")


def spawn(command, cpus=None, **options):
    """Start a child that dies with us, on these CPUs, out of reach of the terminal's Ctrl-C."""
    parent = os.getpid()

    def child():
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        if cpus:
            os.sched_setaffinity(0, cpus)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.Popen(command, preexec_fn=child, start_new_session=True, **options)


class Peer:
    """One process that serves. stores: those it knows. pinned: its threads do not compete with the generator."""

    name = ""
    what = ""  # for documentation
    stores = COMPLETE
    pinned = True
    several_threads = False  # they wait for each other on their CPUs: that is no disturbance
    spins = False  # uses its CPU while idle: is stopped between its turns

    def __init__(self, bench):
        self.bench = bench
        self.proc = None
        self.port = None
        self.log_path = os.path.join(bench.folder, self.name + ".log")
        self.luns = {}  # store: (target name, LUN)

    # what kinds of peers differ in
    def command(self):
        raise NotImplementedError

    def configure(self, stores):
        raise NotImplementedError

    def is_ready(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False

    def cpus(self):
        return self.bench.target_cpus[:1] if self.pinned else None

    def environment(self):
        return dict(os.environ, TGT_IPC_SOCKET=os.path.join(self.bench.folder, self.name))

    # what they have in common
    def start(self, stores):
        self.port = free_port()
        with open(self.log_path, "wb") as log:
            self.proc = spawn(self.command(), self.cpus(), stdout=log, stderr=log, env=self.environment(),
                              cwd=self.bench.folder)
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            if self.proc.poll() is not None or time.monotonic() > deadline:
                raise Trouble("%s does not start: %s" % (self.name, self.last_words()))
            time.sleep(0.02)
        self.configure([s for s in stores if s in self.stores])
        self.rest()

    def last_words(self):
        with open(self.log_path, errors="replace") as f:
            lines = [line.strip() for line in f if line.strip()]
        return lines[-1] if lines else "it says nothing"

    def ask(self, *command):
        """A command that tells the peer something; its output."""
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", env=self.environment(), timeout=30)
        if done.returncode:
            raise Trouble("%s: %s: %s" % (self.name, " ".join(command), done.stdout.strip()))
        return done.stdout

    def address(self):
        return "127.0.0.1:%d" % self.port

    def wake(self, store):
        """A turn begins."""
        if self.spins:
            self.proc.send_signal(signal.SIGCONT)

    def rest(self):
        """A turn is over."""
        if self.spins:
            self.proc.send_signal(signal.SIGSTOP)

    def stop(self):
        if self.proc is None or self.proc.poll() is not None:
            return
        if self.spins:
            self.proc.send_signal(signal.SIGCONT)
        self.proc.terminate()
        try:
            self.proc.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        if self.proc is not None and self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()


class Stgt(Peer):
    name = "stgt"
    what = "tgtd of this tree, one reactor, sleeping"
    stores = STORES
    options = ("--reactors", "1")
    types = {}  # of a store that is no file, if not its name

    def program(self):
        return os.path.join(self.bench.build, "tgtd")

    def command(self):
        return [self.program(), "-f", "-C", "0", "--iscsi", "portal=127.0.0.1:%d" % self.port, *self.options,
                *self.bench.stgt_options]

    def tgtctl(self, *args):
        return self.ask(os.path.join(self.bench.build, "tgtctl"), "-C", "0", *args)

    def configure(self, stores):
        for store in stores:
            name = TARGET + store
            self.luns[store] = (name, 1)
            if store in FILES:
                self.tgtctl("target", "create", name)
                self.tgtctl("acl", "add", name, "ALL")
            else:
                self.tgtctl("export", "--type", self.types.get(store, store), "--size",
                            str(self.bench.size_of(store)), "--name", name)

    # A tgtd has its file to itself, so only one LUN has it at a time; it stays until another tgtd or store has its
    # turn, so that a mapping stays warm as that of the floor does.
    def wake(self, store):
        if store not in FILES or self.bench.holder == (self, store):
            return
        if self.bench.holder:
            peer, held = self.bench.holder
            self.bench.holder = None
            if peer.proc.poll() is None:
                peer.tgtctl("lun", "delete", TARGET + held, "1")
        self.tgtctl("lun", "create", TARGET + store, self.bench.path_of(store), "--lun", "1", *FILES[store])
        self.bench.holder = (self, store)


class StgtFree(Stgt):
    name = "stgt-free"
    stores = COMPLETE
    what = "the same where the scheduler puts it, as tgt is"
    pinned = False


class StgtPoll(Stgt):
    name = "stgt-poll"
    stores = COMPLETE
    what = "the same with --poll 50: it spins for 50 us before it sleeps"
    options = ("--reactors", "1", "--poll", "50")


class StgtEpoll(Stgt):
    name = "stgt-epoll"
    what = "the same on epoll instead of io_uring; direct I/O by libaio"
    stores = ("direct",)
    options = ("--reactors", "1", "--engine", "epoll")


class StgtLayers(Stgt):
    name = "stgt-layers"
    what = "the same, the null store under two layers that let everything pass (limit, stats)"
    stores = ("null",)
    types = {"null": "limit:iops=1000000000+stats+null"}


class StgtTwo(Stgt):
    name = "stgt-2"
    stores = COMPLETE
    what = "the same with two reactors"
    options = ("--reactors", "2")
    several_threads = True

    def cpus(self):
        return self.bench.target_cpus


class Other(Stgt):
    """Another build, to compare with: --other PATH"""
    name = "other"
    what = "another tgtd, given by --other"

    def program(self):
        return self.bench.other

    def command(self):
        return [self.program(), "-f", "-C", "0", "--iscsi", "portal=127.0.0.1:%d" % self.port, *self.options,
                *self.bench.other_options]


class Floor(Peer):
    name = "floor"
    stores = COMPLETE + ("mmap",)  # the one that a mapping has to beat
    what = "the least program that answers; file by pread and pwrite; sleeping. One process per store"
    options = ()

    def __init__(self, bench):
        super().__init__(bench)
        self.procs = {}
        self.ports = {}

    def start(self, stores):
        for store in stores:
            if store in self.stores:
                self.start_one(store)
        self.rest()

    def start_one(self, store):
        args = ["--store", store, "--size", str(self.bench.size_of(store))]
        if store in FILES:
            args = ["--store", "file", "--file", self.bench.path_of(store)]
        with open(self.log_path, "ab") as log:
            proc = spawn([os.path.join(self.bench.build, "tests/bench/bench-floor"), "127.0.0.1:0", "--seconds",
                          "86400", *args, *self.options], self.cpus(), stdout=subprocess.PIPE, stderr=log)
        self.procs[store] = proc
        words = proc.stdout.readline().decode().split(":")
        if len(words) != 2:
            raise Trouble("%s does not start: %s" % (self.name, self.last_words()))
        self.ports[store] = int(words[1])
        self.luns[store] = (TARGET + store, 1)

    def wake(self, store):
        self.proc, self.port = self.procs[store], self.ports[store]
        super().wake(store)

    def rest(self):
        for proc in self.procs.values():
            if self.spins:
                proc.send_signal(signal.SIGSTOP)

    def stop(self):
        self.kill()

    def kill(self):
        for proc in self.procs.values():
            if proc.poll() is None:
                proc.kill()
                proc.wait()


class FloorMmap(Floor):
    name = "floor-mmap"
    what = "the floor sending from, and copying into, a mapping of the file"
    stores = ("file", "mmap")
    options = ("--io", "mmap")


class FloorSpin(Floor):
    name = "floor-spin"
    what = "the floor that never sleeps"
    stores = COMPLETE
    options = ("--spin",)
    spins = True


class Tgt(Peer):
    name = "tgt"
    what = "Debian's tgt, its threads where the scheduler puts them"
    stores = ("null", "file")
    pinned = False
    several_threads = True
    tgtd, tgtadm = "/usr/sbin/tgtd", "/usr/sbin/tgtadm"
    types = {"null": "null", "file": "rdwr"}

    def command(self):
        if not os.path.exists(self.tgtd):
            raise Trouble("tgt is not installed (package tgt)")
        # the number of the control socket only has to differ from that of another tgtd
        self.control = str(random.SystemRandom().randrange(10000, 30000))
        return [self.tgtd, "-f", "-C", self.control, "--iscsi", "portal=127.0.0.1:%d" % self.port]

    def is_ready(self):
        done = subprocess.run([self.tgtadm, "-C", self.control, "--op", "show", "--mode", "target"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env=self.environment())
        return done.returncode == 0 and super().is_ready()

    def adm(self, *args):
        self.ask(self.tgtadm, "-C", self.control, "--lld", "iscsi", *args)

    def configure(self, stores):
        for tid, store in enumerate(stores, 1):
            name, t = TARGET + store, ("--tid", str(tid))
            path = self.bench.file if store == "file" else "/dev/null"
            self.adm("--op", "new", "--mode", "target", *t, "-T", name)
            for key, value in (("HeaderDigest", "CRC32C,None"), ("DataDigest", "CRC32C,None")):
                self.adm("--op", "update", "--mode", "target", *t, "-n", key, "-v", value)
            self.adm("--op", "new", "--mode", "logicalunit", *t, "--lun", "1", "-b", path, "-E", self.types[store])
            self.adm("--op", "bind", "--mode", "target", *t, "-I", "ALL")
            self.luns[store] = (name, 1)

    def stop(self):
        self.kill()  # SIGTERM does not end it while it has targets


class TgtPinned(Tgt):
    name = "tgt-pinned"
    what = "Debian's tgt on the CPU that the others have"
    pinned = True


class Spdk(Peer):
    name = "spdk"
    what = "SPDK's iscsi_tgt (null and malloc), which always spins"
    # no file: its aio goes around the page cache, and would throw out of it what the others have there
    stores = ("null", "mem")
    spins = True

    def command(self):
        path = os.path.join(self.bench.folder, "spdk.json")
        with open(path, "w") as f:
            json.dump(self.config(), f)
        cpu = min(self.bench.target_cpus)
        return [self.bench.spdk, "-m", hex(1 << cpu), "-c", path, "-r", os.path.join(self.bench.folder, "spdk.sock"),
                *self.bench.spdk_options]

    def config(self):
        def step(method, **params):
            return {"method": method, "params": params}
        disks, nodes = [], []
        makers = {
            "null": step("bdev_null_create", name="null", block_size=512, num_blocks=self.bench.size_of("null") // 512),
            "mem": step("bdev_malloc_create", name="mem", block_size=512, num_blocks=self.bench.size_of("mem") // 512)}
        for store in self.stores:
            disks.append(makers[store])
            nodes.append(step("iscsi_create_target_node", name=TARGET + store, alias_name=store, disable_chap=True,
                              pg_ig_maps=[{"pg_tag": 1, "ig_tag": 1}], luns=[{"bdev_name": store, "lun_id": 0}],
                              queue_depth=128))
        return {"subsystems": [
            {"subsystem": "bdev", "config": disks},
            {"subsystem": "iscsi", "config": [
                step("iscsi_create_portal_group", tag=1, portals=[{"host": "127.0.0.1", "port": str(self.port)}]),
                step("iscsi_create_initiator_group", tag=1, initiators=["ANY"], netmasks=["127.0.0.0/8"]),
                *nodes]}]}

    def configure(self, stores):
        for store in stores:
            self.luns[store] = (TARGET + store, 0)  # it insists on a LUN 0


KINDS = (Stgt, StgtFree, StgtPoll, StgtTwo, StgtEpoll, StgtLayers, Other, Floor, FloorMmap, FloorSpin, Tgt, TgtPinned,
         Spdk)
ALL = {kind.name: kind for kind in KINDS}
DEFAULT = ("stgt", "stgt-free", "stgt-poll", "stgt-2", "stgt-epoll", "stgt-layers", "floor", "floor-mmap",
           "floor-spin", "tgt")


def takes_part(name, row):
    """Whether a peer is of interest in a row: variants only where their difference shows."""
    if row.store not in ALL[name].stores:
        return False
    if name in ("stgt-poll", "stgt-free"):
        return row.qd == 1
    if name == "stgt-2":
        return row.sessions > 1
    if name == "stgt-layers":
        return row.name in LAYERED
    if name == "floor-spin":
        return row.bs == "4k" and not row.digests and row.rw == "read" and row.sessions == 1
    if name == "floor-mmap":
        return not row.digests
    return True


class Keeper:
    """The file, in the page cache, and the process that keeps it there."""

    def __init__(self, bench, size):
        self.proc = spawn([os.path.join(bench.build, "tests/bench/bench-keep"), bench.file, str(size),
                           bench.options.file_pieces],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.proc.stdout.readline().strip() != "ready":
            raise Trouble("the file %s could not be made" % bench.file)

    def missing(self):
        """Pages that are not in the page cache."""
        self.proc.stdin.write("\n")
        self.proc.stdin.flush()
        match = re.match(r"resident (\d+) of (\d+)", self.proc.stdout.readline())
        if not match:
            raise Trouble("the process that keeps the file in memory has ended")
        return int(match.group(2)) - int(match.group(1))

    def stop(self):
        if self.proc.poll() is None:
            self.proc.stdin.close()  # it removes the file
            try:
                self.proc.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()


def spdk_program(path):
    """Checked path of SPDK's iscsi_tgt."""
    found = shutil.which(path)
    if not found:
        raise Trouble("SPDK=%s: that is no program" % path)
    return os.path.abspath(found)
