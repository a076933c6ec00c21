# SPDX-License-Identifier: BSD-2-Clause
"""A small iSCSI initiator (RFC 7143) for tests: it can say everything right, and anything wrong.

Three floors, each usable alone:
  Pdu         48 bytes of basic header segment with named fields, AHS and data; pack() and unpack
  Connection  a socket that sends and receives Pdus, with or without digests
  Session     login, CHAP, commands with R2T and Data-In, task management, text, logout

	s = Session.login(("127.0.0.1", 3260), target="iqn.2026-01.org.example:t")
	r = s.command(bytes([0x12, 0, 0, 0, 96, 0]), lun=0, read=96)
	assert r.status == 0 and r.data[8:16] == b"..."
	s.logout()

To send something wrong, build a Pdu (scsi_command(), data_out(), ...), change its fields or `bhs` bytes, and hand it to
Connection.send(), or raw bytes to Connection.send_raw().
"""

import hashlib
import itertools
import os
import socket
import struct

# initiator opcodes (RFC 7143, 11.2.1.2)
NOP_OUT, SCSI_CMD, TMF_REQ, LOGIN_REQ, TEXT_REQ, DATA_OUT, LOGOUT_REQ, SNACK = 0, 1, 2, 3, 4, 5, 6, 0x10
# target opcodes
NOP_IN, SCSI_RSP, TMF_RSP, LOGIN_RSP, TEXT_RSP, DATA_IN, LOGOUT_RSP = 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26
R2T, ASYNC_MSG, REJECT = 0x31, 0x32, 0x3F
NAMES = {NOP_OUT: "NOP-Out", SCSI_CMD: "SCSI Command", TMF_REQ: "TMF Request", LOGIN_REQ: "Login Request",
         TEXT_REQ: "Text Request", DATA_OUT: "Data-Out", LOGOUT_REQ: "Logout Request", SNACK: "SNACK",
         NOP_IN: "NOP-In", SCSI_RSP: "SCSI Response", TMF_RSP: "TMF Response", LOGIN_RSP: "Login Response",
         TEXT_RSP: "Text Response", DATA_IN: "Data-In", LOGOUT_RSP: "Logout Response", R2T: "R2T",
         ASYNC_MSG: "Async Message", REJECT: "Reject"}
RESERVED_TAG = 0xFFFFFFFF

# task attributes, 11.3.1
UNTAGGED, SIMPLE, ORDERED, HEAD_OF_QUEUE, ACA = range(5)
# task management functions, 11.5.1
ABORT_TASK, ABORT_TASK_SET, CLEAR_ACA, CLEAR_TASK_SET, LUN_RESET, TARGET_WARM_RESET, TARGET_COLD_RESET, \
    TASK_REASSIGN, QUERY_TASK, QUERY_TASK_SET, I_T_NEXUS_RESET, QUERY_ASYNC_EVENT = range(1, 13)
# SCSI status
GOOD, CHECK_CONDITION, CONDITION_MET, BUSY, RESERVATION_CONFLICT, TASK_SET_FULL, TASK_ABORTED = \
    0, 2, 4, 8, 0x18, 0x28, 0x40


def _crc_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


