#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Sessions and connections: NOP, text, logout, reinstatement, discovery, peers that are slow, silent or gone."""

import contextlib
import ctypes
import fcntl
import os
import signal
import socket
import struct
import time

from rig import (INVALID_FIELD, PROTOCOL, TIMEOUT, TUR, Skip, cases, daemon_works, disk, expect, live, main, pattern,
                 pdu, raw_command, read16, still_works, test, wait_until, write16)

SHORT_LOGIN = ("--reactors", "1", "--iscsi", "login_timeout=1")


def expect_async(session):
    p = session.conn.recv()
    assert p.opcode == pdu.ASYNC_MSG, repr(p)
    return p


# ---- NOP ----

@cases(("nothing", 0), ("1", 1), ("4096", 4096), ("64 KiB", 65536), ("256 KiB", 262144))
def ping_data_comes_back(lab, length):
    s = disk(lab).login()
    s.ping(pattern(262144)[:length])
    still_works(s)


@test
def ping_data_comes_back_no_longer_than_the_initiator_takes(lab):
    s = disk(lab).login(keys={"MaxRecvDataSegmentLength": "512"})
    s.conn.send(pdu.nop_out(9, cmdsn=s.cmdsn, data=pattern(2048), immediate=True))
    assert expect(s, pdu.NOP_IN, itt=9).data == pattern(2048)[:512]


@test
def a_ping_in_its_turn_takes_a_cmdsn(lab):
    s = disk(lab).login()
    s.conn.send(pdu.nop_out(9, cmdsn=s.take_cmdsn(), data=b"x"))
    expect(s, pdu.NOP_IN, itt=9, expcmdsn=s.cmdsn)
    still_works(s)


@test
def a_nop_out_without_tag_is_not_answered(lab):
    s = disk(lab).login()
    s.conn.send(pdu.nop_out(pdu.RESERVED_TAG, cmdsn=s.cmdsn, immediate=True))
    still_works(s)


@test
def a_silent_initiator_is_pinged(lab):
    s = disk(lab, options=("--reactors", "1", "--iscsi", "nop_interval=1,nop_count=3")).login()
    p = s.conn.recv()
    assert p.opcode == pdu.NOP_IN and p.itt == pdu.RESERVED_TAG and p.ttt != pdu.RESERVED_TAG
    assert p.statsn == s.expstatsn
    s.conn.send(pdu.nop_out(pdu.RESERVED_TAG, p.ttt, cmdsn=s.cmdsn, immediate=True))
    still_works(s)


@test
def an_initiator_that_answers_no_ping_is_dropped(lab):
    d = disk(lab, options=("--reactors", "1", "--iscsi", "nop_interval=1,nop_count=2"))
    s = d.login()
    pings = 0
    try:
        while True:
            assert s.conn.recv().opcode == pdu.NOP_IN
            pings += 1
    except pdu.Closed:
        pass
    assert pings == 2, pings
    wait_until("the session is gone", lambda: live(d)["sessions"] == 0)


# ---- text ----

@test
def the_session_s_own_target_is_told(lab):
    d = disk(lab)
    s = d.login()
    own = [(d.name, [d.portal() + ",1"])]
    assert s.send_targets("") == own
    assert s.send_targets(d.name) == own
    assert s.send_targets("iqn.2026-01.org.example:other") == []
    assert b"SendTargets=Reject" in s.text({"SendTargets": "All"})
    still_works(s)


@test
def discovery_lists_all_targets_or_one(lab):
    d = disk(lab)
    for i in range(2, 5):
        d.tgtadm("--lld", "iscsi", "--op", "new", "--mode", "target", "--tid", str(i), "-T",
                 "iqn.2026-01.org.example:t%d" % i)
        if i != 3:
            d.tgtadm("--lld", "iscsi", "--op", "bind", "--mode", "target", "--tid", str(i), "-I", "ALL")
    with pdu.Session.discovery(d.portal()) as s:
        portal = [d.portal() + ",1"]
        both = [("iqn.2026-01.org.example:t%d" % i, portal) for i in (2, 4)]
        assert s.send_targets() == [(d.name, portal)] + both
        assert s.send_targets(both[1][0]) == [both[1]]
        assert s.send_targets("iqn.2026-01.org.example:t3") == [], "it admits nobody"
        assert s.send_targets("iqn.2026-01.org.example:none") == []
        s.ping()
        assert s.logout() == 0


