#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Traces, latencies and probes of a real daemon with real commands: what is recorded, how it is told and refused."""

import json
import os
import re
import shlex
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lab import SOURCE, TGTD, Skip, cases, main, pdu, test, wait_until  # noqa: E402

LIFE = ["received", "enabled", "submit", "done", "completed", "answered"]
ABORT_TASK, LU_RESET = 1, 5
PAGE = os.path.join(SOURCE, "docs", "observability.md")


def dump(d, *args):
    return d.tgtctl_json("trace", "dump", *args)["records"]


def of_tag(records, tag):
    return [r for r in records if r.get("tag") == tag]


def latency(d, lun=1):
    unit = [u for u in d.tgtctl_json("stat")["luns"] if u["lun"] == lun][0]
    return {row["op"]: row for row in unit["latency"]}


def refused(d, text, *args, status=1):
    done = d.tgtctl(*args, check=False)
    assert done.returncode == status, "%s: status %d: %s" % (args, done.returncode, done.stderr)
    assert done.stderr.startswith("tgtctl: ") and text in done.stderr, "%s: %r" % (args, done.stderr)
    assert not done.stdout, done.stdout


def read10(s, lba, blocks=1, lun=1):
    itt = s.send_command(struct.pack(">BBIBHB", 0x28, 0, lba, 0, blocks, 0), lun, read=blocks * 512)
    return itt, s.finish(itt)[0]


# ---- traces -------------------------------------------------------------------------------------------------------


@test
def a_trace_shows_the_life_of_a_command(lab):
    d = lab.start(options=["--reactors", "1"])
    d.export(lab.image("4M"))
    s = d.login()
    d.tgtctl("trace", "start")
    itt, _ = read10(s, 7, 8)
    life = of_tag(dump(d), itt)
    assert [r["event"] for r in life] == LIFE, life
    sid = d.tgtctl_json("session", "list")[0]["sid"]
    for r in life:
        assert (r["op"], r["opcode"], r["tid"], r["lun"], r["sid"], r["reactor"]) == ("READ(10)", 0x28, 1, 1, sid, 0), r
    received, enabled, submit, done, completed, answered = life
    assert received["expected"] == 4096
    assert (enabled["lba"], enabled["length"]) == (7, 8)
    assert (submit["verb"], submit["offset"], submit["bytes"]) == ("read", 7 * 512, 4096)
    assert done["errno"] == 0
    assert (completed["verdict"], completed["status"]) == ("GOOD", 0) and answered["verdict"] == "GOOD"
    assert [r["at_ns"] for r in life] == sorted(r["at_ns"] for r in life), life
    for a, b in zip(life, life[1:]):
        assert b["took_ns"] - a["took_ns"] == b["at_ns"] - a["at_ns"], (a, b)
    s.logout()


@test
def a_command_that_is_refused_shows_where_and_why(lab):
    d = lab.start()
    d.export(lab.image("1M"))
    s = d.login()
    d.tgtctl("trace", "start")
    beyond, r = read10(s, 1 << 20)
    assert r.status == pdu.CHECK_CONDITION
    nonsense = s.send_command(bytes([0xC8]) + bytes(5), 1)
    s.finish(nonsense)
    nowhere = s.send_command(bytes([0x03, 1, 0, 0, 0, 0]) + bytes(10), 77)
    s.finish(nowhere)
    records = dump(d)
    life = of_tag(records, beyond)
    assert [r["event"] for r in life] == ["received", "enabled", "completed", "answered"], life
    assert (life[2]["verdict"], life[2]["status"], life[2]["sense"]) == ("LBA_OUT_OF_RANGE", 2, "5/21/00"), life
    life = of_tag(records, nonsense)
    assert [r["event"] for r in life] == ["received", "completed", "answered"], life
    assert life[1]["verdict"] == "INVALID_OPCODE" and life[1]["op"] == "opcode 0xc8", life
    assert all("lun" not in r for r in of_tag(records, nowhere)) and of_tag(records, nowhere), records
    text = d.tgtctl("trace", "dump").stdout
    line = r"completed +1:1 .* READ\(10\) +\+[0-9.]+ [num]?s +lba \d+ length 1 LBA_OUT_OF_RANGE \(5/21/00\)\n"
    assert re.search(line, text), text
    s.logout()


