# SPDX-License-Identifier: BSD-2-Clause
"""The daemon is killed and started again while fio writes: nothing fails, nothing is lost."""
# lab: subset yes
# lab: seconds 90
# lab: modules iscsi_tcp sd_mod
# lab: needs iscsid fio

from scenario import *

d = Tgtd().export(image("64M"))
session = login(d)
disk = session.disk()


def done():
    return int(read("/sys/class/block/%s/stat" % os.path.basename(disk)).split()[4])


log = kernel_log()
fio = spawn("fio", "--name=load", "--filename=" + disk, "--rw=randwrite", "--bs=4k", "--size=32M", "--direct=1",
            "--ioengine=libaio", "--iodepth=8", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--randseed=3",
            "--rate_iops=1500", "--time_based=0")
with point("fio is writing"):
    wait_until("1000 writes", lambda: done() >= 1000)
for time_ in ("first", "second"):
    with point("I/O goes on after the %s kill -9" % time_):
        d.kill()
        before = done()
        d.start()
        d.tgtctl("export", "disk.img", "--name", "iqn.2026-01.org.example:disk", "--tid", 1)
        down = time.monotonic()
        wait_until("500 more writes", lambda: done() >= before + 500 or fio.poll() is not None)
        note("%.1f s from the daemon's return to 500 more writes" % (time.monotonic() - down))
        assert fio.poll() is None, fio.finish(0)
with point("fio reads back all that it wrote, without an error"):
    fio.finish(80)
with point("the kernel saw the connection fail, and no I/O error"):
    assert "conn error" in log() and "I/O error" not in log(), log()
