#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""SCSI Commands: CmdSN and the window, immediate ones, additional header segments, tags."""

import struct

from rig import (IMMEDIATE, IN_PROGRESS, INVALID_FIELD, NOT_SUPPORTED, SNACK_REJECT, TUR, UNEXPECTED_DATA, cases,
                 daemon_works, disk, expect, main, pattern, pdu, raw_command, read16, still_works, test, write16)


@test
def a_command_beyond_the_window_is_ignored(lab):
    s = disk(lab).login()
    p = raw_command(s, TUR)
    p.cmdsn = (s.maxcmdsn + 1) & 0xFFFFFFFF
    s.conn.send(p)
    s.ping()
    still_works(s)


@test
def a_command_from_before_the_window_is_ignored(lab):
    s = disk(lab).login()
    p = raw_command(s, TUR)
    p.cmdsn = (s.cmdsn - 1) & 0xFFFFFFFF
    s.conn.send(p)
    s.ping()
    still_works(s)


@test
def commands_run_in_the_order_of_their_cmdsn(lab):
    s = disk(lab).login()
    first, second, third = (raw_command(s, TUR) for _ in range(3))
    second.cmdsn, third.cmdsn = s.cmdsn + 1, s.cmdsn + 2
    s.conn.send(third, second)
    s.ping()
    s.conn.send(first)
    assert [s.recv().itt for _ in range(3)] == [first.itt, second.itt, third.itt]
    s.cmdsn += 3
    still_works(s)


@test
def a_held_write_keeps_its_data(lab):
    s = disk(lab).login(keys={"InitialR2T": "No"})
    data = pattern(8192)
    write = raw_command(s, write16(7, 16), write=True, edtl=8192, data=data[:4096], final=False)
    write.cmdsn = s.cmdsn + 1
    s.conn.send(write, pdu.data_out(write.itt, data[4096:], 4096, lun=1))
    first = raw_command(s, TUR)
    s.conn.send(first)
    s.cmdsn += 2
    expect(s, pdu.SCSI_RSP, itt=first.itt, status=0)
    expect(s, pdu.SCSI_RSP, itt=write.itt, status=0)
    assert s.read(7, 16) == data


@test
def other_requests_keep_their_place_in_the_order_too(lab):
    s = disk(lab).login()
    nop = pdu.nop_out(s.itt(), cmdsn=s.cmdsn + 1, expstatsn=s.expstatsn, data=b"in its turn")
    first = raw_command(s, TUR)
    s.conn.send(nop, first)
    s.cmdsn += 2
    expect(s, pdu.SCSI_RSP, itt=first.itt)
    expect(s, pdu.NOP_IN, itt=nop.itt, data=b"in its turn")
    still_works(s)


@test
def an_immediate_command_takes_no_cmdsn(lab):
    s = disk(lab).login()
    before = s.cmdsn
    assert s.command(TUR, 1, immediate=True).status == 0
    assert s.cmdsn == before
    still_works(s)


@test
def too_many_immediate_commands_are_rejected(lab):
    s = disk(lab).login(keys={"ImmediateData": "No"})
    tags = []
    for i in range(9):  # writes that wait for their data
        p = raw_command(s, write16(i, 1), write=True, edtl=512, immediate=True)
        tags.append(p.itt)
        s.conn.send(p)
    r2ts = [expect(s, pdu.R2T) for _ in range(8)]
    expect(s, pdu.REJECT, response=IMMEDIATE)
    for r in r2ts:
        s.conn.send(pdu.data_out(r.itt, bytes(512), 0, r.ttt, lun=1))
    assert sorted(expect(s, pdu.SCSI_RSP, status=0).itt for _ in range(8)) == tags[:8]
    still_works(s)


@test
def the_window_grows_with_use(lab):
    s = disk(lab).login()
    width = s.maxcmdsn - s.cmdsn + 1
    assert width >= 1
    for _ in range(8):
        n = (s.maxcmdsn - s.cmdsn + 1) & 0xFFFFFFFF
        burst = [pdu.scsi_command(TUR, 1, s.itt(), s.take_cmdsn(), s.expstatsn) for _ in range(n)]
        s.conn.send(*burst)
        s.finish(*[p.itt for p in burst])
    assert s.maxcmdsn - s.cmdsn + 1 >= 8 * width