@test
def a_long_list_comes_in_parts(lab):
    d = disk(lab)
    names = [d.name]
    for i in range(2, 60):
        names.append("iqn.2026-01.org.example:" + "%02d" % i * 80)
        d.tgtctl("target", "create", names[-1])
        d.tgtadm("--lld", "iscsi", "--op", "bind", "--mode", "target", "--tid", str(i), "-I", "ALL")
    for limit in ("512", "8192", "262144"):
        with pdu.Session.discovery(d.portal(), keys={"MaxRecvDataSegmentLength": limit}) as s:
            assert [name for name, _ in s.send_targets()] == names


@test
def a_request_may_come_in_parts(lab):
    d = disk(lab)
    s = pdu.Session.discovery(d.portal())
    p = pdu.text_request((), s.itt(), cmdsn=s.take_cmdsn(), final=False, more=True)
    p.data = b"SendTar"
    s.conn.send(p)
    r = expect(s, pdu.TEXT_RSP, itt=p.itt, data_length=0)
    assert r.ttt != pdu.RESERVED_TAG and not r.flags & 0xC0
    q = pdu.text_request((), p.itt, r.ttt, s.take_cmdsn())
    q.data = b"gets=All\0"
    s.conn.send(q)
    assert d.name.encode() in expect(s, pdu.TEXT_RSP, itt=p.itt, flags=0x80).data


@cases(("no key", b"rubbish", PROTOCOL), ("twice", b"SendTargets=All\0SendTargets=All\0", PROTOCOL),
       ("F and C", None, INVALID_FIELD))
def bad_text_is_rejected(lab, text, reason):
    s = pdu.Session.discovery(disk(lab).portal())
    p = pdu.text_request((), s.itt(), cmdsn=s.take_cmdsn(), more=text is None)
    p.data = text or b"SendTargets=All\0"
    s.conn.send(p)
    expect(s, pdu.REJECT, response=reason)
    assert s.send_targets()


@test
def text_without_end_is_refused(lab):
    d = disk(lab)
    s = pdu.Session.discovery(d.portal())
    ttt = pdu.RESERVED_TAG
    for _ in range(200):
        p = pdu.text_request((), 77, ttt, s.take_cmdsn(), final=False, more=True)
        p.data = b"x" * 8000
        s.conn.send(p)
        r = s.recv()
        if r.opcode == pdu.REJECT:
            break
        ttt = r.ttt
    else:
        raise AssertionError("it takes text for ever")
    assert s.send_targets()


@test
def a_strange_transfer_tag_in_text_is_rejected(lab):
    s = pdu.Session.discovery(disk(lab).portal())
    s.conn.send(pdu.text_request({"SendTargets": "All"}, s.itt(), 0x1234, s.take_cmdsn()))
    expect(s, pdu.REJECT, response=INVALID_FIELD)
    assert s.send_targets()


@test
def unknown_keys_are_not_understood(lab):
    s = disk(lab).login()
    assert b"X-com.example.key=NotUnderstood" in s.text({"X-com.example.key": "1"})
    still_works(s)


# ---- logout ----

@cases(("the session", 0, 0, 0), ("the connection", 1, 7, 0), ("another connection", 1, 8, 1),
       ("for recovery", 2, 7, 2))
def logout_is_answered(lab, reason, cid, response):
    d = disk(lab)
    s = d.login(cid=7)
    s.conn.send(pdu.logout_request(99, reason, cid, s.cmdsn, s.expstatsn))
    expect(s, pdu.LOGOUT_RSP, itt=99, response=response)
    if response:
        still_works(s)
    else:
        assert s.conn.is_closed()
        wait_until("the session is gone", lambda: live(d)["sessions"] == 0)


