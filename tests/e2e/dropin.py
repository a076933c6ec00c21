#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""tgtadm as scripts written for tgt use it: texts, exit codes, output that parsers read by column."""

import os
import re
import subprocess

from lab import TGTADM, cases, free_port, main, pdu, test

NAME = "iqn.2001-04.com.example:storage"


def adm(d, line, check=True):
    return d.tgtadm(*line.split(), check=check)


def refused(d, line, text, status=22):
    done = adm(d, line, check=False)
    assert done.returncode == status, "%s: status %d, expected %d" % (line, done.returncode, status)
    assert ("tgtadm: " + text) in done.stderr, "%s: %r does not hold %r" % (line, done.stderr, text)
    assert not done.stdout, done.stdout


def shown(d):
    return adm(d, "--lld iscsi --op show --mode target").stdout


def make(d, lab, tid=1, size="64M"):
    adm(d, "--lld iscsi --op new --mode target --tid %d -T %s%d" % (tid, NAME, tid))
    adm(d, "--lld iscsi --op new --mode logicalunit --tid %d --lun 1 -b %s" % (tid, lab.image(size, "%d.img" % tid)))
    adm(d, "--lld iscsi --op bind --mode target --tid %d -I ALL" % tid)
    d.name = NAME + str(tid)


TARGET = """\
Target 1: %s1
    System information:
        Driver: iscsi
        State: ready
    I_T nexus information:
    LUN information:
        LUN: 0
            Type: controller
            SCSI ID: IET     00010000
            SCSI SN: beaf10
            Size: 0 MB, Block size: 1
            Online: Yes
            Removable media: No
            Prevent removal: No
            Readonly: No
            SWP: No
            Thin-provisioning: No
            Backing store type: null
            Backing store path: None
            Backing store flags:\x20
        LUN: 1
            Type: disk
            SCSI ID: IET     00010001
            SCSI SN: beaf11
            Size: 67 MB, Block size: 512
            Online: Yes
            Removable media: No
            Prevent removal: No
            Readonly: No
            SWP: No
            Thin-provisioning: No
            Backing store type: rdwr
            Backing store path: %s
            Backing store flags:\x20
    Account information:
    ACL information:
        ALL
"""


@test
def a_target_is_shown_to_the_letter_as_tgt_showed_it(lab):
    d = lab.start()
    assert adm(d, "--lld iscsi --op show --mode target").stdout == ""
    make(d, lab)
    want = TARGET % (NAME, lab.path("1.img"))
    assert shown(d) == want, "%s\n-- wanted:\n%s" % (shown(d), want)


@test
def the_script_of_the_manual_works_from_new_to_delete(lab):
    d = lab.start()
    image = lab.image("64M")
    for line in ("--lld iscsi --op new --mode target --tid 1 -T " + NAME,
                 "--lld iscsi --op new --mode logicalunit --tid 1 --lun 1 -b " + image,
                 "--lld iscsi --op bind --mode target --tid 1 -I ALL",
                 "--lld iscsi --op update --mode logicalunit --tid 1 --lun 1 --params vendor_id=ACME,product_id=DISK",
                 "--lld iscsi --op update --mode target --tid 1 --name MaxRecvDataSegmentLength --value 65536"):
        adm(d, line)
    d.name = NAME
    s = d.login()
    inquiry = s.command(bytes([0x12, 0, 0, 0, 96, 0]), 1, read=96).data
    assert inquiry[8:16] == b"ACME    " and inquiry[16:20] == b"DISK", inquiry
    s.logout()
    for line in ("--lld iscsi --op unbind --mode target --tid 1 -I ALL",
                 "--lld iscsi --op delete --mode logicalunit --tid 1 --lun 1",
                 "--lld iscsi --op delete --mode target --tid 1"):
        adm(d, line)
    assert shown(d) == ""


@test
def short_options_and_other_orders_are_the_same(lab):
    d = lab.start()
    image = lab.image("1M")
    adm(d, "-m target -o new -t 1 -L iscsi -T " + NAME)
    adm(d, "-b %s -l 1 -t 1 -o new -m lu" % image)
    adm(d, "-o bind -m tgt -t 1 -I 127.0.0.1 -L iscsi")
    adm(d, "--op bind --mode target --tid=1 --initiator-name=iqn.2001-04.com.example:client")
    text = shown(d)
    assert re.search(r"ACL information:\n {8}127\.0\.0\.1\n {8}iqn\.2001-04\.com\.example:client\n$", text), text