@test
def a_full_window_of_reads_is_answered_in_full(lab):
    d = disk(lab)
    s = d.login()
    s.write(0, pattern(64 << 10))
    for _ in range(6):
        n = (s.maxcmdsn - s.cmdsn + 1) & 0xFFFFFFFF
        for r in s.finish(*[s.send_command(read16(8, 8), 1, read=4096) for _ in range(n)]):
            assert r.status == 0 and r.data == pattern(64 << 10)[4096:8192]


# ---- additional header segments ----

def long_cdb(s, ahs):
    p = raw_command(s, TUR)
    p.ahs = ahs
    s.conn.send(p)


@cases(("length 0", struct.pack(">HBB", 0, 1, 0)),
       ("length 1", struct.pack(">HBB", 1, 1, 0)),
       ("longer than the header says", struct.pack(">HBB", 60, 1, 0) + bytes(8)),
       ("length ffffh", struct.pack(">HBB", 0xFFFF, 1, 0) + bytes(12)),
       ("longer than a CDB can be", struct.pack(">HBB", 260, 1, 0) + bytes(260)),
       ("bidirectional read length", struct.pack(">HBB", 5, 2, 0) + struct.pack(">I", 512)),
       ("an unknown type", struct.pack(">HBB", 5, 9, 0) + bytes(4)),
       ("two CDBs", (struct.pack(">HBB", 5, 1, 0) + bytes(4)) * 2),
       ("255 words of zeroes", bytes(1020)))
def a_bad_additional_header_is_rejected(lab, ahs):
    s = disk(lab).login()
    long_cdb(s, ahs)
    expect(s, pdu.REJECT, response=INVALID_FIELD)
    still_works(s)  # the CmdSN of what was rejected is still to come


@test
def an_extended_cdb_is_taken(lab):
    """READ(32), SBC-4 5.19: 32 bytes of CDB; answered as a command, not as a protocol error."""
    s = disk(lab).login()
    cdb = bytearray(32)
    cdb[0], cdb[7] = 0x7F, 0x18
    r = s.command(bytes(cdb), 1)
    assert r.status == pdu.CHECK_CONDITION and r.key_asc[0] == 5, repr(r)
    still_works(s)


@test
def additional_headers_on_other_requests_end_the_connection(lab):
    d = disk(lab)
    s = d.login()
    p = pdu.nop_out(s.itt(), cmdsn=s.cmdsn, immediate=True)
    p.ahs = bytes(8)
    s.conn.send(p)
    assert s.conn.is_closed()
    daemon_works(d)


# ---- lengths and tags ----

@cases(("SCSI Command", pdu.SCSI_CMD), ("Data-Out", pdu.DATA_OUT), ("NOP-Out", pdu.NOP_OUT),
       ("Text Request", pdu.TEXT_REQ), ("an unknown type", 0x1F))
def a_data_segment_of_ffffffh_ends_the_connection(lab, opcode):
    d = disk(lab)
    s = d.login()
    p = pdu.Pdu(opcode, 0x80, immediate=True, itt=s.itt(), cmdsn=s.cmdsn)
    p.data_length = 0xFFFFFF
    s.conn.send(p, lengths=False)
    assert s.conn.is_closed()
    daemon_works(d)


@test
def the_reserved_tag_is_no_command_s(lab):
    s = disk(lab).login()
    p = raw_command(s, TUR)
    p.itt = pdu.RESERVED_TAG
    s.conn.send(p)
    expect(s, pdu.REJECT, response=INVALID_FIELD)
    still_works(s)


@test
def a_tag_in_use_is_refused(lab):
    s = disk(lab).login(keys={"ImmediateData": "No"})
    p = raw_command(s, write16(0, 1), write=True, edtl=512)
    s.take_cmdsn()
    s.conn.send(p)
    expect(s, pdu.R2T, itt=p.itt)
    again = pdu.scsi_command(TUR, 1, p.itt, s.take_cmdsn(), s.expstatsn)
    s.conn.send(again)
    r = expect(s, pdu.SCSI_RSP, itt=p.itt, status=pdu.CHECK_CONDITION)
    assert r.sense[2] & 15 == 0xB and r.sense[12:14] == b"\x4e\x00", r.sense.hex()
    still_works(s)


