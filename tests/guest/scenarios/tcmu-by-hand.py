# SPDX-License-Identifier: BSD-2-Clause
"""TCMU devices made by hand in configfs, as FC, SRP and IBM VIO need them; the vhost-scsi fabric; resize."""
# lab: subset yes
# lab: seconds 60
# lab: modules target_core_mod target_core_user tcm_loop vhost_scsi sd_mod sg
# lab: needs sg_readcap

from scenario import *

CFG = "/sys/kernel/config/target"
CORE, PORT = CFG + "/core/user_7/disk1", CFG + "/loopback/naa.3000000000000001"
CONFIG = "stgt/iqn.2026-01.org.example:disk/1"
d = Tgtd().target()
path = image("32M")


def entry():
    return d.json("attach", "list")[0]


def make(config):
    os.makedirs(CORE, exist_ok=True)
    write(CORE + "/control", "dev_config=%s,dev_size=%d" % (config, 1 << 20))
    write(CORE + "/enable", 1)


def remove(*paths):
    for p in paths:
        os.remove(p) if os.path.islink(p) else os.rmdir(p)


with point("a config that makes no sense is refused when it is enabled"):
    try:
        make("stgt/nonsense")
        assert False, "enable took it"
    except OSError as e:
        note(e)
    remove(CORE, os.path.dirname(CORE))
with point("a device without its LUN is enabled, and waits"):
    make(CONFIG)
    assert entry()["state"] == "waiting" and "not mapped" in entry()["why"], entry()
with point("the LUN comes, and the device is served"):
    d.tgtctl("lun", "create", 1, path, "--lun", 1)
    wait_until("it serves", lambda: entry()["state"] == "serving")
with point("linked to a port of tcm_loop it is a disk"):
    os.makedirs(PORT + "/tpgt_1/lun/lun_0")
    write(PORT + "/tpgt_1/nexus", "naa.3000000000000002")
    os.symlink(CORE, PORT + "/tpgt_1/lun/lun_0/disk1")
    disk = wait_until("its disk", lambda: entry()["block"])
    assert size(disk) == 32 << 20
with point("the kernel has been told the LU's own size"):
    wait_until("dev_size is right", lambda: read(CORE + "/attrib/dev_size") == str(32 << 20))
with point("a resized LU is seen by the kernel, and by the initiator"):
    os.truncate(path, 48 << 20)
    d.tgtctl("lun", "resize", 1, 1)
    wait_until("dev_size follows", lambda: read(CORE + "/attrib/dev_size") == str(48 << 20))
    rescan(disk)
    wait_until("the disk follows", lambda: size(disk) == 48 << 20)
with point("the size, the LUN and the write cache cannot be changed from the kernel's side"):
    for name, value in (("dev_size", 1 << 20), ("dev_config", "stgt/iqn.2026-01.org.example:disk/2"),
                        ("emulate_write_cache", 1)):
        try:
            write(CORE + "/attrib/" + name, value)
            assert False, name
        except OSError as e:
            note("%s: %s" % (name, e))
with point("a device that was made by hand is not detached by tgtctl"):
    assert "by hand" in d.tgtctl("detach", 1, 1, status=None) or "configfs" in d.tgtctl("detach", 1, 1, status=None)
with point("removed by hand, it is gone"):
    remove(PORT + "/tpgt_1/lun/lun_0/disk1", PORT + "/tpgt_1/lun/lun_0", PORT + "/tpgt_1", PORT, CORE,
           os.path.dirname(CORE))
    assert d.json("attach", "list") == [] and not os.listdir("/sys/class/uio")
with point("another handler's device is not held up for ever"):
    os.makedirs(CFG + "/core/user_8/alien")
    write(CFG + "/core/user_8/alien/control", "dev_config=qcow//img,dev_size=1048576")
    try:
        write(CFG + "/core/user_8/alien/enable", 1)
        assert False, "enable took it"
    except OSError as e:
        note(e)
    remove(CFG + "/core/user_8/alien", CFG + "/core/user_8")
with point("the vhost-scsi fabric gets a port for a hypervisor"):
    wwn = d.json("attach", 1, 1, "--fabric", "vhost")["wwn"]
    port = CFG + "/vhost/%s/tpgt_1" % wwn
    assert os.path.islink(port + "/lun/lun_0/disk"), os.listdir(port)
    note("-device vhost-scsi-pci,wwpn=" + wwn)
    d.tgtctl("detach", 1, 1)
    assert not os.path.exists(CFG + "/vhost/" + wwn)
