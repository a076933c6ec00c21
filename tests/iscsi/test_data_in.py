#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Data-In: cutting, sequences, status in the last PDU, residuals; SCSI Responses with sense data."""

from rig import TUR, cases, disk, expect, main, pattern, pdu, raw_command, read16, still_works, test, write16

FINAL, OVERFLOW, UNDERFLOW, STATUS = 0x80, 4, 2, 1


def read_pdus(s, cdb, edtl):
    """All Data-Ins of a read; the last has the status, or the response follows."""
    p = raw_command(s, cdb, read=True, edtl=edtl)
    s.take_cmdsn()
    s.conn.send(p)
    pdus = []
    while not pdus or (pdus[-1].opcode == pdu.DATA_IN and not pdus[-1].flags & STATUS):
        pdus.append(s.recv())
        assert pdus[-1].itt == p.itt
    return pdus


@test
def data_comes_in_pieces_that_the_initiator_takes(lab):
    s = disk(lab).login(keys={"MaxRecvDataSegmentLength": "1024", "MaxBurstLength": "2560"})
    data = pattern(8192)
    s.write(0, data)
    pdus = read_pdus(s, read16(0, 16), 8192)
    assert [len(p.data) for p in pdus] == [1024, 1024, 512] * 3 + [512]
    assert [p.datasn for p in pdus] == list(range(10))
    assert [p.offset for p in pdus] == [0, 1024, 2048, 2560, 3584, 4608, 5120, 6144, 7168, 7680]
    assert [bool(p.flags & FINAL) for p in pdus] == [False, False, True] * 3 + [True]
    assert b"".join(p.data for p in pdus) == data


@cases(("512", 1), ("4096", 8), ("1 MiB", 2048), ("3 MiB", 6144))
def a_good_status_comes_with_the_last_data(lab, blocks):
    s = disk(lab).login()
    pdus = read_pdus(s, read16(0, blocks), blocks * 512)
    assert all(p.opcode == pdu.DATA_IN for p in pdus)
    assert pdus[-1].flags == FINAL | STATUS and pdus[-1].status == 0
    assert not any(p.flags & STATUS for p in pdus[:-1])
    assert sum(len(p.data) for p in pdus) == blocks * 512
    still_works(s)


@test
def sense_data_comes_in_a_response(lab):
    s = disk(lab).login()
    r = s.command(read16(1 << 40, 1), 1, read=512)
    assert r.pdu.opcode == pdu.SCSI_RSP and r.status == pdu.CHECK_CONDITION
    assert r.key_asc == (5, 0x21, 0) and int.from_bytes(r.pdu.data[:2], "big") == len(r.pdu.data) - 2
    assert r.underflow and r.residual == 512 and not r.data


@cases(("more than is there", 2048, 0x83, 1536), ("exactly", 512, 0x81, 0))
def a_residual_comes_with_the_status_in_data_in(lab, edtl, flags, residual):
    s = disk(lab).login()
    pdus = read_pdus(s, read16(0, 1), edtl)
    assert [(p.opcode, p.flags, p.residual, len(p.data)) for p in pdus] == [(pdu.DATA_IN, flags, residual, 512)]


@cases(("200 of 512 bytes", 1, 200, 312), ("one of two blocks", 2, 512, 512), ("1001 of 2048", 4, 1001, 1047))
def a_read_gives_no_more_than_is_expected(lab, blocks, edtl, residual):
    s = disk(lab).login()
    data = pattern(2048)
    s.write(0, data)
    pdus = read_pdus(s, read16(0, blocks), edtl)
    assert b"".join(p.data for p in pdus if p.opcode == pdu.DATA_IN) == data[:edtl]
    assert pdus[-1].flags & OVERFLOW and pdus[-1].residual == residual and pdus[-1].status == 0
    still_works(s)


@test
def a_read_that_expects_nothing_gets_a_response(lab):
    s = disk(lab).login()
    r = s.command(read16(0, 1), 1, read=512, edtl=0)
    assert r.pdu.opcode == pdu.SCSI_RSP and r.status == 0 and r.overflow and r.residual == 512


@test
def a_write_tells_its_residual(lab):
    s = disk(lab).login()
    r = s.command(write16(0, 1), 1, write=bytes(1024))
    assert r.status == 0 and r.underflow and r.residual == 512
    r = s.command(write16(0, 2), 1, write=bytes(512))
    assert r.overflow and r.residual == 512


@test
def a_short_inquiry_is_padded_on_the_wire_only(lab):
    s = disk(lab).login()
    r = s.command(bytes([0x12, 0, 0, 0, 7, 0]), 1, read=7)
    assert r.status == 0 and len(r.data) == 7


@test
def the_response_counts_the_data_pdus(lab):
    s = disk(lab).login(keys={"MaxRecvDataSegmentLength": "512"})
    pdus = read_pdus(s, read16((16 << 20) // 512 - 4, 8), 4096)
    assert pdus[-1].opcode == pdu.SCSI_RSP and pdus[-1].expdatasn == len(pdus) - 1


@test
def a_peer_that_reads_nothing_for_a_while_gets_all_in_the_end(lab):
    """More is asked for than socket buffers hold, and nothing is read until all is asked."""
    d = disk(lab)
    s = d.login()
    data = pattern(1 << 20)
    s.write(0, data)
    tags, n = [], (s.maxcmdsn - s.cmdsn + 1) & 0xFFFFFFFF
    for _ in range(n):
        tags.append(s.send_command(read16(0, 2048), 1, read=1 << 20))
    with d.login() as other:
        still_works(other)
    for r in s.finish(*tags):
        assert r.data == data
    still_works(s)


main()
