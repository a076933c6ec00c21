# SPDX-License-Identifier: BSD-2-Clause
"""What end-to-end tests stand on: a tgtd of their own, and TAP.

    from lab import test, main

    @test
    def the_target_is_listed(lab):
        d = lab.start()
        url = d.export(lab.image("64M"))
        assert d.name in lab.run("iscsi-ls", "-s", d.portal_url()).stdout

    main()

A lab has a folder of its own; a daemon has free ports and a private control socket. All is taken down when the test
function ends, however it ends. Waiting means polling for the thing waited for, with a deadline.

Environment: STGT_BUILD (where tgtd, tgtctl, tgtadm are; default: build/), STGT_SOURCE, TGTD and TGTADM (other programs
that keep the same contract, to try a test against), KEEP_LAB (leave folders).
"""

import json
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.environ.get("STGT_SOURCE", os.path.dirname(os.path.dirname(HERE)))
BUILD = os.environ.get("STGT_BUILD", os.path.join(SOURCE, "build"))
TGTD = os.environ.get("TGTD", os.path.join(BUILD, "tgtd"))
TGTADM = os.environ.get("TGTADM", os.path.join(BUILD, "tgtadm"))
TGTCTL = os.path.join(BUILD, "tgtctl")
SANITIZED = os.environ.get("STGT_FLAVOUR", "plain") != "plain"
sys.path.insert(0, os.path.join(SOURCE, "tests", "iscsi"))

import pdu  # noqa: E402  (found by the line above)

READY_SECONDS = 30
STOP_SECONDS = 30
NAME = "iqn.2026-01.org.example:disk"
NOBODY = 65534


class Skip(Exception):
    """Raised with the reason why a test cannot run here."""


def size_of(text):
    return int(text[:-1]) << {"K": 10, "M": 20, "G": 30}[text[-1]] if text[-1].isalpha() else int(text)


def wait_until(what, condition, seconds=20.0):
    """Poll until condition() is true and return its value; fails after the deadline with what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError("after %g s still not: %s" % (seconds, what))
        time.sleep(0.01)


def free_port(address="127.0.0.1"):
    """A port nobody listens on; below the range that outgoing connections take theirs from."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for _ in range(200):
        port = random.SystemRandom().randrange(10000, 32000)
        with socket.socket(family, socket.SOCK_STREAM) as s:
            try:
                s.bind((address, port))
                return port
            except OSError:
                continue
    raise Skip("no free port on " + address)


def need(program):
    path = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Skip(program + " is not installed")
    return path


