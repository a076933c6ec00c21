# SPDX-License-Identifier: BSD-2-Clause
"""QEMU's CD drive, passed through by the daemon: mounted by the initiator, locked, opened and closed."""
# lab: subset yes
# lab: seconds 60
# lab: modules iscsi_tcp sr_mod sg isofs virtio_scsi
# lab: needs iscsid sg_raw
# lab: qemu -device virtio-scsi-pci,id=cdbus
# lab: qemu -drive if=none,id=cd,file=$LAB_RUN/disc.iso,format=raw,media=cdrom,readonly=on
# lab: qemu -device scsi-cd,bus=cdbus.0,drive=cd,vendor=LABMADE,product=CD

import glob

from scenario import *


def local():
    for entry in glob.glob("/sys/class/scsi_generic/sg*/device/vendor"):
        if read(entry) == "LABMADE":
            return "/dev/" + entry.split("/")[4]
    return None


device = wait_until("QEMU's drive", local)
d = Tgtd().target()
d.tgtctl("lun", "create", 1, device, "--device-type", "pt")
session = login(d)
with point("the initiator's sr driver takes the drive"):
    disc, remote = session.disk(), session.generic()
    assert "/sr" in disc, disc
    assert "cd/dvd" in run("sg_inq", remote)
with point("inquiry, capacity, table of contents and configuration are the drive's, byte for byte"):
    for cdb, length in (("12 00 00 00 60 00", 96), ("25 00 00 00 00 00 00 00 00 00", 8),
                        ("43 02 00 00 00 00 00 00 ff 00", 255), ("46 00 00 00 00 00 00 01 00 00", 256),
                        ("4a 01 00 00 10 00 00 00 40 00", 64), ("1a 00 2a 00 ff 00", 255)):
        here = run("sg_raw", "-r", length, device, *cdb.split(), status=None)
        there = run("sg_raw", "-r", length, remote, *cdb.split(), status=None)
        assert here == there, "%s:\n%s\n%s" % (cdb, here, there)
with point("the disc is mounted, and holds what was put there"):
    with mounted(disc, "-o", "ro", "-t", "iso9660") as folder:
        for name in ("README.md", "design.md"):
            with open("%s/%s" % (folder, name), "rb") as f, \
                    open("/lab/passthrough-cd/tree/" + name, "rb") as original:
                assert f.read() == original.read(), name
with point("every byte of the disc arrives"):
    with open(disc, "rb") as f, open("/lab/passthrough-cd/disc.iso", "rb") as original:
        assert f.read() == original.read()
with point("a write is refused"):
    text = run("sg_raw", "-s", "2048", "-i", "/dev/zero", remote, *"2a 00 00 00 00 10 00 00 01 00".split(), status=None)
    assert "Good" not in text, text
with point("a locked tray does not open"):
    run("sg_prevent", "--prevent=1", remote)
    text = run("sg_raw", remote, *"1b 00 00 00 02 00".split(), status=None)
    assert "emoval prevented" in text, text
    run("sg_prevent", "--allow", remote)
with point("the tray opens: not ready, no medium"):
    run("sg_raw", remote, *"1b 00 00 00 02 00".split())
    text = wait_until("no medium", lambda: (lambda t: t if "edium not present" in t else None)(
        run("sg_turs", "-v", remote, status=None)))
    note(text)
with point("the tray closes: a unit attention, and the disc is read again"):
    run("sg_raw", remote, *"1b 00 00 00 03 00".split(), status=None)
    wait_until("it is ready", lambda: "completed" in run("sg_turs", "-v", remote, status=None) or
               subprocess.run(["sg_turs", remote], stderr=subprocess.DEVNULL).returncode == 0)
    with mounted(disc, "-o", "ro", "-t", "iso9660") as folder:
        assert os.path.getsize(folder + "/README.md") > 0
session.logout()
with point("the daemon ends well"):
    d.stop()
