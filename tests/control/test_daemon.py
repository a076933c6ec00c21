#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""tgtd as a process: background, errors of the start, service manager, control socket under abuse, bounded end."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lab import TGTD, free_port, main, pdu, test, wait_until  # noqa: E402

NAME = "iqn.2026-01.org.example:a"


def start(lab, *args, **env):
    return subprocess.run([TGTD, *args], env={**os.environ, "TGT_IPC_SOCKET": lab.path("ipc"), **env},
                          cwd=lab.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60)


def gone(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@test
def it_goes_to_the_background_when_it_is_ready(lab):
    port = free_port()
    done = start(lab, "-C", "5", "-p", "tgtd.pid", "--iscsi", "portal=127.0.0.1:%d" % port)
    assert done.returncode == 0 and not done.stdout and not done.stderr, done
    with open(lab.path("tgtd.pid")) as f:
        pid = int(f.read())
    try:
        socket.create_connection(("127.0.0.1", port), 10).close()
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rpartition(")")[2].split()
        assert int(fields[3]) == pid, "it is not the leader of a session of its own"
        for fd in range(3):
            assert os.readlink("/proc/%d/fd/%d" % (pid, fd)) == "/dev/null"
        assert os.readlink("/proc/%d/cwd" % pid) == "/"
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until("the daemon has ended", lambda: gone(pid))


@test
def errors_of_a_start_in_the_background_reach_the_caller(lab):
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        for args, text in ((("--iscsi", "portal=127.0.0.1:%d" % port), str(port)),
                           (("--iscsi", "portal=127.0.0.1:0", "-p", "/nowhere/pid"), "/nowhere/pid"),
                           (("--engine", "steam"), "steam")):
            done = start(lab, *args)
            assert done.returncode == 1 and done.stderr.startswith("tgtd: ") and text in done.stderr, done
            assert not os.path.exists(lab.path("ipc.0")), "a control socket is left behind"


@test
def a_folder_that_cannot_be_made_is_named(lab):
    done = start(lab, "-f", TGT_IPC_SOCKET="/proc/none/here/socket")
    assert done.returncode == 1 and "/proc/none/here/socket.0.lock" in done.stderr, done
    assert "TGT_IPC_SOCKET" in done.stderr, done


@test
def a_second_daemon_names_the_first(lab):
    d = lab.start()
    done = start(lab, "-f", "-C", str(d.control_port), "--iscsi", "portal=127.0.0.1:0")
    assert done.returncode == 1 and "another tgtd (process %d)" % d.proc.pid in done.stderr, done
    assert d.tgtctl_json("target", "list") == []


@test
def the_service_manager_is_told_when_it_is_ready_and_when_it_ends(lab):
    path = lab.path("notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(30)
        os.environ["NOTIFY_SOCKET"] = path
        try:
            d = lab.start()
        finally:
            del os.environ["NOTIFY_SOCKET"]
        assert s.recv(100) == b"READY=1"
        d.proc.terminate()
        assert s.recv(100) == b"STOPPING=1"
        assert d.proc.wait(30) == 0


@test
def the_memory_cap_is_split_over_the_reactors(lab):
    d = lab.start(options=("--memory", "64M", "--reactors", "2"))
    caps = [r["memory"]["cap"] for r in d.tgtctl_json("stat")["reactors"]]
    assert caps == [32 << 20] * 2, caps
    d = lab.start(options=("--memory", "4M", "--reactors", "8"))
    caps = [r["memory"]["cap"] for r in d.tgtctl_json("stat")["reactors"]]
    assert caps == [2 << 20] * 2, caps


class Client:
    def __init__(self, d):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.s.settimeout(30)
        self.s.connect("%s.%d" % (d.prefix, d.control_port))
        self.f = self.s.makefile("rb")

    def send(self, data):
        self.s.sendall(data if isinstance(data, bytes) else json.dumps(data).encode() + b"\n")
        return self

    def answer(self):
        return json.loads(self.f.readline())

    def close(self):
        self.f.close()
        self.s.close()


def call(method, **params):
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


@test
def clients_that_say_nothing_or_half_a_line_block_nobody(lab):
    d = lab.start()
    mute = [Client(d) for _ in range(20)]
    for c in mute[:10]:
        c.send(b'{"jsonrpc": "2.0", "id": 1, "meth')
    assert Client(d).send(call("portal.list")).answer()["result"] == ["127.0.0.1:%d,1" % d.ports[0]]
    mute[0].send(b'od": "portal.list"}\n')
    assert mute[0].answer()["result"] == ["127.0.0.1:%d,1" % d.ports[0]]
    for c in mute:
        c.close()


@test
def hostile_values_are_refused_and_change_nothing(lab):
    d = lab.start()
    d.export(lab.image("1M"))
    before = d.tgtctl_json("target", "list")
    c = Client(d)
    long = "x" * 60000
    for request in (call("target.create", name=long), call("target.create", name="a", tid=65536),
                    call("target.create", name="a", tid=-1), call("target.create", name="a", tid=2 ** 62),
                    call("lun.create", tid=1, lun=16384), call("lun.create", tid=1, lun=2, path="x" * 5000),
                    call("lun.create", tid=1, lun=2, bstype="mem", block_size=2 ** 40),
                    call("lun.create", tid=1, lun=2, bstype="mem", block_size="512T"),
                    call("lun.create", tid=1, lun=2, bstype="mem", bsopts="size=999999999999999999999"),
                    call("lun.create", tid=1, lun=2, bstype="../../lib/x"),
                    call("lun.create", tid=1, lun=2, path="/proc/self/mem"),
                    call("lun.create", tid=1, lun=2, path="/dev"),
                    call("lun.update", tid=1, lun=1, params={"vendor_id": ["x"]}),
                    call("lun.update", tid=1, lun=1, params={"mode_page": "8:0:18:" + "1:" * 5000}),
                    call("lun.update", tid=1, lun=0, params={"online": "0"}),
                    call("acl.add", tid=1), call("acl.add", tid=1, address="ALL", initiator="iqn.x"),
                    call("acl.add", tid=1, address="1.2.3.4/33"), call("acl.add", tid=1, address="::1/129"),
                    call("account.create", user="", password="x"), call("account.create", user="u", password=""),
                    call("account.create", user="u" * 256, password="x"),
                    call("session.close", tid=1, sid=-1), call("connection.close", tid=1, sid=1, cid=2 ** 33),
                    call("portal.add", portal="127.0.0.1:65536"), call("portal.add", portal="[::1:3"),
                    call("portal.add", portal="x" * 128), call("export", path="relative"), call("export"),
                    call("export", path=lab.path("new"), size=2 ** 20, block_size=2 ** 32 + 512),
                    call("export", bstype="mem", bsopts="size=1M" + ";" * 400 + "nonsense=1"),
                    call("export", path=lab.path("new"), size="9999999P"), call("export", path="/", size="1M"),
                    call("target.update", tid=1, name="MaxBurstLength", value="9" * 200),
                    call("target.list", tid=1, target=NAME), {"jsonrpc": "2.0", "id": 1, "method": long},
                    {"jsonrpc": "2.0", "id": 1, "method": "help", "params": {long[:1000]: 1}}):
        answer = c.send(request).answer()
        ok = "error" in answer and answer["error"]["message"]
        text = json.dumps(request["params"] if len(str(request)) < 200 else str(request)[:100])
        lab.point("%s %s" % (request["method"][:20], text), bool(ok), detail="" if ok else repr(answer)[:500])
    c.close()
    assert d.tgtctl_json("target", "list") == before
    d.login().logout()


@test
def a_request_of_more_than_64_kib_costs_only_its_client(lab):
    d = lab.start()
    c = Client(d)
    try:
        c.send(b"x" * 200000)
    except OSError:
        pass  # it hung up while we spoke
    try:
        assert "at most 65536 bytes" in c.answer()["error"]["message"]
    except ConnectionError:
        pass
    assert Client(d).send(call("portal.list")).answer()["result"]


@test
def requests_in_a_row_are_answered_in_order(lab):
    d = lab.start()
    c = Client(d)
    c.send(b"".join(json.dumps(dict(call("target.create", name=NAME + str(i)), id=i)).encode() + b"\n"
                    for i in range(1, 51)))
    assert [c.answer()["id"] for _ in range(50)] == list(range(1, 51))
    assert [t["tid"] for t in c.send(call("target.list")).answer()["result"]] == list(range(1, 51))


@test
def the_port_of_a_removed_portal_is_free(lab):
    d = lab.start()
    portal = "127.0.0.1:%d" % free_port()
    c = Client(d)
    for i in range(50):
        c.send(call("portal.add", portal=portal)).send(call("portal.remove", portal=portal))
    answers = [c.answer() for _ in range(100)]
    assert all("result" in a for a in answers), [a for a in answers if "error" in a][0]


@test
def targets_come_and_go_while_initiators_hammer_them(lab):
    d = lab.start(options=("--reactors", "2"))
    image = lab.image("1M")
    for _ in range(15):
        d.export(image)
        s = d.login()
        s.read(0, 8)
        d.tgtadm("--mode", "target", "--op", "delete", "--tid", "1", "--force")
        s.close()
    live = wait_until("nothing is alive", lambda: not any(
        v for k, v in d.tgtctl_json("stat")["live"].items()) and d.tgtctl_json("stat")["live"])
    assert live["targets"] == live["luns"] == live["sessions"] == live["buffer_bytes"] == 0, live


@test
def a_unit_goes_while_it_is_read(lab):
    d = lab.start(options=("--reactors", "2"))
    d.export(lab.image("8M"))
    s = d.login()
    for i in range(16):
        s.conn.send(pdu.scsi_command(bytes([0x28, 0, 0, 0, 0, 0, 0, 1, 0, 0]), 1, 100 + i, s.take_cmdsn(), read=True,
                                     edtl=131072))
    d.tgtctl("lun", "delete", "1", "1", "--force")
    assert [u["lun"] for u in d.tgtctl_json("lun", "list")[0]["luns"]] == [0]
    s.close()
    d.tgtctl("target", "delete", "1", "--force")


@test
def a_unit_whose_store_takes_its_time_goes_when_the_last_command_returns(lab):
    d = lab.start()
    d.tgtctl("export", "--type", "delay:delay_us=300000+mem", "--bsopts", "size=1M", "--name", NAME)
    d.name = NAME
    s = d.login()
    s.conn.send(pdu.scsi_command(bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0]), 1, 99, s.take_cmdsn(), read=True, edtl=4096))
    wait_until("the command is with the store", lambda: d.tgtctl_json("stat")["luns"][1]["inflight"] == 1)
    done = d.tgtadm("--mode", "lu", "--op", "delete", "--tid", "1", "--lun", "1", check=False)
    assert done.returncode == 22 and "tgtadm: this logical unit is still active\n" in done.stderr, done
    d.tgtctl("lun", "delete", "1", "1", "--force")
    assert [u["lun"] for u in d.tgtctl_json("stat")["luns"]] == [0]
    s.close()


