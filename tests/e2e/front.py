#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The front door: `make run` from a copy of the tree, its bad settings, and the look after packages."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import threading

from lab import BUILD, SOURCE, cases, free_port, main, need, pdu, test, wait_until

GIB = 1 << 30


def copy_tree(lab):
    """The tree as a clone would have it, without build folders."""
    tree = lab.path("tree")
    shutil.copytree(SOURCE, tree, symlinks=True,
                    ignore=lambda folder, names: [n for n in names if n == ".git" or n.startswith("build") or
                                                  n == "__pycache__" or n == "disk.img"])
    return tree


class MakeRun:
    """`make run` in a session of its own, as a terminal would have it."""

    def __init__(self, lab, tree, **settings):
        self.text = ""
        env = {k: v for k, v in os.environ.items() if k not in ("IMAGE", "SIZE", "LISTEN", "MAKEFLAGS", "MAKELEVEL")}
        self.proc = subprocess.Popen(["make", "run", "BUILD=" + BUILD] + ["%s=%s" % s for s in settings.items()],
                                     cwd=tree, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT, text=True, start_new_session=True)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.proc.stdout:
            self.text += line

    def ready(self):
        wait_until("make run says how to end it", lambda: "Ctrl-C ends it." in self.text or
                   self.proc.poll() is not None, 60)
        assert "Ctrl-C ends it." in self.text, self.text
        return self

    def value(self, word):
        return re.search(r"^\s+%s\s+(\S+)$" % word, self.text, re.M).group(1)

    def interrupt(self):
        """Ctrl-C: SIGINT to the whole foreground group"""
        os.killpg(self.proc.pid, signal.SIGINT)
        self.proc.wait(30)
        self.reader.join(10)
        assert "Stopped." in self.text, self.text
        assert "Traceback" not in self.text, self.text

    def ended(self):
        """Wait for an end by itself; returns the status."""
        self.proc.wait(60)
        self.reader.join(10)
        return self.proc.returncode

    def kill(self):
        try:
            os.killpg(self.proc.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def refuses_connections(portal):
    try:
        pdu.Connection(portal, 5).close()
        return False
    except OSError:
        return True


@test
def make_run_serves_a_new_image_and_its_printed_commands_work(lab):
    need("iscsi-ls")
    run = MakeRun(lab, copy_tree(lab), LISTEN="127.0.0.1:%d" % free_port())
    try:
        run.ready()
        image = lab.path("tree/disk.img")
        assert os.path.getsize(image) == GIB and os.stat(image).st_blocks * 512 < 1 << 20, "not sparse"
        for start, expected in (("qemu-img info", "virtual size: 1 GiB"), ("iscsi-ls", run.value("target")),
                                ("TGT_IPC_SOCKET", run.value("target"))):
            command = re.search(r"^    (%s .*|%s=.*)$" % (start, start), run.text, re.M).group(1)
            done = subprocess.run(command, shell=True, cwd=lab.path("tree"), stdin=subprocess.DEVNULL, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
            assert done.returncode == 0 and expected in done.stdout, "%s: %s" % (command, done.stdout)
        for line in re.findall(r"^    (iscsiadm .*)$", run.text, re.M):
            assert run.value("portal") in line, line
            shlex.split(line)
        run.interrupt()
        assert refuses_connections(run.value("portal"))
    finally:
        run.kill()


@test
def make_run_takes_the_next_free_port_and_keeps_the_image(lab):
    tree = copy_tree(lab)
    with open(tree + "/disk.img", "wb") as f:
        f.write(b"mine" * 128)
        f.truncate(16 << 20)
    try:
        taken = socket.create_server(("127.0.0.1", 3260))
    except OSError:
        taken = None  # somebody else has it, which serves as well
    run = MakeRun(lab, tree)
    try:
        run.ready()
        port = int(run.value("portal").rpartition(":")[2])
        assert 3260 < port < 3360, run.text
        with pdu.Session.login(run.value("portal"), run.value("target")) as s:
            lun = int(run.value("LUN"))
            s.clear_unit_attention(lun)
            assert s.read(0, 1, lun=lun) == b"mine" * 128
        run.interrupt()
    finally:
        run.kill()
        if taken:
            taken.close()


@test
def make_run_serves_the_file_it_is_given_over_ipv6(lab):
    image = lab.image("8M")
    run = MakeRun(lab, copy_tree(lab), IMAGE=image, LISTEN="[::1]:%d" % free_port("::1"))
    try:
        run.ready()
        assert image in run.text and run.value("portal").startswith("[::1]:")
        with pdu.Session.login(run.value("portal"), run.value("target")) as s:
            lun = int(run.value("LUN"))
            s.clear_unit_attention(lun)
            assert s.capacity(lun) == (16384, 512)
        os.kill(run.proc.pid, signal.SIGTERM)  # what a supervisor sends to make itself
        wait_until("the portal is closed", lambda: refuses_connections(run.value("portal")), 30)
    finally:
        run.kill()


@test
def make_run_creates_an_image_of_the_size_and_name_it_is_given(lab):
    path = lab.path("new disk.img")
    run = MakeRun(lab, copy_tree(lab), IMAGE=path, SIZE="24M", LISTEN="127.0.0.1:%d" % free_port())
    try:
        run.ready()
        assert os.path.getsize(path) == 24 << 20
        run.interrupt()
    finally:
        run.kill()


@cases(("size", {"SIZE": "abc"}, "SIZE=abc is not a size"), ("no size", {"SIZE": "0"}, "SIZE=0 is 0 bytes"),
       ("odd size", {"SIZE": "1000"}, "multiple of 4096"),
       ("huge size", {"SIZE": "999999999999T"}, "more than a file"),
       ("address", {"LISTEN": "nowhere"}, "'nowhere' is not an IP address"),
       ("foreign address", {"LISTEN": "192.0.2.1"}, "no address 192.0.2.1"),
       ("bare IPv6", {"LISTEN": "::1"}, "in brackets"),
       ("port", {"LISTEN": "127.0.0.1:99999"}, "'99999' is not a port"),
       ("no such image", {"IMAGE": "/no/such/image"}, "no such file"), ("folder", {"IMAGE": "/tmp"}, "is a folder"),
       ("character device", {"IMAGE": "/dev/null"}, "neither a file nor a block device"))
def make_run_refuses_a_bad_setting_with_its_reason(lab, settings, text):
    tree = copy_tree(lab)
    run = MakeRun(lab, tree, **settings)
    try:
        assert run.ended() != 0, run.text
        assert "make run: " in run.text and text in run.text, run.text
        assert "Traceback" not in run.text, run.text
        assert not os.path.exists(tree + "/disk.img"), "an image was created all the same"
    finally:
        run.kill()


@test
def make_run_refuses_a_taken_port_and_another_size_for_an_image(lab):
    tree = copy_tree(lab)
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        run = MakeRun(lab, tree, IMAGE=lab.image("8M"), LISTEN="127.0.0.1:%d" % taken.getsockname()[1])
        assert run.ended() != 0 and "the port is taken" in run.text, run.text
    run = MakeRun(lab, tree, IMAGE=lab.path("disk.img"), SIZE="16M")
    assert run.ended() != 0 and "is there already" in run.text, run.text
    assert os.path.getsize(lab.path("disk.img")) == 8 << 20


def stub(folder, name, script):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + script + "\n")
    os.chmod(path, 0o755)


def need_packages(lab, *args, uid):
    """scripts/need on a machine where nothing is installed, and apt-get only writes down what it is told."""
    folder = lab.path("bin")
    os.makedirs(folder, exist_ok=True)
    stub(folder, "dpkg-query", "exit 0")
    stub(folder, "id", "echo %d" % uid)
    stub(folder, "sudo", "exit 1")
    stub(folder, "apt-get", 'echo "$*" >>%s' % lab.path("apt.log"))
    env = dict(os.environ, PATH=folder + ":" + os.environ["PATH"])
    return subprocess.run([SOURCE + "/scripts/need", *args], env=env, stdin=subprocess.DEVNULL, text=True, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@test
def missing_packages_are_named_with_the_exact_command_where_they_cannot_be_installed(lab):
    for args, uid, sudo in ((("build",), 1000, "sudo "), (("--check", "build"), 0, "")):
        done = need_packages(lab, *args, uid=uid)
        assert done.returncode == 1, done
        assert re.search(r"^    %sapt-get install --no-install-recommends .*\bliburing-dev\b" % sudo, done.stdout,
                         re.M), done.stdout
        assert not os.path.exists(lab.path("apt.log")), "something was installed"


@test
def missing_packages_are_installed_by_root(lab):
    done = need_packages(lab, "build", "test", uid=0)
    assert done.returncode == 0, done
    with open(lab.path("apt.log")) as f:
        log = f.read()
    assert re.search(r"^install -y .*--no-install-recommends .*libiscsi-bin", log, re.M), log


main()
