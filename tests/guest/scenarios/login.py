# SPDX-License-Identifier: BSD-2-Clause
"""open-iscsi logs in: plainly, with CHAP in both directions, with digests, over IPv6; and what it finds."""
# lab: subset yes
# lab: seconds 60
# lab: modules iscsi_tcp sd_mod sg crc32c
# lab: needs iscsid sg_inq sg_vpd sg_readcap

from scenario import *

d = Tgtd("127.0.0.1:3260", "[::1]:3260")
d.export(image("64M"))
d.export(image("48M", "large-blocks.img"), "large", 2, "--block-size", "4096", "--thin")

with point("SendTargets lists both targets, at the portal that was asked"):
    iscsid()
    for portal in d.portals:
        text = run("iscsiadm", "-m", "discovery", "-t", "sendtargets", "-p", portal)
        for name in ("disk", "large"):
            assert "%s,1 iqn.2026-01.org.example:%s" % (portal, name) in text, text
    run("iscsiadm", "-m", "node", "-o", "delete")

with point("a plain login brings a disk"):
    session = login(d)
    disk = session.disk()
with point("the disk has the size, the block size and the limits of the LUN"):
    queue = "/sys/class/block/%s/queue/" % os.path.basename(disk)
    assert size(disk) == 64 << 20, size(disk)
    assert read(queue + "logical_block_size") == "512"
    assert int(read(queue + "physical_block_size")) % 512 == 0
    assert "512 bytes" in run("sg_readcap", "-l", disk)
with point("vendor, product and identification are what the VPD pages say"):
    device = os.path.realpath("/sys/class/block/%s/device" % os.path.basename(disk))
    assert read(device + "/vendor") == "IET" and read(device + "/model") == "VIRTUAL-DISK"
    with open(device + "/vpd_pg83", "rb") as f:
        page = f.read()
    assert page[1] == 0x83 and len(page) == 4 + int.from_bytes(page[2:4], "big")
    assert "naa." in read(device + "/wwid") or "t10." in read(device + "/wwid"), read(device + "/wwid")
with point("FUA and the write cache are seen by the kernel"):
    kind = os.path.realpath("/sys/class/block/%s/device" % os.path.basename(disk)) + "/scsi_disk"
    kind += "/" + os.listdir(kind)[0]
    assert read(kind + "/cache_type") == "write back", read(kind + "/cache_type")
    assert read(kind + "/FUA") == "1"
session.logout()

with point("4096-byte blocks and thin provisioning are seen by the kernel"):
    session = login(d, "large")
    disk = session.disk()
    queue = "/sys/class/block/%s/queue/" % os.path.basename(disk)
    assert size(disk) == 48 << 20 and read(queue + "logical_block_size") == "4096"
    assert int(read(queue + "discard_max_bytes")) > 0
    kind = os.path.realpath("/sys/class/block/%s/device" % os.path.basename(disk)) + "/scsi_disk"
    kind += "/" + os.listdir(kind)[0]
    assert read(kind + "/thin_provisioning") == "1"
    assert read(kind + "/provisioning_mode") in ("unmap", "writesame_16"), read(kind + "/provisioning_mode")
session.logout()

DIGESTS = {"node.conn[0].iscsi.HeaderDigest": "CRC32C", "node.conn[0].iscsi.DataDigest": "CRC32C"}
with point("data comes back with header and data digests"):
    session = login(d, settings=DIGESTS)
    assert session.connection("header_digest") == "1" and session.connection("data_digest") == "1"
    disk = session.disk()
    data = pattern(3 << 20)
    with open("data", "wb") as f:
        f.write(data)
    run("dd", "if=data", "of=" + disk, "bs=1M", "oflag=direct")
    with open(disk, "rb") as f:
        assert f.read(3 << 20) == data
session.logout()

with point("data comes back in small bursts with R2T for all, and with as much unasked as is allowed"):
    for yes, no, burst in (("Yes", "No", 4096), ("No", "Yes", 1 << 18)):
        session = login(d, settings={"node.session.iscsi.InitialR2T": yes, "node.session.iscsi.ImmediateData": no,
                                     "node.session.iscsi.FirstBurstLength": burst,
                                     "node.session.iscsi.MaxBurstLength": burst,
                                     "node.conn[0].iscsi.MaxRecvDataSegmentLength": burst})
        disk = session.disk()
        assert session.attribute("initial_r2t") == "1" or yes == "No"
        with open("burst", "wb") as f:
            f.write(pattern(1 << 20, seed=burst))
        run("dd", "if=burst", "of=" + disk, "bs=256k", "oflag=direct", "seek=32")
        with open(disk, "rb") as f:
            f.seek(8 << 20)
            assert f.read(1 << 20) == pattern(1 << 20, seed=burst)
        session.logout()

with point("a read-only LUN is a read-only disk"):
    d.tgtctl("lun", "create", 1, image("8M", "fixed.img"), "--lun", 5, "--readonly")
    session = login(d)
    disk = session.disk(5)
    assert read("/sys/class/block/%s/ro" % os.path.basename(disk)) == "1"
    session.logout()

with point("IPv6 works, with digests"):
    session = login(d, portal="[::1]:3260", settings=DIGESTS)
    assert session.connection("persistent_address") == "::1"
    with open(session.disk(), "rb") as f:
        assert f.read(3 << 20) == data
session.logout()

for account in (("user", "twelve-bytes-1"), ("target", "twelve-bytes-2")):
    d.tgtctl("account", "create", account[0], "--password", account[1])
d.tgtctl("account", "bind", "user", 1)
d.tgtctl("account", "bind", "target", 1, "--outgoing")
CHAP = {"node.session.auth.authmethod": "CHAP", "node.session.auth.username": "user",
        "node.session.auth.password": "twelve-bytes-1", "node.session.auth.username_in": "target",
        "node.session.auth.password_in": "twelve-bytes-2"}
with point("a login without CHAP is refused"):
    assert "authorization" in login(d, status=24)
with point("a wrong password is refused"):
    assert "authorization" in login(d, settings=dict(CHAP, **{"node.session.auth.password": "twelve-bytes-3"}),
                                    status=24)
with point("CHAP in both directions lets the initiator in"):
    session = login(d, settings=CHAP)
    with open(session.disk(), "rb") as f:
        assert f.read(1 << 20) == data[:1 << 20]
with point("logout takes the disk away"):
    disk = session.disk()
    session.logout()
    wait_until("the disk is gone", lambda: not os.path.exists(disk))
