# SPDX-License-Identifier: BSD-2-Clause
"""The daemon behind a TCMU disk is killed, and stopped, under load: file system and data never see an error."""
# lab: seconds 150
# lab: modules target_core_mod target_core_user tcm_loop sd_mod ext4
# lab: needs fio mkfs.ext4

from scenario import *

path = image("128M")
d = Tgtd(options=["--engine", "epoll"])


def target():
    """Slow enough that a kill finds commands with the store."""
    d.target()
    d.tgtctl("lun", "create", 1, path, "--lun", 1, "--type", "delay:write_us=5000+file")


target()
disk = d.json("attach", 1, 1)["block"]
log = kernel_log()
run("mkfs.ext4", "-q", disk)
sectors = "/sys/class/block/%s/stat" % os.path.basename(disk)


def done():
    return int(read(sectors).split()[4])


def back():
    d.start()
    target()


with mounted(disk) as folder:
    fio = spawn("fio", "--name=load", "--directory=" + folder, "--rw=randwrite", "--bs=4k", "--size=48M", "--direct=1",
                "--ioengine=libaio", "--iodepth=32", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1",
                "--randseed=5", "--rate_iops=1200")
    with point("fio writes to a file"):
        wait_until("500 writes", lambda: done() >= 500)
    for time_ in ("first", "second", "third"):
        with point("I/O goes on after the %s kill -9" % time_):
            d.kill()
            before = done()
            back()
            down = time.monotonic()
            wait_until("500 more writes", lambda: done() >= before + 500 or fio.poll() is not None)
            note("%.2f s from the daemon's return to 500 more writes" % (time.monotonic() - down))
            assert fio.poll() is None, fio.finish(0)
    with point("I/O goes on after a stop by SIGTERM"):
        d.stop()
        before = done()
        back()
        wait_until("500 more writes", lambda: done() >= before + 500 or fio.poll() is not None)
        assert fio.poll() is None, fio.finish(0)
    with point("fio reads back all that it wrote, without an error"):
        fio.finish(120)
    with point("commands sent while nobody is there wait for the next daemon"):
        d.stop()
        dd = spawn("dd", "if=/dev/zero", "of=" + folder + "/late", "bs=64k", "count=16", "oflag=direct,sync")
        wait_until("a write waits", lambda: int(read(sectors).split()[8]) > 0)
        back()
        dd.finish(30)
with point("the file system is clean"):
    run("e2fsck", "-f", "-n", disk)
with point("the kernel logged no I/O error, and no broken ring"):
    text = log()
    assert "I/O error" not in text and "ring is broken" not in text and "blk_update" not in text, text
note("\n".join(line for line in read(d.log_path).splitlines() if "under way when" in line))
d.tgtctl("detach", 1, 1)