class Tgtd:
    """One daemon. lab.start() makes it."""

    def __init__(self, lab, serial, portals, options, nobody, memlock):
        self.lab, self.options, self.nobody, self.memlock = lab, list(options), nobody, memlock
        self.addresses = portals
        self.ports = []
        self.control_port = serial
        self.log_path = os.path.join(lab.folder, "tgtd.%d.log" % serial)
        self.prefix = os.path.join(lab.folder, "ipc")
        self.proc = None
        self.name = NAME
        self.lun = 1

    # -- coming and going ------------------------------------------------------------------------------------------

    def launch(self, ports=None):
        """Start; with fixed ports after kill -9, else on free ones."""
        for attempt in range(4):
            self.ports = ports or [free_port(a.strip("[]")) for a in self.addresses]
            start = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
            self._spawn()
            try:
                self._wait_ready()
                return self
            except AssertionError:
                self.kill()
                text = self.log()[start:]
                if ports or attempt == 3 or "in use" not in text.lower():
                    raise
        return self

    def _spawn(self):
        portals = ",".join("portal=%s:%d" % pair for pair in zip(self.addresses, self.ports))
        args = [self.lab.program(TGTD, self.nobody), "-f", "-C", str(self.control_port), "--iscsi", portals]

        def limits():
            if self.memlock is not None:
                resource.setrlimit(resource.RLIMIT_MEMLOCK, (self.memlock, self.memlock))
        with open(self.log_path, "ab") as log:
            self.proc = subprocess.Popen(args + self.options, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         env=self.env(), preexec_fn=limits, **self._as())

    def _as(self):
        return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if self.nobody else {}

    def env(self):
        return dict(os.environ, TGT_IPC_SOCKET=self.prefix)

    def control_answers(self):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            try:
                s.connect("%s.%d" % (self.prefix, self.control_port))
                return True
            except OSError:
                return False

    def _wait_ready(self):
        def ready():
            if self.proc.poll() is not None:
                raise AssertionError("tgtd ended with status %d while starting" % self.proc.returncode)
            return self.control_answers()
        wait_until("tgtd answers on its control socket", ready, READY_SECONDS)

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def kill(self):
        """kill -9"""
        if self.proc and self.proc.poll() is None:
            self.proc.kill()
        if self.proc:
            self.proc.wait()

    def stop(self, seconds=STOP_SECONDS):
        """SIGTERM; it must end by itself, with status 0, within the time. Returns how long it took."""
        start = time.monotonic()
        if self.proc.poll() is None:
            self.proc.terminate()
        try:
            status = self.proc.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("tgtd did not end within %g s of SIGTERM" % seconds) from None
        assert status == 0, "tgtd ended with status %d" % status
        return time.monotonic() - start

    def alive(self):
        return self.proc.poll() is None

    def rss(self):
        """Resident bytes"""
        with open("/proc/%d/status" % self.proc.pid) as f:
            return int(re.search(r"^VmRSS:\s+(\d+) kB", f.read(), re.M).group(1)) << 10

    # -- administration --------------------------------------------------------------------------------------------

    def tgtadm(self, *args, check=True):
        done = subprocess.run([self.lab.program(TGTADM, self.nobody), "-C", str(self.control_port)] + list(args),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=self.env(), timeout=60, **self._as())
        if check and done.returncode:
            raise AssertionError("tgtadm %s: status %d: %s" % (" ".join(args), done.returncode, done.stderr.strip()))
        return done

    def tgtctl(self, *args, check=True):
        done = subprocess.run([self.lab.program(TGTCTL, self.nobody), "-C", str(self.control_port)] + list(args),
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              env=self.env(), timeout=60, **self._as())
        if check and done.returncode:
            raise AssertionError("tgtctl %s: status %d: %s" % (" ".join(args), done.returncode, done.stderr.strip()))
        return done

    def popen_tgtctl(self, *args):
        """A tgtctl that runs beside the test."""
        return subprocess.Popen([self.lab.program(TGTCTL, self.nobody), "-C", str(self.control_port)] + list(args),
                                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                env=self.env(), **self._as())

    def tgtctl_json(self, *args):
        return json.loads(self.tgtctl("--json", *args).stdout)

    def export(self, path, name=NAME, tid=1, lun=1, block_size=512, params=None):
        """A target with one disk, open to everybody; returns its URL for libiscsi and QEMU."""
        t = ["--lld", "iscsi", "--tid", str(tid)]
        self.tgtadm("--op", "new", "--mode", "target", "-T", name, *t)
        self.add_lun(path, tid, lun, block_size, params)
        self.tgtadm("--op", "bind", "--mode", "target", "-I", "ALL", *t)
        self.name, self.lun = name, lun
        return self.url()

    def add_lun(self, path, tid=1, lun=1, block_size=512, params=None):
        t = ["--lld", "iscsi", "--mode", "logicalunit", "--tid", str(tid), "--lun", str(lun)]
        self.tgtadm("--op", "new", "-b", path, "--blocksize", str(block_size), *t)
        if params:
            self.tgtadm("--op", "update", "--params", params, *t)

    # -- addresses -------------------------------------------------------------------------------------------------

    def portal(self, n=0):
        return "%s:%d" % (self.addresses[n], self.ports[n])

    def portal_url(self, n=0):
        return "iscsi://" + self.portal(n)

    def url(self, n=0):
        return "iscsi://%s/%s/%d" % (self.portal(n), self.name, self.lun)

    def login(self, n=0, **kw):
        """A session of the Python initiator, unit attentions cleared."""
        kw.setdefault("timeout", 60.0 if SANITIZED else 20.0)
        session = pdu.Session.login(self.portal(n), kw.pop("target", self.name), **kw)
        session.clear_unit_attention(self.lun)
        return session


