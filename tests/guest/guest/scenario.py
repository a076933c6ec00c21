# SPDX-License-Identifier: BSD-2-Clause
"""What scenarios are written with, in the guest.

    from scenario import *

    d = Tgtd().export(image("64M"))
    with point("the initiator logs in"):
        disk = login(d).disk(1)
    with point("it has the size of the file"):
        assert size(disk) == 64 << 20

A point that fails ends the scenario, unless it is point(..., go_on=True); what was started is put away by the runner.
Waiting means polling for the thing waited for, with a deadline.
"""

import contextlib
import glob
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

__all__ = ["point", "skip", "note", "run", "spawn", "wait_until", "image", "allocated", "size", "read", "write",
           "Tgtd", "login", "Session", "sessions", "iscsid", "udev", "mounted", "settle", "host", "rescan", "Failed",
           "os", "re", "json", "time", "signal", "subprocess", "random", "drop_caches", "pattern", "kernel_log"]

BUILD = os.environ.get("STGT_BUILD", "")
TGTD, TGTCTL, TGTADM = (os.path.join(BUILD, p) for p in ("tgtd", "tgtctl", "tgtadm"))
NAME = "iqn.2026-01.org.example:"
INITIATOR = "iqn.2026-01.org.example.initiator:"
_failed = 0


class Failed(AssertionError):
    """A program did not end as expected."""


class Given(Exception):
    """The scenario ends here: a point has failed."""


def notes(text):
    return "\n".join("# " + line for line in text.rstrip().splitlines())


def note(text):
    """A line for who reads the results."""
    print(notes(str(text)))


def verdict():
    return 1 if _failed else 0


@contextlib.contextmanager
def point(sentence, go_on=False):
    """One test point."""
    global _failed
    try:
        yield
    except (Exception, KeyboardInterrupt):
        _failed += 1
        print("not ok - %s\n%s" % (sentence, notes(traceback.format_exc(limit=-4))))
        if not go_on:
            raise Given() from None
    else:
        print("ok - " + sentence)


def skip(sentence, reason):
    print("ok - %s # SKIP %s" % (sentence, reason))


# -- programs and files --------------------------------------------------------------------------------------------

def run(*command, status=0, seconds=60, stdin=None):
    """Output of a program that is expected to end with this status (None: any)."""
    command = [str(c) for c in command]
    try:
        done = subprocess.run(command, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=seconds)
    except subprocess.TimeoutExpired as e:
        raise Failed("%s: still running after %d s: %s" % (" ".join(command), seconds, e.stdout)) from None
    if status is not None and done.returncode != status:
        raise Failed("%s: status %d\n%s" % (" ".join(command), done.returncode, done.stdout))
    return done.stdout


def spawn(*command):
    """A program that runs beside the scenario; its output is in what .finish() returns."""
    out = tempfile.TemporaryFile("w+", errors="replace")
    proc = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def finish(seconds=120, status=0):
        try:
            proc.wait(seconds)
        except subprocess.TimeoutExpired:
            proc.kill()
            proc.wait()
            raise Failed("%s: still running after %d s" % (" ".join(proc.args), seconds)) from None
        out.seek(0)
        text = out.read()
        if status is not None and proc.returncode != status:
            raise Failed("%s: status %d\n%s" % (" ".join(proc.args), proc.returncode, text))
        return text
    proc.finish = finish
    return proc


def wait_until(what, condition, seconds=30.0):
    """Poll until condition() is true and return its value; fails after the deadline with what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failed("after %g s still not: %s" % (seconds, what))
        time.sleep(0.02)


def read(path):
    with open(path) as f:
        return f.read().strip()


def write(path, text):
    with open(path, "w") as f:
        f.write(str(text))


def bytes_of(text):
    return int(text[:-1]) << {"K": 10, "M": 20, "G": 30}[text[-1]] if text[-1].isalpha() else int(text)


def image(size="64M", name="disk.img"):
    """A sparse file in the scenario's folder, which is in memory."""
    path = os.path.abspath(name)
    with open(path, "wb") as f:
        f.truncate(bytes_of(size))
    return path