@cases(
    ("tid 0", "--lld iscsi --op new --mode target --tid 0 -T x", "'tid' cannot be 0"),
    ("no tid", "--lld iscsi --op new --mode target -T x", "'tid' option is necessary"),
    ("tid taken", "--lld iscsi --op new --mode target --tid 1 -T other", "this target already exists"),
    ("name taken", "--lld iscsi --op new --mode target --tid 2 -T %s1" % NAME, "this target already exists"),
    ("no such target", "--lld iscsi --op delete --mode target --tid 77", "can't find the target"),
    ("show of none", "--lld iscsi --op show --mode target --tid 77", "can't find the target"),
    ("lun taken", "--lld iscsi --op new --mode logicalunit --tid 1 --lun 1 -b /dev/zero",
     "this logical unit number already exists"),
    ("no such path", "--lld iscsi --op new --mode logicalunit --tid 1 --lun 2 -b /no/such/file", "invalid request"),
    ("no such type", "--lld iscsi --op new --mode logicalunit --tid 1 --lun 2 --bstype steam -b /dev/zero",
     "invalid request"),
    ("no such lun", "--lld iscsi --op delete --mode logicalunit --tid 1 --lun 9", "can't find the logical unit"),
    ("unknown lun param", "--lld iscsi --op update --mode logicalunit --tid 1 --lun 1 --params colour=red",
     "invalid request"),
    ("unknown target key", "--lld iscsi --op update --mode target --tid 1 -n Colour -v red", "invalid request"),
    ("bound twice", "--lld iscsi --op bind --mode target --tid 1 -I ALL", "this access control rule already exists"),
    ("not bound", "--lld iscsi --op unbind --mode target --tid 1 -I 10.0.0.1",
     "this access control rule does not exist"),
    ("no such account", "--lld iscsi --op delete --mode account --user nobody", "can't find the account"),
    ("account not there", "--lld iscsi --op bind --mode account --tid 1 --user nobody", "can't find the account"),
    ("no such session", "--lld iscsi --op delete --mode conn --tid 1 --sid 99 --cid 0", "can't find the session"),
    ("no such driver", "--lld steam --op new --mode target --tid 3 -T x", "can't find the driver"),
    ("lun show", "--lld iscsi --op show --mode logicalunit --tid 1 --lun 1",
     "operation show not supported in logicalunit mode"),
)
def an_error_has_its_text_and_status_22_and_changes_nothing(lab, line, text):
    d = lab.start()
    make(d, lab)
    before = shown(d)
    refused(d, line, text)
    assert shown(d) == before


@cases(("mode", "--lld iscsi --op new --mode steam --tid 1"), ("op", "--lld iscsi --op steam --mode target --tid 1"))
def an_unknown_mode_or_op_ends_with_1(lab, line):
    d = lab.start()
    done = adm(d, line, check=False)
    assert done.returncode == 1 and done.stderr.startswith("tgtadm: "), done