@test
def logout_in_its_turn_comes_after_what_was_sent_before(lab):
    s = disk(lab).login()
    tags = [s.send_command(TUR, 1) for _ in range(3)]
    s.conn.send(pdu.logout_request(99, 0, 0, s.take_cmdsn(), s.expstatsn, immediate=False))
    assert all(r.status == 0 for r in s.finish(*tags))
    expect(s, pdu.LOGOUT_RSP, itt=99, response=0)


@test
def logout_before_its_turn_waits_for_it(lab):
    d = disk(lab)
    before = live(d)
    s = d.login()
    s.conn.send(pdu.logout_request(99, 0, 0, s.cmdsn + 1, s.expstatsn, immediate=False))
    s.conn.send(raw_command(s, TUR), raw_command(s, TUR))
    expect(s, pdu.SCSI_RSP, status=0)
    expect(s, pdu.LOGOUT_RSP, itt=99, response=0)
    assert s.conn.is_closed()
    wait_until("everything is gone", lambda: live(d) == before)


@test
def logout_ends_writes_that_wait_for_data(lab):
    d = disk(lab)
    s = d.login(keys={"ImmediateData": "No"})
    p = raw_command(s, write16(0, 1), write=True, edtl=512)
    s.take_cmdsn()
    s.conn.send(p)
    expect(s, pdu.R2T)
    assert s.logout() == 0
    wait_until("everything is gone", lambda: live(d)["tasks"] == live(d)["sessions"] == 0)


@test
def the_daemon_asks_for_logout_before_it_ends(lab):
    d = disk(lab)
    s = d.login()
    d.proc.send_signal(signal.SIGTERM)
    p = s.conn.recv()
    assert p.opcode == pdu.ASYNC_MSG and p.async_event == 1 and p.itt == pdu.RESERVED_TAG
    s.expstatsn += 1
    s.conn.send(pdu.logout_request(5, 0, 0, s.cmdsn, s.expstatsn))
    expect(s, pdu.LOGOUT_RSP, itt=5)
    assert s.conn.is_closed()
    assert d.proc.wait(TIMEOUT) == 0


# ---- reinstatement ----

@test
def sessions_of_all_reactors_are_asked_for_logout_at_once(lab):
    d = disk(lab, ("--reactors", "2"))
    sessions = [d.login() for _ in range(4)]
    assert len({s["reactor"] for s in d.tgtctl_json("session", "list")}) == 2
    d.proc.send_signal(signal.SIGTERM)
    for s in sessions:  # and none of them does
        assert expect_async(s).async_event == 1
    assert d.proc.wait(30) == 0
    assert "leaving without them" not in d.log(), d.log()


@test
def a_new_login_of_the_same_port_ends_the_old_session(lab):
    d = disk(lab, options=("--reactors", "2"))
    isid = pdu.new_isid()
    old = d.login(isid=isid, keys={"ImmediateData": "No"})
    p = raw_command(old, write16(0, 1), write=True, edtl=512)
    old.take_cmdsn()
    old.conn.send(p)
    expect(old, pdu.R2T)
    new = d.login(isid=isid)
    assert old.conn.is_closed()
    still_works(new)
    assert live(d)["sessions"] == 1


@test
def a_second_connection_is_refused_and_the_session_lives(lab):
    d = disk(lab)
    with d.login() as s:
        for tsih, isid, detail in ((s.tsih, s.isid, 6), (s.tsih % 65535 + 1, s.isid, 10), (s.tsih, pdu.new_isid(), 10)):
            try:
                pdu.Session.login(d.portal(), d.name, isid=isid, tsih=tsih, cid=1)
            except pdu.LoginError as e:
                assert (e.cls, e.detail) == (2, detail), e
            else:
                raise AssertionError("logged in")
        still_works(s)


