# SPDX-License-Identifier: BSD-2-Clause
"""Stores that fail, as the kernel sees them: a medium error, a full disk, a store that hangs, one that goes."""
# lab: seconds 120
# lab: modules iscsi_tcp sd_mod sg
# lab: needs iscsid sg_turs

from scenario import *

d = Tgtd().target()
path = image("16M")
stuck = os.path.abspath("stuck")
d.tgtctl("lun", "create", 1, image("16M", "a.img"), "--lun", 1, "--type", "error:verbs=read,from=1M,to=1052672+file")
d.tgtctl("lun", "create", 1, image("16M", "b.img"), "--lun", 2, "--type", "error:kind=enospc,verbs=write,after=2+file",
         "--thin")
d.tgtctl("lun", "create", 1, image("16M", "c.img"), "--lun", 3, "--type",
         "error:kind=hang,verbs=read,trigger=%s+file" % stuck)
session = login(d, settings={"node.conn[0].timeo.noop_out_interval": 0, "node.conn[0].timeo.noop_out_timeout": 0})


def dd(*words):
    return subprocess.run(["dd", "bs=4096"] + list(words), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True)


with point("a medium error is an error at the sector it is about, and nowhere else"):
    log, disk = kernel_log(), session.disk(1)
    done = dd("if=" + disk, "of=/dev/null", "iflag=direct", "skip=250", "count=12")
    assert "No data available" in done.stderr and "6+0 records out" in done.stderr, done.stderr  # ENODATA: the medium
    assert re.search(r"critical medium error, dev %s, sector 2048 " % os.path.basename(disk), log()), log()
    assert "Unrecovered read error" in log()
    assert not dd("if=" + disk, "of=/dev/null", "iflag=direct", "skip=257", "count=12").returncode
with point("a full store is an error that says so"):
    log, disk = kernel_log(), session.disk(2)
    assert not dd("if=/dev/zero", "of=" + disk, "oflag=direct", "count=2").returncode
    done = dd("if=/dev/zero", "of=" + disk, "oflag=direct", "count=1")
    assert "No space left on device" in done.stderr, (done.stderr, log())
with point("reads that hang are aborted by the initiator, and come back when the store does"):
    disk = session.disk(3)
    timeout = "/sys/class/block/%s/device/timeout" % os.path.basename(disk)
    write(stuck, "")
    write(timeout, 2)
    log = kernel_log()

    def requests():
        return int(re.search(r"tmfcmd_pdus: (\d+)", run("iscsiadm", "-m", "session", "-s")).group(1))
    before = requests()
    # many: the file is looked for as requests come, and counts for those that follow
    late = spawn("dd", "if=" + disk, "of=/dev/null", "bs=4096", "count=400", "iflag=direct")
    wait_until("a task management request", lambda: requests() > before or late.poll() is not None, 20)
    assert late.poll() is None, "dd has not waited"
    os.unlink(stuck)
    late.finish(60)
    write(timeout, 30)
    run("sg_turs", "-n", 3, disk, status=None)
    run("sg_turs", disk)
    note("%d task management requests; kernel: %s" % (requests() - before, log()))
with point("the logical units that were not concerned have not been reset"):
    assert not dd("if=" + session.disk(1), "of=/dev/null", "iflag=direct", "count=4").returncode
    assert "reset" not in log(), log()
with point("an offline LUN is not ready, and ready again when it is online"):
    disk = session.disk(1)
    d.tgtctl("lun", "offline", 1, 1)
    text = run("sg_turs", "-v", disk, status=None)
    assert "Not Ready" in text or "not ready" in text, text
    d.tgtctl("lun", "online", 1, 1)
    run("sg_turs", "-n", 3, disk, status=None)
    run("sg_turs", disk)
    assert not dd("if=" + disk, "of=/dev/null", "iflag=direct", "count=4").returncode
session.logout()
with point("the daemon ends well"):
    d.stop()
