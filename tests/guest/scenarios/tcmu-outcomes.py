# SPDX-License-Identifier: BSD-2-Clause
"""What becomes of each kind of command when the daemon behind a TCMU disk is killed in the middle of it."""
# lab: seconds 120
# lab: modules target_core_mod target_core_user tcm_loop sd_mod sg
# lab: needs sg_raw

import mmap
import struct

from scenario import *

COMPARE_AND_WRITE = "89 00 00 00 00 00 00 00 20 00 00 00 00 01 00 00".split()
d = Tgtd()
path = image("32M")


def target():
    d.target("slow", 1)
    d.tgtctl("lun", "create", 1, path, "--lun", 1, "--type", "delay:write_us=3000000+file")


def write_():
    """By the disk driver, which sends again what ends with BUSY or a unit attention."""
    return spawn("dd", "if=/dev/zero", "of=" + disk, "bs=4k", "seek=2", "count=1", "oflag=direct", "conv=notrunc")


def caw():
    return spawn("sg_raw", "-t", 60, "-s", 1024, "-i", "/dev/zero", generic, *COMPARE_AND_WRITE)


def under_way(*commands):
    # takes the unit attentions of the last restart, which sg_raw would get
    run("dd", "if=" + disk, "of=/dev/null", "bs=4k", "count=1", "iflag=direct")
    sent = [c() for c in commands]
    wait_until("they are under way", lambda: d.json("stat")["tcmu"]["tasks"] == len(commands))
    return sent


def kill_and_start(between=lambda: None):
    d.kill()
    between()
    d.start()
    target()


def uio0():
    """Open; None while the kernel still puts the dead daemon away."""
    try:
        return open("/dev/uio0", "r+b", buffering=0)
    except OSError:
        return None


def name_one_twice():
    """As if the daemon had died between the two words that a completion out of order takes."""
    with wait_until("/dev/uio0 is free", uio0) as f:
        size_ = int(read("/sys/class/uio/uio0/maps/map0/size"), 16)
        with mmap.mmap(f.fileno(), size_) as m:
            ring, tail = struct.unpack_from("I", m, 4)[0], struct.unpack_from("I", m, 64)[0]
            first = ring + tail
            second = first + (struct.unpack_from("I", m, first)[0] & ~7)
            m[second + 4:second + 8] = m[first + 4:first + 8]


target()
disk = d.json("attach", 1, 1)["block"]
generic = "/dev/" + os.listdir("/sys/class/block/%s/device/scsi_generic" % os.path.basename(disk))[0]
log = kernel_log()

with point("a write is sent again, and ends well"):
    sent = under_way(write_)
    kill_and_start()
    sent[0].finish(60)
with point("COMPARE AND WRITE is not: it ends with HARDWARE ERROR"):
    sent = under_way(caw, write_)
    kill_and_start()
    text = sent[0].finish(60, None)
    assert "Hardware Error" in text, text
    sent[1].finish(60)
    assert "what must not be done twice" in read(d.log_path)
with point("where the ring does not say what was under way, the kernel resets it, and writes are sent again"):
    sent = under_way(write_, write_)
    kill_and_start(name_one_twice)
    for one in sent:
        one.finish(60)
    assert "all its commands with BUSY" in read(d.log_path), read(d.log_path)
with point("with a COMPARE AND WRITE among them, it resets it with an error"):
    sent = under_way(caw, write_)
    kill_and_start(name_one_twice)
    text = sent[0].finish(60, None)
    assert sent[0].returncode != 0 and "Sense key" in text, text
    note("\n".join(line for line in text.splitlines() if "dditional sense" in line or "ense key" in line))
    note(sent[1].finish(60, None))
    assert "all its commands with an error" in read(d.log_path), read(d.log_path)
with point("SIGTERM does not wait for slow commands for ever, and answers for them as a restart does"):
    sent = under_way(write_, caw)
    d.stop()
    d.start()
    target()
    sent[0].finish(60)
    text = sent[1].finish(60, None)
    assert sent[1].returncode == 0 or "Hardware Error" in text, text
with point("the disk works, and the kernel never found its ring broken"):
    run("dd", "if=" + disk, "of=/dev/null", "bs=64k", "count=16", "iflag=direct")
    assert "ring is broken" not in log(), log()
    d.tgtctl("detach", 1, 1)
