# SPDX-License-Identifier: BSD-2-Clause
"""What PDU tests share: a daemon with one disk, and the commands they send. See pdu.py and ../e2e/lab.py."""

import os
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))

from lab import SANITIZED, Skip, cases, main, pdu, test, wait_until  # noqa: E402,F401

BLOCK = 512
TIMEOUT = 60.0 if SANITIZED else 20.0
TUR = bytes(6)

# sense (key, ASC, ASCQ)
UNEXPECTED_DATA = (0xB, 0x0C, 0x0C)
INCORRECT_AMOUNT = (0xB, 0x0C, 0x0D)
CRC_ERROR = (0xB, 0x47, 0x05)

# Reject reasons, RFC 7143 11.17.1
DATA_DIGEST, PROTOCOL, NOT_SUPPORTED, IMMEDIATE, IN_PROGRESS, INVALID_FIELD = 2, 4, 5, 6, 7, 9
SNACK_REJECT = 3


def read16(lba, blocks):
    return struct.pack(">BBQIBB", 0x88, 0, lba, blocks, 0, 0)


def write16(lba, blocks):
    return struct.pack(">BBQIBB", 0x8A, 0, lba, blocks, 0, 0)


def pattern(n, seed=1):
    """n bytes in which every 4-byte word tells where it is."""
    return b"".join(struct.pack(">HH", seed & 0xFFFF, i & 0xFFFF) for i in range(n // 4))


def disk(lab, options=("--reactors", "1"), size="16M", portals=("127.0.0.1",), **kw):
    """A daemon with one disk in memory-like speed: an image file, LUN 1."""
    d = lab.start(portals=portals, options=options)
    d.export(lab.image(size), **kw)
    return d


def slow_disk(lab, write_us, options=("--reactors", "1")):
    """The same, but each write takes its time before it lands."""
    d = lab.start(options=options)
    t = ["--lld", "iscsi", "--tid", "1"]
    d.tgtadm("--op", "new", "--mode", "target", "-T", d.name, *t)
    d.tgtadm("--op", "new", "--mode", "logicalunit", "--lun", "1", "-E", "delay:write_us=%d+mem" % write_us,
             "-S", "size=16M", *t)
    d.tgtadm("--op", "bind", "--mode", "target", "-I", "ALL", *t)
    return d


def expect(session, opcode, **fields):
    """The next PDU, which must be of this type with these fields."""
    p = session.recv()
    assert p.opcode == opcode, "expected %s, received %r" % (pdu.NAMES[opcode], p)
    for name, value in fields.items():
        got = getattr(p, name)
        assert got == value, "%s is %r, not %r: %r" % (name, got, value, p)
    return p


def still_works(session, lun=1):
    """The session answers: with the right ExpCmdSN, too."""
    r = session.command(TUR, lun)
    assert r.status == pdu.GOOD, repr(r)
    assert r.pdu.expcmdsn == session.cmdsn, "ExpCmdSN %x, next CmdSN %x" % (r.pdu.expcmdsn, session.cmdsn)


def daemon_works(d):
    """A new session works: whatever happened to the old one."""
    with d.login() as s:
        still_works(s)


def raw_command(session, cdb, lun=1, **kw):
    """A SCSI Command PDU with the session's numbers, to be changed and sent by the test."""
    return pdu.scsi_command(cdb, lun, session.itt(), session.cmdsn, session.expstatsn, **kw)


def live(d):
    return d.tgtctl_json("stat")["live"]
