#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""tgtadm's texts, formats and exit statuses, to the byte as Debian's tgt 1.0.85 printed them. What follows on stderr
after "tgtadm: cause:" is ours."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lab import TGTADM, free_port, main, pdu, test, wait_until  # noqa: E402

NAME = "iqn.2026-01.org.example:a"
TRY_HELP = "Try `tgtadm --help' for more information.\n"
GONE = "tgtadm: failed to send request hdr to tgt daemon, Transport endpoint is not connected\n"

# arguments, stderr without causes, status; no daemon is running
ARGUMENTS = (
    ("", "tgtadm: specify the operation type\n", 22),
    ("--op show", "tgtadm: specify the mode\n", 22),
    ("--mode target", "tgtadm: specify the operation type\n", 22),
    ("--mode foo --op show", "tgtadm: unknown mode: foo\n", 1),
    ("--mode target --op foo", "tgtadm: unknown operation: foo\n", 1),
    ("--mode stats --op show", "tgtadm: unknown mode: stats\n", 1),
    ("--mode target --op show --lun 1", "tgtadm: target mode: option '-l' is not allowed/supported\n", 22),
    ("--mode target --op new --tid abc -T x", "-t argument value 'abc' invalid\n" + TRY_HELP, 22),
    ("--mode target --op new --tid 99999999999 -T x", "-t argument value '99999999999' out of range\n" + TRY_HELP, 22),
    ("--mode target --op new --tid -1 -T x", "-t argument value '-1' invalid\n" + TRY_HELP, 22),
    ("--bogus", "tgtadm: unrecognized option '--bogus'\n" + TRY_HELP, 22),
    ("extra", "tgtadm: unrecognized option 'extra'\n" + TRY_HELP, 22),
    ("--o show --m target", "tgtadm: option '--o' is ambiguous; possibilities: '--op' '--outgoing'\n" + TRY_HELP, 22),
    ("--mode target --op bind --tid 1 -I", "tgtadm: option requires an argument -- 'I'\n" + TRY_HELP, 22),
    ("-C 99999 --mode sys --op show", "-C argument value '99999' out of range\n" + TRY_HELP, 22),
    ("--mode target --op new --tid 3", "tgtadm: creating new target requires a name, use --targetname\n", 22),
    ("--mode target --op new --tid 0 -T x", "tgtadm: 'tid' cannot be 0\n", 22),
    ("--mode target --op new -T x", "tgtadm: 'tid' option is necessary\n", 22),
    ("--mode target --op start", "tgtadm: 'tid' option is necessary\n", 22),
    ("--mode target --op stat", "tgtadm: 'tid' option is necessary\n", 22),
    ("--mode target --op stat --tid 0", "tgtadm: 'tid' cannot be 0\n", 22),
    ("--mode target --op update --tid 1", "tgtadm: update operation requires 'name' and 'value' options\n", 22),
    ("--mode target --op bind --tid 1",
     "tgtadm: bind operation requires initiator-address, initiator-nameor bus\n", 22),
    ("--mode target --op unbind --tid 1",
     "tgtadm: unbind operation requires initiator-address, initiator-nameor bus\n", 22),
    ("--mode sys --op new", "tgtadm: operation new not supported in system mode\n", 22),
    ("--mode sys --op update -n x", "tgtadm: update operation requires 'name' and 'value' options\n", 22),
    ("--mode account --op update", "tgtadm: operation update not supported in account mode\n", 22),
    ("--mode account --op bind --tid 1", "tgtadm: 'user' option is necessary\n", 22),
    ("--mode account --op new -u joe", "tgtadm: 'user' and 'password' options are required\n", 22),
    ("--mode account --op show --tid 1", "tgtadm: account mode: option '-t' is not allowed/supported\n", 22),
    ("--mode lu --op new --lun 1", "tgtadm: 'tid' option is necessary\n", 22),
    ("--mode lu --op new --tid 1", "tgtadm: 'lun' option is necessary\n", 22),
    ("--mode lu --op show --tid 1 --lun 1", "tgtadm: operation show not supported in logicalunit mode\n", 22),
    ("--mode lu --op new --tid 1 --lun 1 -Y bogus -b x", "tgtadm: unknown target type: bogus\n", 22),
    ("--mode lu --op new --tid 1 --lun 1 -b x -u joe",
     "tgtadm: logicalunit mode: option '-u' is not allowed/supported\n", 22),
    ("--mode lu --op update --tid 1 --lun 1 -b x", "tgtadm: option '-b' not supported in logicalunit mode\n", 22),
    ("--mode portal --op update", "tgtadm: operation update not supported in portal mode\n", 22),
    ("--mode portal --op new", "tgtadm: you must specify --param portal=<portal>\n", 22),
    ("--mode portal --op show --tid 1", "tgtadm: option '-t' not supported in portal mode\n", 22),
    ("--mode lld --op show --tid 1", "tgtadm: lld mode: option '-t' is not allowed/supported\n", 22),
    ("--mode lld --op new", "tgtadm: option 0 not supported in lld mode\n", 22),
    ("--mode target --op show --tid 0", GONE, 107),
    ("--mode conn --op new --tid 1", GONE, 107),
    ("--mode sess --op stat", GONE, 107),
    ("--mode sys --op show --tid 1", GONE, 107),
    ("-t 1 --mode target --op new --targ x", GONE, 107),
    ("--lld foo --mode target --op show", GONE, 107),
    ("--params portal=x --mode portal --op new", GONE, 107),  # tgt wants the mode before it
)