@test
def logins_functions_and_ends_are_traced(lab):
    d = lab.start(options=["--reactors", "1"])
    d.export(lab.image("1M"))
    d.tgtctl("trace", "start")
    s = d.login()
    sid = d.tgtctl_json("session", "list")[0]["sid"]
    assert s.task_management(LU_RESET, 1) == 0
    s.clear_unit_attention(1)
    assert s.task_management(ABORT_TASK, 1, ref_tag=4711) == 1
    s.logout()
    try:
        d.login(target="iqn.2026-01.org.example:none")
        raise AssertionError("a login to a target that is not there")
    except pdu.LoginError:
        pass
    wait_until("both connections are closed", lambda: [r["event"] for r in dump(d)].count("close") == 2)
    records = dump(d)
    events = [r["event"] for r in records]
    for first, then in (("open", "login"), ("nexus", "tmf"), ("tmf", "tmf-done"), ("tmf-done", "nexus-end")):
        assert events.index(first) < events.index(then), events
    assert [r["status"] for r in records if r["event"] == "login"] == [0, 0x0203], records
    functions = [r for r in records if r["event"] == "tmf-done"]
    assert [(r["function"], r["response"], r["lun"], r["sid"]) for r in functions] == \
        [("LOGICAL UNIT RESET", 0, 1, sid), ("ABORT TASK", 1, 1, sid)], functions
    assert functions[1]["ref_tag"] == 4711
    nexus = [r for r in records if r["event"].startswith("nexus")]
    assert [(r["event"], r["sid"], r["tid"]) for r in nexus] == [("nexus", sid, 1), ("nexus-end", sid, 1)], nexus
    assert sum(r["bytes"] for r in records if r["event"] == "sent") > 0


@test
def an_answer_that_waits_for_owed_data_is_traced_when_it_goes_out(lab):
    d = lab.start()
    d.export(lab.image("1M"))
    d.add_lun(lab.image("1M", "second.img"), 1, 2)
    s = d.login(keys={"InitialR2T": "No", "FirstBurstLength": "65536"})
    s.clear_unit_attention(2)
    d.tgtctl("trace", "start")
    itt = s.itt()
    s.conn.send(pdu.scsi_command(struct.pack(">BBIBHB", 0x2A, 0, 1 << 20, 0, 8, 0), 2, itt, s.take_cmdsn(),
                                 s.expstatsn, write=True, edtl=4096, final=False))
    events = ["received", "enabled", "completed"]
    wait_until("it is refused", lambda: [r["event"] for r in of_tag(dump(d), itt)] == events)
    d.tgtctl("lun", "delete", "1", "2", "--force")
    s.conn.send(pdu.data_out(itt, bytes(4096), lun=2, expstatsn=s.expstatsn))
    assert s.finish(itt)[0].status == pdu.CHECK_CONDITION
    life = of_tag(dump(d), itt)
    assert [r["event"] for r in life] == events + ["answered"], life
    assert life[3]["verdict"] == life[2]["verdict"] == "LBA_OUT_OF_RANGE" and "lun" not in life[3], life
    s.logout()


@test
def while_no_trace_is_on_nothing_is_recorded(lab):
    d = lab.start()
    d.export(lab.image("1M"))
    s = d.login()
    s.read(0, 1)
    status = d.tgtctl_json("trace", "status")
    assert status["state"] == "off" and status["size"] == 0 and status["filter"] is None, status
    assert all(r["recorded"] == 0 for r in status["reactors"]), status
    refused(d, "nothing has been traced: trace.start begins it", "trace", "dump")
    refused(d, "no trace is being recorded: trace.start begins one", "trace", "stop")
    assert d.tgtctl("trace", "status").stdout == "trace off\n"
    s.logout()


@test
def stopping_keeps_what_is_recorded_until_it_is_cleared_or_begun_anew(lab):
    d = lab.start()
    d.export(lab.image("1M"))
    s = d.login()
    d.tgtctl("trace", "start")
    refused(d, "already: stop it first (trace.stop)", "trace", "start")
    kept, _ = read10(s, 1)
    status = d.tgtctl_json("trace", "stop")
    assert status["state"] == "stopped" and sum(r["held"] for r in status["reactors"]) >= len(LIFE), status
    late, _ = read10(s, 2)
    for _ in range(2):
        records = dump(d)
        assert len(of_tag(records, kept)) == len(LIFE) and not of_tag(records, late), records
    assert "trace stopped, 16384 records a reactor\n" in d.tgtctl("trace", "status").stdout
    d.tgtctl("trace", "start", "--size", "64")
    again, _ = read10(s, 3)
    records = dump(d)
    assert not of_tag(records, kept) and len(of_tag(records, again)) == len(LIFE), records
    assert d.tgtctl("trace", "clear").stdout == "trace off\n"
    refused(d, "nothing has been traced", "trace", "dump")
    s.logout()


