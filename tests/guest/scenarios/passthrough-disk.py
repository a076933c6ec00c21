# SPDX-License-Identifier: BSD-2-Clause
"""A SCSI disk of the host, passed through: scsi_debug's behaviour, with its errors and silences, at the initiator."""
# lab: seconds 90
# lab: modules iscsi_tcp sd_mod sg
# lab: needs iscsid sg_raw sg_vpd fio

import glob

from scenario import *

DRIVER = "/sys/bus/pseudo/drivers/scsi_debug/"
run("modprobe", "scsi_debug", "dev_size_mb=32", "lbpu=1", "lbpws=1", "inq_vendor=LABMADE", "inq_product=SILENT-DISK",
    "medium_error_start=4660", "medium_error_count=8")


def local():
    """The generic node of scsi_debug's disk"""
    names = glob.glob("/sys/bus/pseudo/devices/adapter0/host*/target*/*:*/scsi_generic/sg*")
    return names and "/dev/" + os.path.basename(names[0])


def raw(node, cdb, length=0, status=None):
    return run("sg_raw", *(["-r", length] if length else []), node, *cdb.split(), status=status)


def same(cdb, length=0):
    here, there = raw(device, cdb, length), raw(remote, cdb, length)
    assert here == there, "%s: the device says\n%s\nthe initiator gets\n%s" % (cdb, here, there)
    return there


def quick():
    """The device answers at once again; it refuses to be told while it has commands."""
    try:
        write(DRIVER + "delay", 1)
        return True
    except OSError:
        return False


