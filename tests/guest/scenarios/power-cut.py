# SPDX-License-Identifier: BSD-2-Clause
"""The power is cut under a mounted file system: what was synchronised is there afterwards. The store loses whatever it
was not told to keep, so this shows that SYNCHRONIZE CACHE and FUA of the kernel do what it counts on."""
# lab: seconds 120
# lab: modules iscsi_tcp sd_mod ext4 xfs
# lab: needs iscsid mkfs.ext4 mkfs.xfs e2fsck xfs_repair

from scenario import *

MADE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"]}
CHECKED = {"ext4": ["e2fsck", "-f", "-n"], "xfs": ["xfs_repair", "-n"]}
d = Tgtd().target()


def content(name):
    return pattern(random.Random(name).randrange(1, 200000), seed=name)


def cut_and_come_back(kind, lun):
    path, cut = image("320M", kind + ".img"), os.path.abspath(kind + ".cut")
    d.tgtctl("lun", "create", 1, path, "--lun", lun, "--type", "volatile:memory=32M,trigger=%s+file" % cut)
    session = login(d)
    disk = session.disk(lun)
    run(*MADE[kind], disk)
    run("sync")
    kept, lost = [], []
    folder = "/run/mnt-" + kind
    os.mkdir(folder)
    run("mount", disk, folder)
    for number in range(40):
        name = "f%d" % number
        with open(folder + "/" + name, "wb") as f:
            f.write(content(name))
            if number % 2 == 0:
                f.flush()
                os.fsync(f.fileno())
                kept.append(name)
            else:
                lost.append(name)
    with point("%s: after the cut, the kernel gets errors" % kind):
        write(cut, "")
        try:
            for name in ("after", "after2"):
                with open(folder + "/" + name, "wb") as f:
                    f.write(content(name))
                    os.fsync(f.fileno())
            failed = False
        except OSError:
            failed = True
        assert failed
        run("umount", folder, status=None)
    session.logout()
    with point("%s: everything that was synchronised has survived" % kind):
        os.unlink(cut)
        d.tgtctl("lun", "reopen", 1, lun)
        d.tgtctl("lun", "set", 1, lun, "--clear-error")
        session = login(d)
        disk = session.disk(lun)
        run("mount", disk, folder)
        for name in kept:
            with open(folder + "/" + name, "rb") as f:
                assert f.read() == content(name), name
        note("%d of %d files that were not synchronised are whole" % (
            sum(os.path.exists(folder + "/" + n) and open(folder + "/" + n, "rb").read() == content(n) for n in lost),
            len(lost)))
        run("umount", folder)
    with point("%s: the journal has made it clean" % kind):
        run(*CHECKED[kind], disk)
    session.logout()


for lun, kind in enumerate(MADE, 1):
    cut_and_come_back(kind, lun)