@test
def without_a_daemon_it_ends_with_107_and_its_text(lab):
    done = subprocess.run([TGTADM, "-C", "3", "--lld", "iscsi", "--op", "show", "--mode", "target"],
                          env=dict(os.environ, TGT_IPC_SOCKET=lab.path("none")), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode == 107, done
    assert "tgtadm: failed to send request hdr to tgt daemon, Transport endpoint is not connected" in done.stderr


@test
def a_target_in_use_is_deleted_only_by_force(lab):
    d = lab.start()
    make(d, lab)
    s = d.login()
    refused(d, "--lld iscsi --op delete --mode target --tid 1", "this target is still active")
    s.ping()
    adm(d, "--lld iscsi --op delete --mode target --tid 1 --force")
    assert shown(d) == ""
    s.close()


@test
def sessions_and_connections_are_shown_and_cut_as_longhorn_does_it(lab):
    d = lab.start()
    make(d, lab)
    assert adm(d, "--lld iscsi --op show --mode conn --tid 1").stdout == ""
    s = d.login()
    text = adm(d, "--lld iscsi --op show --mode conn --tid 1").stdout
    match = re.fullmatch(r"Session: (\d+)\n    Connection: (\d+)\n        Initiator: %s\n"
                         r"        IP Address: 127.0.0.1\n" % re.escape(pdu.INITIATOR), text)
    assert match, text
    shows = re.search(r"    I_T nexus information:\n        I_T nexus: (\d+)\n            Initiator: %s alias: \S+\n"
                      r"            Connection: (\d+)\n                IP Address: 127.0.0.1\n    LUN information:" %
                      re.escape(pdu.INITIATOR), shown(d))
    assert shows and shows.groups() == match.groups(), shown(d)
    adm(d, "--lld iscsi --op delete --mode conn --tid 1 --sid %s --cid %s" % match.groups())
    try:
        while True:  # perhaps asked to log out first
            s.conn.recv()
    except pdu.Closed:
        pass
    adm(d, "--lld iscsi --op unbind --mode target --tid 1 -I ALL")
    adm(d, "--lld iscsi --op delete --mode logicalunit --tid 1 --lun 1")
    adm(d, "--lld iscsi --op delete --mode target --tid 1")


@test
def nobody_gets_in_before_bind_and_after_unbind(lab):
    d = lab.start()
    make(d, lab)
    d.login().logout()
    adm(d, "--lld iscsi --op unbind --mode target --tid 1 -I ALL")
    for rule in (None, "-I 10.9.8.7", "-Q iqn.2001-04.com.example:other"):
        if rule:
            adm(d, "--lld iscsi --op bind --mode target --tid 1 " + rule)
        try:
            d.login()
            raise AssertionError("logged in with the rule %s" % rule)
        except pdu.LoginError as e:
            assert e.cls == 2, e
    adm(d, "--lld iscsi --op bind --mode target --tid 1 -Q " + pdu.INITIATOR)
    d.login().logout()


@test
def accounts_guard_a_target_both_ways(lab):
    d = lab.start()
    make(d, lab)
    adm(d, "--lld iscsi --op new --mode account --user joe --password secret-of-joe-1")
    adm(d, "--lld iscsi --op new --mode account --user tgt --password secret-of-tgt-2")
    refused(d, "--lld iscsi --op new --mode account --user joe --password x", "this account already exists")
    assert adm(d, "--lld iscsi --op show --mode account").stdout == "Account list:\n    tgt\n    joe\n"
    adm(d, "--lld iscsi --op bind --mode account --tid 1 --user joe")
    adm(d, "--lld iscsi --op bind --mode account --tid 1 --user tgt --outgoing")
    refused(d, "--lld iscsi --op bind --mode account --tid 1 --user tgt --outgoing",
            "this target already has an outgoing account")
    assert "    Account information:\n        joe\n        tgt (outgoing)\n" in shown(d), shown(d)
    for algorithm in (5, 6, 7, 8):
        d.login(chap=pdu.Chap("joe", "secret-of-joe-1", algorithms=(algorithm,))).logout()
        d.login(chap=pdu.Chap("joe", "secret-of-joe-1", "tgt", "secret-of-tgt-2", algorithms=(algorithm,))).logout()
    for chap in (None, pdu.Chap("joe", "wrong-secret-1"), pdu.Chap("jim", "secret-of-joe-1")):
        try:
            d.login(chap=chap)
            raise AssertionError("logged in with %r" % (chap and chap.user))
        except pdu.LoginError as e:
            assert (e.cls, e.detail) == (2, 1), e
    adm(d, "--lld iscsi --op unbind --mode account --tid 1 --user joe")
    adm(d, "--lld iscsi --op delete --mode account --user joe")
    d.login().logout()


@test
def the_system_is_shown_with_what_scripts_look_for(lab):
    d = lab.start()
    text = adm(d, "--lld iscsi --op show --mode sys").stdout
    for part in ("System:\n    State: ready\n", "LLDs:\n    iscsi: ready\n", "Backing stores:\n", " rdwr",
                 "Device types:\n    disk\n", "iSNS:\n    iSNS=Off\n"):
        assert part in text, "%r is not in\n%s" % (part, text)


@test
def parameters_of_a_target_are_shown_as_tgt_showed_them(lab):
    d = lab.start()
    make(d, lab)
    lines = adm(d, "--lld iscsi --op show --mode target --tid 1").stdout.splitlines()
    keys = [line.partition("=")[0] for line in lines]
    for key in ("MaxRecvDataSegmentLength", "HeaderDigest", "DataDigest", "InitialR2T", "MaxOutstandingR2T",
                "ImmediateData", "FirstBurstLength", "MaxBurstLength", "DataPDUInOrder", "DataSequenceInOrder",
                "ErrorRecoveryLevel", "DefaultTime2Wait", "DefaultTime2Retain", "MaxConnections", "MaxQueueCmd"):
        assert key in keys, lines
    assert all("=" in line for line in lines), lines


@test
def write_cache_is_switched_off_by_the_string_that_tgt_admin_uses(lab):
    d = lab.start()
    make(d, lab)
    s = d.login()

    def wce():
        page = s.command(bytes([0x1A, 8, 8, 0, 255, 0]), 1, read=255).data
        return bool(page[4 + 2] & 4)
    assert wce()
    adm(d, "--lld iscsi --op update --mode logicalunit --tid 1 --lun 1 --params "
           "mode_page=8:0:18:0x10:0:0xff:0xff:0:0:0xff:0xff:0xff:0xff:0x80:0x14:0:0:0:0:0:0")
    s.clear_unit_attention()
    assert not wce()
    s.logout()


@test
def the_last_delete_ends_the_daemon(lab):
    d = lab.start()
    make(d, lab)
    refused(d, "--op delete --mode system", "invalid request")
    assert d.alive()
    adm(d, "--lld iscsi --op delete --mode target --tid 1")
    adm(d, "--op delete --mode system")
    assert d.proc.wait(20) == 0


@test
def portals_come_and_go(lab):
    d = lab.start()
    make(d, lab)
    port = free_port()
    refused(d, "--lld iscsi --op new --mode portal", "you must specify --param portal=<portal>")
    adm(d, "--lld iscsi --op new --mode portal --param portal=127.0.0.1:%d" % port)
    text = adm(d, "--lld iscsi --op show --mode portal").stdout
    assert text == "Portal: 127.0.0.1:%d,1\nPortal: 127.0.0.1:%d,1\n" % (port, d.ports[0]), text
    pdu.Session.login(("127.0.0.1", port), d.name).logout()
    adm(d, "--lld iscsi --op delete --mode portal --param portal=127.0.0.1:%d" % port)
    assert str(port) not in adm(d, "--lld iscsi --op show --mode portal").stdout


main()