def allocated(path):
    """Bytes that a file takes"""
    return os.stat(path).st_blocks * 512


def size(disk):
    """Bytes of a block device"""
    return int(read("/sys/class/block/%s/size" % os.path.basename(disk))) * 512


def drop_caches():
    os.sync()
    write("/proc/sys/vm/drop_caches", 3)


def pattern(bytes_, seed=1):
    """The same random bytes each time."""
    return random.Random(seed).randbytes(bytes_)


def kernel_log():
    """A function that returns what the kernel has logged since now."""
    before = len(run("dmesg").splitlines())
    return lambda: "\n".join(run("dmesg").splitlines()[before:])


@contextlib.contextmanager
def mounted(disk, *options):
    """The folder where a disk is mounted meanwhile."""
    folder = tempfile.mkdtemp(prefix="mnt-", dir="/run")
    run("mount", *options, disk, folder)
    try:
        yield folder
    finally:
        run("umount", folder)
        os.rmdir(folder)


def udev(on):
    """Start or stop udevd: only multipath and links in /dev/disk take it."""
    running = subprocess.run(["pidof", "systemd-udevd"], stdout=subprocess.DEVNULL).returncode == 0
    if on and not running:
        env = {k: v for k, v in os.environ.items() if not k.startswith("LAB_")}
        subprocess.run(["/lib/systemd/systemd-udevd", "--daemon"], check=True, env=env, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        run("udevadm", "control", "--ping")
    elif not on and running:
        run("udevadm", "control", "--exit", status=None)


def settle():
    run("udevadm", "settle", "-t", "60")


# -- the host ------------------------------------------------------------------------------------------------------

def host(*words, status=0, seconds=60):
    """Run the scenario's host side (NAME.host) with these words, there; returns what it prints."""
    fd = os.open(os.environ["LAB_PORT"], os.O_RDWR)
    try:
        request = json.dumps({"job": os.environ["LAB_JOB"], "words": [str(w) for w in words], "seconds": seconds})
        os.write(fd, request.encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            answer += os.read(fd, 65536)
    finally:
        os.close(fd)
    done = json.loads(answer)
    if status is not None and done["status"] != status:
        raise Failed("host %s: status %d\n%s" % (" ".join(words), done["status"], done["output"]))
    return done["output"]


# -- the daemon, in the guest --------------------------------------------------------------------------------------

class Tgtd:
    """A daemon of this scenario. portals: addresses with ports, IPv6 in brackets. under: a program that starts it."""

    serial = 0

    def __init__(self, *portals, options=(), under=()):
        self.portals = portals or ("127.0.0.1:3260",)
        self.options = list(options)
        self.under = list(under)
        Tgtd.serial += 1
        self.control_port = Tgtd.serial
        self.prefix = os.path.abspath("ipc")
        self.env = dict(os.environ, TGT_IPC_SOCKET=self.prefix)
        self.log_path = os.path.abspath("tgtd.%d.log" % self.control_port)
        self.proc = None
        self.start()

    def start(self):
        portals = ",".join("portal=" + p for p in self.portals)
        with open(self.log_path, "ab") as log:
            args = self.under + [TGTD, "-f", "-C", str(self.control_port), "--iscsi", portals] + self.options
            self.proc = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)
        wait_until("tgtd answers", self._answers, 30)
        return self

    def _answers(self):
        if self.proc.poll() is not None:
            raise Failed("tgtd ended with status %d:\n%s" % (self.proc.returncode, read(self.log_path)))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            try:
                s.connect("%s.%d" % (self.prefix, self.control_port))
                return True
            except OSError:
                return False

    def kill(self):
        """kill -9"""
        self.proc.kill()
        self.proc.wait()

    def stop(self):
        self.proc.terminate()
        status = self.proc.wait(30)
        if status:
            raise Failed("tgtd ended with status %d:\n%s" % (status, read(self.log_path)))

    def tgtctl(self, *words, status=0):
        command = [TGTCTL, "-C", str(self.control_port)] + [str(w) for w in words]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, env=self.env, timeout=60)
        if status is not None and done.returncode != status:
            raise Failed("%s: status %d\n%s" % (" ".join(command), done.returncode, done.stdout))
        return done.stdout

    def json(self, *words):
        return json.loads(self.tgtctl("--json", *words))

    def export(self, path, name="disk", tid=1, *options):
        """A target with one disk, for everybody; returns the daemon."""
        self.tgtctl("export", path, "--name", NAME + name, "--tid", tid, *options)
        return self

    def target(self, name="disk", tid=1):
        self.tgtctl("target", "create", NAME + name, "--tid", tid)
        self.tgtctl("acl", "add", tid, "ALL")
        return self