try:
    device = wait_until("scsi_debug's disk", local)
    d = Tgtd().target()
    with point("the daemon serves a SCSI device as logical unit of type pt"):
        d.tgtctl("lun", "create", 1, device, "--device-type", "pt", "--bsopts", "timeout=60")
        # without pings, a command that is late is aborted at once, not after a look at the connection
        session = login(d, settings={"node.conn[0].timeo.noop_out_interval": 0,
                                     "node.conn[0].timeo.noop_out_timeout": 0})
        disk, remote = session.disk(), session.generic()
    with point("identification, pages and capacity are the device's, byte for byte"):
        for page in ("sv", "sn", "di", "bl", "bdc", "lbpv", "ei"):
            there = run("sg_vpd", "-HH", "-p", page, remote)
            assert run("sg_vpd", "-HH", "-p", page, device) == there, page
        assert "LABMADE" in run("sg_inq", remote)
        for cdb, length in (("1a 00 3f 00 ff 00", 255), ("25 00 00 00 00 00 00 00 00 00", 8),
                            ("9e 10 00 00 00 00 00 00 00 00 00 00 00 20 00 00", 32),
                            ("a3 0c 00 00 00 00 00 00 10 00 00 00", 4096), ("4d 00 40 00 00 00 00 01 00 00", 256)):
            same(cdb, length)
        assert size(disk) == 32 << 20
    with point("fio reads back what it wrote, and the device holds it"):
        run("fio", "--name=pt", "--filename=" + disk, "--size=16M", "--offset=8M", "--rw=randwrite",
            "--bsrange=512-64k", "--ioengine=libaio", "--direct=1", "--iodepth=16", "--verify=crc32c",
            "--do_verify=1", "--verify_fatal=1", "--randseed=9")
        data = pattern(64 << 10)
        with open(disk, "r+b") as f:
            f.write(data)
            os.fsync(f.fileno())
        run("sg_dd", "if=" + device, "of=copy", "bs=512", "count=128")
        with open("copy", "rb") as f:
            assert f.read() == data
    with point("unmapped blocks read as zeros"):
        run("sg_unmap", "--lba=0", "--num=64", "--force", remote)
        run("sg_dd", "if=" + remote, "of=copy", "bs=512", "count=128")
        with open("copy", "rb") as f:
            assert f.read() == bytes(64 * 512) + data[64 * 512:]
    with point("refusals come with the device's own sense data"):
        same("28 00 00 ff ff ff 00 00 01 00", 512)  # beyond the end
        assert "Illegal Request" in same("1a 00 33 00 ff 00", 255)  # no such mode page
        same("f0 00 00 00 00 00", 0)  # no such command
    with point("a medium error comes with the block it is about"):
        write(DRIVER + "opts", 2)
        text = same("28 00 00 00 12 34 00 00 08 00", 4096)
        assert "Medium Error" in text and "0x1234" in text, text
        write(DRIVER + "opts", 0)
        assert "Medium Error" not in raw(remote, "28 00 00 00 12 34 00 00 08 00", 4096)
    with point("PERSISTENT RESERVE is the target's, and works"):
        run("sg_persist", "-n", "--out", "--register", "--param-sark=abc", remote)
        assert "0xabc" in run("sg_persist", "-n", "--in", "--read-keys", remote)
        run("sg_persist", "-n", "--out", "--clear", "--param-rk=abc", remote)
    with point("a reset is passed on, and a unit attention tells of it"):
        run("sg_reset", "-d", remote)
        assert "reset" in run("sg_turs", "-v", remote, status=None).lower()
        run("sg_turs", "-n", "4", remote, status=None)  # the device has one of its own
        run("sg_turs", remote)

    # a device that answers after 10 s: the initiator gives up before, and the abort ends when the device has answered
    with point("a command that the initiator aborts is over, and the unit goes on"):
        def requests():
            return int(re.search(r"tmfcmd_pdus: (\d+)", run("iscsiadm", "-m", "session", "-s")).group(1))
        before = requests()
        timeout = "/sys/class/block/%s/device/timeout" % os.path.basename(disk)
        write(DRIVER + "delay", 2500)  # jiffies of 4 ms
        write(timeout, 1)
        start = time.monotonic()
        late = spawn("dd", "if=" + disk, "of=/dev/null", "bs=4096", "count=1", "skip=700", "iflag=direct")
        wait_until("the initiator aborts it", lambda: requests() > before)
        note("aborted after %.1f s" % (time.monotonic() - start))
        wait_until("the device can be told", quick, 20)
        write(timeout, 30)
        late.finish(30)
        note("read after %.1f s, when it was sent again" % (time.monotonic() - start))
        wait_until("it is ready again", lambda: subprocess.run(["sg_turs", disk]).returncode == 0, 20)
        run("dd", "if=" + disk, "of=/dev/null", "bs=4096", "count=64", "iflag=direct")
    # a device that does not answer at all: the timeout of the store ends it
    with point("a command that the device never answers ends after the store's timeout"):
        d.tgtctl("lun", "delete", 1, 1, "--force")
        d.tgtctl("lun", "create", 1, device, "--lun", 1, "--device-type", "pt", "--bsopts", "timeout=5")
        run("sg_turs", "-n", 4, remote, status=None)
        write(DRIVER + "every_nth", -1)
        write(DRIVER + "opts", 4)
        start = time.monotonic()
        late = spawn("sg_raw", "-t", "40", "-r", "512", remote, *"28 00 00 00 00 00 00 00 01 00".split())
        late_status = late.wait(60)
        took = time.monotonic() - start
        write(DRIVER + "opts", 0)
        write(DRIVER + "every_nth", 0)
        note("after %.1f s, status %d: %s" % (took, late_status, late.finish(1, status=None)))
        assert late_status and 4.5 < took < 35, (late_status, took)
    with point("and it works again when the device does"):
        wait_until("it is ready again", lambda: subprocess.run(["sg_turs", disk]).returncode == 0, 20)
        run("dd", "if=" + disk, "of=/dev/null", "bs=4096", "count=64", "iflag=direct")
    with point("a device that is taken away makes the unit not ready, and INQUIRY still answers"):
        write(os.path.realpath("/sys/class/scsi_generic/%s/device" % os.path.basename(device)) + "/delete", 1)
        text = run("sg_turs", "-v", remote, status=None)
        assert "Not Ready" in text or "not ready" in text, text
        assert "LABMADE" in run("sg_inq", remote)
    session.logout()
    with point("the daemon ends well"):
        d.stop()
finally:
    for name in ("every_nth", "opts"):
        write(DRIVER + name, 0)
    quick()
    for s in sessions():
        s.logout()
    if "d" in globals() and d.proc.poll() is None:
        d.kill()
    wait_until("scsi_debug goes", lambda: subprocess.run(["rmmod", "scsi_debug"], stderr=subprocess.DEVNULL)
               .returncode == 0, 10)
