#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Exports of NBD servers and images as LUNs: what initiators see, and what becomes of the servers."""

import os
import random
import re
import shlex
import signal
import subprocess

from lab import BUILD, SOURCE, main, need, test, wait_until

MIB = 1 << 20
NOT_READY = 2
MEDIUM_ERROR = 3
BUSY = 8
READ = bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0])
FLUSH = bytes([0x35]) + bytes(9)


def image(lab, name="disk.qcow2", form="qcow2", size="64M"):
    path = lab.path(name)
    lab.run("qemu-img", "create", "-q", "-f", form, path, size)
    return path


def servers(path):
    """Pids of all qemu-nbd of an image."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"qemu-nbd") and any(path.encode() in w for w in words[1:]):
            found.append(int(pid))
    return found


def export(d, *args):
    made = d.tgtctl_json("export", *args, "--name", d.name)
    d.lun = made["lun"]
    return d.url()


def retried(operation, seconds=20):
    """Do it again as long as the unit is not ready or busy, as an initiator does."""
    def attempt():
        r = operation()
        return r if r.status == 0 or (r.status == 2 and r.key_asc[0] not in (NOT_READY, 6)) else None
    return wait_until("the unit is ready", attempt, seconds)


def write_cdb(lba, blocks):
    return bytes([0x2A, 0]) + lba.to_bytes(4, "big") + bytes([0]) + blocks.to_bytes(2, "big") + bytes(1)


def write_command(s, lba, data):
    return s.command(write_cdb(lba, len(data) // 512), 1, write=data)


@test
def a_qcow2_image_is_exported_as_what_it_holds(lab):
    path, raw, back = image(lab), lab.path("raw"), lab.path("back")
    with open(raw, "wb") as f:
        f.write(random.Random(1).randbytes(3 * MIB))
        f.seek(40 * MIB)
        f.write(random.Random(2).randbytes(MIB))
        f.truncate(64 * MIB)
    d = lab.start(options=("--reactors", "2"))
    url = export(d, path)
    assert len(servers(path)) == 1
    lab.run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", raw, url)
    lab.run("qemu-img", "compare", "-f", "raw", "-F", "raw", raw, url)
    d.tgtctl("target", "delete", "1", "--force")
    wait_until("the image's server has ended", lambda: not servers(path))
    lab.run("qemu-img", "check", "-q", path)
    lab.run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, back)
    lab.run("cmp", raw, back)


@test
def an_image_that_is_called_raw_needs_a_word(lab):
    path = image(lab, "disk.img")
    d = lab.start()
    done = d.tgtctl("export", path, check=False)
    assert done.returncode == 1 and "--type qemu" in done.stderr, done
    export(d, path, "--type", "qemu")
    s = d.login()
    assert s.read(0, 8) == bytes(4096)
    s.logout()


@test
def a_killed_server_is_back_before_the_initiator_gives_up(lab):
    path = image(lab)
    d = lab.start()
    export(d, path)
    s = d.login()
    data = os.urandom(65536)
    for n in range(3):
        assert s.command(FLUSH, 1).status == 0
        old = servers(path)
        os.kill(old[0], signal.SIGKILL)
        assert retried(lambda: write_command(s, n * 128, data)).status == 0
        assert s.read(n * 128, 128) == data
        new = servers(path)
        assert len(new) == 1 and new != old
    s.logout()


@test
def a_server_that_is_killed_under_load_costs_no_data(lab):
    path = image(lab)
    d = lab.start(options=("--reactors", "2"))
    export(d, path)
    s = d.login()
    pieces = [os.urandom(65536) for _ in range(16)]
    for _ in range(3):
        window = s.maxcmdsn - s.cmdsn + 1
        tasks = [s.send_command(write_cdb(n * 128, 128), 1, 0, data) for n, data in enumerate(pieces[:window])]
        os.kill(servers(path)[0], signal.SIGKILL)
        for n, r in enumerate(s.finish(*tasks)):
            if r.status:
                assert r.status == BUSY or r.key_asc[0] == NOT_READY, r
                assert retried(lambda n=n: write_command(s, n * 128, pieces[n])).status == 0
        retried(lambda: s.command(FLUSH, 1))
        d.tgtctl("lun", "set", "1", "1", "--clear-error")
        for n, data in enumerate(pieces):
            # what was written before and not flushed may be gone, and that was told
            assert retried(lambda n=n, data=data: write_command(s, n * 128, data)).status == 0
            assert s.read(n * 128, 128) == data
        assert s.command(FLUSH, 1).status == 0
    s.logout()
    d.stop()
    assert not servers(path)
    lab.run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, lab.path("raw"))
    with open(lab.path("raw"), "rb") as f:
        assert f.read(16 * 65536) == b"".join(pieces)


@test
def what_a_killed_server_may_have_lost_is_told(lab):
    path = image(lab)
    d = lab.start()
    export(d, path)
    s = d.login()
    s.write(0, os.urandom(65536))
    os.kill(servers(path)[0], signal.SIGKILL)
    assert retried(lambda: s.command(READ, 1, read=512)).status == 0
    r = retried(lambda: s.command(FLUSH, 1))
    assert r.status == 2 and r.key_asc[0] == MEDIUM_ERROR, r
    d.tgtctl("lun", "set", "1", "1", "--clear-error")
    assert retried(lambda: write_command(s, 0, bytes(512))).status == 0
    assert s.command(FLUSH, 1).status == 0
    s.logout()


@test
def no_server_outlives_a_killed_daemon(lab):
    path = image(lab)
    d = lab.start()
    export(d, path)
    data = os.urandom(65536)
    s = d.login()
    s.write(0, data)
    assert servers(path)
    d.kill()
    wait_until("the image's server has ended", lambda: not servers(path))
    # it ended well: even what was not flushed is there
    lab.run("qemu-img", "check", "-q", path)
    lab.run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, lab.path("raw"))
    with open(lab.path("raw"), "rb") as f:
        assert f.read(65536) == data
    s.close()
    d.launch()
    export(d, path)


@test
def an_image_that_names_another_file_is_refused(lab):
    base = image(lab, "base.qcow2")
    path = lab.path("top.qcow2")
    lab.run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "qcow2", path)
    d = lab.start()
    done = d.tgtctl("export", path, check=False)
    assert done.returncode == 1 and "backing=yes" in done.stderr, done
    assert not servers(path)
    export(d, path, "--bsopts", "backing=yes")
    assert len(servers(path)) == 1


@test
def an_nbd_server_is_exported_by_its_uri(lab):
    sock = lab.path("sock")
    proc = lab.helper(subprocess.Popen([need("nbdkit"), "-f", "-U", sock, "memory", "64M"], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    wait_until("nbdkit listens", lambda: os.path.exists(sock))
    d = lab.start(options=("--reactors", "2"))
    export(d, "nbd+unix:///?socket=" + sock)
    s = d.login()
    data = os.urandom(1 << 20)
    s.write(2048, data)
    assert s.read(2048, 2048) == data
    assert s.command(FLUSH, 1).status == 0
    proc.kill()
    proc.wait()
    r = wait_until("the unit is not ready", lambda: [r for r in [s.command(bytes(6), 1)] if r.status])[0]
    assert r.key_asc[0] == NOT_READY, r
    other = lab.image("8M")
    d.tgtctl("lun", "create", "1", other, "--lun", "2")  # others go on
    os.unlink(sock)
    lab.helper(subprocess.Popen([need("nbdkit"), "-f", "-U", sock, "memory", "64M"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    assert retried(lambda: write_command(s, 0, data[:65536])).status == 0
    assert s.read(0, 128) == data[:65536]
    s.logout()


def example_lines(lab, page):
    """Command lines of a page's examples, their folders those of the test."""
    with open(os.path.join(SOURCE, "man", page), encoding="utf-8") as f:
        section = f.read().split(".Sh EXAMPLES\n")[1].split(".Sh ")[0]
    for block in re.findall(r"^\.Bd .*?\n(.*?)^\.Ed$", section, re.M | re.S):
        for line in block.replace("\\e\n", " ").splitlines():
            yield shlex.split(re.sub(r"/(srv|run|etc/stgt)/", lab.folder + "/", line))