@cases(("by LUN", ["--lun", "2"], {(1, 2, "READ(10)"), (1, 2, "WRITE(10)"), (2, 2, "READ(10)")}),
       ("by target", ["2"], {(2, 1, "READ(10)"), (2, 2, "READ(10)")}),
       ("by name", ["--opcode", "write(10)"], {(1, 2, "WRITE(10)")}),
       ("by opcode", ["--opcode", "0x2A"], {(1, 2, "WRITE(10)")}),
       ("by all", ["1", "--lun", "2", "--opcode", "40"], {(1, 2, "READ(10)")}))
def a_filter_records_only_what_was_asked_for(lab, args, expected):
    d = lab.start()
    sessions = []
    for tid in (1, 2):
        name = "iqn.2026-01.org.example:t%d" % tid
        d.export(lab.image("1M", "%d.img" % tid), name=name, tid=tid)
        d.add_lun(lab.image("1M", "%d-2.img" % tid), tid, 2)
        s = d.login(target=name)
        s.clear_unit_attention(2)
        sessions.append(s)
    d.tgtctl("trace", "start", *args)
    for s in sessions:
        for lun in (1, 2):
            read10(s, 0, lun=lun)
    s = sessions[0]
    s.finish(s.send_command(struct.pack(">BBIBHB", 0x2A, 0, 0, 0, 1, 0), 2, write=bytes(512)))
    records = [r for r in dump(d) if "op" in r]
    assert {(r["tid"], r["lun"], r["op"]) for r in records} == expected, records
    for s in sessions:
        s.logout()


@test
def a_service_action_is_traced_by_its_name(lab):
    d = lab.start()
    d.export(lab.image("1M"))
    s = d.login()
    d.tgtctl("trace", "start", "--opcode", "READ CAPACITY(16)")
    s.capacity(1)
    s.command(bytes([0x9E, 0x12]) + bytes(8) + struct.pack(">IBB", 24, 0, 0), 1, read=24)
    assert {r["op"] for r in dump(d)} == {"READ CAPACITY(16)"}, dump(d)
    s.logout()


@test
def a_full_ring_keeps_the_newest(lab):
    d = lab.start(options=["--reactors", "1"])
    d.export(lab.image("1M"))
    s = d.login()
    d.tgtctl("trace", "start", "--size", "64", "--opcode", "READ(10)")
    tags = [read10(s, i)[0] for i in range(30)]
    status = d.tgtctl_json("trace", "status")["reactors"][0]
    assert (status["recorded"], status["held"], status["lost"]) == (180, 64, 116), status
    answer = d.tgtctl_json("trace", "dump")
    assert answer["total"] == 64 and answer["lost"] == 116 and len(answer["records"]) == 64, answer
    assert [r["tag"] for r in answer["records"]] == [t for t in tags for _ in LIFE][-64:]
    assert d.tgtctl("trace", "dump").stdout.endswith("\n64 events; 116 older ones were overwritten\n")
    newest = dump(d, "--count", "7")
    assert newest == answer["records"][-7:], newest
    s.logout()


@test
def reactors_are_merged_by_time(lab):
    d = lab.start(options=["--reactors", "2"])
    d.export(lab.image("1M"))
    sessions = [d.login() for _ in range(4)]
    d.tgtctl("trace", "start", "--opcode", "READ(10)")
    for i in range(20):
        read10(sessions[i % 4], i)
    records = dump(d)
    assert len(records) == 20 * len(LIFE) and {r["reactor"] for r in records} == {0, 1}, records
    times = [r["at_ns"] for r in records]
    assert times == sorted(times)
    # one command after the other: merged rightly, each one's events follow each other
    assert [r["event"] for r in records] == LIFE * 20, records
    assert dump(d, "--count", "50") == records[-50:]
    for s in sessions:
        s.logout()


