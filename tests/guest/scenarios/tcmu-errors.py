# SPDX-License-Identifier: BSD-2-Clause
"""Commands of a slow TCMU disk are aborted, reset and timed out; a LUN behind TCMU is no other transport's."""
# lab: seconds 120
# lab: modules target_core_mod target_core_user tcm_loop sd_mod sg iscsi_tcp
# lab: needs sg_reset sg_raw iscsid fio

from scenario import *

WRITE = "2a 00 00 00 10 00 00 00 08 00".split()
d = Tgtd()
d.target("slow", 2)
d.tgtctl("lun", "create", 2, image("32M", "slow.img"), "--lun", 1, "--type", "delay:write_us=5000000+file")
log = kernel_log()


def functions(which):
    return re.findall(r"task management function %d, (\d+) commands" % which, read(d.log_path))


def slow_write(seconds):
    # by /dev/sgN: of /dev/sdX the kernel takes no time limit below seven seconds
    generic = os.listdir("/sys/class/block/%s/device/scsi_generic" % os.path.basename(disk))[0]
    return spawn("sg_raw", "-t", seconds, "-s", 4096, "-i", "/dev/zero", "/dev/" + generic, *WRITE)


with point("the disk is there, slow as it is"):
    disk = d.json("attach", 2, 1)["block"]
with point("a command that its initiator gives up is aborted, and ends when its store lets go"):
    slow_write(1).finish(60, None)
    wait_until("an abort of one command", lambda: "1" in functions(1), 30)
with point("a reset of the LU ends the commands under way"):
    writer = slow_write(60)
    wait_until("the write is under way", lambda: d.json("stat")["tcmu"]["tasks"] > 0)
    run("sg_reset", "--device", disk)
    writer.finish(60, None)
    assert "1" in functions(5), read(d.log_path)
with point("the disk works as before"):
    run("dd", "if=" + disk, "of=/dev/null", "bs=4k", "count=1", "iflag=direct")  # takes the unit attentions
    slow_write(60).finish(60)
    d.tgtctl("detach", 2, 1)

with point("a command that the kernel forgot does no harm when it ends"):
    core, port = "/sys/kernel/config/target/core/user_9/late", "/sys/kernel/config/target/loopback/naa.3000000000000009"
    os.makedirs(core)
    write(core + "/control", "dev_config=stgt/iqn.2026-01.org.example:slow/1,dev_size=%d" % (32 << 20))
    write(core + "/attrib/cmd_time_out", 1)
    write(core + "/enable", 1)
    os.makedirs(port + "/tpgt_1/lun/lun_0")
    write(port + "/tpgt_1/nexus", "naa.300000000000000a")
    os.symlink(core, port + "/tpgt_1/lun/lun_0/late")
    try:
        disk = wait_until("its disk", lambda: d.json("attach", "list")[0]["block"])
        assert "sense" in slow_write(60).finish(60, None).lower()  # the kernel's own, after a second
        wait_until("the late command has ended", lambda: not d.json("stat")["tcmu"]["tasks"])
        run("fio", "--name=r", "--filename=" + disk, "--rw=read", "--bs=64k", "--size=4M", "--direct=1")
        assert d.json("attach", "list")[0]["state"] == "serving"
        with open("/sys/class/uio/uio0/name") as f:
            assert "user/9/late" in f.read()
    finally:
        os.remove(port + "/tpgt_1/lun/lun_0/late")
        for path in (port + "/tpgt_1/lun/lun_0", port + "/tpgt_1", port, core, os.path.dirname(core)):
            os.rmdir(path)
with point("the kernel never found its ring broken"):
    assert "ring is broken" not in log(), log()

d.target("disk", 1)
d.tgtctl("lun", "create", 1, image("32M"), "--lun", 1)
with point("an initiator has the LUN until it is attached, which its session prevents"):
    session = login(d)
    session.disk()
    assert "in use by iscsi" in d.tgtctl("attach", 1, 1, status=None)
    assert d.json("attach", "list") == [] and not os.path.exists("/sys/kernel/config/target/core/user_3260")
    session.logout()
with point("attached, the LUN is not shown to initiators"):
    disk = wait_until("it is attached", lambda: d.json("attach", 1, 1))["block"]
    session = login(d)
    assert 1 not in session.luns(), session.luns()
with point("detached, they have it again"):
    d.tgtctl("detach", 1, 1)
    session.rescan()
    session.disk()
with point("with shared=unsafe both have it"):
    local = d.json("attach", 1, 1, "--shared", "unsafe")["block"]
    remote = session.disk()
    write(local, "the same bytes\n" * 512)
    run("blockdev", "--flushbufs", local)
    drop_caches()
    with open(remote, "rb") as f:
        assert f.read(15) == b"the same bytes\n"
    d.tgtctl("detach", 1, 1)
