#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""An NBD server that breaks the protocol: hostile-nbd.py SOCKET KEY=VALUE...

hello=BYTES      say this (hexadecimal) instead of a greeting, and close
size=N           of the export
blocks=A:B:C     minimum, preferred, maximum block size
refuse=BYTES     refuse the export with this text (hexadecimal)
read=, extents=  how to answer; see the functions of that name
"""

import os
import socket
import struct
import sys
import threading

OPTION_REPLY = 0x3e889045565a9
READ, WRITE, DISCONNECT, FLUSH, STATUS = 0, 1, 2, 3, 7
NONE, DATA, HOLE, STATUS_CHUNK, ERROR, ERROR_OFFSET = 0, 1, 2, 5, 0x8001, 0x8002
DONE = 1
SETTINGS = dict(word.split("=", 1) for word in sys.argv[2:])


class Gone(Exception):
    pass


def receive(c, n):
    data = b""
    while len(data) < n:
        more = c.recv(n - len(data))
        if not more:
            raise Gone
        data += more
    return data


def option_reply(c, option, kind, data=b""):
    c.sendall(struct.pack(">QIII", OPTION_REPLY, option, kind, len(data)) + data)


def negotiate(c):
    if "hello" in SETTINGS:
        c.sendall(bytes.fromhex(SETTINGS["hello"]))
        raise Gone
    c.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 3))
    receive(c, 4)
    while True:
        _, option, length = struct.unpack(">QII", receive(c, 16))
        receive(c, length)
        if option == 8:
            option_reply(c, option, 1)
        elif option == 10:
            option_reply(c, option, 4, struct.pack(">I", 1) + b"base:allocation")
            option_reply(c, option, 1)
        elif option in (6, 7):
            if "refuse" in SETTINGS:
                option_reply(c, option, 0x80000006, bytes.fromhex(SETTINGS["refuse"]))
                continue
            # flags, flush, FUA, trim, zeroes
            option_reply(c, option, 3, struct.pack(">HQH", 0, int(SETTINGS.get("size", 1 << 20)), 0x6d))
            if "blocks" in SETTINGS:
                sizes = [int(n) for n in SETTINGS["blocks"].split(":")]
                option_reply(c, option, 3, struct.pack(">HIII", 3, *sizes))
            option_reply(c, option, 1)
            if option == 7:
                return
        elif option == 2:
            option_reply(c, option, 1)
            raise Gone
        else:
            option_reply(c, option, 0x80000001)


def chunk(c, flags, kind, cookie, data=b"", length=None):
    c.sendall(struct.pack(">IHHQI", 0x668e33ef, flags, kind, cookie, len(data) if length is None else length) + data)


def data_chunk(c, flags, cookie, offset, data):
    chunk(c, flags, DATA, cookie, struct.pack(">Q", offset) + data)


def read(c, how, cookie, offset, length):
    data = b"\x5a" * length
    if how == "good":
        data_chunk(c, DONE, cookie, offset, data)
    elif how == "close":
        raise Gone
    elif how == "magic":
        c.sendall(os.urandom(64))
    elif how == "cookie":
        data_chunk(c, DONE, cookie ^ 0x5555, offset, data)
    elif how == "offset":
        data_chunk(c, DONE, cookie, offset + (1 << 62), data)
    elif how == "after":
        data_chunk(c, DONE, cookie, offset + length - 8, data)
    elif how == "before":
        data_chunk(c, DONE, cookie, (offset - 512) & (1 << 64) - 1, data)
    elif how == "more":
        data_chunk(c, DONE, cookie, offset, data * 2)
    elif how == "huge":
        chunk(c, DONE, DATA, cookie, struct.pack(">Q", offset), 0xffffffff)
    elif how == "less":
        data_chunk(c, DONE, cookie, offset, data[:-512])
    elif how == "nothing":
        chunk(c, DONE, NONE, cookie)
    elif how == "twice":
        data_chunk(c, 0, cookie, offset, data[:length // 2])
        data_chunk(c, DONE, cookie, offset, data[:length // 2])
    elif how == "backwards":
        data_chunk(c, 0, cookie, offset + length // 2, data[length // 2:])
        data_chunk(c, DONE, cookie, offset, data[:length // 2])
    elif how == "hole":
        chunk(c, DONE, HOLE, cookie, struct.pack(">QI", offset, 0xffffffff))
    elif how == "error":
        chunk(c, DONE, ERROR_OFFSET, cookie, struct.pack(">IHQ", 5, 0, 1 << 63))
    elif how == "extents":
        chunk(c, DONE, STATUS_CHUNK, cookie, struct.pack(">III", 1, length, 0))
    elif how == "again":
        data_chunk(c, DONE, cookie, offset, data)
        data_chunk(c, DONE, cookie, offset, data)


def extents(c, how, cookie, length):
    if how == "good":
        chunk(c, DONE, STATUS_CHUNK, cookie, struct.pack(">III", 1, length, 3))
    elif how == "other":
        chunk(c, DONE, STATUS_CHUNK, cookie, struct.pack(">III", 77, length, 3))
    elif how == "nothing":
        chunk(c, DONE, NONE, cookie)
    elif how == "empty":
        chunk(c, DONE, STATUS_CHUNK, cookie, struct.pack(">I", 1))
    elif how == "zero":
        chunk(c, DONE, STATUS_CHUNK, cookie, struct.pack(">III", 1, 0, 3))
    elif how == "odd":
        chunk(c, DONE, STATUS_CHUNK, cookie, struct.pack(">III", 1, 513, 3))
    elif how == "beyond":
        chunk(c, DONE, STATUS_CHUNK, cookie, struct.pack(">I", 1) + struct.pack(">II", 0xffffffff, 3) * 64)
    elif how == "cut":
        chunk(c, DONE, STATUS_CHUNK, cookie, struct.pack(">IIH", 1, length, 3))


def serve(c):
    try:
        negotiate(c)
        while True:
            magic, _, kind, cookie, offset, length = struct.unpack(">IHHQQI", receive(c, 28))
            assert magic == 0x25609513
            if kind == READ:
                read(c, SETTINGS.get("read", "good"), cookie, offset, length)
            elif kind == STATUS:
                extents(c, SETTINGS.get("extents", "good"), cookie, length)
            elif kind == DISCONNECT:
                raise Gone
            else:
                receive(c, length if kind == WRITE else 0)
                chunk(c, DONE, NONE, cookie)
    except (Gone, OSError):
        pass
    finally:
        c.close()


listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(sys.argv[1])
listener.listen(16)
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
