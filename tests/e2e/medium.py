#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What happens to a store while initiators use it: resized, exchanged, taken away, brought back."""

import os
import shutil

from lab import cases, main, pdu, test, wait_until

TUR = bytes(6)
NOT_READY_OFFLINE = (2, 0x04, 0x12)
MEDIUM_CHANGED = (6, 0x28, 0x00)
CAPACITY_CHANGED = (6, 0x2A, 0x09)
MIB = 1 << 20


def tur(s):
    r = s.command(TUR, 1)
    return r.key_asc if r.status else None


def lun_of(d):
    return [u for u in d.tgtctl_json("lun", "list")[0]["luns"] if u["lun"] == 1][0]


def blocks(s):
    r = s.command(bytes([0x9E, 0x10] + [0] * 11 + [32, 0, 0]), 1, read=32)
    return int.from_bytes(r.data[:8], "big") + 1


def serve(lab, size="8M", stack=None):
    d = lab.start(options=("--reactors", "2"))
    path = lab.image(size)
    d.export(path)
    return d, path


def refused(d, text, *args):
    done = d.tgtctl(*args, check=False)
    assert done.returncode == 1 and text in done.stderr, (args, done)


@test
def an_offline_unit_says_so_and_its_file_is_free(lab):
    d, path = serve(lab)
    s = d.login()
    s.write(0, b"before" + bytes(506))
    d.tgtctl("lun", "offline", "1", "1")
    assert tur(s) == NOT_READY_OFFLINE and lun_of(d)["state"] == "offline"
    r = s.command(bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 1, 0]), 1, read=512)
    assert r.key_asc == NOT_READY_OFFLINE, r
    assert s.command(bytes([0x12, 0, 0, 0, 36, 0]), 1, read=36).status == 0
    with open(path, "rb") as f:
        assert f.read(6) == b"before"
    d.tgtctl("export", path, "--name", d.name + ".other", "--tid", "2")
    refused(d, "in use", "lun", "online", "1", "1")
    assert tur(s) == NOT_READY_OFFLINE
    d.tgtctl("target", "delete", "2", "--force")
    d.tgtctl("lun", "online", "1", "1")
    assert tur(s) == MEDIUM_CHANGED and tur(s) is None
    assert s.read(0, 1)[:6] == b"before" and lun_of(d)["state"] == "ready"
    s.close()


@test
def what_is_online_or_offline_already_is_told_so(lab):
    d, _ = serve(lab)
    refused(d, "is online", "lun", "online", "1", "1")
    d.tgtctl("lun", "offline", "1", "1")
    refused(d, "is offline", "lun", "offline", "1", "1")
    refused(d, "bring it online first", "lun", "resize", "1", "1", "16M")
    refused(d, "bring it online first", "lun", "swap", "1", "1", "/nonexistent")
    refused(d, "has no medium", "lun", "offline", "1", "0")


@test
def a_file_that_came_back_smaller_has_the_new_size(lab):
    d, path = serve(lab)
    s = d.login()
    d.tgtctl("lun", "offline", "1", "1")
    os.truncate(path, 4 * MIB)
    d.tgtctl("lun", "online", "1", "1")
    assert {tur(s), tur(s)} == {MEDIUM_CHANGED, CAPACITY_CHANGED}
    assert blocks(s) == 4 * MIB // 512
    s.close()


@test
def a_swap_is_not_noticed_and_the_old_file_gets_no_more(lab):
    d, path = serve(lab)
    s = d.login()
    s.write(5, b"old" * 170 + b"xx")
    other = lab.path("other.img")
    shutil.copy(path, other)
    d.tgtctl("lun", "swap", "1", "1", other)
    assert lun_of(d)["path"] == other
    assert tur(s) is None
    assert s.read(5, 1) == b"old" * 170 + b"xx"
    s.write(6, b"new!" * 128)
    with open(path, "rb") as f:
        assert f.read()[6 * 512:7 * 512] == bytes(512)
    with open(other, "rb") as f:
        assert f.read()[6 * 512:7 * 512] == b"new!" * 128
    s.close()


@test
def commands_of_a_swap_wait_and_end_well(lab):
    d = lab.start(options=("--reactors", "2"))
    d.tgtctl("export", "--type", "delay:write_us=300000+file", lab.image("8M"), "--name",
             "iqn.2026-01.org.example:disk")
    d.name, d.lun = "iqn.2026-01.org.example:disk", 1
    s = d.login()
    slow = s.send_command(bytes([0x2A, 0, 0, 0, 0, 1, 0, 0, 1, 0]), 1, write=b"slow" * 128)
    wait_until("the write is with the store", lambda: d.tgtctl_json("stat")["luns"][1]["inflight"] == 1)
    other = lab.image("8M", "other.img")
    swap = lab.helper(d.popen_tgtctl("lun", "swap", "1", "1", other))
    waiting = [s.send_command(bytes([0x2A, 0, 0, 0, 0, 2 + i, 0, 0, 1, 0]), 1, write=b"wait" * 128) for i in range(3)]
    assert [r.status for r in s.finish(slow, *waiting)] == [0] * 4
    assert swap.wait(30) == 0
    assert lun_of(d)["path"] == other
    s.close()


