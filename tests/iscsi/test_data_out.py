#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Data-Out: immediate, unsolicited, solicited; and every way to send it wrong."""

import struct

from rig import (CRC_ERROR, INCORRECT_AMOUNT, PROTOCOL, TUR, UNEXPECTED_DATA, cases, daemon_works, disk, expect, live,
                 main, pattern, pdu, raw_command, still_works, test, wait_until, write16)

COMBINATIONS = [("InitialR2T=%s ImmediateData=%s" % (r, i), {"InitialR2T": r, "ImmediateData": i})
                for r in ("Yes", "No") for i in ("Yes", "No")]


@cases(*COMBINATIONS)
def writes_of_all_sizes_arrive(lab, keys):
    s = disk(lab).login(keys=keys)
    assert (s.initial_r2t, s.immediate_data) == (keys["InitialR2T"] == "Yes", keys["ImmediateData"] == "Yes")
    for blocks in (1, 8, 31, 32, 33, 127, 128, 129, 512, 1000, 2048, 4097):
        data = pattern(blocks * 512, blocks)
        s.write(5, data)
        assert s.read(5, blocks) == data, "%d blocks" % blocks


@cases(*COMBINATIONS)
def writes_of_all_sizes_arrive_in_small_pieces(lab, keys):
    """The initiator sends 4 KiB at a time, bursts are short, several R2Ts are out."""
    s = disk(lab).login(keys=dict(keys, MaxBurstLength="16384", FirstBurstLength="8192", MaxOutstandingR2T="4"))
    s.max_send = 4096
    for blocks in (1, 9, 16, 17, 40, 300, 2048):
        data = pattern(blocks * 512, blocks)
        s.write(5, data)
        assert s.read(5, blocks) == data, "%d blocks" % blocks


@test
def many_writes_are_under_way_at_once(lab):
    s = disk(lab).login(keys={"InitialR2T": "No", "MaxOutstandingR2T": "2"})
    for round in range(5):
        n = (s.maxcmdsn - s.cmdsn + 1) & 0xFFFFFFFF
        tags = [s.send_command(write16(i * 300, 300), 1, write=pattern(300 * 512, round * 100 + i)) for i in range(n)]
        assert all(r.status == 0 for r in s.finish(*tags))
        for i in range(n):
            assert s.read(i * 300, 300) == pattern(300 * 512, round * 100 + i)


@test
def as_many_r2ts_are_out_as_was_agreed(lab):
    s = disk(lab).login(keys={"ImmediateData": "No", "MaxBurstLength": "4096", "MaxOutstandingR2T": "3"})
    p = raw_command(s, write16(0, 64), write=True, edtl=32768)
    s.take_cmdsn()
    s.conn.send(p)
    r2ts = [expect(s, pdu.R2T, itt=p.itt, desired=4096) for _ in range(3)]
    assert [r.offset for r in r2ts] == [0, 4096, 8192]
    assert [r.r2tsn for r in r2ts] == [0, 1, 2]
    assert len({r.ttt for r in r2ts}) == 3 and pdu.RESERVED_TAG not in {r.ttt for r in r2ts}
    s.ping()  # and no fourth one
    data = pattern(32768)
    while r2ts:
        r = r2ts.pop(0)
        s.conn.send(pdu.data_out(p.itt, data[r.offset:r.offset + 4096], r.offset, r.ttt, lun=1))
        if r.offset + 3 * 4096 < 32768:
            r2ts.append(expect(s, pdu.R2T, itt=p.itt, offset=r.offset + 3 * 4096))
    expect(s, pdu.SCSI_RSP, itt=p.itt, status=0, expdatasn=8)
    assert s.read(0, 64) == data


# ---- wrong ones: each gets a Reject and costs the connection, never the daemon ----

def solicited(lab, blocks=8, **keys):
    d = disk(lab)
    s = d.login(keys=dict({"ImmediateData": "No"}, **keys))
    s.write(0, pattern(65536, 9))
    p = raw_command(s, write16(0, blocks), write=True, edtl=blocks * 512)
    s.take_cmdsn()
    s.conn.send(p)
    return d, s, expect(s, pdu.R2T, itt=p.itt)


