# SPDX-License-Identifier: BSD-2-Clause
"""The daemon on the host, the initiator in the guest: what is trimmed there is freed here, and a killed daemon's
successor is found."""
# lab: subset yes
# lab: seconds 60
# lab: modules iscsi_tcp sd_mod ext4
# lab: needs iscsid mkfs.ext4 fstrim
# lab: forward 10.0.2.100:3260

from scenario import *

with point("the guest logs in at the host"):
    session = login(portal="10.0.2.100:3260")
    disk = session.disk()
    assert size(disk) == 160 << 20

with point("fstrim frees the host's disk space"):
    run("mkfs.ext4", "-q", "-F", disk)
    with mounted(disk) as folder:
        with open(folder + "/large", "wb") as f:
            f.write(pattern(1 << 20) * 32)
            os.fsync(f.fileno())
        full = int(host("allocated"))
        assert full >= 32 << 20, full
        os.unlink(folder + "/large")
        run("sync", "-f", folder)
        run("fstrim", folder)
        freed = full - int(host("allocated"))
        assert freed >= 28 << 20, "%d bytes were freed of %d" % (freed, full)

with point("a file survives the host's daemon, killed and started again"):
    data = pattern(4 << 20, seed=2)
    with mounted(disk) as folder:
        with open(folder + "/kept", "wb") as f:
            f.write(data)
            os.fsync(f.fileno())
        host("kill")
        host("again")
        with open(folder + "/after", "wb") as f:
            f.write(data)
            os.fsync(f.fileno())
        drop_caches()
        for name in ("kept", "after"):
            with open(folder + "/" + name, "rb") as f:
                assert f.read() == data, name
    run("e2fsck", "-f", "-n", disk)
