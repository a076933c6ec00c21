# SPDX-License-Identifier: BSD-2-Clause
"""Runs jobs in the guest, one after the other, and tells the host by a serial port what they say.

Lines that begin with "@" are ours: @ready, @begin NAME, @end NAME STATUS SECONDS, @over. Each job is a process of its
own session with an environment that marks what it starts; after it, all of that is ended and put away."""

import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import time
import traceback

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import scenario  # noqa: E402  (read once, here; every Python scenario has it by fork)

JOBS = "/lab/jobs.json"


def port(name):
    for entry in os.listdir("/sys/class/virtio-ports"):
        with open("/sys/class/virtio-ports/%s/name" % entry) as f:
            if f.read().strip() == name:
                return "/dev/" + entry
    raise RuntimeError("no port " + name)


def say(*words):
    sys.stdout.write("@" + " ".join(str(w) for w in words) + "\n")
    sys.stdout.flush()


def become(job):
    """In the child: be the scenario."""
    os.setsid()
    os.environ.update(LAB_JOB=job["name"], LAB_MARK=job["name"])
    folder = "/img/" + job["name"]
    os.makedirs(folder)
    os.chdir(folder)
    path = job["path"]
    if job["kind"] == "command":
        os.execv("/bin/sh", ["sh", "-c", "PATH=%s:$PATH; %s" % (os.environ["STGT_BUILD"], path)])
    if not path.endswith(".py"):
        os.environ["PATH"] = os.environ["STGT_BUILD"] + ":" + os.environ["PATH"]
        os.execv("/bin/sh", ["sh", path])
    status = 1
    try:
        runpy.run_path(path, run_name="__main__")
        status = scenario.verdict()
    except scenario.Given:
        status = 1
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
    except BaseException:
        print("not ok - ends without an exception\n" + scenario.notes(traceback.format_exc()))
    sys.stdout.flush()
    os._exit(status)


def prepare(job):
    """Returns a reason why it cannot run, or None."""
    for program in job["needs"]:
        if not shutil.which(program):
            return "%s is not installed" % program
    if job["modules"]:
        done = subprocess.run(["modprobe", "-a", "-q"] + job["modules"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            return "this kernel has not all of the modules %s" % " ".join(job["modules"])
    if job["udev"]:
        scenario.udev(True)
    return None


def wait(pid, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    print("# still running after %d s" % seconds)
    for line in stuck(pid):
        print("# " + line)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -signal.SIGALRM


def stuck(leader):
    """Where the processes of a job that is late are."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.getsid(int(pid)) == leader:
                with open("/proc/%s/cmdline" % pid, "rb") as f, open("/proc/%s/stack" % pid) as s:
                    yield "%s: %s: %s" % (pid, f.read().replace(b"\0", b" ").decode(errors="replace"),
                                          " < ".join(line.split()[-1] for line in s.read().splitlines()[:6]))
        except OSError:
            continue


def explain(job, log):
    """For who reads a failure: the ends of the daemons' logs and of the kernel's."""
    folder = "/img/" + job["name"]
    for name in sorted(os.listdir(folder)):
        if name.endswith(".log"):
            with open(os.path.join(folder, name), errors="replace") as f:
                for line in f.read().splitlines()[-30:]:
                    print("# %s: %s" % (name, line))
    for line in log().splitlines()[-30:]:
        print("# kernel: " + line)


def run(job):
    say("begin", job["name"])
    start = time.monotonic()
    reason = prepare(job)
    if reason:
        print("ok - %s # SKIP %s" % (job["name"], reason))
        say("end", job["name"], 0, "0")
        return 0
    log = scenario.kernel_log()
    pid = os.fork()
    if not pid:
        become(job)
    status = wait(pid, job["seconds"])
    ran = time.monotonic() - start
    if status and job["kind"] == "scenario":
        explain(job, log)
    try:
        scenario.put_away(job["name"])
    except Exception:
        print("# putting away:\n" + scenario.notes(traceback.format_exc()))
    sys.stdout.flush()
    say("end", job["name"], status, "%.1f" % ran, "%.1f" % (time.monotonic() - start - ran))
    return status


def main():
    out = os.open(port("lab.out"), os.O_WRONLY)
    for fd in (1, 2):
        os.dup2(out, fd)
    sys.stdout = os.fdopen(1, "w", buffering=1)
    with open(JOBS) as f:
        jobs = json.load(f)
    with open("/proc/uptime") as f:
        say("ready", f.read().split()[0])
    os.environ["LAB_PORT"] = port("lab.host")
    os.makedirs("/img", exist_ok=True)
    for job in jobs:
        run(job)
    say("over")


main()
