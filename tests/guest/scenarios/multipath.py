# SPDX-License-Identifier: BSD-2-Clause
"""dm-multipath over two portals: a cable is pulled under load and put in, then the other portal goes and comes back."""
# lab: seconds 120
# lab: modules iscsi_tcp sd_mod veth dm_multipath dm_round_robin dm_service_time
# lab: needs iscsid fio multipath multipathd ip
# lab: udev yes
# lab: order 90

from scenario import *

PORTALS = ("10.1.0.2:3260", "10.2.0.2:3260")
# a path that says nothing is given up after 1 + 2 + 3 seconds
IMPATIENT = {"node.session.timeo.replacement_timeout": 3, "node.conn[0].timeo.noop_out_interval": 1,
             "node.conn[0].timeo.noop_out_timeout": 2}
CONF = """defaults {
	user_friendly_names no
	find_multipaths no
	polling_interval 1
	max_polling_interval 2
	path_checker tur
	no_path_retry queue
	checker_timeout 5
}
"""


def paths():
    """{disk: state} as multipathd says"""
    text = run("multipathd", "show", "paths", "raw", "format", "%d %t %T", status=None)
    return {w[0]: w[1:] for w in (line.split() for line in text.splitlines()) if len(w) == 3 and w[0].startswith("sd")}


def ready():
    return [disk for disk, state in paths().items() if state == ["active", "ready"]]


def writes(disk):
    return int(read("/sys/class/block/%s/stat" % disk).split()[4])


def goes_on_by(disk):
    """With this path only, and no less than before"""
    wait_until("%s is the only path" % disk, lambda: ready() == [disk], 40)
    before = writes(disk)
    wait_until("200 writes to " + disk, lambda: writes(disk) > before + 200)
    assert fio.poll() is None, fio.finish(0)


def both_again():
    wait_until("both paths are ready", lambda: len(ready()) == 2, 40)
    assert fio.poll() is None, fio.finish(0)


# two cables to a target in a network namespace
run("ip", "netns", "add", "target")
for n in (1, 2):
    run("ip", "link", "add", "here%d" % n, "type", "veth", "peer", "name", "there%d" % n, "netns", "target")
    run("ip", "addr", "add", "10.%d.0.1/24" % n, "dev", "here%d" % n)
    run("ip", "-n", "target", "addr", "add", "10.%d.0.2/24" % n, "dev", "there%d" % n)
    run("ip", "link", "set", "here%d" % n, "up")
    run("ip", "-n", "target", "link", "set", "there%d" % n, "up")

write("/etc/multipath.conf", CONF)
d = Tgtd(*PORTALS, under=["ip", "netns", "exec", "target"]).export(image("64M"))
disks, known = [], set()
for portal in PORTALS:
    disks.append(os.path.basename(login(d, portal=portal, settings=IMPATIENT).disk()))
    new = {s["sid"] for s in d.json("session", "list")} - known
    known |= new
(second,) = new
daemon = spawn("multipathd", "-d", "-s")
try:
    with point("one map has both paths"):
        wait_until("two paths that are ready", lambda: len(ready()) == 2, 60)
        names = [n for n in os.listdir("/dev/mapper") if n != "control"]
        assert len(names) == 1, names
        table = "/dev/mapper/" + names[0]
    log = kernel_log()
    fio = spawn("fio", "--name=load", "--filename=" + table, "--rw=randwrite", "--bs=4k", "--size=32M", "--direct=1",
                "--ioengine=libaio", "--iodepth=8", "--verify=crc32c", "--do_verify=1", "--verify_fatal=1",
                "--randseed=5", "--rate_iops=300")
    with point("the first cable is pulled: I/O goes on by the second"):
        run("ip", "link", "set", "here1", "down")
        goes_on_by(disks[1])
    with point("the cable is put in: both paths are ready again"):
        run("ip", "link", "set", "here1", "up")
        both_again()
    with point("the second portal is removed and its session closed: I/O goes on by the first"):
        d.tgtctl("portal", "remove", PORTALS[1])
        d.tgtctl("session", "close", 1, second)
        goes_on_by(disks[0])
    with point("the portal is added again: both paths are ready"):
        d.tgtctl("portal", "add", PORTALS[1])
        both_again()
    with point("fio reads back all that it wrote, without an error"):
        fio.finish(100)
    with point("the map has seen no I/O error"):
        assert not re.search(r"I/O error, dev dm-", log()), log()
finally:
    run("multipath", "-F", status=None)
    daemon.terminate()
    for n in (1, 2):
        run("ip", "link", "del", "here%d" % n)
    run("ip", "netns", "del", "target")
