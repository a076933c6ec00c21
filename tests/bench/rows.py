# SPDX-License-Identifier: BSD-2-Clause
"""What is measured, and what it has to come to: workloads and gates, as data."""

import collections

from stats import Gate

Row = collections.namedtuple("Row", "name store rw bs qd sessions seq digests")

SMALL = (  # name, rw, queue depth, sessions
    ("read-4k-qd1", "read", 1, 1),
    ("read-4k-qd32", "read", 32, 1),
    ("read-4k-qd32x4", "read", 32, 4),
    ("write-4k-qd32", "write", 32, 1),
    ("mix-4k-qd32", "mix", 32, 1),
)
LARGE = tuple(("%s-%s" % (rw, size), rw, size) for size in ("64k", "256k", "1m") for rw in ("read", "write"))
COMPLETE = ("null", "mem", "file")  # stores with all of these rows
STORES = COMPLETE + ("mmap", "direct")
CACHED = ("mmap", "file")  # what they serve has to be in the page cache
MEMORY = ("null", "mem") + CACHED  # those that wait for no disk

# Rows of the stores that serve a file in another way: name, rw, block, queue depth, in sequence, digests.
MORE = {
    "mmap": (
        ("read-4k-qd1", "read", "4k", 1, False, False),
        ("read-4k-qd32", "read", "4k", 32, False, False),
        ("read-4k-qd32+digests", "read", "4k", 32, False, True),
        ("read-64k", "read", "64k", 16, True, False),
        ("read-256k", "read", "256k", 16, True, False),
        ("read-1m", "read", "1m", 16, True, False),
        ("write-4k-qd32", "write", "4k", 32, False, False),
    ),
    "direct": (
        ("read-4k-qd32", "read", "4k", 32, False, False),
        ("write-4k-qd32", "write", "4k", 32, False, False),
        ("read-1m", "read", "1m", 16, True, False),
    ),
}


def all_rows():
    rows = []
    for store in COMPLETE:
        for name, rw, qd, sessions in SMALL:
            for digests in (False, True):  # next to each other: they are compared
                full = "%s/%s%s" % (store, name, "+digests" if digests else "")
                rows.append(Row(full, store, rw, "4k", qd, sessions, False, digests))
        for name, rw, size in LARGE:
            rows.append(Row("%s/%s" % (store, name), store, rw, size, 16, 1, True, False))
    for store, more in MORE.items():
        for name, rw, bs, qd, seq, digests in more:
            rows.append(Row("%s/%s" % (store, name), store, rw, bs, qd, 1, seq, digests))
    return rows


# Rows that are not a peer's: what a thousand idle sessions cost, what many large writes take of memory, what a ring
# costs against its own floor, and what is left of the rate of another server by way of us.
SPECIAL = ("idle", "memory", "vhost", "nbd", "rbd")

QUICK_ROWS = ("null/read-4k-qd1", "null/read-4k-qd32", "null/read-4k-qd32+digests", "null/read-4k-qd32x4",
              "file/read-4k-qd32", "file/write-4k-qd32", "file/read-256k", "file/write-256k")
QUICK_PEERS = ("stgt", "stgt-free", "floor", "tgt")

TGT_FOURFOLD = ("*/*-4k-qd32*",)
TGT_TWOFOLD = ("*/write-64k", "*/write-256k", "*/write-1m")
QD1 = ("*/read-4k-qd1", "*/read-4k-qd1+digests")
LAYERED = ("null/read-4k-qd32", "null/write-4k-qd32", "null/read-64k")  # rows of the null store under two layers
CLOSE, CLOSE_TIMES = ("stgt", "stgt-layers"), 4  # who is so close in these that it takes more rounds to see
MAPPED = ("mmap/read-4k-qd32",)  # longer reads are not sent from the mapping, as that costs more
LARGE_ROWS = tuple("%s/%s" % (store, name) for store in ("null", "file") for name, _, _ in LARGE)

# What the special rows nbd and rbd do: arguments of bench-load and bench-nbd, of rbd bench.
NBD = {
    "4 KiB read": ("--rw", "read", "--bs", "4K"),
    "4 KiB write": ("--rw", "write", "--bs", "4K"),
    "256 KiB copy out": ("--rw", "read", "--bs", "256K", "--seq"),
}
RBD = {"4 KiB read": "read", "4 KiB write": "write"}
# What the special row vhost does: arguments of bench-vhost-load.
RINGS = {"split ring": (), "packed ring": ("--packed",)}


