# SPDX-License-Identifier: BSD-2-Clause
"""A LUN grows under a mounted file system, which grows with it."""
# lab: subset yes
# lab: seconds 40
# lab: modules iscsi_tcp sd_mod ext4
# lab: needs iscsid mkfs.ext4 resize2fs

from scenario import *

d = Tgtd().export(image("64M"))
disk = login(d).disk()
run("mkfs.ext4", "-q", "-F", disk)
with mounted(disk) as folder:
    with open(folder + "/kept", "wb") as f:
        f.write(pattern(2 << 20))
    before = os.statvfs(folder).f_blocks
    with point("the kernel says that the capacity has changed, and sees the new size after a rescan"):
        log = kernel_log()
        d.tgtctl("lun", "resize", "1", "1", "128M")
        run("sg_turs", disk, status=None)
        with open(folder + "/touched", "wb") as f:  # the unit attention comes with the next command
            os.fsync(f.fileno())
        rescan(disk)
        wait_until("the new size", lambda: size(disk) == 128 << 20)
        assert "apacity data has changed" in log(), log()
        assert "capacity change from 131072 to 262144" in log(), log()
    with point("ext4 takes the new room while it is mounted"):
        run("resize2fs", disk)
        assert os.statvfs(folder).f_blocks > before * 1.8
        with open(folder + "/more", "wb") as f:
            f.write(pattern(1 << 20, seed=2) * 80)
            os.fsync(f.fileno())
    with point("what was there before is still there"):
        drop_caches()
        with open(folder + "/kept", "rb") as f:
            assert f.read() == pattern(2 << 20)
with point("the file system is clean, and the backing file has the new size"):
    run("e2fsck", "-f", "-n", disk)
    assert os.path.getsize("disk.img") == 128 << 20
