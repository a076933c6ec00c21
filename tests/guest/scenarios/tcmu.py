# SPDX-License-Identifier: BSD-2-Clause
"""A logical unit becomes a disk of this host by TCMU and tcm_loop: geometry, data, resize, resets; and goes again."""
# lab: subset yes
# lab: seconds 90
# lab: modules target_core_mod target_core_user tcm_loop sd_mod sg ext4 brd
# lab: needs sg_inq sg_vpd sg_reset mkfs.ext4 fio

from scenario import *

CFG = "/sys/kernel/config/target"
d = Tgtd().export(image("64M"))
log = kernel_log()


def device(n=0):
    return d.json("attach", "list")[n]


def attach(lun=1, *options):
    return d.json("attach", 1, lun, *options)


with point("attach gives a disk of this host"):
    disk = attach()["block"]
    assert os.path.exists(disk), disk
    entry = device()
    assert entry["state"] == "serving" and entry["name"] == "user_3260/stgt.1.1", entry
with point("the disk has the LU's size, block size and identification"):
    assert size(disk) == 64 << 20, size(disk)
    assert read("/sys/class/block/%s/queue/logical_block_size" % os.path.basename(disk)) == "512"
    assert "VIRTUAL-DISK" in run("sg_inq", disk)
    run("sg_vpd", "-p", "di", disk)
    assert "naa." in read("/sys/class/block/%s/device/wwid" % os.path.basename(disk))
with point("ext4 keeps what is written, across a new mount"):
    run("mkfs.ext4", "-q", disk)
    data = pattern(8 << 20)
    with mounted(disk) as folder:
        with open(folder + "/file", "wb") as f:
            f.write(data)
            os.fsync(f.fileno())
    drop_caches()
    with mounted(disk) as folder, open(folder + "/file", "rb") as f:
        assert f.read() == data
    run("e2fsck", "-f", "-n", disk)
with point("fio verifies random writes at depth 16"):
    run("fio", "--name=v", "--filename=" + disk, "--rw=randwrite", "--bs=4k", "--size=4M", "--direct=1",
        "--ioengine=libaio", "--iodepth=16", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1")
with point("1 MiB requests go through, of many segments"):
    run("fio", "--name=l", "--filename=" + disk, "--rw=write", "--bs=1m", "--size=16M", "--direct=1",
        "--ioengine=libaio", "--iodepth=4", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1")
with point("the command counts grow"):
    assert device()["commands"] > 1500, device()
with point("sg_reset of the device ends, and I/O goes on"):
    run("sg_reset", "--device", disk)
    run("dd", "if=" + disk, "of=/dev/null", "bs=64k", "count=16", "iflag=direct")
with point("a disk in use is not detached"):
    run("mkfs.ext4", "-q", "-F", disk)
    with mounted(disk):
        assert "in use" in d.tgtctl("detach", 1, 1, status=None)
with point("detach takes the disk away, and all in configfs"):
    d.tgtctl("detach", 1, 1)
    assert not os.path.exists("/sys/class/block/" + os.path.basename(disk))
    assert not os.path.exists(CFG + "/core/user_3260") and not os.listdir("/sys/class/uio")
    assert d.json("attach", "list") == []
    assert not [w for w in os.listdir(CFG + "/loopback") if w.startswith("naa.")]
with point("attached again, it has its data"):
    disk = attach()["block"]
    with mounted(disk) as folder:
        pass
    d.tgtctl("detach", 1, 1)
with point("a store that reads and writes directly does so in the ring's own pages"):
    d.tgtctl("lun", "create", 1, "/dev/ram0", "--lun", 2, "--bsoflags", "direct")
    disk = attach(2)["block"]
    run("fio", "--name=d", "--filename=" + disk, "--rw=randwrite", "--bs=4k", "--size=1M", "--direct=1",
        "--ioengine=libaio", "--iodepth=8", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1")
    d.tgtctl("detach", 1, 2)
with point("the kernel logged no I/O error"):
    assert "I/O error" not in log(), log()