@test
def a_long_dump_comes_in_bounded_pages(lab):
    d = lab.start(options=["--reactors", "1"])
    d.export(lab.image("1M"))
    s = d.login()
    d.tgtctl("trace", "start", "--opcode", "READ(10)")
    tags = [read10(s, i % 2048)[0] for i in range(250)]
    d.tgtctl("trace", "stop")

    def page(**params):
        text = d.tgtctl("rpc", "trace.dump", json.dumps(params)).stdout
        return json.loads(text), len(text)

    first, size = page(count=65536)
    assert len(first["records"]) == 500 and first["total"] == 1500 and first["cursor"] and size < 400000, size
    second, _ = page(cursor=first["cursor"])
    third, _ = page(cursor=second["cursor"])
    assert third["cursor"] is None
    merged = first["records"] + second["records"] + third["records"]
    assert [r["tag"] for r in merged] == [t for t in tags for _ in LIFE]
    answer = d.tgtctl_json("trace", "dump", "--count", "65536")
    assert answer["records"] == merged and "cursor" not in answer
    assert len(d.tgtctl("trace", "dump", "--count", "1200").stdout.splitlines()) == 1 + 1200 + 1
    refused(d, "is gone: another one or a new trace came between", "rpc", "trace.dump",
            json.dumps({"cursor": first["cursor"]}))
    first, _ = page(count=600)
    d.tgtctl("trace", "clear")
    refused(d, "begin again without cursor", "rpc", "trace.dump", json.dumps({"cursor": first["cursor"]}))
    s.logout()


@test
def wrong_arguments_are_refused_with_a_remedy(lab):
    d = lab.start()
    d.export(lab.image("1M"))
    for args, status, text in (
            (("start", "--size", "63"), 1, "'size' must be 64 to 1048576"),
            (("start", "--size", "1048577"), 1, "'size' must be 64 to 1048576"),
            (("start", "--size", "many"), 2, "size 'many': a whole number is needed"),
            (("start", "--size", "-5"), 2, "a whole number is needed"),
            (("start", "9"), 1, "target 9"),
            (("start", "iqn.nobody"), 1, "iqn.nobody"),
            (("start", "--lun", "16384"), 1, "'lun' must be 0 to 16383"),
            (("start", "--opcode", "256"), 1, "a name such as READ(10) or an opcode from 0 to 255 is needed"),
            (("start", "--opcode", "-1"), 1, "an opcode from 0 to 255"),
            (("start", "--opcode", "reed(10)"), 1, "did you mean 'READ(10)'?"),
            (("start", "--opcode", "x" * 65), 1, "'opcode' must have 1 to 64 bytes"),
            (("start", "1", "2"), 2, "one argument too many"),
            (("dump", "--count", "0"), 1, "'count' must be 1 to 65536"),
            (("dump", "--count", "65537"), 1, "'count' must be 1 to 65536"),
            (("sing",), 2, "there is: trace start, trace stop, trace dump, trace status, trace clear")):
        done = d.tgtctl("trace", *args, check=False)
        ok = done.returncode == status and text in done.stderr and not done.stdout
        lab.point("trace " + " ".join(args)[:40], ok, detail="" if ok else repr(done))
    for cursor in ("", "1", "1:", ":1", "1:0", "x:1", "1:1x", "-1:5", "1:-5", "1:+5", "9" * 30 + ":1", "1:" + "9" * 50):
        done = d.tgtctl("rpc", "trace.dump", json.dumps({"cursor": cursor}), check=False)
        ok = done.returncode == 1 and ("cursor" in done.stderr)
        lab.point("cursor '%s'" % cursor, ok, detail="" if ok else repr(done))
    assert d.tgtctl_json("trace", "status")["state"] == "off"


@test
def traces_start_and_stop_while_commands_run(lab):
    d = lab.start(options=["--reactors", "2"])
    d.export(lab.image("1M"))
    sessions = [d.login() for _ in range(2)]
    for i in range(30):
        tags = [s.send_command(struct.pack(">BBIBHB", 0x28, 0, i, 0, 1, 0), 1, read=512) for s in sessions]
        d.tgtctl("trace", "start", "--size", "64")
        others = [s.send_command(struct.pack(">BBIBHB", 0x28, 0, i, 0, 1, 0), 1, read=512) for s in sessions]
        dump(d)
        d.tgtctl("trace", "clear" if i % 2 else "stop")
        for s, a, b in zip(sessions, tags, others):
            assert all(r.status == 0 for r in s.finish(a, b))
    d.tgtctl("trace", "start")  # the daemon ends while one is on
    for s in sessions:
        s.logout()