@test
def what_is_declared_in_the_security_stage_holds(lab):
    d = disk(lab)
    with pdu.Connection(d.portal(), TIMEOUT) as c:
        s = pdu.Session(c, pdu.new_isid(), pdu.INITIATOR, d.name)
        s.login_step(0, 1, {"InitiatorName": s.initiator, "TargetName": d.name, "AuthMethod": "None",
                            "MaxRecvDataSegmentLength": "512"})
        s.login_step(1, 3, {"HeaderDigest": "None"})
        s.first_burst, s.immediate_data, s.initial_r2t, s.max_send = 65536, True, True, 8192
        s.clear_unit_attention(1)
        c.send(raw_command(s, read16(0, 8), read=True, edtl=4096))
        for i in range(8):
            assert len(expect(s, pdu.DATA_IN, datasn=i).data) == 512


@test
def two_ports_of_one_initiator_have_sessions_side_by_side(lab):
    d = disk(lab)
    a, b = d.login(), d.login()
    still_works(a)
    still_works(b)
    still_works(a)


@test
def an_administrator_closes_a_session(lab):
    d = disk(lab, options=("--reactors", "2"))
    s = d.login()
    d.tgtadm("--lld", "iscsi", "--op", "delete", "--mode", "conn", "--tid", "1", "--sid", "1", "--cid", "0")
    assert s.conn.is_closed()
    daemon_works(d)


# ---- peers ----

@test
def a_scsi_command_in_the_middle_of_login_is_refused(lab):
    d = disk(lab)
    for before in (0, 1):
        c = pdu.Connection(d.portal(), TIMEOUT)
        if before:
            c.send(pdu.login_request(pdu.new_isid(), csg=1, keys={
                "InitiatorName": pdu.INITIATOR, "TargetName": d.name, "SessionType": "Normal"}))
            assert c.recv().opcode == pdu.LOGIN_RSP
        c.send(pdu.scsi_command(write16(0, 1), 1, write=True, edtl=512, data=bytes(512)))
        try:
            p = c.recv()
            assert p.opcode in (pdu.LOGIN_RSP, pdu.REJECT), repr(p)
            if p.opcode == pdu.LOGIN_RSP:
                assert p.status_class == 2
            assert c.is_closed()
        except pdu.Closed:
            pass
    daemon_works(d)


@cases(("nothing", b""), ("half a header", bytes(20)), ("a header without its data", None))
def a_login_that_does_not_go_on_is_dropped(lab, wire):
    d = disk(lab, options=SHORT_LOGIN)
    if wire is None:
        wire = pdu.login_request(pdu.new_isid(), csg=1, keys={"InitiatorName": pdu.INITIATOR}).pack()[:60]
    c = pdu.Connection(d.portal(), TIMEOUT)
    c.send_raw(wire)
    assert c.is_closed()
    wait_until("the connection is gone", lambda: live(d)["connections"] == 0)


@test
def a_login_byte_by_byte_does_not_hold_up_others(lab):
    d = disk(lab, options=SHORT_LOGIN)
    c = pdu.Connection(d.portal(), TIMEOUT)
    wire = pdu.login_request(pdu.new_isid(), csg=1, keys={"InitiatorName": pdu.INITIATOR}).pack()
    deadline = time.monotonic() + TIMEOUT
    n = 0
    try:
        while time.monotonic() < deadline:
            c.send_raw(wire[n % len(wire):][:1] if n < len(wire) - 1 else b"")
            n += 1
            daemon_works(d)
            c.sock.settimeout(0.05)
            try:
                if not c.sock.recv(1):
                    break
            except socket.timeout:
                pass
    except (pdu.Closed, ConnectionResetError):
        pass
    assert time.monotonic() < deadline, "it was not dropped"


@cases(("ffffffh bytes", 0xFFFFFF), ("8193 bytes", 8193))
def a_login_with_too_much_data_is_dropped(lab, length):
    d = disk(lab)
    c = pdu.Connection(d.portal(), TIMEOUT)
    p = pdu.login_request(pdu.new_isid(), csg=1)
    p.data_length = length
    c.send(p, lengths=False)
    assert c.is_closed()
    daemon_works(d)