@cases(("a file that is not there", "no such file", "missing.img", None),
       ("a file of another size", "another one", "small.img", "4M"),
       ("a file in use", "in use", "used.img", "8M"))
def a_swap_that_cannot_be_changes_nothing(lab, text, name, size):
    d, path = serve(lab)
    if size:
        lab.image(size, name)
    if name == "used.img":
        d.tgtctl("export", lab.path(name), "--name", d.name + ".other", "--tid", "2")
    s = d.login()
    refused(d, text, "lun", "swap", "1", "1", lab.path(name))
    assert lun_of(d)["path"] == path and lun_of(d)["state"] == "ready"
    s.write(0, b"fine" * 128)
    assert s.read(0, 1) == b"fine" * 128
    s.close()


@test
def a_swap_may_change_the_size_if_it_is_allowed_to(lab):
    d, _ = serve(lab)
    s = d.login()
    d.tgtctl("lun", "swap", "1", "1", lab.image("12M", "large.img"), "--other-size")
    assert tur(s) == CAPACITY_CHANGED and blocks(s) == 12 * MIB // 512
    s.close()


@test
def a_resized_file_is_told_to_everybody(lab):
    d, path = serve(lab)
    one, two = d.login(), d.login()
    d.tgtctl("lun", "resize", "1", "1", "16M")
    assert os.path.getsize(path) == 16 * MIB
    for s in (one, two):
        assert tur(s) == CAPACITY_CHANGED and tur(s) is None
        assert blocks(s) == 16 * MIB // 512
    one.write(16 * MIB // 512 - 1, b"last" * 128)
    os.truncate(path, 32 * MIB)
    d.tgtctl("lun", "resize", "1", "1")
    assert tur(one) == CAPACITY_CHANGED and blocks(one) == 32 * MIB // 512
    d.tgtctl("lun", "resize", "1", "1")
    assert tur(one) is None
    refused(d, "multiple", "lun", "resize", "1", "1", "1000")
    refused(d, "size", "lun", "resize", "1", "1", "many")
    one.close()
    two.close()


@test
def what_the_store_writes_at_once_is_told_unless_the_administrator_says_otherwise(lab):
    d, path = serve(lab)
    d.add_lun(lab.image("8M", "other.img"), lun=2, params="lbppbe=2,la_lba=1")
    physical = os.stat(path).st_blksize
    s = d.login()
    s.command(TUR, 2)
    for lun, exponent, lowest in ((1, (physical // 512).bit_length() - 1, 0), (2, 2, 1)):
        r = s.command(bytes([0x9E, 0x10] + [0] * 11 + [32, 0, 0]), lun, read=32)
        assert r.data[13] & 15 == exponent and r.data[15] == lowest, (lun, r.data.hex())
    s.close()


@test
def a_store_that_cannot_grow_says_so(lab):
    d = lab.start()
    d.tgtctl("export", "--type", "null", "--bsopts", "size=1M", "--name", "iqn.2026-01.org.example:disk")
    refused(d, "what it was opened with", "lun", "resize", "1", "1", "2M")


@test
def a_reopened_store_has_its_data_and_says_that_it_was_away(lab):
    d, _ = serve(lab)
    s = d.login()
    s.write(0, b"kept" * 128)
    d.tgtctl("lun", "reopen", "1", "1")
    assert tur(s) == MEDIUM_CHANGED
    assert s.read(0, 1) == b"kept" * 128
    s.close()


@test
def a_unit_that_cannot_be_reopened_is_lost_until_it_can(lab):
    d, path = serve(lab)
    s = d.login()
    s.write(0, b"kept" * 128)
    hidden = path + ".hidden"
    os.rename(path, hidden)
    refused(d, "no such file", "lun", "reopen", "1", "1")
    assert tur(s) == (2, 0x04, 0x01) and lun_of(d)["state"] == "lost"
    os.rename(hidden, path)
    wait_until("it is open again", lambda: lun_of(d)["state"] == "ready")
    assert tur(s) == MEDIUM_CHANGED and s.read(0, 1) == b"kept" * 128
    os.rename(path, hidden)
    refused(d, "no such file", "lun", "reopen", "1", "1")
    d.tgtctl("lun", "offline", "1", "1")
    assert tur(s) == NOT_READY_OFFLINE
    d.tgtctl("lun", "delete", "1", "1", "--force")
    s.close()


@test
def a_command_that_the_other_store_has_no_room_for_says_so(lab):
    d = lab.start(options=("--reactors", "2"))
    d.tgtctl("export", "--type", "delay:write_us=1000000+file", lab.image("8M"), "--name",
             "iqn.2026-01.org.example:disk")
    d.name, d.lun = "iqn.2026-01.org.example:disk", 1
    s = d.login()
    slow = s.send_command(bytes([0x2A, 0, 0, 0, 0, 1, 0, 0, 1, 0]), 1, write=b"slow" * 128)
    wait_until("the write is with the store", lambda: d.tgtctl_json("stat")["luns"][1]["inflight"] == 1)
    swap = lab.helper(d.popen_tgtctl("lun", "swap", "1", "1", lab.image("4M", "other.img"), "--other-size"))
    last = (8 * MIB // 512 - 1).to_bytes(4, "big")
    held = f"/proc/{d.proc.pid}/fd"
    wait_until("the other store is open", lambda: any(
        os.path.realpath(os.path.join(held, fd)).endswith("other.img") for fd in os.listdir(held)))
    waiting = [s.send_command(bytes([0x2A, 0, *last, 0, 0, 1, 0]), 1, write=b"last" * 128) for _ in range(3)]
    first, *others = s.finish(slow, *waiting)
    assert first.status == 0, first
    for r in others:  # before the pause, while it lasted, after it
        assert r.status == 0 or r.key_asc in ((5, 0x21, 0), CAPACITY_CHANGED), r
    assert swap.wait(30) == 0
    s.close()


@test
def a_store_that_does_not_answer_a_flush_holds_up_no_job_for_ever(lab):
    d = lab.start()
    trigger = lab.path("hang")
    with open(trigger, "w", encoding="ascii"):
        pass
    d.tgtctl("export", "--type", f"error:kind=hang,verbs=flush,count=1,trigger={trigger}+mem", "--bsopts", "size=1M",
             "--name", "iqn.2026-01.org.example:disk")
    d.name, d.lun = "iqn.2026-01.org.example:disk", 1
    s = d.login()
    s.command(TUR, 1)
    offline = lab.helper(d.popen_tgtctl("lun", "offline", "1", "1"))
    assert offline.wait(60) == 1
    assert lun_of(d)["state"] == "ready" and tur(s) is None
    s.write(0, b"fine" * 128)
    os.remove(trigger)
    wait_until("the flush has come back", lambda: not d.tgtctl_json("stat")["luns"][1]["inflight"])
    d.tgtctl("lun", "offline", "1", "1")
    assert tur(s) == NOT_READY_OFFLINE
    s.close()


@test
def a_medium_that_was_taken_out_stays_out_when_its_store_comes_back(lab):
    d, _ = serve(lab)
    s = d.login()
    d.tgtctl("lun", "set", "1", "1", "online=0")
    assert tur(s) == (2, 0x3A, 0)
    d.tgtctl("lun", "reopen", "1", "1")
    while (answer := tur(s)) and answer[0] == 6:
        pass
    assert answer == (2, 0x3A, 0), answer
    d.tgtctl("lun", "set", "1", "1", "online=1")
    assert tur(s) == MEDIUM_CHANGED and tur(s) is None
    s.close()


@test
def settings_do_not_bring_back_a_store_that_is_away(lab):
    d, _ = serve(lab)
    s = d.login()
    d.tgtctl("lun", "offline", "1", "1")
    d.tgtctl("lun", "set", "1", "1", "online=0")
    assert tur(s) == NOT_READY_OFFLINE
    d.tgtctl("lun", "set", "1", "1", "online=1")
    assert tur(s) == NOT_READY_OFFLINE and lun_of(d)["state"] == "offline"
    d.tgtctl("lun", "online", "1", "1")
    assert tur(s) == MEDIUM_CHANGED and tur(s) is None
    s.close()


@test
def a_unit_goes_with_its_daemon_whatever_is_being_done_to_it(lab):
    d = lab.start()
    d.tgtctl("export", "--type", "delay:delay_us=1000000+mem", "--bsopts", "size=1M", "--name",
             "iqn.2026-01.org.example:disk")
    d.name, d.lun = "iqn.2026-01.org.example:disk", 1
    s = pdu.Session.login(d.portal(), d.name)
    s.command(TUR, 1)
    s.send_command(bytes([0x28, 0, 0, 0, 0, 0, 0, 0, 8, 0]), 1, read=4096)
    wait_until("the command is with the store", lambda: d.tgtctl_json("stat")["luns"][1]["inflight"] == 1)
    offline = lab.helper(d.popen_tgtctl("lun", "offline", "1", "1"))
    assert d.stop(20) < 20
    offline.wait(30)
    s.close()


main()