# ---- latencies ----------------------------------------------------------------------------------------------------


@test
def every_command_is_counted_under_its_name(lab):
    d = lab.start(options=["--reactors", "2"])
    d.export(lab.image("1M"))
    assert latency(d) == {}
    sessions = [d.login() for _ in range(2)]
    before = latency(d)["TEST UNIT READY"]["count"]
    for i in range(40):
        read10(sessions[i % 2], i)
    for _ in range(3):
        sessions[0].write(0, bytes(4096))
    sessions[1].capacity(1)
    sessions[1].command(bytes(6), 1)
    sessions[1].command(bytes([0xC8]) + bytes(5), 1)
    rows = latency(d)
    assert {name: row["count"] for name, row in rows.items()} == {
        "TEST UNIT READY": before + 1, "READ(10)": 40, "WRITE(16)": 3, "READ CAPACITY(16)": 1, "others": 1}, rows
    assert rows["READ(10)"]["opcode"] == 0x28 and "service_action" not in rows["READ(10)"]
    assert rows["READ CAPACITY(16)"]["service_action"] == 0x10 and "opcode" not in rows["others"]
    for row in rows.values():
        steps = [row[k] for k in ("p50_ns", "p90_ns", "p99_ns", "p999_ns", "max_ns")]
        assert steps == sorted(steps) and 0 < row["mean_ns"] <= row["max_ns"], row
    text = d.tgtctl("stat").stdout
    assert re.search(r"^TID +LUN +COMMAND +COUNT +MEAN +P50 +P90 +P99 +P99\.9 +MAX$", text, re.M), text
    assert re.search(r"^1 +1 +READ\(10\) +40( +[0-9.]+ [num]?s){6}$", text, re.M), text
    for s in sessions:
        s.logout()


@test
def a_latency_is_as_long_as_the_store_takes(lab):
    d = lab.start()
    d.tgtctl("export", "--name", d.name, "--type", "delay:read_us=30000,write_us=3000+mem", "--bsopts",
             "size=1M")
    s = d.login()
    for i in range(8):
        read10(s, i)
        s.write(i, bytes(512))
    rows = latency(d)
    read, write = rows["READ(10)"], rows["WRITE(16)"]
    # a command waits for at least the delay; from the batch it came in to the reading of the clock at its end
    assert read["count"] == 8 and 30e6 <= read["p50_ns"] <= read["max_ns"], read
    assert write["count"] == 8 and 3e6 <= write["p50_ns"], write
    assert read["mean_ns"] >= 30e6, read
    s.logout()


@test
def what_a_store_counts_for_itself_is_shown(lab):
    d = lab.start()
    d.tgtctl("export", "--name", d.name, "--type", "stats+mem", "--bsopts", "size=1M")
    s = d.login()
    s.write(0, bytes(4096))
    for i in range(3):
        read10(s, i)
    numbers = d.tgtctl_json("stat")["luns"][1]["store_numbers"]
    assert numbers["read_requests"] == 3 and numbers["read_bytes"] == 3 * 512, numbers
    assert numbers["write_requests"] == 1 and numbers["write_bytes"] == 4096, numbers
    s.logout()


@test
def waiting_for_the_initiators_data_is_part_of_the_latency(lab):
    d = lab.start()
    d.export(lab.image("4M"))
    s = d.login(keys={"InitialR2T": "Yes", "ImmediateData": "No"})
    d.tgtctl("trace", "start", "--opcode", "WRITE(16)")
    s.write(0, bytes(65536))
    life = dump(d)
    assert [r["event"] for r in life] == LIFE, life
    row = latency(d)["WRITE(16)"]
    asked, come = life[1]["took_ns"], life[2]["took_ns"]
    assert row["count"] == 1 and come > asked and row["max_ns"] > come - asked, (row, life)
    s.logout()


@test
def reactors_tell_all_that_they_count(lab):
    d = lab.start(options=["--reactors", "1"])
    d.export(lab.image("1M"))
    s = d.login()
    before = d.tgtctl_json("stat")["reactors"][0]
    for i in range(5):
        read10(s, i)
    after = d.tgtctl_json("stat")["reactors"][0]
    assert after["commands"] - before["commands"] == 5 and after["file_reads"] - before["file_reads"] == 5, after
    text = d.tgtctl("stat").stdout
    for title in ("REACTOR ENGINE COMMANDS TURNS WAITS WAKE-UPS RECEIVES SENDS MEMORY CAP",
                  "REACTOR SUBMITS READS WRITES SYNCS POLLS ACCEPTS OFFLOADS MESSAGES RINGS NO MEMORY"):
        assert title in [" ".join(line.split()) for line in text.splitlines()], text
    assert re.search(r"^iscsi: 1 connections accepted, 0 protocol errors", text, re.M), text
    s.logout()