# -- open-iscsi ----------------------------------------------------------------------------------------------------

def iscsid():
    """The initiator's daemon; one serves all scenarios of a boot."""
    if subprocess.run(["pidof", "iscsid"], stdout=subprocess.DEVNULL).returncode == 0:
        return
    write("/etc/iscsi/initiatorname.iscsi", "InitiatorName=%sfirst\n" % INITIATOR)
    write("/etc/iscsi/iscsid.conf", "node.startup = manual\nnode.session.timeo.replacement_timeout = 120\n"
          "node.conn[0].timeo.noop_out_interval = 2\nnode.conn[0].timeo.noop_out_timeout = 5\n"
          "node.session.scan = auto\n")
    env = {k: v for k, v in os.environ.items() if not k.startswith("LAB_")}
    subprocess.run(["iscsid"], check=True, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Session:
    def __init__(self, entry):
        self.path = os.path.realpath(entry + "/device")
        self.sid = int(re.search(r"(\d+)$", entry).group(1))

    def attribute(self, name):
        return read("%s/iscsi_session/session%d/%s" % (self.path, self.sid, name))

    def connection(self, name):
        return read(glob.glob("%s/connection*/iscsi_connection/*/%s" % (self.path, name))[0])

    def luns(self):
        """{lun: folder of the SCSI device in sysfs}"""
        found = glob.glob(self.path + "/target*/*:*:*:*/type")
        return {int(os.path.dirname(p).rsplit(":", 1)[1]): os.path.dirname(p) for p in found}

    def device(self, lun, kind, seconds=30):
        def there():
            names = glob.glob("%s/target*/*:*:*:%d/%s/*" % (self.path, lun, kind))
            return names and "/dev/" + os.path.basename(names[0])
        path = wait_until("LUN %d has a device (%s)" % (lun, kind), there, seconds)
        wait_until(path + " is there", lambda: os.path.exists(path))
        return path

    def disk(self, lun=1, seconds=30):
        """/dev/sdX"""
        return self.device(lun, "block", seconds)

    def generic(self, lun=1, seconds=30):
        """/dev/sgN"""
        return self.device(lun, "scsi_generic", seconds)

    def logout(self):
        run("iscsiadm", "-m", "session", "-r", self.sid, "-u")

    def rescan(self):
        run("iscsiadm", "-m", "session", "-r", self.sid, "-R")


def sessions():
    return [Session(entry) for entry in glob.glob("/sys/class/iscsi_session/session*")]


def login(daemon=None, name="disk", portal=None, settings=None, initiator=None, status=0):
    """Log in to a target by a static record. settings: of the record, such as node.session.auth.username. initiator: a
    word; one other than None has a name, and a session, of its own. With another status: returns the output."""
    iscsid()
    portal = portal or daemon.portals[0]
    target = NAME + name
    who = "default"
    if initiator:
        who = initiator
        if not os.path.exists("/etc/iscsi/ifaces/" + who):
            run("iscsiadm", "-m", "iface", "-I", who, "-o", "new")
            run("iscsiadm", "-m", "iface", "-I", who, "-o", "update", "-n", "iface.initiatorname", "-v",
                INITIATOR + initiator)
    record = ["iscsiadm", "-m", "node", "-T", target, "-p", portal, "-I", who]
    run("iscsiadm", "-m", "node", "-o", "new", "-T", target, "-p", portal + ",1", "-I", who)
    for key, value in (settings or {}).items():
        run(*record, "-o", "update", "-n", key, "-v", value)
    before = {s.sid for s in sessions()}
    text = run(*record, "-l", status=status)
    if status != 0:
        return text
    return wait_until("a session of " + target, lambda: [s for s in sessions() if s.sid not in before])[0]


def rescan(disk):
    write("/sys/class/block/%s/device/rescan" % os.path.basename(disk), 1)


# -- after a scenario ----------------------------------------------------------------------------------------------

def marked(mark):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/environ" % pid, "rb") as f:
                if b"LAB_MARK=" + mark.encode() in f.read().split(b"\0"):
                    found.append(int(pid))
        except OSError:
            continue
    return found


def _try(*command, seconds=20):
    with contextlib.suppress(subprocess.TimeoutExpired, OSError):
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       timeout=seconds)


