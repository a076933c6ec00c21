# SPDX-License-Identifier: BSD-2-Clause
"""A tape drive of the host, passed through: the initiator's tape driver takes it. scsi_debug's drive has no tape to
write to, so it is the commands that are shown."""
# lab: subset yes
# lab: seconds 60
# lab: modules iscsi_tcp st sg
# lab: needs iscsid sg_raw mt

import glob

from scenario import *

run("modprobe", "scsi_debug", "ptype=1", "inq_vendor=LABMADE", "inq_product=TAPE")


def local():
    names = glob.glob("/sys/bus/pseudo/devices/adapter0/host*/target*/*:*/scsi_generic/sg*")
    return names and "/dev/" + os.path.basename(names[0])


try:
    device = wait_until("scsi_debug's drive", local)
    d = Tgtd().target()
    d.tgtctl("lun", "create", 1, device, "--device-type", "pt")
    session = login(d)
    with point("the initiator's st driver takes the drive"):
        tape = wait_until("a tape", lambda: glob.glob(session.luns()[1] + "/scsi_tape/nst*") if 1 in session.luns()
                          else None)[0]
        node = "/dev/" + os.path.basename(tape).rstrip("alm")
        remote = session.generic()
        assert "tape" in run("sg_inq", remote)
    with point("pages and answers are the drive's, byte for byte"):
        for page in ("sv", "sn", "di"):
            assert run("sg_vpd", "-HH", "-p", page, remote) == run("sg_vpd", "-HH", "-p", page, device)
        for node_ in (device, remote):  # unit attentions come first
            run("sg_turs", "-n", 4, node_, status=None)
        for cdb, length in (("03 00 00 00 12 00", 18), ("05 00 00 00 00 00", 6), ("0a 00 00 00 00 00", 0),
                            ("1a 00 3f 00 ff 00", 255), ("34 00 00 00 00 00 00 00 00 00", 20)):
            args = (["-r", length] if length else [])
            here = run("sg_raw", *args, device, *cdb.split(), status=None)
            there = run("sg_raw", *args, remote, *cdb.split(), status=None)
            assert here == there, (cdb, here, there)
    with point("mt rewinds it"):
        note(run("mt", "-f", node, "rewind", status=None))
        note(run("mt", "-f", node, "status", status=None))
        run("sg_raw", remote, *"01 00 00 00 00 00".split())
    session.logout()
    d.stop()
finally:
    for s in sessions():
        s.logout()
    if "d" in globals() and d.proc.poll() is None:
        d.kill()
    wait_until("scsi_debug goes", lambda: subprocess.run(["rmmod", "scsi_debug"], stderr=subprocess.DEVNULL)
               .returncode == 0, 10)