def encrypted(lab, name, form, *options):
    def make():
        return lab.run("qemu-img", "create", "-q", "--object", "secret,id=k,file=" + lab.path("key"), "-f", form, "-o",
                       ",".join(options), lab.path(name), "16M", status=None).returncode == 0
    wait_until("qemu-img could tell how fast it is", make)


@test
def the_examples_of_the_pages_work(lab):
    with open(lab.path("key"), "w", encoding="utf-8") as f:
        f.write("open sesame")
    encrypted(lab, "secret.qcow2", "qcow2", "encrypt.format=luks", "encrypt.key-secret=k", "encrypt.iter-time=100")
    encrypted(lab, "secret.luks", "luks", "key-secret=k", "iter-time=100")
    d = lab.start()
    count = 0
    for words in [w for page in ("tgt-store-nbd.7", "tgt-store-qemu.7") for w in example_lines(lab, page)]:
        if words[0] == "nbdkit":
            lab.helper(subprocess.Popen([need("nbdkit"), "-f", *words[1:]], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            wait_until("nbdkit listens", lambda: os.path.exists(lab.path("disk.sock")))
        elif words[0] == "qemu-img":
            lab.run(*words)
        elif "example.org" not in words[2]:
            d.tgtctl(*words[1:])
            count += 1
    assert count == 4


if not os.path.exists(os.path.join(BUILD, "store-nbd.so")):
    raise SystemExit(print("1..0 # SKIP this build has no store-nbd.so"))
main()
