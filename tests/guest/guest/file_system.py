# SPDX-License-Identifier: BSD-2-Clause
"""A file system's life on a LUN: made, mounted, written under fio's verification, trimmed, checked."""

from scenario import *

MADE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
CHECKED = {"ext4": ["e2fsck", "-f", "-n"], "xfs": ["xfs_repair", "-n"]}
ROOM = {"ext4": "128M", "xfs": "304M"}  # xfs is not made smaller


def live(kind):
    backing = image(ROOM[kind])
    d = Tgtd().export(backing, "disk", 1, "--thin")
    session = login(d)
    disk = session.disk()
    with point("%s is made and mounted" % kind):
        run(*MADE[kind], disk)
        run("mount", disk, "/mnt")
        run("umount", "/mnt")
    with mounted(disk) as folder:
        with point("fio reads back from %s what it wrote" % kind):
            run("fio", "--name=verify", "--directory=" + folder, "--size=16M", "--rw=randrw", "--bsrange=4k-128k",
                "--ioengine=libaio", "--direct=1", "--iodepth=16", "--verify=crc32c", "--verify_fatal=1",
                "--do_verify=1", "--end_fsync=1", "--randseed=7", "--nrfiles=2", seconds=100)
        with point("%s gives 24 MiB of a deleted file back to the backing file" % kind):
            with open(folder + "/large", "wb") as f:
                f.write(pattern(1 << 20) * 24)
                f.flush()
                os.fsync(f.fileno())
            full = allocated(backing)
            os.unlink(folder + "/large")
            run("sync", "-f", folder)
            run("fstrim", folder)
            freed = full - allocated(backing)
            assert freed >= 20 << 20, "%d bytes were freed of %d" % (freed, full)
    with point("%s is clean" % kind):
        run(*CHECKED[kind], disk)
        drop_caches()
        run(*CHECKED[kind], disk)
    with point("the daemon ends with nothing to complain about"):
        session.logout()
        d.stop()
