#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""tgtctl vhost, attach and detach: what they make, what they refuse. The rings themselves are tested in tests/vhost and
in the guest."""

import contextlib
import grp
import os
import pwd
import socket
import stat
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lab import main, pdu, test, wait_until  # noqa: E402

NAME = "iqn.2026-01.org.example:v"


def refused(d, text, *args, status=1):
    done = d.tgtctl(*args, check=False)
    assert done.returncode == status, "%s: status %d: %s" % (args, done.returncode, done.stderr)
    assert done.stderr.startswith("tgtctl: ") and text in done.stderr, "%s: %r" % (args, done.stderr)
    assert not done.stdout, done.stdout


def start(lab, *options):
    d = lab.start(*options)
    d.tgtctl("export", "--type", "mem", "--bsopts", "size=8M", "--name", NAME)
    return d


def ports(d):
    return {p["path"]: p for p in d.tgtctl_json("vhost", "list")}


@contextlib.contextmanager
def connected(d, path):
    """A front end that says nothing."""
    with socket.socket(socket.AF_UNIX) as front:
        front.settimeout(20)
        front.connect(path)
        wait_until("the front end is served", lambda: ports(d)[path]["state"] == "connected")
        yield front


@test
def a_socket_is_made_for_its_owner_alone(lab):
    d, path = start(lab), lab.path("v")
    d.tgtctl("vhost", "add", "1", path)
    s = os.stat(path)
    assert stat.S_ISSOCK(s.st_mode) and stat.S_IMODE(s.st_mode) == 0o600, oct(s.st_mode)
    port = ports(d)[path]
    assert (port["target"], port["state"], port["queues"], port["sid"]) == (NAME, "listening", 16, 0), port


@test
def a_socket_is_given_to_a_group(lab):
    d, path = start(lab), lab.path("v")
    me = os.stat(lab.folder)
    user, group = pwd.getpwuid(me.st_uid).pw_name, grp.getgrgid(me.st_gid).gr_name
    d.tgtctl("vhost", "add", NAME, path, "--mode", "0660", "--owner", user, "--group", group, "--queues", "4")
    s = os.stat(path)
    assert stat.S_IMODE(s.st_mode) == 0o660 and (s.st_uid, s.st_gid) == (me.st_uid, me.st_gid), s
    assert ports(d)[path]["queues"] == 4
    refused(d, "no user 'nobody-of-this-name'", "vhost", "add", "1", lab.path("w"), "--owner", "nobody-of-this-name")
    refused(d, "no group 'no-such-group'", "vhost", "add", "1", lab.path("w"), "--group", "no-such-group")
    assert not os.path.exists(lab.path("w"))


@test
def what_makes_no_sense_is_refused_and_makes_nothing(lab):
    d, path = start(lab), lab.path("v")
    refused(d, "no target", "vhost", "add", "7", path)
    refused(d, "mode '8'", "vhost", "add", "1", path, "--mode", "8")
    refused(d, "mode '01777'", "vhost", "add", "1", path, "--mode", "01777")
    refused(d, "queues", "vhost", "add", "1", path, "--queues", "65")
    refused(d, "queues", "vhost", "add", "1", path, "--queues", "0")
    refused(d, lab.path("no/folder"), "vhost", "add", "1", lab.path("no/folder/v"))
    refused(d, "path", "vhost", "add", "1", lab.path("x" * 120))
    assert not ports(d) and not os.path.exists(path)


@test
def what_is_there_already_is_not_touched(lab):
    d, path = start(lab), lab.path("v")
    with open(path, "w") as f:
        f.write("somebody's file")
    refused(d, path, "vhost", "add", "1", path)
    with open(path) as f:
        assert f.read() == "somebody's file"
    os.unlink(path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        other.listen()
        refused(d, path, "vhost", "add", "1", path)
        assert stat.S_ISSOCK(os.stat(path).st_mode)


@test
def a_socket_of_a_daemon_that_died_is_taken_over(lab):
    d, path = start(lab), lab.path("v")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
    d.tgtctl("vhost", "add", "1", path)
    refused(d, path, "vhost", "add", "1", path)
    assert list(ports(d)) == [path]


@test
def removing_a_port_removes_its_socket_and_ends_its_connection(lab):
    d, path = start(lab), lab.path("v")
    d.tgtctl("vhost", "add", "1", path)
    with connected(d, path) as front:
        session = d.tgtctl_json("session", "list")[0]
        assert session["transport"] == "vhost" and session["peer"] == path and not session["connections"], session
        assert ports(d)[path]["sid"] == session["sid"] and ports(d)[path]["peer_pid"] == os.getpid()
        refused(d, "no numbered connections", "rpc", "connection.close",
                '{"tid": 1, "sid": %d, "cid": 0}' % session["sid"])
        d.tgtctl("vhost", "remove", path)
        assert front.recv(1) == b""
    assert not ports(d) and not os.path.exists(path) and not d.tgtctl_json("session", "list")
    refused(d, path, "vhost", "remove", path)


@test
def a_front_end_of_a_target_that_has_gone_is_told_so(lab):
    d, path = start(lab), lab.path("v")
    d.tgtctl("vhost", "add", "1", path)
    d.tgtctl("target", "delete", "1")
    with socket.socket(socket.AF_UNIX) as front:
        front.settimeout(20)
        front.connect(path)
        assert front.recv(1) == b""
    wait_until("the reason is kept", lambda: ports(d)[path]["why"])
    assert NAME in ports(d)[path]["why"] or "target" in ports(d)[path]["why"], ports(d)
    assert ports(d)[path]["why"] in d.tgtctl("vhost", "list").stdout


@test
def the_end_of_the_daemon_takes_its_sockets_along(lab):
    d, path = start(lab), lab.path("v")
    d.tgtctl("vhost", "add", "1", path)
    with connected(d, path) as front:
        d.stop()
        assert front.recv(1) == b""
    assert not os.path.exists(path)


@test
def the_daemon_and_a_port_end_while_a_front_end_connects(lab):
    d, path = start(lab), lab.path("v")
    for _ in range(5):
        d.tgtctl("vhost", "add", "1", path)
        with socket.socket(socket.AF_UNIX) as front:
            front.connect(path)
            d.tgtctl("vhost", "remove", path)
    d.tgtctl("vhost", "add", "1", path)
    with socket.socket(socket.AF_UNIX) as front:
        front.connect(path)
        d.stop()


@test
def a_session_of_a_hypervisor_can_be_closed_like_any_other(lab):
    d, path = start(lab), lab.path("v")
    d.tgtctl("vhost", "add", "1", path)
    with connected(d, path) as front:
        d.tgtctl("session", "close", "1", str(ports(d)[path]["sid"]))
        assert front.recv(1) == b""
    wait_until("the port listens again", lambda: ports(d)[path]["state"] == "listening")
    assert "administrator" in ports(d)[path]["why"], ports(d)


@test
def a_reserved_lun_or_a_kernel_without_tcmu_is_an_error_that_says_what_to_do(lab):
    d = start(lab)
    refused(d, "fabric 'fc'", "attach", "1", "1", "--fabric", "fc")
    refused(d, "shared 'yes'", "attach", "1", "1", "--shared", "yes")
    refused(d, "no LUN 9", "attach", "1", "9")
    refused(d, "no medium", "attach", "1", "0")
    refused(d, "no target", "attach", "5", "1")
    assert d.tgtctl_json("attach", "list") == []
    assert "DEVICE" in d.tgtctl("attach", "list").stdout
    refused(d, "LUN 1", "detach", "1", "1")
    if not os.path.isdir("/sys/kernel/config/target"):
        refused(d, "configfs", "attach", "1", "1")
    with pdu.Session.login(d.portal(), NAME) as s:
        s.clear_unit_attention(1)
        assert s.capacity(1) == (16384, 512)


if __name__ == "__main__":
    main()
