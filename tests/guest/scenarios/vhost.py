# SPDX-License-Identifier: BSD-2-Clause
"""A target of the host's daemon is a virtio-scsi adapter of the guest, by vhost-user: Linux's driver on split rings;
data, task management, LUNs that come, grow and go, and a driver that is taken off and put back."""
# lab: seconds 120
# lab: boot vhost
# lab: modules sd_mod sg virtio_scsi ext4
# lab: needs fio mkfs.ext4 fstrim sg_reset sg_raw sg_vpd
# lab: qemu -chardev socket,id=vhost,path=$LAB_RUN/sock
# lab: qemu -device vhost-user-scsi-pci,chardev=vhost,num_queues=2,max_sectors=1024

import glob

from scenario import *

DRIVER = "/sys/bus/virtio/drivers/virtio_scsi/"


def adapter():
    return os.path.basename(glob.glob(DRIVER + "virtio*")[0])


def block(lun=1):
    """The block device of a LUN, None if there is none"""
    found = glob.glob("/sys/bus/virtio/devices/*/host*/target*/*:0:0:%d/block/*" % lun)
    return "/dev/" + os.path.basename(found[0]) if found else None


with point("Linux's driver finds the LUN, and the daemon a connection"):
    disk = wait_until("the disk", block)
    assert size(disk) == 160 << 20
    (port,) = json.loads(host("list"))
    note(port)
    assert "VIRTUAL-DISK" in run("sg_inq", disk)
    run("sg_vpd", "-a", disk)

with point("ext4 is made, used, trimmed and clean"):
    run("mkfs.ext4", "-q", "-F", disk)
    data = pattern(8 << 20)
    with mounted(disk) as folder:
        with open(folder + "/kept", "wb") as f:
            f.write(data)
        drop_caches()
        with open(folder + "/kept", "rb") as f:
            assert f.read() == data
        with open(folder + "/large", "wb") as f:
            f.write(pattern(1 << 20) * 32)
            os.fsync(f.fileno())
        full = int(host("allocated"))
        os.unlink(folder + "/large")
        run("sync", "-f", folder)
        run("fstrim", folder)
        freed = full - int(host("allocated"))
        assert freed >= 28 << 20, "%d bytes were freed of %d" % (freed, full)
    run("e2fsck", "-f", "-n", disk)

with point("fio reads back what it wrote, in all sizes and several jobs"):
    run("fio", "--name=verify", "--filename=" + disk, "--rw=randwrite", "--bsrange=512-256k", "--size=32M",
        "--numjobs=2", "--offset_increment=64M", "--offset=16M", "--direct=1", "--ioengine=libaio", "--iodepth=32",
        "--verify=crc32c",
        "--do_verify=1", "--verify_fatal=1", "--randseed=5", "--group_reporting", seconds=100)

with point("resets of the unit under load do no harm"):
    fio = spawn("fio", "--name=load", "--filename=" + disk, "--rw=randrw", "--bsrange=4k-64k", "--size=16M",
                "--direct=1", "--ioengine=libaio", "--iodepth=16", "--verify=crc32c", "--do_verify=1",
                "--verify_fatal=1")
    for _ in range(3):
        run("sg_reset", "-d", disk)
    fio.finish(100)

with point("a LUN that is added appears by itself"):
    host("add")
    other = wait_until("LUN 5", lambda: block(5))
    assert size(other) == 48 << 20
    run("fio", "--name=w", "--filename=" + other, "--rw=write", "--bs=64k", "--size=8M", "--direct=1",
        "--ioengine=libaio", "--iodepth=8", "--verify=crc32c")

with point("a LUN that grows is larger without being asked"):
    host("resize", "224M")
    wait_until("the new size", lambda: size(disk) == 224 << 20)

# virtio_scsi starts the timer anew whenever it has run out: a guest's timeouts never abort anything
with point("a command that takes longer than its timeout is waited for"):
    host("add-slow")
    where = "/sys/bus/virtio/devices/*/host*/target*/*:0:0:6/scsi_generic/*"
    slow = wait_until("LUN 6", lambda: glob.glob(where))
    before = time.monotonic()
    text = run("sg_raw", "-t", "1", "-r", "512", "/dev/" + os.path.basename(slow[0]), *"28 0 0 0 0 0 0 0 1 0".split(),
               status=None, seconds=40)
    note("%.1f s: %s" % (time.monotonic() - before, text))
    assert 3 < time.monotonic() - before < 30 and "Status: Good" in text, text
    host("remove", "6")
    wait_until("LUN 6 is gone", lambda: not block(6))
    with open(disk, "rb", buffering=0) as f:
        assert len(f.read(4096)) == 4096

with point("a LUN that is removed disappears by itself"):
    host("remove", "5")
    wait_until("LUN 5 is gone", lambda: not block(5))

with point("the driver is taken off and put back, and finds what was there"):
    device = adapter()
    for _ in range(3):
        write(DRIVER + "unbind", device)
        wait_until("the disk is gone", lambda: not block())
        write(DRIVER + "bind", device)
        disk = wait_until("the disk", block)
    assert size(disk) == 224 << 20
note(host("log"))