def _gate(name, rows, measure, gate, goal, peer="stgt", against="floor", better="low", unit="x", but=()):
    return Gate(name, tuple(rows), measure, peer, against, gate, goal, better, unit, tuple(but))


GATES = (
    _gate("null, 4 KiB read QD32: CPU against the floor", ("null/read-4k-qd32", "null/read-4k-qd32x4"), "cpu", 1.4,
          1.15),
    _gate("null, 4 KiB read QD32: CPU against SPDK", ("null/read-4k-qd32", "null/read-4k-qd32x4"), "cpu", None, 1.0,
          against="spdk"),
    _gate("file, 4 KiB read QD32: CPU against pread", ("file/read-4k-qd32",), "cpu", 1.3, 1.1),
    _gate("file, 4 KiB read QD32: below the pread floor", ("file/read-4k-qd32",), "cpu", None, 1.0),
    _gate("file, 4 KiB write QD32: CPU against pwrite", ("file/write-4k-qd32",), "cpu", 1.4, 1.15),
    _gate("64 KiB to 1 MiB: CPU against the floor", LARGE_ROWS, "cpu", 1.25, 1.05),
    _gate("mmap, 4 KiB reads: CPU against pread", MAPPED, "cpu", 1.0, None),
    _gate("null under two layers: CPU against none", LAYERED, "cpu", 1.03, None, peer="stgt-layers", against="stgt"),
    _gate("QD1, asleep: IOPS against the floor", ("*/read-4k-qd1",), "iops", 0.9, 0.97, better="high"),
    _gate("QD1, --poll=50: IOPS against SPDK", ("*/read-4k-qd1",), "iops", None, 1.0, peer="stgt-poll", against="spdk",
          better="high"),
    _gate("both digests, 4 KiB: CPU on top", ("*/*-4k-qd32*+digests",), "extra", 0.6, 0.3, unit="us",
          but=("mmap/*",)),
    _gate("4 KiB QD32 and mix: IOPS against tgt", TGT_FOURFOLD, "iops", 4.0, 6.0, against="tgt", better="high"),
    _gate("64 KiB to 1 MiB writes: IOPS against tgt", TGT_TWOFOLD, "iops", 2.0, None, against="tgt", better="high"),
    _gate("every other row: IOPS against tgt", ("*",), "iops", 1.0, None, against="tgt", better="high",
          but=TGT_FOURFOLD + TGT_TWOFOLD + QD1),
    # at queue depth 1 it decides which CPUs the two ends are on: the same rule for both
    _gate("QD1: IOPS against tgt, both where the scheduler puts them", QD1, "iops", 1.0, None, peer="stgt-free",
          against="tgt", better="high"),
    _gate("every row: IOPS against the floor", ("*",), "iops", 0.8, 0.95, better="high"),
    _gate("every row: variants of stgt without a figure", ("*",), "missing", 0, None, unit=""),
    _gate("two reactors, four connections: CPU against one", ("*/read-4k-qd32x4",), "cpu", 1.15, 1.05, peer="stgt-2",
          against="stgt"),
    _gate("1,000 idle sessions: wake-ups of a reactor", ("idle",), "wakeups", 0.0, 0.0, unit="/s"),
    _gate("256 x QD128 x 1 MiB writes: memory, cap 256 MiB", ("memory",), "resident_mib", 320, 288, unit="MiB"),
    _gate("256 x QD128 x 1 MiB writes: commands failed", ("memory",), "failed", 0, 0, unit=""),
    _gate("256 x QD128 x 1 MiB writes: sessions lost", ("memory",), "lost", 0, 0, unit=""),
    *(_gate("vhost, null, 4 KiB read QD32, %s: CPU against the ring's floor" % what, ("vhost",), "ratio " + what, 1.5,
            1.2) for what in RINGS),
    *(_gate("nbd, %s QD32: rate against the server's own" % what, ("nbd",), "ratio " + what, 0.6, None, better="high")
      for what in NBD),
    *(_gate("rbd, %s QD16: rate against rbd bench" % what, ("rbd",), "ratio " + what, 0.8, None, better="high")
      for what in RBD),
)