@test
def an_additional_header_in_login_is_refused(lab):
    d = disk(lab)
    c = pdu.Connection(d.portal(), TIMEOUT)
    p = pdu.login_request(pdu.new_isid(), csg=1)
    p.ahs = bytes(400)
    c.send(p)
    assert c.is_closed()
    daemon_works(d)


@contextlib.contextmanager
def small_buffers():
    """A network of our own, where the kernel takes a few KiB for a peer that reads nothing."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as old:
        if libc.unshare(0x40000000):  # CLONE_NEWNET
            raise Skip("no network namespace: " + os.strerror(ctypes.get_errno()))
        try:
            with socket.socket() as s:  # SIOCSIFFLAGS: lo is up and running
                fcntl.ioctl(s, 0x8914, struct.pack("16sh22x", b"lo", 0x41))
            for name in "tcp_wmem", "tcp_rmem":
                with open("/proc/sys/net/ipv4/" + name, "w") as limits:
                    limits.write("4096 4096 8192")
            yield
        finally:
            libc.setns(old.fileno(), 0)


@test
def logins_that_read_no_answers_take_little_memory(lab):
    with small_buffers():
        d = disk(lab)
        names = {"InitiatorName": pdu.INITIATOR, "TargetName": d.name}
        many = dict.fromkeys(("X-a.%d" % i for i in range(240)), "")  # 5 KiB of answers
        before, sockets = d.rss(), []
        for _ in range(20):
            isid = pdu.new_isid()
            s = socket.socket()
            s.connect(("127.0.0.1", d.ports[0]))
            s.settimeout(0.05)
            sockets.append(s)
            try:
                for i in range(240):
                    s.sendall(pdu.login_request(isid, csg=1, keys=dict({} if i else names, **many)).pack())
            except OSError:
                pass
        assert d.rss() - before < 30 << 20, "%d bytes more" % (d.rss() - before)
        daemon_works(d)
        for s in sockets:
            s.close()


@test
def many_connections_that_say_nothing_do_not_hold_up_others(lab):
    d = disk(lab, options=SHORT_LOGIN)
    silent = [pdu.Connection(d.portal(), TIMEOUT) for _ in range(200)]
    daemon_works(d)
    for c in silent:
        assert c.is_closed()
    wait_until("they are gone", lambda: live(d)["connections"] == 0)


@test
def an_idle_session_works_again(lab):
    d = disk(lab)
    s = d.login()
    s.write(0, pattern(4096))
    assert live(d)["buffer_bytes"] > 0
    wait_until("the receive buffer is given back", lambda: live(d)["buffer_bytes"] == 0)
    assert s.read(0, 8) == pattern(4096)
    still_works(s)


@test
def ipv6_works_like_ipv4(lab):
    d = disk(lab, portals=("[::1]", "127.0.0.1"))
    for n in (0, 1):
        with pdu.Session.discovery(d.portal(n)) as s:
            assert s.send_targets() == [(d.name, [d.portal(n) + ",1"])]
        with d.login(n) as s:
            s.write(n, pattern(512, n))
            assert s.read(n, 1) == pattern(512, n)


@test
def portals_come_and_go(lab):
    from lab import free_port
    d = disk(lab)
    p = "127.0.0.1:%d" % free_port()
    d.tgtadm("--lld", "iscsi", "--op", "new", "--mode", "portal", "--param", "portal=" + p)
    s = pdu.Session.login(p, d.name, timeout=TIMEOUT)
    d.tgtadm("--lld", "iscsi", "--op", "delete", "--mode", "portal", "--param", "portal=" + p)
    s.clear_unit_attention()
    still_works(s)

    def refused():
        try:
            socket.create_connection(pdu.parse_portal(p), 1).close()
            return False
        except OSError:
            return True
    wait_until("nobody listens there any more", refused)
    daemon_works(d)


main()
