# SPDX-License-Identifier: BSD-2-Clause
"""LUNs come and go in a live session."""
# lab: subset yes
# lab: seconds 60
# lab: modules iscsi_tcp sd_mod sg
# lab: needs iscsid sg_luns

from scenario import *

d = Tgtd().export(image("16M"))
session = login(d)
first = session.disk()

with point("a LUN that is added is found by a rescan"):
    log = kernel_log()
    d.tgtctl("lun", "create", 1, image("24M", "second.img"), "--lun", 2)
    run("sg_turs", first, status=None)
    session.rescan()
    second = session.disk(2)
    assert size(second) == 24 << 20
with point("the initiator was told that the LUNs have changed"):
    assert re.search("(?i)REPORTED LUNS DATA HAS CHANGED|LUN assignments on this target have changed", log()), log()
with point("a LUN is deleted that a disk still leads to: writes give errors"):
    with open(second, "r+b", buffering=0) as f:
        f.write(pattern(4096))
        os.fsync(f.fileno())
        d.tgtctl("lun", "delete", 1, 2, "--force")
        try:
            f.write(pattern(4096))
            os.fsync(f.fileno())
            gone = False
        except OSError:
            gone = True
        assert gone, "a write to a deleted LUN succeeded"
with point("the other LUN has gone on"):
    run("sg_turs", first, status=None)
    run("dd", "if=" + first, "of=/dev/null", "bs=1M", "count=4", "iflag=direct")
with point("the disk of the deleted LUN is taken away, and the number can be used again for another"):
    write("/sys/class/block/%s/device/delete" % os.path.basename(second), 1)
    d.tgtctl("lun", "create", 1, image("32M", "third.img"), "--lun", 2)
    run("sg_turs", first, status=None)
    session.rescan()
    assert size(session.disk(2)) == 32 << 20
session.logout()
