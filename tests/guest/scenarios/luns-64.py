# SPDX-License-Identifier: BSD-2-Clause
"""A target with 64 LUNs."""
# lab: seconds 90
# lab: modules iscsi_tcp sd_mod
# lab: needs iscsid

from scenario import *

with point("all of 64 LUNs are found in one login, each with its own size"):
    d = Tgtd().target()
    for lun in range(64):
        d.tgtctl("lun", "create", 1, image("%dM" % (lun + 1), "many%d.img" % lun), "--lun", lun + 1)
    start = time.monotonic()
    session = login(d)
    wait_until("64 disks", lambda: len([n for n in session.luns() if n]) >= 64, 60)
    disks = {lun: session.disk(lun) for lun in range(1, 65)}
    wait_until("their sizes", lambda: all(size(disks[lun]) == lun << 20 for lun in disks), 30)
    note("%.1f s from login to the last disk" % (time.monotonic() - start))
with point("what is written to each is in its own file"):
    for lun, disk in disks.items():
        with open(disk, "r+b", buffering=0) as f:
            f.write(b"%-4096d" % lun)
    os.sync()
    for lun in disks:
        with open("many%d.img" % (lun - 1), "rb") as f:
            assert f.read(4096) == b"%-4096d" % lun, lun
session.logout()