@test
def a_tag_whose_response_waits_for_data_is_refused(lab):
    s = disk(lab).login(keys={"InitialR2T": "No", "ImmediateData": "No"})
    bad = raw_command(s, bytes([0xFE]) + bytes(15), write=True, edtl=1024, final=False)
    s.take_cmdsn()
    s.conn.send(bad)
    s.conn.send(pdu.scsi_command(TUR, 1, bad.itt, s.cmdsn, s.expstatsn))
    expect(s, pdu.REJECT, response=IN_PROGRESS)
    s.conn.send(pdu.data_out(bad.itt, bytes(1024), lun=1))
    expect(s, pdu.SCSI_RSP, itt=bad.itt, status=pdu.CHECK_CONDITION)
    still_works(s)


@test
def a_bidirectional_command_is_refused(lab):
    s = disk(lab).login()
    p = raw_command(s, TUR, read=True, write=True, edtl=512, data=bytes(512))
    s.take_cmdsn()
    s.conn.send(p)
    expect(s, pdu.SCSI_RSP, itt=p.itt, status=pdu.CHECK_CONDITION)
    still_works(s)


# ---- what is no request of ours ----

@cases(("SNACK", pdu.SNACK, SNACK_REJECT), ("07h", 0x07, NOT_SUPPORTED), ("1ch", 0x1C, NOT_SUPPORTED),
       ("a target's type", pdu.SCSI_RSP, NOT_SUPPORTED))
def an_unknown_request_is_rejected_with_its_header(lab, opcode, reason):
    s = disk(lab).login()
    p = pdu.Pdu(opcode, 0x80, itt=s.itt(), cmdsn=s.cmdsn)
    s.conn.send(p)
    r = expect(s, pdu.REJECT, response=reason, itt=pdu.RESERVED_TAG)
    assert r.data == bytes(p.bhs)
    still_works(s)


@test
def a_login_request_in_full_feature_phase_ends_the_connection(lab):
    d = disk(lab)
    s = d.login()
    s.conn.send(pdu.login_request(s.isid, s.tsih, 0, 1, 3, {"InitiatorName": s.initiator}))
    assert s.conn.is_closed()
    daemon_works(d)


@test
def a_read_that_announces_data_is_refused_at_once(lab):
    d = disk(lab)
    with d.login() as s:
        s.conn.send(raw_command(s, read16(0, 1), read=True, edtl=512, final=False))
        s.take_cmdsn()
        p = expect(s, pdu.SCSI_RSP, status=pdu.CHECK_CONDITION)
        assert pdu.Result(p.status, b"", p).key_asc == UNEXPECTED_DATA, p
        still_works(s)


@test
def a_discovery_session_takes_no_command(lab):
    d = disk(lab)
    s = pdu.Session.discovery(d.portal())
    s.conn.send(raw_command(s, TUR))
    expect(s, pdu.REJECT, response=4)
    assert s.send_targets() == [(d.name, [d.portal() + ",1"])]


@test
def pdus_that_come_byte_by_byte_are_understood(lab):
    s = disk(lab).login()
    data = pattern(512)
    p = raw_command(s, write16(3, 1), write=True, edtl=512, data=data)
    s.take_cmdsn()
    for b in p.pack():
        s.conn.send_raw(bytes([b]))
    expect(s, pdu.SCSI_RSP, itt=p.itt, status=0)
    assert s.read(3, 1) == data


@test
def many_pdus_in_one_segment_are_all_answered(lab):
    s = disk(lab).login()
    s.conn.send_raw(b"".join(pdu.nop_out(100 + i, cmdsn=s.cmdsn, data=bytes([i]) * i, immediate=True).pack()
                             for i in range(200)))
    for i in range(200):
        expect(s, pdu.NOP_IN, itt=100 + i, data=bytes([i]) * i)
    still_works(s)


main()
