#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Header and data digests, right and wrong."""

from rig import (CRC_ERROR, DATA_DIGEST, cases, daemon_works, disk, expect, main, pattern, pdu, raw_command,
                 still_works, test, write16)

BOTH = {"HeaderDigest": "CRC32C,None", "DataDigest": "CRC32C,None"}


def corrupt(wire, at):
    return wire[:at] + bytes([wire[at] ^ 0x10]) + wire[at + 1:]


@cases(("header", {"HeaderDigest": "CRC32C"}), ("data", {"DataDigest": "CRC32C"}), ("both", BOTH))
def everything_works_with_digests(lab, keys):
    s = disk(lab).login(keys=dict(keys, InitialR2T="No"))
    assert s.conn.header_digest == ("HeaderDigest" in keys) and s.conn.data_digest == ("DataDigest" in keys)
    for blocks in (1, 8, 40, 129, 2048):
        data = pattern(blocks * 512, blocks)
        s.write(3, data)
        assert s.read(3, blocks) == data
    for data in (b"", b"a", b"ab", b"abc", pattern(8192)):
        s.ping(data)
    assert s.command(bytes([0x12, 0, 0, 0, 7, 0]), 1, read=7).data
    assert s.command(bytes([0xFE] + [0] * 5), 1).key_asc == (5, 0x20, 0)
    s.logout()


@test
def additional_headers_are_digested_too(lab):
    s = disk(lab).login(keys=BOTH)
    cdb = bytearray(32)
    cdb[0], cdb[7] = 0x7F, 0x18
    assert s.command(bytes(cdb), 1).status == pdu.CHECK_CONDITION
    still_works(s)


@cases(("in the header", 20), ("in the digest", 49))
def a_corrupted_header_ends_the_connection(lab, at):
    d = disk(lab)
    s = d.login(keys=BOTH)
    wire = pdu.nop_out(s.itt(), cmdsn=s.cmdsn, immediate=True).pack(True, True)
    s.conn.send_raw(corrupt(wire, at))
    assert s.conn.is_closed()
    daemon_works(d)


@test
def a_corrupted_additional_header_ends_the_connection(lab):
    d = disk(lab)
    s = d.login(keys=BOTH)
    p = raw_command(s, bytes(32))
    s.conn.send_raw(corrupt(p.pack(True, True), 60))
    assert s.conn.is_closed()
    daemon_works(d)


@cases(("small", 512, 10), ("large", 65536, 40000), ("in the digest", 512, 512 + 1))
def corrupted_immediate_data_fails_the_command(lab, length, at):
    s = disk(lab).login(keys=BOTH)
    s.write(0, pattern(length, 7))
    p = raw_command(s, write16(0, length // 512), write=True, edtl=length, data=bytes(length))
    s.take_cmdsn()
    s.conn.send_raw(corrupt(p.pack(True, True), 52 + at))
    expect(s, pdu.REJECT, response=DATA_DIGEST)
    assert s.finish(p.itt)[0].key_asc == CRC_ERROR
    assert s.read(0, length // 512) == pattern(length, 7)
    still_works(s)


@cases(("small", 512, 10), ("large", 65536, 40000))
def corrupted_data_out_fails_the_command_after_its_sequence(lab, length, at):
    s = disk(lab).login(keys=dict(BOTH, ImmediateData="No"))
    s.write(0, pattern(length * 2, 7))
    p = raw_command(s, write16(0, length // 256), write=True, edtl=length * 2)
    s.take_cmdsn()
    s.conn.send(p)
    r2t = expect(s, pdu.R2T, itt=p.itt)
    first = pdu.data_out(p.itt, bytes(length), 0, r2t.ttt, 0, 1, final=False).pack(True, True)
    s.conn.send_raw(corrupt(first, 52 + at))
    expect(s, pdu.REJECT, response=DATA_DIGEST)
    s.ping()  # no response before the sequence has ended
    s.conn.send(pdu.data_out(p.itt, bytes(length), length, r2t.ttt, 1, 1))
    assert s.finish(p.itt)[0].key_asc == CRC_ERROR
    assert s.read(0, length // 256) == pattern(length * 2, 7)
    still_works(s)


@test
def corrupted_ping_data_is_rejected(lab):
    s = disk(lab).login(keys=BOTH)
    p = pdu.nop_out(s.itt(), cmdsn=s.cmdsn, data=b"0123456789", immediate=True)
    s.conn.send_raw(corrupt(p.pack(True, True), 55))
    r = expect(s, pdu.REJECT, response=DATA_DIGEST)
    assert r.data == bytes(p.bhs)
    still_works(s)


@test
def corrupted_data_that_nobody_wants_is_not_looked_at(lab):
    s = disk(lab).login(keys=BOTH)
    wire = pdu.data_out(0x4242, bytes(100000), 0, 1, lun=1).pack(True, True)
    s.conn.send_raw(corrupt(wire, 5000))
    still_works(s)


main()
