# SPDX-License-Identifier: BSD-2-Clause
"""What may happen to a LUN under load without fio noticing: resets, a session that is cut, questions, another store
behind it."""
# lab: seconds 120
# lab: modules iscsi_tcp sd_mod sg
# lab: needs iscsid fio sg_reset

from scenario import *

d = Tgtd().export(image("64M"))
session = login(d)
disk = session.disk()
log = kernel_log()
fio = spawn("fio", "--name=load", "--filename=" + disk, "--rw=randrw", "--bsrange=4k-64k", "--size=48M", "--direct=1",
            "--ioengine=libaio", "--iodepth=16", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1",
            "--randseed=11", "--rate_iops=250,250")


def ios():
    stat = read("/sys/class/block/%s/stat" % os.path.basename(disk)).split()
    return int(stat[0]) + int(stat[4])


def goes_on():
    before = ios()
    wait_until("100 more I/Os", lambda: ios() > before + 100 or fio.poll() is not None)
    assert fio.poll() is None, fio.finish(0)


goes_on()
with point("resets of the logical unit"):
    for _ in range(3):
        run("sg_reset", "-d", disk)
        goes_on()
with point("a reset of the target"):
    run("sg_reset", "-t", disk)
    goes_on()
with point("a session that the administrator closes: it comes back"):
    d.tgtctl("session", "close", 1, d.json("session", "list")[0]["sid"])
    goes_on()
with point("another LUN added and removed"):
    d.tgtctl("lun", "create", 1, image("1M", "other.img"), "--lun", 2)
    goes_on()
    d.tgtctl("lun", "delete", 1, 2)
    goes_on()
with point("the daemon traced, and asked for everything it counts"):
    d.tgtctl("trace", "start", 1)
    goes_on()
    d.tgtctl("trace", "dump", "--count", 1000)
    d.tgtctl("trace", "clear")
    d.json("stat")
with point("fio has read back all that it wrote, without an error"):
    fio.finish(100)
with point("the store is swapped for a copy of another kind while fio reads: it finds what it wrote there, too"):
    run("cp", "--sparse=always", "disk.img", "copy.img")
    fio = spawn("fio", "--name=load", "--filename=" + disk, "--rw=read", "--bs=64k", "--size=48M", "--direct=1",
                "--ioengine=libaio", "--iodepth=8", "--rate=6m")
    goes_on()
    d.tgtctl("lun", "swap", 1, 1, "copy.img", "--type", "mmap")
    with open("disk.img", "r+b") as f:
        f.write(bytes(64 << 20))
    goes_on()
    fio.finish(60)
    run("dd", "if=" + disk, "of=read.img", "bs=1M", "iflag=direct")
    run("cmp", "read.img", "copy.img")
    assert "I/O error" not in log(), log()
