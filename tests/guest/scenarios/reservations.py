# SPDX-License-Identifier: BSD-2-Clause
"""Persistent reservations of two initiators, as clusters use them."""
# lab: subset yes
# lab: seconds 60
# lab: modules iscsi_tcp sd_mod sg
# lab: needs iscsid sg_persist

from scenario import *

CONFLICT = 24
d = Tgtd().export(image("16M"))
one, two = login(d).disk(), login(d, initiator="second").disk()


def pr_out(disk, what, key=0, service=0, kind=0, status=0):
    return run("sg_persist", "-n", "--out", what, "--param-rk=%x" % key, "--param-sark=%x" % service,
               "--prout-type=%d" % kind, disk, status=status)


def pr_in(disk, what):
    return run("sg_persist", "-n", "--in", what, disk)


def writes(disk):
    done = subprocess.run(["dd", "if=/dev/zero", "of=" + disk, "bs=4096", "count=1", "oflag=direct", "conv=notrunc"],
                          stderr=subprocess.PIPE)
    return done.returncode == 0


def reads(disk):
    return subprocess.run(["dd", "if=" + disk, "of=/dev/null", "bs=4096", "count=1", "iflag=direct"],
                          stderr=subprocess.PIPE).returncode == 0


with point("two disks are one: the same identification by two initiators"):
    assert one != two
    wwids = {read("/sys/class/block/%s/device/wwid" % os.path.basename(x)) for x in (one, two)}
    assert len(wwids) == 1, wwids
with point("both register, and each sees both keys"):
    pr_out(one, "--register", service=0x1111)
    run("sg_turs", two, status=None)
    pr_out(two, "--register", service=0x2222)
    for disk in (one, two):
        run("sg_turs", disk, status=None)
        keys = pr_in(disk, "--read-keys")
        assert "0x1111" in keys and "0x2222" in keys, keys
with point("full status names both initiators"):
    text = pr_in(one, "--read-full-status")
    assert "initiator:first" in text and "initiator:second" in text, text
with point("a reservation for writing keeps the other from writing, not from reading"):
    pr_out(one, "--reserve", key=0x1111, kind=1)
    assert "Write Exclusive" in pr_in(two, "--read-reservation")
    assert writes(one) and reads(one)
    assert reads(two) and not writes(two)
with point("the other cannot release or reserve"):
    assert "onflict" in pr_out(two, "--reserve", key=0x2222, kind=1, status=CONFLICT)
    pr_out(two, "--release", key=0x2222, kind=1)  # of no effect: not its own
    assert "0x1111" in pr_in(two, "--read-reservation")
with point("the other preempts it: now the first is kept out"):
    pr_out(two, "--preempt", key=0x2222, service=0x1111, kind=3)
    run("sg_turs", one, status=None)
    text = pr_in(one, "--read-reservation")
    assert "0x2222" in text and "Exclusive Access" in text, text
    assert writes(two) and reads(two)
    assert not writes(one) and not reads(one)
    assert "0x1111" not in pr_in(two, "--read-keys")
with point("the reservation outlives the session of its holder"):
    for session in sessions():
        if session.attribute("ifacename") == "second":
            session.logout()
    assert not writes(one) and "0x2222" in pr_in(one, "--read-reservation")
with point("who registers anew preempts and aborts, and clears all"):
    pr_out(one, "--register", service=0x3333)
    pr_out(one, "--preempt-abort", key=0x3333, service=0x2222, kind=5)
    assert "registrants only" in pr_in(one, "--read-reservation").lower() and writes(one)
    pr_out(one, "--clear", key=0x3333)
    assert "there are NO registered" in pr_in(one, "--read-keys") or "0 registered" in pr_in(one, "--read-keys")
with point("RESERVE(6) and RELEASE(6) still serve those that know no other"):
    two = login(d, initiator="second").disk()
    run("sg_turs", two, status=None)
    run("sg_raw", one, *"16 00 00 00 00 00".split())
    assert not writes(two)
    run("sg_raw", one, *"17 00 00 00 00 00".split())
    assert writes(two)