def _within(seconds, function):
    """In a child, which may be stuck in the kernel for longer than we wait."""
    pid = os.fork()
    if not pid:
        with contextlib.suppress(BaseException):
            function()
        os._exit(0)
    try:
        wait_until("putting away is done", lambda: os.waitpid(pid, os.WNOHANG)[0], seconds)
    except Failed as e:
        note("%s: %s" % (e, " < ".join(line.split()[-1] for line in read("/proc/%d/stack" % pid).splitlines())))


def _target_objects():
    """What is left in configfs of the kernel's target, so that no later daemon serves it. Its daemon is gone."""
    root = "/sys/kernel/config/target"
    for state in glob.glob("/sys/bus/scsi/devices/*/state"):
        if "/tcm_loop" in os.path.realpath(state):  # nothing more is sent to it, not even a flush when it goes
            for cache in glob.glob(os.path.dirname(state) + "/scsi_disk/*/cache_type"):
                write(cache, "temporary write through")
            with contextlib.suppress(OSError):
                write(state, "offline")
    for action in glob.glob(root + "/core/user_*/*/action"):
        for name, value in (("block_dev", 1), ("reset_ring", 2)):  # what is under way ends as a hardware error
            with contextlib.suppress(OSError):
                write("%s/%s" % (action, name), value)
    fabrics = [entry for entry in glob.glob(root + "/*/") if os.path.basename(entry[:-1]) != "core"]
    for top in fabrics + glob.glob(root + "/core/user_*/"):
        for folder, inside, _ in os.walk(top, topdown=False):
            for name in inside:
                path = os.path.join(folder, name)
                with contextlib.suppress(OSError):  # the kernel's own folders go with those that hold them
                    if os.path.islink(path):
                        os.unlink(path)
                    else:
                        os.rmdir(path)
        with contextlib.suppress(OSError):
            os.rmdir(top)


def put_away(job):
    """Whatever a scenario has left: mounts, sessions, processes, files. There may be nothing."""
    folder = "/img/" + job
    for line in reversed(read("/proc/mounts").splitlines()):
        where = line.split()[1]
        if where.startswith(("/run/mnt-", folder)):
            _try("umount", "-l", where)
    if shutil.which("multipath") and glob.glob("/dev/mapper/*") != ["/dev/mapper/control"]:
        _try("multipath", "-F")
    # with the daemon gone, a session must not wait for it
    for entry in glob.glob("/sys/class/iscsi_session/session*/recovery_tmo"):
        with contextlib.suppress(OSError):
            write(entry, 1)
    if sessions():
        _try("iscsiadm", "-m", "session", "-u", seconds=30)
    shutil.rmtree("/etc/iscsi/nodes", ignore_errors=True)
    for pid in marked(job):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
    if glob.glob("/sys/kernel/config/target/core/user_*"):
        _within(30, _target_objects)
    udev(False)
    shutil.rmtree(folder, ignore_errors=True)