def without_cause(text):
    return "".join(line for line in text.splitlines(True) if not line.startswith("tgtadm: cause: "))


@test
def every_argument_error_is_tgts_to_the_byte(lab):
    env = dict(os.environ, TGT_IPC_SOCKET=lab.path("none"))
    for line, text, status in ARGUMENTS:
        done = subprocess.run([TGTADM] + line.split(), env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=30)
        got = (without_cause(done.stderr), done.returncode, done.stdout)
        ok = got == (text, status, "")
        lab.point("tgtadm " + (line or "without arguments"), ok, detail="" if ok else repr(got))


@test
def help_and_version_end_with_0(lab):
    for option in ("--help", "-h", "--version", "-V"):
        done = subprocess.run([TGTADM, option], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
        assert done.returncode == 0 and done.stdout and not done.stderr, done
    assert "tgtadm --lld iscsi --mode target --op new" in subprocess.check_output([TGTADM, "--help"], text=True)


class Script:
    """Lines for tgtadm, each with what it must print and its status."""

    def __init__(self, d):
        self.d = d

    def __call__(self, line, out="", err="", status=None):
        done = self.d.tgtadm(*line.split(), check=False)
        status = (22 if err else 0) if status is None else status
        err = "tgtadm: %s\n" % err if err else ""
        assert done.returncode == status, "%s: status %d: %s" % (line, done.returncode, done.stderr)
        assert without_cause(done.stderr) == err, "%s: %r, wanted %r" % (line, done.stderr, err)
        if out is not None:
            assert done.stdout == out, "%s:\n%s-- wanted:\n%s" % (line, done.stdout, out)
        if status == 22:
            assert "tgtadm: cause: " in done.stderr, "%s: no cause: %s" % (line, done.stderr)
        return done.stdout


def lun(number, kind, sn, size, block, online="Yes", removable="No", bstype="rdwr", path="None", flags="", ro="No",
        thin="No"):
    return """\
        LUN: %d
            Type: %s
            SCSI ID: IET     %08x
            SCSI SN: %s
            Size: %s MB, Block size: %d
            Online: %s
            Removable media: %s
            Prevent removal: No
            Readonly: %s
            SWP: No
            Thin-provisioning: %s
            Backing store type: %s
            Backing store path: %s
            Backing store flags: %s
""" % (number, kind, 1 << 16 | number, sn, size, block, online, removable, ro, thin, bstype, path, flags)


def target(luns, state="ready", nop="", nexuses="", accounts="", acls=""):
    return """\
Target 1: %s
    System information:
        Driver: iscsi
        State: %s
%s    I_T nexus information:
%s    LUN information:
%s    Account information:
%s    ACL information:
%s""" % (NAME, state, nop, nexuses, "".join(luns), accounts, acls)


CONTROLLER = lun(0, "controller", "beaf10", "0", 1, bstype="null")


@test
def logical_units_are_shown_to_the_byte(lab):
    adm = Script(lab.start())
    image = lab.image("64M")
    adm("--lld iscsi --mode target --op new --tid 1 -T " + NAME)
    adm("--mode lu --op new --tid 1 --lun 1 -b %s --bsoflags sync" % image)
    disk = lun(1, "disk", "beaf11", "67", 512, path=image, flags="sync")
    empty = lun(2, "disk", "beaf12", "0", 512, online="No", removable="Yes")
    adm("--mode lu --op new --tid 1 --lun 2")
    adm("--mode target --op show", target([CONTROLLER, disk, empty]))
    adm("--mode lu --op new --tid 1 --lun 11 --bstype mem --bsopts size=8M --blocksize 4096 --device-type disk")
    adm("--mode lu --op update --tid 1 --lun 11 --params readonly=1,scsi_sn=abc,thin_provisioning=1,online=0")
    memory = lun(11, "disk", "abc", "8", 4096, online="No", bstype="mem", ro="Yes", thin="Yes")
    adm("--mode target --op show", target([CONTROLLER, disk, empty, memory]))
    adm("--mode lu --op delete --tid 1 --lun 2")
    adm("--mode lu --op update --tid 1 --lun 11 --params online=1,readonly=0")
    memory = memory.replace("Online: No", "Online: Yes").replace("Readonly: Yes", "Readonly: No")
    adm("--mode target --op show", target([CONTROLLER, disk, memory]))


@test
def rules_accounts_state_and_pings_are_shown_to_the_byte(lab):
    adm = Script(lab.start())
    adm("--mode target --op new --tid 1 -T " + NAME)
    for rule in ("-Q iqn.1994-05.com.example:b", "-I ALL", "-Q iqn.1994-05.com.example:a", "-I 10.0.0.0/8", "-I ::1"):
        adm("--mode target --op bind --tid 1 " + rule)
    for user in ("joe", "out"):
        adm("--mode account --op new -u %s -p secret" % user)
    adm("--mode account --op bind -t 1 -u joe")
    adm("--mode account --op bind -t 1 -u out --outgoing")
    adm("--mode target --op update --tid 1 --name state --value offline")
    adm("--mode target --op update --tid 1 --name nop_interval --value 5")
    adm("--mode target --op update --tid 1 --name nop_count --value 3")
    adm("--mode target --op show", target(
        [CONTROLLER], "offline", "        Nop interval: 5\n        Nop count: 3\n", "",
        "        joe\n        out (outgoing)\n",
        "        ALL\n        10.0.0.0/8\n        ::1\n"
        "        iqn.1994-05.com.example:b\n        iqn.1994-05.com.example:a\n"))
    adm("--mode account --op show", "Account list:\n    out\n    joe\n")
    adm("--mode account --op delete -u out")
    adm("--mode account --op unbind -t 1 -u joe")
    adm("--mode target --op unbind --tid 1 -I ALL")
    adm("--mode account --op show", "Account list:\n    joe\n")


@test
def errors_of_the_daemon_have_tgts_texts_and_a_cause(lab):
    d = lab.start()
    adm = Script(d)
    image = lab.image("1M")
    port = free_port()
    for line, err in (
            ("--mode target --op new --tid 1 -T " + NAME, ""),
            ("--mode target --op new --tid 1 -T x", "this target already exists"),
            ("--mode target --op new --tid 2 -T " + NAME, "this target already exists"),
            ("--mode target --op new --tid 2 -T " + NAME.upper(), "this target already exists"),
            ("--mode lu --op new --tid 1 --lun 1 -b " + image, ""),
            ("--mode lu --op new --tid 1 --lun 1 -b " + image, "this logical unit number already exists"),
            ("--mode lu --op new --tid 1 --lun 2 -b " + image, "invalid request"),  # it is in use
            ("--mode lu --op new --tid 1 --lun 2 -b /nowhere", "invalid request"),
            ("--mode lu --op new --tid 1 --lun 2 -E steam -b " + image, "invalid request"),
            ("--mode lu --op new --tid 1 --lun 2 -E mem -S colour=red", "invalid request"),
            ("--mode lu --op new --tid 1 --lun 2 -E mem -y 700", "invalid request"),
            ("--mode lu --op new --tid 1 --lun 99999 -E mem", "invalid request"),
            ("--mode lu --op new --tid 1 --lun 2 -Y tape -b " + image, "this operation isn't supported"),
            ("--mode lu --op new --tid 1 --lun 2 -Y pt -b " + image, "invalid request"),
            ("--mode lu --op new --tid 1 --lun 2 -Y pt", "invalid request"),
            ("--mode lu --op new --tid 1 --lun 2 -Y pt -E mem -S size=1M", "invalid request"),
            ("--mode lu --op new --tid 9 --lun 2 -b " + image, "can't find the target"),
            ("--mode lu --op delete --tid 1 --lun 5", "can't find the logical unit"),
            ("--mode lu --op delete --tid 1 --lun 0", "invalid request"),
            ("--mode lu --op update --tid 1 --lun 5 --params online=0", "can't find the logical unit"),
            ("--mode lu --op update --tid 1 --lun 1 --params foo=bar", "invalid request"),
            ("--mode lu --op update --tid 1 --lun 1 --params mode_page=8:0:18", "invalid request"),
            ("--mode lu --op update --tid 1 --lun 1", ""),
            ("--mode target --op bind --tid 1 -I ALL", ""),
            ("--mode target --op bind --tid 1 -I ALL", "this access control rule already exists"),
            ("--mode target --op bind --tid 1 -I nonsense", "invalid request"),
            ("--mode target --op bind --tid 1 -H 1", "this operation isn't supported"),
            ("--mode target --op unbind --tid 1 -I 10.0.0.9", "this access control rule does not exist"),
            ("--mode target --op show --tid 7", "can't find the target"),
            ("--mode target --op show --tid 0", "can't find the target"),
            ("--mode target --op update --tid 1 --name foo --value 1", "invalid request"),
            ("--mode target --op update --tid 1 --name state --value bogus", "invalid request"),
            ("--mode target --op update --tid 1 --name MaxBurstLength --value -7", "invalid request"),
            ("--mode account --op new -u joe -p secret", ""),
            ("--mode account --op new -u joe -p secret", "this account already exists"),
            ("--mode account --op bind -t 1 -u joe", ""),
            ("--mode account --op bind -t 1 -u joe", "this account already exists"),
            ("--mode account --op bind -t 1 -u joe --outgoing", ""),
            ("--mode account --op bind -t 1 -u joe --outgoing", "this target already has an outgoing account"),
            ("--mode account --op bind -t 1 -u none", "can't find the account"),
            ("--mode account --op unbind -t 1 -u none", "can't find the account"),
            ("--mode account --op delete -u none", "can't find the account"),
            ("--mode conn --op show", "can't find the target"),
            ("--mode conn --op show --tid 8", "can't find the target"),
            ("--mode conn --op delete --tid 1 --sid 4 --cid 0", "can't find the session"),
            ("--mode sess --op show --tid 1 --sid 2", "invalid request"),
            ("--mode sess --op stat --tid 1 --sid 2", "can't find the session"),
            ("--mode portal --op new --param portal=127.0.0.1:%d" % port, ""),
            ("--mode portal --op new --param portal=127.0.0.1:%d" % port, "invalid request"),
            ("--mode portal --op new --param portal=nowhere:1", "invalid request"),
            ("--mode portal --op new --param gate=1", "invalid request"),
            ("--mode portal --op delete --param portal=127.0.0.2:%d" % port, "invalid request"),
            ("--mode sys --op update --name State -v bogus", "invalid request"),
            ("--mode sys --op update --name foo -v on", "invalid request"),
            ("--lld foo --mode target --op show", "can't find the driver"),
            ("--lld iser --mode target --op show", "can't find the driver"),
            ("--mode lld --op stop", "this driver is busy")):
        try:
            adm(line, err=err)
            lab.point("tgtadm " + line.replace(image, "IMAGE").replace(str(port), "PORT"))
        except AssertionError as e:
            lab.point("tgtadm " + line, False, detail=str(e))


@test
def the_system_is_shown_to_the_byte(lab):
    adm = Script(lab.start())
    head = "System:\n    State: %s\n    debug: %s\nLLDs:\n    iscsi: ready\nBacking stores:\n    file"
    tail = "iSNS:\n    iSNS=Off\n    iSNSServerIP=\n    iSNSServerPort=3205\n    iSNSAccessControl=Off\n"
    text = adm("--mode sys --op show", None)
    assert text.startswith(head % ("ready", "off")) and text.endswith("    controller\n    passthrough\n" + tail), text
    assert "\n    rdwr (bsoflags sync:direct)\n" in text and "Device types:\n    disk\n" in text, text
    adm("--mode sys --op update --name State -v offline")
    adm("--mode sys --op update --name debug -v on")
    for line in ("new -u a -p b", "new -u c -p d", "bind -u a", "bind -u c --outgoing"):
        adm("--mode account --op " + line)
    text = adm("--mode sys --op show", None)
    assert text.startswith(head % ("offline", "on")), text
    accounts = "    Account information:\n\n    a\n    c (outgoing)\n"
    assert text.endswith("    controller\n    passthrough\n" + accounts + tail), text
    adm("--mode sys --op update --name debug -v off")
    adm("--mode sys --op update --name State -v ready")
    adm("--mode target --op new --tid 1 -T " + NAME)
    adm("--mode lld --op show", "LLDs:\n    iscsi: ready\n        Target 1: %s\n" % NAME)


@test
def the_driver_offline_refuses_logins_until_it_is_ready(lab):
    d = lab.start()
    adm = Script(d)
    d.export(lab.image("1M"))
    adm("--mode sys --op update --name State -v offline")
    try:
        d.login()
        raise AssertionError("logged in although the system is offline")
    except (pdu.LoginError, pdu.Closed):
        pass
    adm("--mode sys --op update --name State -v ready")
    d.login().logout()


@test
def sessions_and_their_counters_are_shown_to_the_byte(lab):
    d = lab.start()
    adm = Script(d)
    lun_head = "tgt lun sid rd_subm(bytes,cmds) rd_done(bytes,cmds) wr_subm(bytes,cmds) wr_done(bytes,cmds) errs\n"
    conn_head = "sid cid rxdata_octets txdata_octets dataout_pdus datain_pdus cmd_pdus rsp_pdus\n"
    d.export(lab.image("8M"), name=NAME)
    adm("--mode sys --op stat", lun_head)
    adm("--mode conn --op show --tid 1", "")
    s = d.login()
    s.write(0, bytes(8192))
    s.read(0, 16)
    initiator = pdu.INITIATOR
    adm("--mode conn --op show --tid 1",
        "Session: 1\n    Connection: 0\n        Initiator: %s\n        IP Address: 127.0.0.1\n" % initiator)
    text = adm("--mode target --op show", None)
    assert ("    I_T nexus information:\n        I_T nexus: 1\n            Initiator: %s alias: none\n"
            "            Connection: 0\n                IP Address: 127.0.0.1\n    LUN information:\n" % initiator
            ) in text, text
    for line in ("--mode sys --op stat", "--mode target --op stat --tid 1", "--mode lu --op stat --tid 1 --lun 1"):
        rows = adm(line, None)
        assert rows.startswith(lun_head), rows
        row = rows.splitlines()[-1]
        assert len(row) == 11 + 4 * 20 + 5 and row.split()[:3] == ["1", "1", "1"], repr(row)
        assert row.split()[9] == "8192", row
    parts = adm("--mode sess --op stat --tid 1 --sid 1", None).split("\n\n")
    assert len(parts) == 2 and parts[0].startswith(lun_head) and parts[1].startswith(conn_head), parts
    row = adm("--mode conn --op stat --tid 1 --sid 1 --cid 0", None)[len(conn_head):]
    assert row.startswith("  1   0 ") and len(row) == 7 + 14 + 14 + 13 + 12 + 9 + 9 + 1, repr(row)
    adm("--mode conn --op delete --tid 1 --sid 1 --cid 5", err="can't find the connection")
    adm("--mode target --op delete --tid 1", err="this target is still active")
    adm("--mode conn --op delete --tid 1 --sid 1 --cid 0")
    wait_until("the session is gone", lambda: adm("--mode conn --op show --tid 1", None) == "")
    adm("--mode target --op delete --tid 1")


@test
def portals_are_shown_newest_first(lab):
    d = lab.start()
    adm = Script(d)
    first, second = d.ports[0], free_port("::1")
    adm("--mode portal --op new --param portal=[::1]:%d" % second)
    adm("--mode portal --op show", "Portal: [::1]:%d,1\nPortal: 127.0.0.1:%d,1\n" % (second, first))
    adm("--mode portal --op delete --param portal=[::1]:%d" % second)
    adm("--mode pt --op show", "Portal: 127.0.0.1:%d,1\n" % first)


@test
def a_password_may_come_from_the_environment(lab):
    d = lab.start()
    os.environ["TGT_PASSWORD"] = "from-the-environment"
    try:
        Script(d)("--mode account --op new -u joe")
    finally:
        del os.environ["TGT_PASSWORD"]
    d.export(lab.image("1M"))
    Script(d)("--mode account --op bind -t 1 -u joe")
    d.login(chap=pdu.Chap("joe", "from-the-environment")).logout()


@test
def system_delete_waits_until_nobody_listens(lab):
    d = lab.start()
    adm = Script(d)
    adm("--mode target --op new --tid 1 -T " + NAME)
    adm("--mode sys --op delete", err="invalid request")
    adm("--mode sys --op delete --force")
    adm("--mode sys --op show", err=GONE[8:-1], status=107)
    assert d.proc.wait(20) == 0


main()
