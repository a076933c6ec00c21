# SPDX-License-Identifier: BSD-2-Clause
"""64 TCMU disks at once: each serves, each keeps its own data, all come back after a restart of the daemon, and go."""
# lab: seconds 240
# lab: modules target_core_mod target_core_user tcm_loop sd_mod

from scenario import *

COUNT = 64
d = Tgtd().target()


def luns():
    for n in range(COUNT):
        d.tgtctl("lun", "create", 1, image("4M", "lun%d.img" % n) if not os.path.exists("lun%d.img" % n)
                 else os.path.abspath("lun%d.img" % n), "--lun", n + 1)


def bytes_at(disk):
    with open(disk, "rb") as f:
        return f.read(16)


luns()
with point("%d logical units are attached" % COUNT):
    before = time.monotonic()
    disks = [d.json("attach", 1, n + 1)["block"] for n in range(COUNT)]
    note("%.1f s" % (time.monotonic() - before))
    assert len(set(disks)) == COUNT
with point("each is served, and a nexus of its own"):
    entries = d.json("attach", "list")
    assert len(entries) == COUNT and all(e["state"] == "serving" for e in entries)
    assert len({e["sid"] for e in entries}) == COUNT
with point("each keeps its own data"):
    for n, disk in enumerate(disks):
        with open(disk, "wb") as f:
            f.write(b"disk %03d ........" % n)
            os.fsync(f.fileno())
    drop_caches()
    for n, disk in enumerate(disks):
        assert bytes_at(disk) == b"disk %03d ......." % n, (n, bytes_at(disk))
with point("all are served again after a kill -9"):
    d.kill()
    d.start()
    d.target()
    luns()
    wait_until("all serve", lambda: [e["state"] for e in d.json("attach", "list")].count("serving") == COUNT, 60)
    drop_caches()
    for n, disk in enumerate(disks):
        assert bytes_at(disk) == b"disk %03d ......." % n
with point("all are detached"):
    for n in range(COUNT):
        d.tgtctl("detach", 1, n + 1)
    assert not os.listdir("/sys/class/uio")