_CRC = _crc_table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for b in data:
        crc = _CRC[(crc ^ b) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def pad4(n):
    return -n % 4


class Closed(Exception):
    """The peer closed or reset the connection."""


class ProtocolError(Exception):
    """The target said something that RFC 7143 does not allow here."""


class LoginError(Exception):
    """Login ended with a status class other than success: .cls and .detail."""

    def __init__(self, pdu):
        self.cls, self.detail, self.pdu = pdu.bhs[36], pdu.bhs[37], pdu
        super().__init__("login refused: status %02x%02xh" % (self.cls, self.detail))


def _field(fmt, off):
    size = struct.calcsize(fmt)

    def get(self):
        return struct.unpack(fmt, self.bhs[off:off + size])[0]

    def put(self, value):
        self.bhs[off:off + size] = struct.pack(fmt, value)
    return property(get, put)


class Pdu:
    """One PDU. Names are those of RFC 7143; fields that share bytes in different PDUs are simply several properties."""

    def __init__(self, opcode=0, flags=0, data=b"", ahs=b"", bhs=None, immediate=False, **fields):
        self.bhs = bytearray(bhs if bhs is not None else 48)
        if bhs is None:
            self.bhs[0] = opcode | (0x40 if immediate else 0)
            self.bhs[1] = flags
        self.ahs, self.data = ahs, bytes(data)
        self.header_digest_ok = self.data_digest_ok = True
        for name, value in fields.items():
            if not isinstance(getattr(Pdu, name, None), property):
                raise AttributeError(name)
            setattr(self, name, value)

    flags = _field(">B", 1)
    ahs_length = _field(">B", 4)  # in 4-byte words; pack() fills it from .ahs
    lun = _field(">Q", 8)
    itt = _field(">I", 16)
    ttt = _field(">I", 20)
    edtl = _field(">I", 20)  # SCSI Command: expected data transfer length
    ref_tag = _field(">I", 20)  # TMF Request: referenced task tag; SNACK: target transfer tag
    snack_tag = _field(">I", 20)  # SCSI Response
    cmdsn = _field(">I", 24)  # requests
    statsn = _field(">I", 24)  # responses
    expstatsn = _field(">I", 28)  # requests
    expcmdsn = _field(">I", 28)  # responses
    maxcmdsn = _field(">I", 32)
    ref_cmdsn = _field(">I", 32)  # TMF Request
    datasn = _field(">I", 36)  # Data-In, Data-Out, Reject
    expdatasn = _field(">I", 36)  # SCSI Response, TMF Request
    r2tsn = _field(">I", 36)
    offset = _field(">I", 40)  # Data-In, Data-Out, R2T: buffer offset
    bidi_residual = _field(">I", 40)
    residual = _field(">I", 44)
    desired = _field(">I", 44)  # R2T: desired data transfer length
    response = _field(">B", 2)  # SCSI, TMF, Logout Response; Reject: reason
    status = _field(">B", 3)  # SCSI Response, Data-In with S
    cid = _field(">H", 20)  # Login, Logout Request
    tsih = _field(">H", 14)
    version_max = _field(">B", 2)
    version_min = _field(">B", 3)
    status_class = _field(">B", 36)
    status_detail = _field(">B", 37)
    async_event = _field(">B", 36)
    async_vcode = _field(">B", 37)
    time2wait = _field(">H", 40)
    time2retain = _field(">H", 42)

    @property
    def opcode(self):
        return self.bhs[0] & 0x3F

    @opcode.setter
    def opcode(self, value):
        self.bhs[0] = (self.bhs[0] & 0xC0) | value

    @property
    def immediate(self):
        return bool(self.bhs[0] & 0x40)

    @property
    def final(self):
        return bool(self.bhs[1] & 0x80)

    @property
    def data_length(self):
        return int.from_bytes(self.bhs[5:8], "big")

    @data_length.setter
    def data_length(self, value):
        self.bhs[5:8] = value.to_bytes(3, "big")

    @property
    def isid(self):
        return bytes(self.bhs[8:14])

    @isid.setter
    def isid(self, value):
        self.bhs[8:14] = value

    @property
    def cdb(self):
        return bytes(self.bhs[32:48])

    @cdb.setter
    def cdb(self, value):
        self.bhs[32:48] = bytes(value[:16]).ljust(16, b"\0")

    @property
    def keys(self):
        """The data segment as login or text keys, in order; a key that comes twice keeps its last value."""
        return parse_keys(self.data)

    @property
    def sense(self):
        """Sense data of a SCSI Response with CHECK CONDITION (11.4.7.1), else b''."""
        if self.opcode != SCSI_RSP or len(self.data) < 2:
            return b""
        n = int.from_bytes(self.data[:2], "big")
        return self.data[2:2 + n]

    def pack(self, header_digest=False, data_digest=False, lengths=True):
        """The bytes on the wire. With lengths=False, the length fields stay as the test has set them."""
        ahs = self.ahs + bytes(pad4(len(self.ahs)))
        if lengths:
            self.ahs_length = len(ahs) // 4
            self.data_length = len(self.data)
        out = bytes(self.bhs) + ahs
        if header_digest:
            out += struct.pack("<I", crc32c(out))
        if self.data:
            data = self.data + bytes(pad4(len(self.data)))
            out += data
            if data_digest:
                out += struct.pack("<I", crc32c(data))
        return out

    def __repr__(self):
        return "<%s flags %02x itt %x len %d %s>" % (
            NAMES.get(self.opcode, "opcode %02xh" % self.opcode), self.flags, self.itt, self.data_length,
            bytes(self.bhs).hex())


def parse_keys(data):
    keys = {}
    for item in data.split(b"\0"):
        if item:
            key, _, value = item.partition(b"=")
            keys[key.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
    return keys


def pack_keys(keys):
    """A dict, or a list of pairs where order or repetition matters."""
    pairs = keys.items() if isinstance(keys, dict) else keys
    return b"".join(("%s=%s" % kv).encode() + b"\0" for kv in pairs)


def encode_lun(lun):
    """8-byte LUN: peripheral addressing below 256, flat space above (SAM-5 4.7)."""
    return lun << 48 if lun < 256 else (0x4000 | lun) << 48


def login_request(isid, tsih=0, cid=0, csg=0, nsg=None, keys=(), itt=0, cmdsn=0, expstatsn=0, more=False):
    flags = csg << 2
    if more:
        flags |= 0x40
    if nsg is not None:
        flags |= 0x80 | nsg
    return Pdu(LOGIN_REQ, flags, data=pack_keys(keys), immediate=True, isid=isid, tsih=tsih, itt=itt, cid=cid,
               cmdsn=cmdsn, expstatsn=expstatsn)


def scsi_command(cdb, lun=0, itt=1, cmdsn=0, expstatsn=0, read=False, write=False, edtl=0, attr=SIMPLE, data=b"",
                 final=True, immediate=False, ahs=b""):
    flags = (0x80 if final else 0) | (0x40 if read else 0) | (0x20 if write else 0) | attr
    if len(cdb) > 16 and not ahs:  # extended CDB AHS, 11.2.2.3
        rest = bytes(cdb[16:])
        ahs = struct.pack(">HBB", len(rest) + 1, 1, 0) + rest
    return Pdu(SCSI_CMD, flags, data=data, ahs=ahs, immediate=immediate, lun=encode_lun(lun), itt=itt, edtl=edtl,
               cmdsn=cmdsn, expstatsn=expstatsn, cdb=cdb)


def data_out(itt, data, offset=0, ttt=RESERVED_TAG, datasn=0, lun=0, expstatsn=0, final=True):
    return Pdu(DATA_OUT, 0x80 if final else 0, data=data, lun=encode_lun(lun), itt=itt, ttt=ttt, expstatsn=expstatsn,
               datasn=datasn, offset=offset)


def nop_out(itt, ttt=RESERVED_TAG, lun=0, cmdsn=0, expstatsn=0, data=b"", immediate=False):
    return Pdu(NOP_OUT, 0x80, data=data, immediate=immediate, lun=encode_lun(lun), itt=itt, ttt=ttt, cmdsn=cmdsn,
               expstatsn=expstatsn)


def tmf_request(function, lun=0, itt=1, ref_tag=RESERVED_TAG, ref_cmdsn=0, cmdsn=0, expstatsn=0, immediate=True):
    return Pdu(TMF_REQ, 0x80 | function, immediate=immediate, lun=encode_lun(lun), itt=itt, ref_tag=ref_tag,
               cmdsn=cmdsn, expstatsn=expstatsn, ref_cmdsn=ref_cmdsn)


def text_request(keys, itt, ttt=RESERVED_TAG, cmdsn=0, expstatsn=0, final=True, more=False, immediate=False):
    return Pdu(TEXT_REQ, (0x80 if final else 0) | (0x40 if more else 0), data=pack_keys(keys), immediate=immediate,
               itt=itt, ttt=ttt, cmdsn=cmdsn, expstatsn=expstatsn)


def logout_request(itt, reason=0, cid=0, cmdsn=0, expstatsn=0, immediate=True):
    return Pdu(LOGOUT_REQ, 0x80 | reason, immediate=immediate, itt=itt, cid=cid, cmdsn=cmdsn, expstatsn=expstatsn)


def parse_portal(text):
    """'127.0.0.1:3260', '[::1]:3260' with an optional ',tag' -> (host, port)"""
    host, _, port = text.split(",")[0].rpartition(":")
    return host.strip("[]"), int(port)


class Connection:
    """A TCP connection that speaks PDUs. Every wait ends after `timeout` seconds (socket.timeout)."""

    def __init__(self, portal, timeout=20.0, sock=None):
        if isinstance(portal, str):
            portal = parse_portal(portal)
        self.sock = sock or socket.create_connection(portal, timeout)
        self.sock.settimeout(timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.header_digest = self.data_digest = False

    def close(self):
        self.sock.close()

    def reset(self):
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def send_raw(self, data):
        try:
            self.sock.sendall(data)
        except (ConnectionResetError, BrokenPipeError) as e:
            raise Closed(str(e)) from e

    def send(self, *pdus, lengths=True):
        self.send_raw(b"".join(p.pack(self.header_digest, self.data_digest, lengths) for p in pdus))

    def recv_raw(self, n):
        parts = []
        while n:
            try:
                got = self.sock.recv(min(n, 1 << 20))
            except (ConnectionResetError, BrokenPipeError) as e:
                raise Closed(str(e)) from e
            if not got:
                raise Closed("end of stream")
            parts.append(got)
            n -= len(got)
        return b"".join(parts)

    def recv(self):
        pdu = Pdu(bhs=self.recv_raw(48))
        pdu.ahs = self.recv_raw(pdu.ahs_length * 4)
        if self.header_digest:
            pdu.header_digest_ok = struct.unpack("<I", self.recv_raw(4))[0] == crc32c(bytes(pdu.bhs) + pdu.ahs)
        n = pdu.data_length
        if n:
            data = self.recv_raw(n + pad4(n))
            pdu.data = data[:n]
            if self.data_digest:
                pdu.data_digest_ok = struct.unpack("<I", self.recv_raw(4))[0] == crc32c(data)
        return pdu

    def is_closed(self):
        """True if the peer closes within the timeout without sending another PDU; data that comes first is an error."""
        try:
            pdu = self.recv()
        except Closed:
            return True
        raise ProtocolError("expected the connection to close, received %r" % pdu)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


CHAP_HASH = {5: "md5", 6: "sha1", 7: "sha256", 8: "sha3_256"}


def chap_response(algorithm, ident, secret, challenge):
    if isinstance(secret, str):
        secret = secret.encode()
    return hashlib.new(CHAP_HASH[algorithm], bytes([ident]) + secret + challenge).digest()


def chap_binary(text):
    """A binary value of a key: 0x... or 0b... (base64), 6.1"""
    if text[:2].lower() == "0x":
        digits = text[2:]
        return bytes.fromhex(digits if len(digits) % 2 == 0 else "0" + digits)
    if text[:2].lower() == "0b":
        import base64
        return base64.b64decode(text[2:])
    raise ProtocolError("not a binary value: %r" % text)


class Chap:
    """CHAP credentials: user and secret for one way; peer_user and peer_secret make it mutual (12.1.3)."""

    def __init__(self, user, secret, peer_user=None, peer_secret=None, algorithms=(7, 8, 6, 5)):
        self.user, self.secret = user, secret
        self.peer_user, self.peer_secret = peer_user, peer_secret
        self.algorithms = algorithms
        self.chosen = None


class Result:
    """The outcome of one SCSI command."""

    def __init__(self, status, data, pdu):
        self.status, self.data, self.pdu = status, data, pdu
        self.response = pdu.response if pdu.opcode == SCSI_RSP else 0
        self.sense = pdu.sense
        self.overflow = bool(pdu.flags & 4)
        self.underflow = bool(pdu.flags & 2)
        self.residual = pdu.residual

    @property
    def key_asc(self):
        """(sense key, ASC, ASCQ) from fixed or descriptor sense, or None"""
        s = self.sense
        if len(s) < 4:
            return None
        if s[0] & 0x7F in (0x72, 0x73):
            return s[1] & 0xF, s[2], s[3]
        return s[2] & 0xF, s[12], s[13]

    def __repr__(self):
        return "<Result status %02xh %d bytes sense %s residual %d>" % (
            self.status, len(self.data), self.key_asc, self.residual)


_isid_counter = itertools.count(1)


def new_isid():
    """A random-format ISID (11.12.5), different for each call in this process and most likely between processes."""
    return bytes([0x80]) + os.urandom(3) + struct.pack(">H", next(_isid_counter) & 0xFFFF)


DEFAULT_KEYS = {
    "HeaderDigest": "None", "DataDigest": "None", "InitialR2T": "Yes", "ImmediateData": "Yes",
    "MaxBurstLength": "262144", "FirstBurstLength": "65536", "MaxRecvDataSegmentLength": "262144",
    "DefaultTime2Wait": "2", "DefaultTime2Retain": "0", "MaxOutstandingR2T": "1", "MaxConnections": "1",
    "DataPDUInOrder": "Yes", "DataSequenceInOrder": "Yes", "ErrorRecoveryLevel": "0",
}
INITIATOR = "iqn.2026-01.org.example:initiator"


class Session:
    """One session with one connection. Create with Session.login() or Session.discovery()."""

    def __init__(self, conn, isid, initiator, target):
        self.conn, self.isid, self.initiator, self.target = conn, isid, initiator, target
        self.tsih = 0
        self.cid = 0
        self.cmdsn, self.expstatsn = 1, 0
        self.expcmdsn = self.maxcmdsn = 1
        self.next_itt = 1
        self.agreed = {}
        self.asyncs = []  # asynchronous messages seen
        self.nops = []  # NOP-Ins of the target seen; those that ask are answered

    # -- login -----------------------------------------------------------------------------------------------------

    @classmethod
    def login(cls, portal, target, initiator=INITIATOR, isid=None, tsih=0, keys=None, chap=None, session_type="Normal",
              security=False, timeout=20.0, cid=0):
        """Log in and return the Session; LoginError if refused. keys overrides DEFAULT_KEYS (a value None leaves a key
        out). Without chap and security, login begins in the operational stage."""
        conn = Connection(portal, timeout)
        try:
            self = cls(conn, isid or new_isid(), initiator, target)
            self.tsih, self.cid = tsih, cid
            self._login(dict(DEFAULT_KEYS, **(keys or {})), chap, session_type, security)
            return self
        except BaseException:
            conn.close()
            raise

    @classmethod
    def discovery(cls, portal, **kw):
        keys = dict.fromkeys(("InitialR2T", "ImmediateData", "MaxBurstLength", "FirstBurstLength",
                              "MaxOutstandingR2T", "MaxConnections", "DataPDUInOrder", "DataSequenceInOrder"))
        keys.update(kw.pop("keys", {}))
        return cls.login(portal, None, session_type="Discovery", keys=keys, **kw)

    def login_step(self, csg, nsg, keys):
        """One request and its whole answer (C bit on both sides); returns (last response, keys)."""
        data = pack_keys(keys)
        parts = [data[i:i + 8192] for i in range(0, len(data), 8192)] or [b""]
        for i, part in enumerate(parts):
            last = i == len(parts) - 1
            req = login_request(self.isid, self.tsih, self.cid, csg, nsg if last else None, (), 0, self.cmdsn,
                                self.expstatsn, more=not last)
            req.data = part
            self.conn.send(req)
            rsp, text = self._login_response()
        while rsp.flags & 0x40:  # C: more text comes after an empty request
            self.conn.send(login_request(self.isid, self.tsih, self.cid, csg, None, (), 0, self.cmdsn, self.expstatsn))
            rsp, more = self._login_response()
            text += more
        return rsp, parse_keys(text)

    def _login_response(self):
        rsp = self.conn.recv()
        if rsp.opcode != LOGIN_RSP:
            raise ProtocolError("expected a Login Response, received %r" % rsp)
        if rsp.status_class:
            raise LoginError(rsp)
        self.expstatsn = (rsp.statsn + 1) & 0xFFFFFFFF
        self.expcmdsn, self.maxcmdsn = rsp.expcmdsn, rsp.maxcmdsn
        return rsp, rsp.data

    def _login(self, keys, chap, session_type, security):
        first = {"InitiatorName": self.initiator, "SessionType": session_type}
        if self.target is not None:
            first["TargetName"] = self.target
        if chap or security:
            first["AuthMethod"] = "CHAP,None" if chap and not security else "CHAP" if chap else "None"
            self._security(first, chap)
            first = {}
        proposal = {k: v for k, v in dict(first, **keys).items() if v is not None}
        rsp, answer = self.login_step(1, 3, proposal)
        collected = dict(answer)
        for _ in range(8):
            if rsp.flags & 0x80:
                break
            ask = {k: "8192" for k in answer if k == "MaxRecvDataSegmentLength" and k not in proposal}
            rsp, answer = self.login_step(1, 3, ask)
            collected.update(answer)
        else:
            raise ProtocolError("login does not end")
        self.agreed = collected
        self.tsih = rsp.tsih
        self.conn.header_digest = collected.get("HeaderDigest", "None") == "CRC32C"
        self.conn.data_digest = collected.get("DataDigest", "None") == "CRC32C"

        def number(key, default):
            value = collected.get(key, keys.get(key) or default)
            return default if value == "Irrelevant" else int(value)
        self.max_send = int(collected.get("MaxRecvDataSegmentLength", 8192))  # what the target receives
        self.first_burst = number("FirstBurstLength", 65536)
        self.max_burst = number("MaxBurstLength", 262144)
        self.immediate_data = collected.get("ImmediateData", keys.get("ImmediateData") or "Yes") == "Yes"
        self.initial_r2t = collected.get("InitialR2T", keys.get("InitialR2T") or "Yes") == "Yes"

    def _security(self, first, chap):
        rsp, answer = self.login_step(0, None if chap else 1, first)
        if not chap or answer.get("AuthMethod") == "None":
            if not (rsp.flags & 0x80):
                self.login_step(0, 1, {})
            return
        if answer.get("AuthMethod") != "CHAP":
            raise ProtocolError("AuthMethod: %r" % answer)
        rsp, answer = self.login_step(0, None, {"CHAP_A": ",".join(map(str, chap.algorithms))})
        chap.chosen = int(answer["CHAP_A"])
        ident, challenge = int(answer["CHAP_I"]), chap_binary(answer["CHAP_C"])
        reply = {"CHAP_N": chap.user,
                 "CHAP_R": "0x" + chap_response(chap.chosen, ident, chap.secret, challenge).hex()}
        if chap.peer_secret is not None:
            mine = os.urandom(16)
            reply["CHAP_I"], reply["CHAP_C"] = "77", "0x" + mine.hex()
        rsp, answer = self.login_step(0, 1, reply)
        if chap.peer_secret is not None:
            if answer.get("CHAP_N") != chap.peer_user:
                raise ProtocolError("mutual CHAP: name %r" % answer.get("CHAP_N"))
            if chap_binary(answer["CHAP_R"]) != chap_response(chap.chosen, 77, chap.peer_secret, mine):
                raise ProtocolError("mutual CHAP: the target's response is wrong")
        if not rsp.flags & 0x80:
            raise ProtocolError("security stage does not end")

    # -- full feature phase ----------------------------------------------------------------------------------------

    def itt(self):
        self.next_itt += 1
        return self.next_itt - 1

    def take_cmdsn(self):
        sn, self.cmdsn = self.cmdsn, (self.cmdsn + 1) & 0xFFFFFFFF
        return sn

    def recv(self):
        """The next PDU; keeps StatSN and the window, answers NOP-Ins that ask for it."""
        while True:
            pdu = self.conn.recv()
            if not (pdu.header_digest_ok and pdu.data_digest_ok):
                raise ProtocolError("bad digest on %r" % pdu)
            self.expcmdsn, self.maxcmdsn = pdu.expcmdsn, pdu.maxcmdsn
            counts = pdu.opcode in (SCSI_RSP, TMF_RSP, TEXT_RSP, LOGOUT_RSP, ASYNC_MSG, REJECT) or \
                (pdu.opcode == NOP_IN and pdu.itt != RESERVED_TAG) or (pdu.opcode == DATA_IN and pdu.flags & 1)
            if counts:
                if pdu.statsn != self.expstatsn:
                    raise ProtocolError("StatSN %x, expected %x" % (pdu.statsn, self.expstatsn))
                self.expstatsn = (pdu.statsn + 1) & 0xFFFFFFFF
            if pdu.opcode == ASYNC_MSG:
                self.asyncs.append(pdu)
            elif pdu.opcode == NOP_IN and pdu.itt == RESERVED_TAG:
                self.nops.append(pdu)
                if pdu.ttt != RESERVED_TAG:
                    answer = nop_out(RESERVED_TAG, pdu.ttt, 0, self.cmdsn, self.expstatsn, immediate=True)
                    answer.lun = pdu.lun
                    self.conn.send(answer)
            else:
                return pdu

    def send_command(self, cdb, lun=0, read=0, write=b"", attr=SIMPLE, immediate=False, edtl=None, unsolicited=True):
        """Send a command with what immediate and unsolicited data the agreed keys allow; returns its itt."""
        itt = self.itt()
        self._pending_write = getattr(self, "_pending_write", {})
        first = b""
        sent = 0
        limit = min(self.first_burst, len(write))
        if write and self.immediate_data:
            sent = min(limit, self.max_send)
            first = write[:sent]
        more = bool(write) and unsolicited and not self.initial_r2t and sent < limit
        cmd = scsi_command(cdb, lun, itt, self.cmdsn if immediate else self.take_cmdsn(), self.expstatsn,
                           read=read > 0, write=len(write) > 0, edtl=len(write) or read if edtl is None else edtl,
                           attr=attr, data=first, final=not more, immediate=immediate)
        self.conn.send(cmd)
        if more:
            self._data_out(itt, write, sent, limit, RESERVED_TAG, lun)
        if write:
            self._pending_write[itt] = (write, lun)
        return itt

    def _data_out(self, itt, write, start, end, ttt, lun):
        sn = 0
        while start < end:
            n = min(self.max_send, end - start)
            self.conn.send(data_out(itt, write[start:start + n], start, ttt, sn, lun, self.expstatsn, start + n == end))
            start, sn = start + n, sn + 1

    def finish(self, *itts):
        """Receive until all these commands have their status; returns Results in the same order."""
        results, buffers = {}, {i: bytearray() for i in itts}
        while len(results) < len(itts):
            pdu = self.recv()
            if pdu.opcode == R2T and pdu.itt in getattr(self, "_pending_write", {}):
                write, lun = self._pending_write[pdu.itt]
                if pdu.offset + pdu.desired > len(write) or pdu.desired == 0:
                    raise ProtocolError("R2T beyond the data: %r" % pdu)
                self._data_out(pdu.itt, write, pdu.offset, pdu.offset + pdu.desired, pdu.ttt, lun)
            elif pdu.opcode == DATA_IN and pdu.itt in buffers:
                buf = buffers[pdu.itt]
                if pdu.offset > len(buf):
                    buf.extend(bytes(pdu.offset - len(buf)))
                buf[pdu.offset:pdu.offset + len(pdu.data)] = pdu.data
                if pdu.flags & 1:
                    results[pdu.itt] = Result(pdu.status, bytes(buf), pdu)
            elif pdu.opcode == SCSI_RSP and pdu.itt in buffers:
                results[pdu.itt] = Result(pdu.status, bytes(buffers[pdu.itt]), pdu)
            else:
                raise ProtocolError("unexpected %r" % pdu)
        for i in itts:
            getattr(self, "_pending_write", {}).pop(i, None)
        return [results[i] for i in itts]

    def command(self, cdb, lun=0, read=0, write=b"", **kw):
        return self.finish(self.send_command(cdb, lun, read, write, **kw))[0]

    def read(self, lba, blocks, lun=1, block_size=512):
        cdb = struct.pack(">BBQIBB", 0x88, 0, lba, blocks, 0, 0)
        r = self.command(cdb, lun, read=blocks * block_size)
        if r.status:
            raise ProtocolError("READ(16): %r" % r)
        return r.data

    def write(self, lba, data, lun=1, block_size=512):
        cdb = struct.pack(">BBQIBB", 0x8A, 0, lba, len(data) // block_size, 0, 0)
        r = self.command(cdb, lun, write=data)
        if r.status:
            raise ProtocolError("WRITE(16): %r" % r)
        return r

    def clear_unit_attention(self, lun=1):
        """TEST UNIT READY until no unit attention is left; returns those seen as (key, asc, ascq)."""
        seen = []
        for _ in range(32):
            r = self.command(bytes(6), lun)
            if not (r.status == CHECK_CONDITION and r.key_asc and r.key_asc[0] == 6):
                return seen
            seen.append(r.key_asc)
        raise ProtocolError("unit attentions do not end: %r" % seen)

    def capacity(self, lun=1):
        """(blocks, block size) by READ CAPACITY(16)"""
        r = self.command(bytes([0x9E, 0x10]) + bytes(8) + struct.pack(">IBB", 32, 0, 0), lun, read=32)
        if r.status:
            raise ProtocolError("READ CAPACITY(16): %r" % r)
        last, size = struct.unpack(">QI", r.data[:12])
        return last + 1, size

    def report_luns(self):
        r = self.command(struct.pack(">B5xI2x", 0xA0, 4096), 0, read=4096)
        if r.status:
            raise ProtocolError("REPORT LUNS: %r" % r)
        n = int.from_bytes(r.data[:4], "big") // 8
        return [int.from_bytes(r.data[8 + 8 * i:16 + 8 * i], "big") >> 48 & 0x3FFF for i in range(n)]

    def task_management(self, function, lun=0, ref_tag=RESERVED_TAG, ref_cmdsn=0):
        """Returns the response code (0 = function complete). Other PDUs that arrive first are an error."""
        itt = self.itt()
        self.conn.send(tmf_request(function, lun, itt, ref_tag, ref_cmdsn, self.cmdsn, self.expstatsn))
        pdu = self.recv()
        if pdu.opcode != TMF_RSP or pdu.itt != itt:
            raise ProtocolError("expected the TMF Response, received %r" % pdu)
        return pdu.response

    def ping(self, data=b"ping"):
        itt = self.itt()
        self.conn.send(nop_out(itt, cmdsn=self.cmdsn, expstatsn=self.expstatsn, data=data, immediate=True))
        pdu = self.recv()
        if pdu.opcode != NOP_IN or pdu.itt != itt or pdu.data != data:
            raise ProtocolError("expected the NOP-In, received %r" % pdu)

    def text(self, keys):
        itt = self.itt()
        self.conn.send(text_request(keys, itt, cmdsn=self.take_cmdsn(), expstatsn=self.expstatsn))
        data = b""
        for _ in range(10000):
            pdu = self.recv()
            if pdu.opcode != TEXT_RSP or pdu.itt != itt:
                raise ProtocolError("expected a Text Response, received %r" % pdu)
            data += pdu.data
            if pdu.final:
                return data
            self.conn.send(text_request((), itt, pdu.ttt, self.take_cmdsn(), self.expstatsn))
        raise ProtocolError("text response does not end")

    def send_targets(self, which="All"):
        """[(name, [portal, ...]), ...]"""
        out = []
        for item in self.text({"SendTargets": which}).split(b"\0"):
            key, _, value = item.decode().partition("=")
            if key == "TargetName":
                out.append((value, []))
            elif key == "TargetAddress" and out:
                out[-1][1].append(value)
        return out

    def logout(self, reason=0):
        """Log out and close; returns the response code."""
        itt = self.itt()
        self.conn.send(logout_request(itt, reason, self.cid, self.cmdsn, self.expstatsn))
        while True:
            pdu = self.recv()
            if pdu.opcode == LOGOUT_RSP:
                break
        self.conn.close()
        return pdu.response

    def close(self):
        self.conn.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
