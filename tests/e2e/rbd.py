#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Images of a Ceph cluster as LUNs. The cluster is a real one (mini-ceph: a monitor and an OSD on loopback), made once
for all tests here and thrown away at the end."""

import atexit
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

from lab import BUILD, HERE, NAME, SANITIZED, Skip, cases, free_port, main, test, wait_until

VERIFY = os.environ.get("VERIFY", os.path.join(BUILD, "tests", "e2e", "verify"))
MIB = 1 << 20
TUR = bytes(6)
CAPACITY_CHANGED = (6, 0x2A, 0x09)
WRITE_PROTECTED = (7, 0x27, 0x00)
BOUND = 30.0  # seconds that nothing here may take, whatever the cluster does


class Ceph:
    """The cluster; made by the first test that needs it."""

    PROGRAMS = ("ceph-mon", "ceph-osd", "ceph", "rbd", "rados", "monmaptool")

    def __init__(self):
        self.folder = None

    def up(self):
        if self.folder:
            self.settle()
            return self
        for program in self.PROGRAMS:
            if not shutil.which(program):
                raise Skip(program + " is not installed (scripts/packages lists what Ceph tests need)")
        self.folder = tempfile.mkdtemp(prefix="ceph-", dir=os.environ.get("TMPDIR"))
        atexit.register(self.wipe)
        self.conf = os.path.join(self.folder, "ceph.conf")
        self.mini("start")
        return self

    def settle(self):
        """What a test did to the cluster may take it a while to get over. It is restarted if it takes too long."""
        for _ in range(4):
            if self.answers(8):
                return
        self.mini("stop")
        self.mini("start")
        assert self.answers(30), "the cluster does not come back"

    def answers(self, seconds):
        try:
            return not subprocess.run(["rados", "-c", self.conf, "-p", "rbd", "put", "alive", "/dev/null"],
                                      timeout=seconds, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode
        except subprocess.TimeoutExpired:
            return False

    def image(self, name, size="64M", features="layering,exclusive-lock,object-map,fast-diff"):
        self.rbd("create", "--size", size, "--image-feature", features, name)
        return name

    def watchers(self, image):
        """Addresses of those who have the image open."""
        return [w["address"] for w in json.loads(self.rbd("status", "--format", "json", image))["watchers"]]

    def blocklist(self):
        return self.run("ceph", "osd", "blocklist", "ls").decode()

    def wipe(self):
        self.mini("wipe")

    def mini(self, verb, *daemon):
        done = subprocess.run([os.path.join(HERE, "mini-ceph"), verb, self.folder, *daemon], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        assert done.returncode == 0, done.stdout

    def rbd(self, *args, data=None):
        return self.run("rbd", *args, data=data)

    def run(self, program, *args, data=None):
        done = subprocess.run([program, "-c", self.conf, *args], input=data, timeout=60, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE)
        assert done.returncode == 0, "%s %s: %s" % (program, " ".join(args), done.stderr.decode())
        return done.stdout


ceph = Ceph()
if SANITIZED:
    # a sanitizer of a C program finds the C++ library of a plugin only if it is there from the beginning
    os.environ["LD_PRELOAD"] = "libstdc++.so.6"


def export(c, d, image, opts="", lun=1, readonly=False):
    """Serve an image as a LUN of target 1; the first one makes the target."""
    args = ["--type", "rbd", "--bsopts", "conf=%s%s" % (c.conf, ";" + opts if opts else "")]
    args += ["--readonly"] if readonly else []
    if lun == 1:
        d.tgtctl("export", image, "--name", NAME, *args)
        d.name, d.lun = NAME, 1
    else:
        d.tgtctl("lun", "create", "1", image, "--lun", str(lun), *args)


def lun_of(d, lun=1):
    return [u for u in d.tgtctl_json("lun", "list")[0]["luns"] if u["lun"] == lun][0]


def send_write(s, lba, data, lun=1):
    cdb = bytes([0x8A, 0]) + lba.to_bytes(8, "big") + (len(data) // 512).to_bytes(4, "big") + bytes(2)
    return s.send_command(cdb, lun, write=data)


def until_ready(s, lun=1):
    """Wait for the LU to take commands again; what it says meanwhile is NOT READY or a unit attention."""
    def ready():
        r = s.command(TUR, lun)
        assert not r.status or r.key_asc[0] in (2, 6), r
        return not r.status
    wait_until("the LU is ready", ready, BOUND)


def write_at_last(s, lba, data):
    """A cluster that comes back may stall once more."""
    def written():
        r = s.finish(send_write(s, lba, data))[0]
        assert not r.status or r.status == 8 or r.key_asc[0] in (2, 6), r
        return not r.status
    wait_until("a write is taken", written, BOUND)


def points(lab, label, c, *command):
    """A cmocka program's test points as ours."""
    env = dict(os.environ, CEPH_CONF=c.conf, STGT_RBD_CONF=c.conf, STGT_TEST_RBD="rbd/suite", STGT_STORES=BUILD,
               CMOCKA_MESSAGE_OUTPUT="TAP")
    done = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=60)
    found = re.findall(r"^(not )?ok \d+ - (.*)$", done.stdout, re.M)
    for bad, name in found:
        lab.point("%s (%s)" % (name, label), ok=not bad)
    assert found and done.returncode == 0, done.stdout