def refused(d, s):
    expect(s, pdu.REJECT, response=PROTOCOL)
    assert s.conn.is_closed()
    daemon_works(d)
    with d.login() as again:
        assert again.read(8, 120) == pattern(65536, 9)[4096:], "blocks that the command did not name"


@cases(("one PDU that is too long", [(0, 8192)]), ("after all has come", [(0, 4096), (4096, 512)]),
       ("at an offset behind the end", [(4096, 4096)]), ("at offset ffffff00h", [(0xFFFFFF00, 512)]),
       ("twice", [(0, 512), (0, 512)]), ("overlapping", [(0, 1024), (512, 1024)]), ("with a gap", [(512, 512)]))
def data_out_that_was_not_asked_for_is_refused(lab, pieces):
    d, s, r2t = solicited(lab)
    for sn, (offset, length) in enumerate(pieces):
        s.conn.send(pdu.data_out(r2t.itt, bytes(length), offset, r2t.ttt, sn, 1, final=False))
    refused(d, s)


@test
def data_out_with_a_strange_transfer_tag_is_refused(lab):
    d, s, r2t = solicited(lab)
    s.conn.send(pdu.data_out(r2t.itt, bytes(4096), 0, r2t.ttt ^ 0x5555, lun=1))
    refused(d, s)


@test
def unsolicited_data_where_r2t_rules_is_refused(lab):
    d, s, r2t = solicited(lab)
    s.conn.send(pdu.data_out(r2t.itt, bytes(4096), 0, lun=1))
    refused(d, s)


@test
def unsolicited_data_beyond_first_burst_length_is_refused(lab):
    d = disk(lab)
    s = d.login(keys={"InitialR2T": "No", "ImmediateData": "No", "FirstBurstLength": "4096"})
    s.write(0, pattern(65536, 9))
    p = raw_command(s, write16(0, 128), write=True, edtl=65536, final=False)
    s.take_cmdsn()
    s.conn.send(p, pdu.data_out(p.itt, bytes(4096), 0, lun=1, final=False),
                pdu.data_out(p.itt, bytes(512), 4096, datasn=1, lun=1))
    refused(d, s)


@test
def a_late_duplicate_of_a_finished_command_s_data_is_thrown_away(lab):
    d, s, r2t = solicited(lab)
    out = pdu.data_out(r2t.itt, pattern(4096), 0, r2t.ttt, lun=1)
    s.conn.send(out)
    expect(s, pdu.SCSI_RSP, itt=r2t.itt, status=0)
    s.conn.send(out)
    still_works(s)


@test
def data_for_an_unknown_command_is_thrown_away(lab):
    s = disk(lab).login()
    s.conn.send(pdu.data_out(0x12345, bytes(200000), 0, 1, lun=1), pdu.data_out(0x12346, bytes(100), 0, lun=1))
    still_works(s)


@cases(("27", [27]), ("ffffffffh", [0xFFFFFFFF]), ("0, 0", [0, 0]), ("1, 0", [1, 0]))
def a_wrong_datasn_fails_the_command_only(lab, numbers):
    d, s, r2t = solicited(lab, len(numbers))
    for i, sn in enumerate(numbers):
        s.conn.send(pdu.data_out(r2t.itt, bytes(512), i * 512, r2t.ttt, sn, 1, final=i == len(numbers) - 1))
    r = s.finish(r2t.itt)[0]
    assert r.key_asc == CRC_ERROR, repr(r)
    still_works(s)
    assert s.read(0, 8) == pattern(65536, 9)[:4096]


@test
def less_than_the_r2t_asked_for_fails_the_command(lab):
    d, s, r2t = solicited(lab)
    s.conn.send(pdu.data_out(r2t.itt, bytes(512), 0, r2t.ttt, lun=1))
    assert s.finish(r2t.itt)[0].key_asc == INCORRECT_AMOUNT
    still_works(s)


@test
def less_than_first_burst_length_fails_the_command(lab):
    s = disk(lab).login(keys={"InitialR2T": "No", "ImmediateData": "No", "FirstBurstLength": "4096"})
    p = raw_command(s, write16(0, 128), write=True, edtl=65536, final=False)
    s.take_cmdsn()
    s.conn.send(p, pdu.data_out(p.itt, bytes(2048), 0, lun=1))
    assert s.finish(p.itt)[0].key_asc == INCORRECT_AMOUNT
    still_works(s)