class Lab:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="lab-", dir=os.environ.get("TMPDIR"))
        os.chmod(self.folder, 0o755)
        self.daemons = []
        self.helpers = []
        self.points = []

    def start(self, portals=("127.0.0.1",), options=(), nobody=False, memlock=None, ports=None):
        """A running tgtd. portals: addresses (IPv6 in brackets), a port each is chosen. nobody: run it as that user."""
        if nobody:
            if os.geteuid() != 0:
                raise Skip("only root can start tgtd as another user")
            os.chown(self.folder, NOBODY, NOBODY)
        daemon = Tgtd(self, len(self.daemons), list(portals), options, nobody, memlock)
        self.daemons.append(daemon)
        return daemon.launch(ports)

    def helper(self, proc):
        """A process that the test started and that ends with it; returned. Dying with us is too late: who looks for
        what was left running would still see it."""
        self.helpers.append(proc)
        return proc

    def program(self, path, nobody):
        """Path of a program; a copy in the lab's folder for a user who may not reach the build folder."""
        if not nobody:
            return path
        copy = os.path.join(self.folder, os.path.basename(path))
        if not os.path.exists(copy):
            shutil.copy(path, copy)
            os.chmod(copy, 0o755)
        return copy

    def path(self, name):
        return os.path.join(self.folder, name)

    def image(self, size="64M", name="disk.img", nobody=False):
        """A sparse file"""
        path = self.path(name)
        with open(path, "wb") as f:
            f.truncate(size_of(size))
        if nobody:
            os.chown(path, NOBODY, NOBODY)
        return path

    def run(self, *command, seconds=120, status=0):
        """A program that is expected to end with this status (None: any)."""
        command = [need(command[0])] + [str(c) for c in command[1:]]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=seconds, cwd=self.folder)
        if status is not None and done.returncode != status:
            raise AssertionError("%s: status %d\n%s" % (" ".join(command), done.returncode, done.stdout))
        return done

    def point(self, name, ok=True, skip=None, detail=""):
        """A test point of its own, where one function finds out about several."""
        self.points.append((name, ok, skip, detail))

    def close(self):
        """Take everything down; a daemon that is still there must end well. Raises what went wrong first."""
        trouble = []
        for d in self.daemons:
            try:
                if d.proc and d.alive():
                    d.stop()
            except AssertionError as e:
                trouble.append(str(e))
            d.kill()
            if os.path.exists(d.log_path):
                bad = re.search(r".*(?:ERROR: \w+Sanitizer|runtime error:|WARNING: ThreadSanitizer).*", d.log())
                if bad:
                    trouble.append(bad.group())
        if trouble:
            raise AssertionError("; ".join(trouble))

    def logs(self, lines=80):
        for d in self.daemons:
            if os.path.exists(d.log_path):
                tail = d.log().splitlines()
                yield "-- log of tgtd %d (%d lines)" % (d.control_port, len(tail))
                yield from tail[-lines:]

    def remove(self):
        for d in self.daemons:
            d.kill()
        for p in self.helpers:
            if p.poll() is None:
                p.kill()
                p.wait()
        if not os.environ.get("KEEP_LAB"):
            shutil.rmtree(self.folder, ignore_errors=True)


_tests = []


def test(function):
    """Registers a test; its name is a sentence."""
    _tests.append((function.__name__, function, ()))
    return function


def cases(*variants):
    """Registers a test once for each (label, argument, ...)."""
    def register(function):
        for label, *args in variants:
            _tests.append(("%s (%s)" % (function.__name__, label), function, args))
        return function
    return register


class _Output:
    def __init__(self):
        self.count = 0
        self.failed = 0

    def point(self, name, ok=True, skip=None, detail=""):
        self.count += 1
        self.failed += not ok
        print("%sok %d - %s%s" % ("" if ok else "not ", self.count, name, " # SKIP " + skip if skip else ""))
        for line in detail.splitlines():
            print("# " + line)
        sys.stdout.flush()


def _run_test(output, name, function, args):
    lab = Lab()
    failed = None
    try:
        try:
            function(lab, *args)
        finally:
            lab.close()
    except Skip as e:
        output.point(name, skip=str(e))
        return
    except Exception:
        failed = traceback.format_exc() + "\n".join(lab.logs())
    finally:
        lab.remove()
    for point in lab.points:
        output.point(*point)
    if failed or not lab.points:
        output.point(name, ok=not failed, detail=failed or "")


def main():
    """Runs the tests (all, or those whose names hold an argument) and prints TAP."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    words = sys.argv[1:]
    output = _Output()
    for name, function, args in _tests:
        if not words or any(w in name for w in words):
            start = time.monotonic()
            _run_test(output, name, function, args)
            print("# %.1f s" % (time.monotonic() - start))
    print("1..%d" % output.count)
    sys.exit(1 if output.failed else 0)