@test
def a_target_that_is_being_deleted_is_not_changed(lab):
    d = lab.start()
    d.tgtctl("export", "--type", "delay:delay_us=2000000+mem", "--bsopts", "size=1M", "--name", NAME)
    d.name = NAME
    s = d.login()
    s.conn.send(pdu.scsi_command(bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0]), 1, 99, s.take_cmdsn(), read=True, edtl=4096))
    wait_until("the command is with the store", lambda: d.tgtctl_json("stat")["luns"][1]["inflight"] == 1)
    c = Client(d).send(call("target.delete", tid=1, force=True))
    wait_until("the deletion has begun", lambda: d.tgtctl_json("target", "list")[0]["state"] == "offline")
    for args in (("lun", "create", "1", "--type", "mem", "--bsopts", "size=1M"), ("lun", "delete", "1", "1", "--force"),
                 ("lun", "set", "1", "1", "vendor_id=ACME"), ("target", "set", "1", "state", "ready"),
                 ("target", "delete", "1", "--force")):
        done = d.tgtctl(*args, check=False)
        assert done.returncode == 1 and "is being deleted" in done.stderr, (args, done)
    assert "result" in c.answer()
    assert d.tgtctl_json("target", "list") == []
    s.close()


@test
def a_store_that_does_not_return_holds_up_neither_others_nor_the_end(lab):
    d = lab.start()
    d.tgtctl("export", "--type", "delay:delay_us=600000000+mem", "--bsopts", "size=1M", "--name", NAME)
    d.export(lab.image("1M"), name=NAME + "2", tid=2)
    d.name = NAME
    stuck = d.login()
    stuck.conn.send(pdu.scsi_command(bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0]), 1, 99, stuck.take_cmdsn(), read=True,
                                     edtl=4096))
    wait_until("the command is with the store", lambda: d.tgtctl_json("stat")["luns"][1]["inflight"] == 1)
    d.name = NAME + "2"
    s = d.login()
    s.write(0, b"safe" * 1024)
    s.close()
    assert d.stop(15) < 15
    with open(lab.path("disk.img"), "rb") as f:
        assert f.read(4096) == b"safe" * 1024
    assert "their commands are still with the stores" in d.log()
    stuck.close()


@test
def the_log_names_what_is_made_and_by_whom_it_is_used(lab):
    d = lab.start()
    image = lab.image("1M")
    d.export(image)
    d.login().logout()
    log = d.log()
    assert re.search(r"info: tgtd \S+: \d reactors? on (uring|epoll), \d+ MiB", log), log
    assert "127.0.0.1:%d" % d.ports[0] in log and image in log and pdu.INITIATOR in log, log


main()