@test
def the_store_interface_is_kept(lab):
    """By what every store must do (the suite), and in what is an image's own."""
    c = ceph.up()
    c.image("api")
    c.image("plain", features="layering")
    with open(lab.path("parent"), "wb") as f:
        f.write(b"p" * (64 << 10) + bytes(8 << 20))
    c.rbd("import", lab.path("parent"), "parent")
    c.rbd("snap", "create", "parent@base")
    c.rbd("snap", "protect", "parent@base")
    c.rbd("snap", "create", "api@snap")
    c.image("suite", size="4M")
    for engine in ("uring", "epoll"):
        c.rbd("clone", "parent@base", "child-" + engine)
        points(lab, engine, c, os.path.join(BUILD, "tests", "e2e", "test_store_rbd"), engine)
        points(lab, "suite, " + engine, c, os.path.join(BUILD, "tests", "unit", "store", "test_store_suite"), engine,
               "rbd")


@test
def what_is_read_is_what_was_written(lab):
    c = ceph.up()
    d = lab.start(portals=("127.0.0.1", "127.0.0.1"), options=("--reactors", "2"))
    export(c, d, c.image("rbd/verified"))
    done = lab.run(VERIFY, "--portal", d.portal(0), "--portal", d.portal(1), "--target", d.name, "--lun", 1,
                   "--sessions", 4, "--depth", 8, "--mib", 48, seconds=BOUND)
    print("# " + done.stdout.strip())


@test
def what_is_answered_lies_in_the_cluster_and_write_cache_is_off(lab):
    c = ceph.up()
    d = lab.start()
    export(c, d, c.image("stable"))
    s = d.login()
    data = os.urandom(64 << 10)
    s.write(8184, data)  # across two objects
    mode = s.command(bytes([0x1A, 0, 8, 0, 192, 0]), 1, read=192).data
    assert not mode[4 + mode[3] + 2] & 4, mode
    d.kill()
    assert c.rbd("export", "stable", "-")[8184 * 512:][:len(data)] == data


@test
def an_image_that_is_set_to_be_cached_has_a_write_cache(lab):
    c = ceph.up()
    d = lab.start()
    c.rbd("config", "image", "set", c.image("cached"), "rbd_cache", "true")
    export(c, d, "cached")
    s = d.login()
    mode = s.command(bytes([0x1A, 0, 8, 0, 192, 0]), 1, read=192).data
    assert mode[4 + mode[3] + 2] & 4, mode
    assert "rbd_cache=true" in d.log()
    s.write(0, b"soon" * 128)
    assert s.command(bytes([0x35]) + bytes(9), 1).status == 0
    s.close()
    d.kill()
    assert c.rbd("export", "cached", "-")[:512] == b"soon" * 128


@test
def snapshots_and_clones_are_served(lab):
    c = ceph.up()
    d = lab.start()
    export(c, d, c.image("origin"))
    s = d.login()
    s.write(0, b"old!" * 128)
    c.rbd("snap", "create", "origin@then")
    c.rbd("snap", "protect", "origin@then")
    c.rbd("clone", "origin@then", "copy")
    s.write(0, b"new!" * 128)
    export(c, d, "rbd/origin@then", lun=2, readonly=True)
    export(c, d, "rbd/copy", lun=3)
    s.clear_unit_attention(1)
    for lun in (2, 3):
        s.clear_unit_attention(lun)
        assert s.read(0, 1, lun) == b"old!" * 128
    r = s.finish(send_write(s, 0, b"ever" * 128, 2))[0]
    assert r.key_asc == WRITE_PROTECTED, r
    s.write(0, b"mine" * 128, 3)
    assert [s.read(0, 1, lun)[:4] for lun in (1, 2, 3)] == [b"new!", b"old!", b"mine"]
    s.close()


