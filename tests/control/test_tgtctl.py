#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""tgtctl: what it does, what it prints for people and as JSON, how it refuses."""

import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lab import TGTCTL, free_port, main, pdu, test, wait_until  # noqa: E402

NAME = "iqn.2026-01.org.example:a"


def ctl(lab, *args, env=None, stdin="", port="3"):
    env = dict(os.environ, TGT_IPC_SOCKET=lab.path("none"), **env or {})
    return subprocess.run([TGTCTL, "-C", port, *args], env=env, input=stdin, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=30)


def refused(d, text, *args, status=1):
    done = d.tgtctl(*args, check=False)
    assert done.returncode == status, "%s: status %d: %s" % (args, done.returncode, done.stderr)
    assert done.stderr.startswith("tgtctl: ") and text in done.stderr, "%s: %r" % (args, done.stderr)
    assert not done.stdout, done.stdout


@test
def one_command_makes_a_target_that_can_be_used(lab):
    d = lab.start()
    image = lab.path("new.img")
    text = d.tgtctl("export", image, "--size", "8M").stdout
    match = re.fullmatch(r"target  (iqn\.2026-11\.io\.stgt:[a-z0-9.-]+:new\.img)\ntid     1\nlun     1\n"
                         r"portal  127\.0\.0\.1:%d\n" % d.ports[0], text)
    assert match, text
    assert os.path.getsize(image) == 8 << 20 and os.stat(image).st_blocks < 64
    with pdu.Session.login(d.portal(), match.group(1)) as s:
        s.clear_unit_attention(1)
        assert s.capacity(1) == (16384, 512)
        s.write(5, b"data" * 128, lun=1)
        assert s.read(5, 1, lun=1) == b"data" * 128


@test
def export_takes_name_block_size_rules_and_store_options(lab):
    d = lab.start()
    answer = d.tgtctl_json("export", lab.image("8M"), "--name", NAME, "--tid", "7", "--lun", "3",
                           "--block-size", "4096", "--readonly", "--thin", "--allow", "10.0.0.0/8",
                           "--bsoflags", "sync")
    assert answer["tid"] == 7 and answer["lun"] == 3 and answer["name"] == NAME and answer["created"] is False, answer
    shown = d.tgtctl_json("target", "show", "7")[0]
    disk = shown["luns"][1]
    assert (disk["lun"], disk["block_size"], disk["size"]) == (3, 4096, 8 << 20), disk
    assert disk["readonly"] and disk["thin"] and disk["bsoflags"] == "sync", disk
    assert shown["acls"] == {"addresses": ["10.0.0.0/8"], "names": []}, shown
    answer = d.tgtctl_json("export", "--type", "mem", "--size", "2M", "--name", NAME + "m")
    assert answer["tid"] == 1 and d.tgtctl_json("target", "show", "1")[0]["luns"][1]["size"] == 2 << 20