@test
def the_rest_of_a_short_unsolicited_burst_is_asked_for(lab):
    s = disk(lab).login(keys={"InitialR2T": "No", "ImmediateData": "No"})
    data = pattern(4096)
    p = raw_command(s, write16(0, 8), write=True, edtl=4096, final=False)
    s.take_cmdsn()
    s.conn.send(p, pdu.data_out(p.itt, data[:1024], 0, lun=1))
    r2t = expect(s, pdu.R2T, itt=p.itt, offset=1024, desired=3072)
    s.conn.send(pdu.data_out(p.itt, data[1024:], 1024, r2t.ttt, lun=1))
    assert s.finish(p.itt)[0].status == 0
    assert s.read(0, 8) == data


@test
def an_empty_last_data_out_ends_the_sequence(lab):
    d, s, r2t = solicited(lab)
    s.conn.send(pdu.data_out(r2t.itt, pattern(4096), 0, r2t.ttt, lun=1, final=False),
                pdu.data_out(r2t.itt, b"", 4096, r2t.ttt, 1, 1))
    assert s.finish(r2t.itt)[0].status == 0


# ---- immediate data that should not be there ----

@cases(("ImmediateData=No", {"ImmediateData": "No"}, 512, 512, True),
       ("more than is expected", {}, 512, 1024, True),
       ("more than FirstBurstLength", {"FirstBurstLength": "512"}, 4096, 1024, True),
       ("with a read", {}, 512, 512, False))
def unexpected_immediate_data_fails_the_command(lab, keys, edtl, length, write):
    s = disk(lab).login(keys=keys)
    p = raw_command(s, write16(0, 1), write=write, read=not write, edtl=edtl, data=bytes(length))
    s.take_cmdsn()
    s.conn.send(p)
    assert s.finish(p.itt)[0].key_asc == UNEXPECTED_DATA
    still_works(s)


@test
def unsolicited_data_with_initialr2t_fails_the_command_when_all_has_come(lab):
    s = disk(lab).login()
    p = raw_command(s, write16(0, 8), write=True, edtl=4096, data=bytes(512), final=False)
    s.take_cmdsn()
    s.conn.send(p)
    s.ping()  # RFC 7143 11.4.2: no response before the last Data-Out
    s.conn.send(pdu.data_out(p.itt, bytes(3584), 512, lun=1))
    assert s.finish(p.itt)[0].key_asc == UNEXPECTED_DATA
    still_works(s)


@test
def a_refused_write_is_answered_after_its_unsolicited_data(lab):
    s = disk(lab).login(keys={"InitialR2T": "No"})
    p = raw_command(s, write16(1 << 40, 8), write=True, edtl=4096, data=bytes(512), final=False)
    s.take_cmdsn()
    s.conn.send(p)
    s.ping()
    s.conn.send(pdu.data_out(p.itt, bytes(3584), 512, lun=1))
    r = s.finish(p.itt)[0]
    assert r.key_asc == (5, 0x21, 0), repr(r)
    still_works(s)


@cases(("of a SCSI Command", pdu.SCSI_CMD), ("of a Data-Out", pdu.DATA_OUT))
def a_connection_that_dies_in_the_middle_of_data_leaves_nothing(lab, opcode):
    d = disk(lab)
    before = live(d)
    for cut in (1, 100, 20000, 60000):
        s = d.login()
        data = pattern(65536)
        p = raw_command(s, write16(0, 256), write=True, edtl=131072, data=data if opcode == pdu.SCSI_CMD else b"")
        wire = p.pack()
        if opcode == pdu.DATA_OUT:
            s.conn.send(p)
            r2t = expect(s, pdu.R2T, itt=p.itt)
            wire = pdu.data_out(p.itt, data, r2t.offset, r2t.ttt, lun=1, final=False).pack()
        s.conn.send_raw(wire[:48 + cut])
        s.conn.reset()
    wait_until("everything is gone", lambda: live(d) == before)
    daemon_works(d)


# ---- memory ----