@test
def images_of_a_namespace_are_served(lab):
    c = ceph.up()
    d = lab.start()
    c.rbd("namespace", "create", "rbd/apart")
    export(c, d, c.image("rbd/apart/disk"))
    export(c, d, "disk", opts="pool=rbd;namespace=apart", lun=2, readonly=True)
    s = d.login()
    s.clear_unit_attention(2)
    s.write(7, b"apart---" * 64)
    assert s.read(7, 1, 2) == b"apart---" * 64
    s.close()


@test
def a_new_size_is_noticed(lab):
    c = ceph.up()
    d = lab.start()
    export(c, d, c.image("elastic"))
    s = d.login()
    for size in ("96M", "32M"):
        c.rbd("resize", "--allow-shrink", "--no-progress", "--size", size, "elastic")
        wait_until("capacity data have changed", lambda: s.command(TUR, 1).key_asc == CAPACITY_CHANGED, BOUND)
        assert s.capacity() == (int(size[:-1]) * MIB // 512, 512)
    d.tgtctl("lun", "resize", "1", "1", "64M")
    wait_until("capacity data have changed", lambda: s.command(TUR, 1).key_asc == CAPACITY_CHANGED, BOUND)
    assert json.loads(c.rbd("info", "--format", "json", "elastic"))["size"] == 64 * MIB
    s.write(64 * MIB // 512 - 1, b"last" * 128)
    s.close()


@cases(("image", "rbd/nothing", (), "has no image 'nothing'"),
       ("pool", "nowhere/disk", (), "there is no pool 'nowhere'"),
       ("snapshot", "verified@now", (), "make the unit read-only"),
       ("option", "verified", ("tiemout=9",), "did you mean 'timeout'?"),
       ("configuration", "verified", ("conf=/nonexistent",), "cannot read the Ceph configuration /nonexistent"))
def what_cannot_be_opened_is_refused(lab, path, opts, text):
    c = ceph.up()
    d = lab.start()
    opts = ";".join(opts if opts and opts[0].startswith("conf=") else ("conf=" + c.conf,) + opts)
    done = d.tgtctl("export", "--type", "rbd", path, "--bsopts", opts, "--name", NAME, check=False)
    assert done.returncode == 1 and text in done.stderr, done.stderr
    assert not d.tgtctl_json("lun", "list"), "something is left"


@test
def monitors_that_do_not_answer_are_waited_for_so_long_only(lab):
    c = ceph.up()
    d = lab.start()
    nobody = lab.path("nobody.conf")
    with open(c.conf) as f, open(nobody, "w") as g:
        g.write(re.sub(r"mon_host = .*", "mon_host = [v2:127.0.0.1:%d/0]" % free_port(), f.read()))
    c.mini("freeze", "mon.a")
    try:
        for conf in (nobody, c.conf):
            start = time.monotonic()
            done = d.tgtctl("export", "--type", "rbd", "plain", "--bsopts", "conf=%s;timeout=1" % conf, "--name", NAME,
                            check=False)
            assert done.returncode == 1 and "no monitor of the Ceph cluster answered within 1 s" in done.stderr, done
            assert time.monotonic() - start < BOUND
    finally:
        c.mini("thaw", "mon.a")


@test
def an_osd_that_dies_and_comes_back_is_waited_for(lab):
    c = ceph.up()
    d = lab.start(options=("--reactors", "2"))
    export(c, d, c.image("patient"))
    d.tgtctl("lun", "create", "1", "--lun", "2", "--type", "mem", "--bsopts", "size=8M")
    export(c, d, c.image("stoic"), lun=3)
    s = d.login()
    s.clear_unit_attention(2)
    data = {lba: os.urandom(4096) for lba in range(0, 2048, 512)}  # as many as an idle session may send
    verify = lab.helper(subprocess.Popen([VERIFY, "--portal", d.portal(), "--target", d.name, "--lun", "1",
                                          "--sessions", "2", "--depth", "8", "--mib", "384"],
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    wait_until("there is traffic", lambda: d.tgtctl_json("stat")["luns"][1]["write_cmds"] > 50, BOUND)
    c.mini("kill", "osd.0")
    other = d.login()
    other.clear_unit_attention(3)
    stalled = [send_write(other, lba, data[lba], 3) for lba in data]
    s.write(0, b"fine" * 128, 2)
    assert s.read(0, 1, 2) == b"fine" * 128
    assert lun_of(d, 2)["state"] == "ready"
    assert verify.poll() is None, verify.stdout.read()
    c.mini("start")
    assert {r.status for r in other.finish(*stalled)} == {0}
    for lba, want in data.items():
        assert other.read(lba, 8, 3) == want
    assert verify.wait(BOUND) == 0, verify.stdout.read()
    print("# " + verify.stdout.read().strip())
    s.close()
    other.close()


@cases(("the OSD", "osd.0"), ("the OSD and the monitor", "osd.0", "mon.a"))
def a_cluster_that_stalls_for_too_long_is_given_up_and_taken_up_again(lab, *frozen):
    c = ceph.up()
    d = lab.start(options=("--reactors", "2"))
    image = c.image("stalled-%d" % len(frozen), features="layering")
    export(c, d, image, opts="timeout=2")
    d.tgtctl("lun", "create", "1", "--lun", "2", "--type", "mem", "--bsopts", "size=8M")
    s, other = d.login(), d.login()
    other.clear_unit_attention(2)
    s.write(100, b"once" * 128)
    address = c.watchers(image)[0]
    try:
        for daemon in frozen:
            c.mini("freeze", daemon)
        stalled = send_write(s, 100, b"late" * 128)
        wait_until("the write is with the store", lambda: d.tgtctl_json("stat")["luns"][1]["inflight"] == 1)
        other.write(0, b"fine" * 128, 2)
        assert other.read(0, 1, 2) == b"fine" * 128
        assert s.finish(stalled)[0].key_asc[0] == 2, "NOT READY was expected"
        if "mon.a" not in frozen:
            # nothing that was answered so may land later: the cluster knows not to take it
            assert address in c.blocklist()
        r = s.finish(send_write(s, 101, b"more" * 128))[0]
        assert r.status and r.key_asc[0] in (2, 6), r
        assert other.read(0, 1, 2) == b"fine" * 128
    finally:
        for daemon in frozen:
            c.mini("thaw", daemon)
    write_at_last(s, 100, b"next" * 128)
    assert s.read(100, 1) == b"next" * 128
    assert address not in c.watchers(image)
    s.close()
    other.close()
    assert "timeout=" in d.log(), "no word that the time is shorter than a failover"
    assert ("may still be carried out" in d.log()) == ("mon.a" in frozen)


@test
def closing_does_not_wait_for_a_cluster_that_does_not_answer(lab):
    c = ceph.up()
    d = lab.start()
    export(c, d, c.image("left"))
    c.mini("freeze", "osd.0")
    try:
        start = time.monotonic()
        d.tgtctl("lun", "delete", "1", "1")
        assert time.monotonic() - start < BOUND
        assert "a thread goes on with it" in d.log()
        assert len(d.tgtctl_json("lun", "list")[0]["luns"]) == 1
    finally:
        c.mini("thaw", "osd.0")
    wait_until("the thread has closed it", lambda: not c.watchers("left"), BOUND)


@test
def a_client_on_the_blocklist_is_replaced(lab):
    c = ceph.up()
    d = lab.start()
    export(c, d, c.image("fenced"))
    s = d.login()
    s.write(5, b"here" * 128)
    address = c.watchers("fenced")[0]
    c.run("ceph", "osd", "blocklist", "add", address)

    def refused():
        r = s.finish(send_write(s, 6, b"gone" * 128))[0]
        return r.status and r.key_asc[0] in (2, 6)
    wait_until("the client is shut out", refused, BOUND)
    until_ready(s)
    assert s.read(5, 1) == b"here" * 128
    s.write(6, b"back" * 128)
    assert c.watchers("fenced") != [address]
    assert "blocklist" in d.log()
    s.close()


@test
def an_image_that_somebody_else_writes_is_remarked(lab):
    c = ceph.up()
    first, second = lab.start(), lab.start()
    export(c, first, c.image("shared"))
    export(c, second, "shared")
    assert "open for writing elsewhere" in second.log() and "elsewhere" not in first.log()


@test
def sigterm_ends_it_though_the_cluster_does_not_answer(lab):
    c = ceph.up()
    d = lab.start()
    export(c, d, c.image("stuck"))
    s = d.login()
    c.mini("freeze", "osd.0")
    try:
        send_write(s, 0, b"never" * 102 + b"xx")
        wait_until("the write is with the store", lambda: d.tgtctl_json("stat")["luns"][1]["inflight"] == 1)
        print("# %.1f s from SIGTERM to the end" % d.stop(BOUND))
    finally:
        c.mini("thaw", "osd.0")


main()
