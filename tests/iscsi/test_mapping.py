#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Reads that are sent out of a file's mapping, and a file that is cut meanwhile."""

import os
import time

from rig import cases, main, pattern, pdu, read16, test, wait_until

MEDIUM_ERROR = (3, 0x11, 0)
MIB = 1 << 20


def place(result):
    """The LBA in INFORMATION (fixed format sense data)."""
    assert result.sense[0] == 0xF0, result.sense.hex()
    return int.from_bytes(result.sense[3:7], "big")


def mapped(lab):
    """A daemon with a file of 8 MiB of a pattern, LUN 1 by the store mmap; the daemon and the path."""
    path = lab.image("8M")
    with open(path, "r+b") as f:
        f.write(pattern(8 * MIB))
    d = lab.start(options=("--reactors", "1"))
    t = ["--lld", "iscsi", "--tid", "1"]
    d.tgtadm("--op", "new", "--mode", "target", "-T", d.name, *t)
    d.tgtadm("--op", "new", "--mode", "logicalunit", "--lun", "1", "-E", "mmap", "-b", path, *t)
    d.tgtadm("--op", "bind", "--mode", "target", "-I", "ALL", *t)
    return d, path


@cases(("without digests", {}), ("with digests", {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}))
def what_is_read_is_what_the_file_has(lab, keys):
    d, _ = mapped(lab)
    want = pattern(8 * MIB)
    with d.login(keys=keys) as s:
        for round_ in range(2):
            for lba, blocks in ((0, 1), (7, 8), (100, 2048), (16383, 1), (0, 16384)):
                assert s.read(lba, blocks) == want[lba * 512:(lba + blocks) * 512], (round_, lba, blocks)
        s.write(9, b"\x5a" * 1024)
        assert s.read(8, 4) == want[8 * 512:9 * 512] + b"\x5a" * 1024 + want[11 * 512:12 * 512]


@cases(("without digests", {}), ("with digests", {"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"}))
def what_is_read_of_memory_is_what_was_written(lab, keys):
    d = lab.start(options=("--reactors", "2"))
    d.tgtctl("export", "--type", "mem", "--bsopts", "size=8M", "--name", d.name)
    want = pattern(1 * MIB)
    with d.login(keys=keys) as s:
        s.write(2048, want)
        assert s.read(2047, 32) == bytes(512) + want[:31 * 512]
        assert s.read(0, 6144) == bytes(MIB) + want + bytes(MIB)


@test
def what_was_read_outlives_its_unit(lab):
    path = lab.image("8M")
    want = pattern(8 * MIB)
    with open(path, "r+b") as f:
        f.write(want)
    d = lab.start(options=("--reactors", "2"))
    d.tgtctl("export", path, "--type", "mmap", "--name", d.name)
    with d.login() as s:
        assert s.read(0, 16384) == want
        read = s.send_command(read16(0, 16384), 1, read=8 * MIB)
        wait_until("the socket takes no more", lambda: stalled(d))
        delete = lab.helper(d.popen_tgtctl("lun", "delete", "1", "1", "--force"))
        r = s.finish(read)[0]
        assert r.data == want[:len(r.data)] and len(r.data) > MIB, r
        assert delete.wait(30) == 0
        assert s.command(bytes(6), 1).key_asc == (5, 0x25, 0)


@test
def an_ordered_write_does_not_overtake_what_is_still_to_be_sent(lab):
    """SAM-6 8.7: what the older READ brings is what was there before the ORDERED command."""
    d, _ = mapped(lab)
    want = pattern(8 * MIB)
    with d.login() as s:
        assert s.read(0, 16384) == want  # it is in memory
        reads = [s.send_command(read16(0, 16384), 1, read=8 * MIB) for _ in range(2)]
        at = 16384 - 128
        cdb = bytes([0x8A, 0]) + at.to_bytes(8, "big") + (128).to_bytes(4, "big") + bytes(2)
        write = s.send_command(cdb, 1, write=b"\x5a" * 65536, attr=pdu.ORDERED)
        wait_until("the socket takes no more", lambda: stalled(d))
        results = s.finish(*reads, write)
        assert [r.status for r in results] == [0, 0, 0]
        for r in results[:2]:
            assert r.data == want
        assert s.read(at, 128) == b"\x5a" * 65536


def stalled(d):
    """Nothing is sent any more: the same count twice in a row."""
    def sent():
        return d.tgtctl_json("session", "list")[0]["connections"][0]["tx_bytes"]
    before = sent()
    time.sleep(0.1)
    return sent() == before


@test
def a_file_that_is_cut_is_a_medium_error_with_its_place(lab):
    d, path = mapped(lab)
    with d.login() as s:
        os.truncate(path, 3 * MIB)
        r = s.command(read16(3 * 2048 - 8, 16), 1, read=8192)
        assert r.key_asc == MEDIUM_ERROR, r
        assert place(r) == 3 * 2048, r
        assert s.read(0, 8) == pattern(4096)


@test
def a_file_that_is_cut_after_it_was_looked_at_costs_a_connection_at_most(lab):
    d, path = mapped(lab)
    s = d.login()
    assert s.read(6 * 2048, 2048) == pattern(8 * MIB)[6 * MIB:7 * MIB]
    os.truncate(path, 3 * MIB)
    try:
        r = s.command(read16(6 * 2048, 16), 1, read=8192)
    except (pdu.Closed, OSError):
        s = d.login()
        r = s.command(read16(6 * 2048, 16), 1, read=8192)
        assert "data that it was promised is gone" in d.log()
    assert r.key_asc == MEDIUM_ERROR, r
    assert place(r) == 6 * 2048, r
    s.close()


main()
