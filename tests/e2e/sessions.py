#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What sessions leave behind (nothing), and what they cost."""

from lab import SANITIZED, Skip, main, pdu, test, wait_until

MIB = 1 << 20


def live_objects(d):
    """Live-object counters of the daemon: {name: count}"""
    return d.tgtctl_json("stat")["live"]


def come_and_go(d, n):
    """n logins with a little work, each ended in one of the ways that sessions end."""
    for i in range(n):
        s = d.login(keys={"HeaderDigest": "CRC32C", "DataDigest": "CRC32C"} if i % 3 == 0 else None)
        s.write(i % 1000, bytes([i & 255]) * 4096)
        assert s.read(i % 1000, 8) == bytes([i & 255]) * 4096
        if i % 5 == 0:
            s.conn.reset()
        elif i % 5 == 1:
            s.close()
        else:
            s.logout()


@test
def five_hundred_logins_leave_nothing_behind(lab):
    d = lab.start(options=("--reactors", "2"))
    d.export(lab.image("8M"))
    come_and_go(d, 1)
    before = wait_until("one session has gone", lambda: no_sessions(d))
    come_and_go(d, 99)
    wait_until("a hundred sessions have gone", lambda: no_sessions(d) == before)
    own = own_memory(d)
    come_and_go(d, 400)
    after = {}

    def equal():
        after.update(live_objects(d))
        return after == before
    try:
        wait_until("live objects are as they were", equal)
    except AssertionError:
        raise AssertionError("before %r, after %r" % (before, after)) from None
    if not SANITIZED:
        grown = own_memory(d) - own
        assert grown <= MIB, "%d KiB more after 500 logins than after 100" % (grown >> 10)


def own_memory(d):
    """Resident bytes without the pools' slabs, of which another one may be in use just now."""
    return d.rss() - sum(r["memory"]["slabs"] for r in d.tgtctl_json("stat")["reactors"])


def no_sessions(d):
    objects = live_objects(d)
    return objects if not objects.get("sessions") else None


@test
def an_idle_daemon_is_small(lab):
    if SANITIZED:
        raise Skip("a sanitizer's memory is not the daemon's")
    for reactors in (1, 2, 4):
        d = lab.start(options=("--reactors", str(reactors)))
        d.export(lab.image("64M", "%d.img" % reactors))
        bound = (24 + 4 * reactors) * MIB
        assert d.rss() <= bound, "%d reactors: %d KiB resident, %d KiB allowed" % (reactors, d.rss() >> 10, bound >> 10)
        print("# %d reactors: %d KiB resident" % (reactors, d.rss() >> 10))
        d.stop()


@test
def an_idle_session_costs_at_most_64_kib(lab):
    if SANITIZED:
        raise Skip("a sanitizer's memory is not the daemon's")
    d = lab.start(options=("--reactors", "2"))
    d.export(lab.image("64M"))
    d.login().logout()
    before = d.rss()
    sessions = [d.login() for _ in range(200)]
    cost = [0]

    def small():  # what their logins needed is given back when they have been idle for a while
        cost[0] = (d.rss() - before) / len(sessions)
        return cost[0] <= 64 << 10
    try:
        wait_until("idle sessions are small", small)
    finally:
        print("# %d bytes resident for each idle session" % cost[0])
    for s in sessions:
        s.ping()
        s.logout()


@test
def memory_used_by_a_burst_is_given_back_when_idle(lab):
    if SANITIZED:
        raise Skip("a sanitizer's memory is not the daemon's")
    d = lab.start(options=("--reactors", "1"))
    d.export(lab.image("64M"))
    sessions = [d.login() for _ in range(16)]
    for s in sessions:
        s.write(0, bytes(MIB))
        s.read(0, 2048)
    for s in sessions:
        s.logout()
    bound = (24 + 4) * MIB
    wait_until("resident memory is below 28 MiB again", lambda: d.rss() <= bound, 30)


@test
def two_hundred_sessions_all_do_work(lab):
    d = lab.start(options=("--reactors", "2"))
    d.export(lab.image("64M"))
    sessions = [d.login() for _ in range(200)]
    for i, s in enumerate(sessions):
        s.write(i * 64, bytes([i]) * 32768)
    for i, s in enumerate(sessions):
        assert sessions[-1 - i].read(i * 64, 64) == bytes([i]) * 32768
    for s in sessions:
        s.logout()


@test
def a_session_reinstates_itself(lab):
    d = lab.start(options=("--reactors", "2"))
    d.export(lab.image("8M"))
    isid = pdu.new_isid()
    first = d.login(isid=isid)
    second = d.login(isid=isid)
    assert first.conn.is_closed()
    second.write(0, b"x" * 512)
    second.logout()


main()