@test
def a_relative_path_is_meant_from_where_the_caller_is(lab):
    d = lab.start()
    lab.image("1M", "here.img")
    done = subprocess.run([TGTCTL, "-C", str(d.control_port), "export", "here.img"], cwd=lab.folder, env=d.env(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert d.tgtctl_json("lun", "list")[0]["luns"][1]["path"] == lab.path("here.img")


@test
def an_export_that_fails_leaves_nothing_behind(lab):
    d = lab.start()
    image = lab.path("fresh.img")
    for text, args in (("no such file", (lab.path("missing.img"),)),
                       ("block size", (image, "--size", "1M", "--block-size", "700")),
                       ("neither an address", (image, "--size", "1M", "--allow", "nonsense")),
                       ("no store type 'steam'", (image, "--size", "1M", "--type", "steam")),
                       ("printable", (image, "--size", "1M", "--name", "")),
                       ("has no option 'colour'", ("--type", "mem", "--bsopts", "colour=red"))):
        done = d.tgtctl("export", *args, check=False)
        assert done.returncode == 1, (args, done)
        assert text in done.stderr or text == "printable", (text, done.stderr)
        wait_until("everything is undone", lambda: d.tgtctl_json("target", "list") == [] and not os.path.exists(image))
    d.tgtctl("export", image, "--size", "1M")
    refused(d, "exists already: choose another --name", "export", image)
    refused(d, "leave the size out", "export", image, "--size", "2M", "--name", NAME)
    assert len(d.tgtctl_json("target", "list")) == 1 and os.path.getsize(image) == 1 << 20


@test
def targets_units_rules_and_portals_come_and_go(lab):
    d = lab.start()
    assert d.tgtctl("target", "create", NAME).stdout == "target 1: %s\n" % NAME
    assert d.tgtctl("lun", "create", NAME, lab.image("4M")).stdout == "target 1 LUN 1\n"
    assert d.tgtctl("lun", "create", "1", "--type", "mem", "--bsopts", "size=1M").stdout == "target 1 LUN 2\n"
    d.tgtctl("acl", "add", "1", "127.0.0.0/8")
    d.tgtctl("acl", "add", "1", "iqn.1994-05.com.example:b")
    table = d.tgtctl("acl", "list", "1").stdout
    assert table == "TID  BY       RULE\n1    address  127.0.0.0/8\n1    name     iqn.1994-05.com.example:b\n", table
    table = d.tgtctl("lun", "list").stdout.splitlines()
    assert len(table) == 4 and table[2].split()[:4] == ["1", "1", "disk", "4"], table
    tree = d.tgtctl("ls").stdout
    assert tree.startswith("1  %s\n   LUN 1    disk, 4 MiB  rdwr  /" % NAME), tree
    d.tgtctl("lun", "set", "1", "2", "vendor_id=ACME", "online=0")
    unit = d.tgtctl_json("lun", "list")[0]["luns"][2]
    assert unit["vendor_id"] == "ACME" and unit["online"] is False, unit
    d.tgtctl("target", "set", "1", "MaxBurstLength", "131072")
    assert "MaxBurstLength" in d.tgtctl("target", "settings", "1").stdout
    assert d.tgtctl_json("target", "settings", "1")["MaxBurstLength"] == "131072"
    port = free_port()
    portals = d.tgtctl("portal", "add", "127.0.0.1:%d" % port).stdout
    assert portals == "127.0.0.1:%d\n127.0.0.1:%d\n" % (port, d.ports[0]), portals
    d.tgtctl("portal", "remove", "127.0.0.1:%d" % port)
    d.tgtctl("lun", "delete", "1", "2")
    d.tgtctl("acl", "remove", "1", "127.0.0.0/8")
    d.tgtctl("target", "delete", NAME)
    assert d.tgtctl("ls").stdout == ""


@test
def accounts_take_their_password_from_where_others_do_not_see_it(lab):
    d = lab.start()
    d.export(lab.image("1M"))
    with open(lab.path("secret"), "w") as f:
        f.write("from-a-file-1\nsecond line\n")
    d.tgtctl("account", "create", "file", "--password-file", lab.path("secret"))
    run = [TGTCTL, "-C", str(d.control_port), "account", "create"]
    for args, stdin, env in ((["stdin"], "from-stdin-123\n", {}),
                             (["dash", "--password-file", "-"], "from-dash-1234", {}),
                             (["env"], "", {"TGT_PASSWORD": "from-the-env-1"})):
        done = subprocess.run(run + args, input=stdin, text=True, env=dict(d.env(), **env), timeout=30,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert done.returncode == 0, done.stderr
    for user, secret in (("file", "from-a-file-1"), ("stdin", "from-stdin-123"), ("dash", "from-dash-1234"),
                         ("env", "from-the-env-1")):
        d.tgtctl("account", "bind", user, "1")
        d.login(chap=pdu.Chap(user, secret)).logout()
    d.tgtctl("account", "bind", "env", "--outgoing")
    text = d.tgtctl("account", "list").stdout
    assert re.search(r"^env +discovery +outgoing$", text, re.M) and re.search(r"^file +1 +incoming$", text, re.M), text
    d.tgtctl("account", "unbind", "file", "1")
    d.tgtctl("account", "delete", "file")
    refused(d, "there is no account file", "account", "delete", "file")
    refused(d, "has no password", "account", "create", "empty")


@test
def sessions_are_listed_and_closed(lab):
    d = lab.start()
    d.export(lab.image("1M"))
    s = d.login()
    listed = d.tgtctl_json("session", "list")
    assert listed[0]["initiator"] == pdu.INITIATOR and listed[0]["connections"][0]["address"] == "127.0.0.1", listed
    table = d.tgtctl("session", "list", "1").stdout
    assert pdu.INITIATOR in table and table.startswith("TID  SID  TRANSPORT  PEER"), table
    refused(d, "has no session 99", "session", "close", "1", "99")
    d.tgtctl("session", "close", "1", str(listed[0]["sid"]))
    wait_until("the session is gone", lambda: d.tgtctl_json("session", "list") == [])
    s.close()


@test
def stat_counts_what_is_alive(lab):
    d = lab.start()
    d.export(lab.image("1M"))
    before = d.tgtctl_json("stat")
    assert before["live"]["targets"] == 1 and before["live"]["luns"] == 2 and before["live"]["sessions"] == 0, before
    s = d.login()
    s.read(0, 8)
    during = d.tgtctl_json("stat")
    assert during["live"]["sessions"] == 1 and during["live"]["connections"] == 1, during
    unit = [u for u in during["luns"] if u["lun"] == 1][0]
    assert unit["read_bytes"] >= 4096 and unit["read_cmds"] >= 1 and unit["store"] == "open", unit
    s.logout()
    wait_until("all is gone", lambda: d.tgtctl_json("stat")["live"] == before["live"])
    text = d.tgtctl("stat").stdout
    assert "1 targets" in text and "tgtd-0" in text, text
    assert d.tgtctl_json("system")["stores"][0]["name"] == "file"


@test
def usage_errors_end_with_2_and_name_the_remedy(lab):
    for args, text in (((), "which command?"), (("steam",), "there is no command 'steam'"),
                       (("lun",), "there is: lun create, lun delete"),
                       (("lun", "creat", "1"), "there is no command 'lun creat'"),
                       (("lun", "delete", "1"), "lun delete needs LUN: tgtctl lun delete --help"),
                       (("lun", "delete", "1", "x"), "LUN 'x': a whole number"),
                       (("lun", "delete", "1", "-1"), "invalid option"),
                       (("target", "create", "a", "b"), "'b' is one argument too many"),
                       (("lun", "set", "1", "1", "x"), "'x': write NAME=VALUE"),
                       (("ls", "--force"), "unrecognized option '--force'"),
                       (("export", "/x", "--tid", "many"), "tid 'many': a whole number"),
                       (("rpc", "help", "[]"), "must be a JSON object")):
        done = ctl(lab, *args)
        ok = done.returncode == 2 and text in done.stderr and not done.stdout
        lab.point("tgtctl " + " ".join(args), ok, detail="" if ok else repr(done))


@test
def without_a_daemon_it_ends_with_3_and_says_so(lab):
    done = ctl(lab, "ls")
    assert done.returncode == 3, done
    assert done.stderr.startswith("tgtctl: no tgtd is running with control port 3 (%s" % lab.path("none.3")), done


@test
def every_command_has_help_with_an_example(lab):
    text = ctl(lab, "--help").stdout
    commands = [line.split(" [")[0] for line in re.findall(r"^  ([a-z].*)$", text, re.M)]
    names = [re.match(r"[a-z]+( [a-z]+)?", c).group() for c in commands if not c.startswith("tgtctl")]
    assert len(names) > 25, names
    for name in names:
        done = ctl(lab, *name.split(), "--help")
        ok = done.returncode == 0 and "Usage: tgtctl " + name in done.stdout and "\nExample:\n  " in done.stdout
        lab.point("tgtctl %s --help" % name, ok, detail="" if ok else repr(done))


@test
def the_daemon_explains_its_methods(lab):
    d = lab.start()
    methods = json.loads(d.tgtctl("rpc", "help").stdout)
    assert {"export", "target.create", "lun.create", "stat"} <= {m["method"] for m in methods}
    assert all(m["help"] for m in methods) and all(p["help"] for m in methods for p in m["params"])
    refused(d, "did you mean 'target.list'?", "rpc", "target.lits")
    refused(d, "has no parameter 'tidd': did you mean 'tid'?", "rpc", "target.list", '{"tidd": 1}')


@test
def shutdown_wants_force_while_there_are_targets(lab):
    d = lab.start()
    d.tgtctl("target", "create", NAME)
    refused(d, "there are targets left", "shutdown")
    d.tgtctl("shutdown", "--force")
    assert d.proc.wait(20) == 0


@test
def two_requests_for_one_lun_end_in_one_unit(lab):
    d = lab.start()
    d.tgtctl("target", "create", NAME)
    image = [lab.image("1M", "%d.img" % i) for i in range(8)]
    run = [TGTCTL, "-C", str(d.control_port), "lun", "create", "1", "--lun", "5"]
    procs = [subprocess.Popen(run + [path], env=d.env(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
             for path in image]
    status = sorted(p.wait(30) for p in procs)
    assert status == [0] + [1] * 7, status
    assert [u["lun"] for u in d.tgtctl_json("lun", "list")[0]["luns"]] == [0, 5]


main()