# ---- probes and the page ------------------------------------------------------------------------------------------


def elf_notes(path, section):
    """(type, owner, description) of the notes in a section of a 64-bit little-endian ELF file; None without it."""
    with open(path, "rb") as f:
        data = f.read()
    if data[:6] != b"\x7fELF\x02\x01":
        raise Skip("not a 64-bit little-endian program")
    shoff, = struct.unpack_from("<Q", data, 40)
    shentsize, shnum, shstrndx = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, shoff + i * shentsize) for i in range(shnum)]
    names = headers[shstrndx][4]
    for h in headers:
        start = names + h[0]
        if data[start:data.index(b"\0", start)] == section:
            return list(notes_in(data[h[4]:h[4] + h[5]]))
    return None


def notes_in(data):
    at = 0
    while at + 12 <= len(data):
        owner, desc, kind = struct.unpack_from("<III", data, at)
        at += 12
        name = data[at:at + owner].rstrip(b"\0")
        at += (owner + 3) & ~3
        yield kind, name, data[at:at + desc]
        at += (desc + 3) & ~3


def probes_of(path):
    """{name: [how many arguments, at each of its places]} of the provider stgt"""
    found = {}
    for kind, owner, desc in elf_notes(path, b".note.stapsdt") or []:
        assert (kind, owner) == (3, b"stapsdt"), (kind, owner)
        provider, name, args = desc[24:].split(b"\0")[:3]  # after the addresses of the probe, base and semaphore
        if provider == b"stgt":
            found.setdefault(name.decode(), []).append(len(re.findall(rb"-?[1248]f?@", args)))
    return found


def rows_of_the_page():
    """The table of events in the page: [(event, probe, arguments, when)]"""
    with open(PAGE, encoding="utf-8") as f:
        rows = [[c.strip() for c in line.strip("|\n ").split("|")] for line in f if line.startswith("| ")]
    return [tuple(r) for r in rows if r[1].startswith("`") and not r[0].startswith("---")]


@test
def the_page_lists_the_events_that_there_are(lab):
    d = lab.start()
    events = d.tgtctl_json("trace", "status")["events"]
    told = [(e["event"], "`%s`" % e["probe"], e["args"], e["when"]) for e in events]
    assert rows_of_the_page() == told, "\n".join("| %s | %s | %s | %s |" % row for row in told)


@test
def every_event_is_a_probe_in_the_program_with_the_arguments_that_are_told(lab):
    d = lab.start()
    status = d.tgtctl_json("trace", "status")
    if not status["usdt"]:
        assert not probes_of(TGTD)
        raise Skip("built without sys/sdt.h (Debian: systemtap-sdt-dev), so there are no probes")
    found = probes_of(TGTD)
    expected = {e["probe"]: e["nargs"] for e in status["events"]}
    assert set(found) == set(expected), set(found) ^ set(expected)
    for name, counts in found.items():
        assert set(counts) == {expected[name]}, (name, counts, expected[name])


def shape(text):
    """The first line of an answer, without its numbers and units"""
    line = text.splitlines()[0] if text else ""
    return " ".join(re.sub(r"\d+(\.\d+)?( ([KMG]i)?B\b)?", "0", line).split())


@test
def the_examples_of_the_page_do_what_they_show(lab):
    d = lab.start()
    d.export(lab.image("8M"))
    s = d.login()
    with open(PAGE, encoding="utf-8") as f:
        examples = re.findall(r"^\$ tgtctl (.*)\n((?:(?!\$ |```).*\n)*)", f.read(), re.M)
    assert len(examples) >= 5, examples
    for line, shown in examples:
        done = d.tgtctl(*shlex.split(line))
        read10(s, 0, 8)
        ok = shape(shown) == shape(done.stdout)
        lab.point("tgtctl " + line, ok, detail="" if ok else "page: %r\nreal: %r" % (shown, done.stdout))
    s.logout()


main()