def stuck_writers(d, n):
    """Sessions with a write each that promises unsolicited data and does not send it."""
    sessions = []
    for _ in range(n):
        s = d.login(keys={"InitialR2T": "No", "ImmediateData": "No"})
        p = raw_command(s, write16(0, 128), write=True, edtl=65536, final=False)
        s.take_cmdsn()
        s.conn.send(p)
        sessions.append((s, p))
    return sessions


@test
def many_sessions_stuck_in_writes_are_all_served(lab):
    """256 sessions, 4 MiB of memory: every write ends, or gets TASK SET FULL; management is answered meanwhile."""
    d = disk(lab, options=("--reactors", "1", "--memory", "4M"))
    sessions = stuck_writers(d, 256)
    for s, p in sessions:
        assert s.task_management(pdu.QUERY_TASK, 1, p.itt) in (0, 7)
    for i, (s, p) in enumerate(sessions):
        if i % 2:
            assert s.task_management(pdu.ABORT_TASK, 1, p.itt, p.cmdsn) == 0
    statuses = []
    for i, (s, p) in enumerate(sessions):
        s.conn.send(pdu.data_out(p.itt, pattern(65536), 0, lun=1))
        if i % 2 == 0:
            statuses.append(s.finish(p.itt)[0].status)
        still_works(s)
    assert set(statuses) == {0, pdu.TASK_SET_FULL}, statuses
    with d.login() as s:
        assert s.read(0, 128) == pattern(65536)


@test
def large_writes_of_many_sessions_share_little_memory(lab):
    d = disk(lab, options=("--reactors", "1", "--memory", "4M"))
    sessions = [d.login(keys={"ImmediateData": "No", "MaxBurstLength": "1048576"}) for _ in range(12)]
    data = pattern(1 << 20)
    tags = [s.send_command(write16(i * 2048, 2048), 1, write=data) for i, s in enumerate(sessions)]
    for s, tag in zip(sessions, tags):
        assert s.finish(tag)[0].status == 0
    assert sessions[0].read(11 * 2048, 2048) == data


@test
def memory_that_nobody_has_yet_does_not_stop_other_commands(lab):
    d = disk(lab, options=("--reactors", "1", "--memory", "4M"))
    s = d.login(keys={"ImmediateData": "No", "MaxBurstLength": "1048576", "MaxOutstandingR2T": "1"})
    for i in range(min(8, s.maxcmdsn - s.cmdsn + 1)):
        s.conn.send(pdu.scsi_command(write16(i * 2048, 2048), 1, s.itt(), s.take_cmdsn(), s.expstatsn, write=True,
                                     edtl=1 << 20))
    with d.login() as other:
        assert other.command(TUR, 1).status == 0
        other.ping()
    s.conn.close()
    daemon_works(d)


@test
def who_owes_data_and_takes_no_answers_is_dropped(lab):
    d = disk(lab)
    s = d.login(keys={"InitialR2T": "No"})
    s.conn.send(raw_command(s, write16(0, 128), write=True, edtl=65536, final=False))
    s.take_cmdsn()
    pings = pdu.nop_out(77, cmdsn=s.cmdsn, data=bytes(512), immediate=True).pack() * 100
    before = d.rss()
    try:
        for _ in range(4000):  # 200 MB of answers
            s.conn.sock.sendall(pings)
    except OSError:
        pass
    wait_until("the connection is closed", lambda: live(d)["connections"] == 0)
    assert d.rss() - before < 128 << 20, d.rss() - before
    s.close()
    daemon_works(d)


@test
def direct_io_gets_aligned_memory(lab):
    d = lab.start(options=("--reactors", "1"))
    t = ["--lld", "iscsi", "--tid", "1"]
    d.tgtadm("--op", "new", "--mode", "target", "-T", d.name, *t)
    d.tgtadm("--op", "new", "--mode", "logicalunit", "--lun", "1", "-b", lab.image("16M"), "-f", "direct", *t)
    d.tgtadm("--op", "bind", "--mode", "target", "-I", "ALL", *t)
    for _, keys in COMBINATIONS:
        s = d.login(keys=keys)
        s.max_send = min(s.max_send, 8192 + 512)
        for blocks in (8, 16, 120, 136, 2048):
            data = pattern(blocks * 512, blocks)
            s.write(8, data)
            assert s.read(8, blocks) == data
        s.logout()


main()
