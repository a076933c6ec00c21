#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The benchmark: its arithmetic, its refusals, its programs against a tgtd. No figure is judged here."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import xml.dom.minidom

HERE = os.path.dirname(os.path.abspath(__file__))
BENCH = os.path.dirname(HERE)
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(BENCH, "..", "e2e"))
sys.path.insert(0, BENCH)
from lab import BUILD, Skip, cases, main, test, wait_until  # noqa: E402

import docs  # noqa: E402
import measure  # noqa: E402
import peers  # noqa: E402
import remote  # noqa: E402
import ring  # noqa: E402
import rows  # noqa: E402
import show  # noqa: E402
import stats  # noqa: E402

LOAD = os.path.join(BUILD, "tests", "bench", "bench-load")
FLOOR = os.path.join(BUILD, "tests", "bench", "bench-floor")
KEEP = os.path.join(BUILD, "tests", "bench", "bench-keep")
NBD = os.path.join(BUILD, "tests", "bench", "bench-nbd")
RING_LOAD = os.path.join(BUILD, "tests", "bench", "bench-vhost-load")
RING_FLOOR = os.path.join(BUILD, "tests", "bench", "bench-vhost-floor")
RUN = os.path.join(BENCH, "run")


# -- arithmetic ------------------------------------------------------------------------------------------------------

def run_of(iops, cpu=1.0, p99=50.0):
    return {"iops": iops, "target_cpu_us": cpu, "latency_us": {"p99": p99}}


def cell_of(*runs, dirty=(), wanted=1):
    cell = stats.Cell(wanted)
    for n, run in enumerate(runs):
        if run is not None:
            cell.add(n, run, True)
    for run in dirty:
        cell.add(99, run, False)
    return cell


def gate(**changes):
    plain = {"name": "g", "rows": ("*",), "measure": "cpu", "peer": "stgt", "against": "floor", "gate": 1.4,
             "goal": 1.15, "better": "low", "unit": "x", "but": ()}
    return stats.Gate(**dict(plain, **changes))


@test
def a_median_is_the_middle_or_between_the_middles(lab):
    assert stats.median([]) is None
    assert stats.median([7]) == 7
    assert stats.median([9, 1, 5]) == 5
    assert stats.median([4, 1, 3, 2]) == 2.5


@test
def percentiles_lie_between_neighbours(lab):
    values = list(range(0, 101))
    assert stats.percentile(values, 0) == 0 and stats.percentile(values, 1) == 100
    assert stats.percentile(values, 0.25) == 25
    assert abs(stats.percentile([10, 20], 0.9) - 19) < 1e-9


@test
def ratios_are_made_within_rounds(lab):
    # the machine is half as fast in rounds 1 and 2: the medians alone would say 0.5 or 2
    ours = cell_of(run_of(100), run_of(50), None)
    theirs = cell_of(run_of(100), run_of(50), run_of(50))
    assert stats.ratio(ours, theirs, "iops") == 1.0
    assert stats.ratio(cell_of(run_of(30), run_of(20), run_of(10)), cell_of(run_of(10), run_of(10), run_of(10)),
                       "iops") == 2.0


@test
def without_a_common_round_the_medians_are_compared(lab):
    assert stats.ratio(cell_of(run_of(30), None), cell_of(None, run_of(10)), "iops") == 3.0
    assert stats.ratio(cell_of(), cell_of(run_of(10)), "iops") is None


@test
def dirty_runs_count_only_where_there_is_nothing_else(lab):
    cell = cell_of(run_of(10), dirty=[run_of(99), run_of(98)])
    assert cell.value("iops") == 10 and not cell.doubtful
    cell = cell_of(dirty=[run_of(4), run_of(2)])
    assert cell.value("iops") == 3 and cell.doubtful
    assert show.cell_text(cell).endswith("?")
    assert show.cell_text(cell_of(run_of(5), wanted=2)).endswith("!")
    assert not show.cell_text(cell_of(run_of(5), run_of(5), wanted=2)).endswith("!")


@test
def a_gate_is_passed_missed_or_its_goal_is_met(lab):
    low, high = gate(), gate(gate=0.8, goal=0.95, better="high")
    assert [low.judge(v) for v in (1.15, 1.2, 1.4, 1.41)] == ["goal", "pass", "pass", "fail"]
    assert [high.judge(v) for v in (0.95, 0.9, 0.8, 0.79)] == ["goal", "pass", "pass", "fail"]
    assert [gate(gate=None, goal=1.0).judge(v) for v in (1.0, 1.01)] == ["goal", "miss"]
    assert [gate(gate=2.0, goal=None, better="high").judge(v) for v in (2.0, 1.9)] == ["pass", "fail"]


@test
def a_gate_leaves_out_the_rows_of_others(lab):
    g = gate(rows=("*",), but=("*/write-64k",))
    assert g.matches("null/read-64k") and not g.matches("null/write-64k")


@test
def verdicts_name_the_worst_row(lab):
    cells = {"null/a": {"stgt": cell_of(run_of(1, 1.2)), "floor": cell_of(run_of(1, 1.0))},
             "null/b": {"stgt": cell_of(run_of(1, 1.5)), "floor": cell_of(run_of(1, 1.0))}}
    g = gate()
    verdicts = stats.judge_all([g], cells)
    assert [(v.row, v.verdict) for v in verdicts] == [("null/a", "pass"), ("null/b", "fail")]
    verdict, worst = stats.summary(g, verdicts)
    assert verdict == "fail" and worst.row == "null/b"
    text = "\n".join(show.gate_lines([g], verdicts))
    assert "1.50x" in text and "FAIL" in text, text


@test
def what_only_dirty_runs_say_is_no_verdict(lab):
    cells = {"null/a": {"stgt": cell_of(dirty=[run_of(1, 1.0)]), "floor": cell_of(run_of(1, 1.0))}}
    verdicts = stats.judge_all([gate()], cells)
    assert verdicts[0].verdict == "doubt" and stats.summary(verdicts[0].gate, verdicts)[0] == "doubt"


@test
def a_peer_that_was_not_measured_gives_no_verdict(lab):
    cells = {"null/a": {"stgt": cell_of(run_of(1))}}
    verdicts = stats.judge_all([gate(against="spdk")], cells)
    assert verdicts[0].verdict == "none" and "spdk" in verdicts[0].note
    assert stats.summary(verdicts[0].gate, verdicts) == ("none", None)


@test
def digests_are_judged_by_what_they_add(lab):
    cells = {"null/a": {"stgt": cell_of(run_of(1, 1.0))}, "null/a+digests": {"stgt": cell_of(run_of(1, 1.5))}}
    g = gate(rows=("*+digests",), measure="extra", gate=0.6, goal=0.3, unit="us")
    verdicts = stats.judge_all([g], cells)
    assert len(verdicts) == 1 and abs(verdicts[0].value - 0.5) < 1e-9 and verdicts[0].verdict == "pass"


@test
def a_row_that_does_not_work_is_a_failure(lab):
    cells = {"null/a": {"stgt": cell_of(run_of(1)), "stgt-2": cell_of(run_of(1)), "tgt": cell_of()},
             "null/b": {"stgt": cell_of(run_of(1)), "stgt-2": cell_of()}}
    verdicts = stats.judge_all([gate(measure="missing", gate=0, goal=None, unit="")], cells)
    assert [(v.row, v.value, v.verdict) for v in verdicts] == [("null/a", 0, "pass"), ("null/b", 1, "fail")], verdicts


@test
def special_rows_have_gates_too(lab):
    g = gate(rows=("idle",), measure="wakeups", gate=0.0, goal=0.0, unit="/s")
    assert stats.judge_all([g], {}, {"idle": {"wakeups": 0.0}})[0].verdict == "goal"
    assert stats.judge_all([g], {}, {"idle": {"wakeups": 0.1}})[0].verdict == "fail"


@test
def a_rate_is_compared_within_rounds_and_each_begins_in_turn(lab):
    calls = []

    def answer(name, rates):
        def run():
            calls.append(name)
            return rates.pop(0)
        return run
    # the machine is half as fast in rounds 1 and 2
    assert remote.in_turns(3, answer("theirs", [200, 100, 100]), answer("ours", [160, 80, 80])) == (100, 80, 0.8)
    assert calls == ["theirs", "ours", "ours", "theirs", "theirs", "ours"], calls


@test
def a_server_that_does_nothing_is_nothing_to_compare_with(lab):
    try:
        remote.figures([(0.0, 5.0)])
    except peers.Trouble as e:
        assert "own rate" in str(e)
    else:
        raise AssertionError("something was divided by nothing")


@test
def rates_of_two_have_gates_and_lines(lab):
    found = remote.collect(rows.NBD, lambda args: (200000.0, 100000.0, 0.5))
    verdicts = [v for v in stats.judge_all(rows.GATES, {}, {"nbd": found})]
    assert len(verdicts) == len(rows.NBD) and {v.verdict for v in verdicts} == {"fail"}, verdicts
    lines = list(show.special_lines({"nbd": found}))
    assert lines[0] == "nbd: 4 KiB read: 200k/s of its own, 100k/s through tgtd: 0.50", lines


@test
def rings_have_gates_and_lines(lab):
    def run(cpu):
        return {"target_cpu_us": cpu, "iops": 200000.0, "calls_per_io": 0.1, "kicks_per_io": 0.1}
    found = {"dirty": 1}
    for what in rows.RINGS:  # the machine is half as fast in the last round
        found.update(ring.figures(what, [(run(0.8), run(0.5)), (run(0.8), run(0.5)), (run(1.6), run(1.0))]))
    assert all(found["ratio " + what] == 1.6 and found["floor cpu " + what] == 0.5 for what in rows.RINGS), found
    verdicts = [v for v in stats.judge_all(rows.GATES, {}, {"vhost": found})]
    assert len(verdicts) == len(rows.RINGS) and {v.verdict for v in verdicts} == {"fail"}, verdicts
    lines = list(show.special_lines({"vhost": found}))
    assert lines[0].startswith("vhost: split ring: 0.800 us of CPU per I/O (200k IOPS), the floor 0.500 us"), lines
    assert lines[-1] == "vhost: 1 of the runs that count were disturbed", lines


@test
def a_row_that_is_left_out_says_why_and_is_not_judged(lab):
    special = {"rbd": {"left_out": "ceph-mon is missing"}}
    assert list(show.special_lines(special)) == ["rbd: left out: ceph-mon is missing"]
    assert stats.judge_all(rows.GATES, {}, special) == []


@test
def what_is_missing_is_named_with_how_to_get_it(lab):
    class Build:
        build = "/nonexistent"
    for programs, built in ((["no-such-program"], []), ([], ["store-x.so"])):
        try:
            remote.need(programs, built, Build, "pack age")
        except peers.Trouble as e:
            assert (programs + built)[0] in str(e) and "apt-get install --no-install-recommends pack age" in str(e), e
        else:
            raise AssertionError("nothing was missed")


@test
def the_rate_that_rbd_bench_says_is_read(lab):
    text = ("bench  type read io_size 4096 io_threads 16 bytes 33554432 pattern random\n"
            "  SEC       OPS   OPS/SEC   BYTES/SEC\n    1      7936   7990.71    31 MiB/s\n"
            "elapsed: 1   ops: 8192   ops/sec: 7873.4   bytes/sec: 31 MiB/s\n")
    assert remote.bench_rate(text) == 7873.4
    try:
        remote.bench_rate("elapsed: 1\n")
    except peers.Trouble as e:
        assert "no rate" in str(e)
    else:
        raise AssertionError("a rate was read where there is none")


@test
def so_many_bytes_are_asked_of_rbd_bench_that_it_takes_its_time(lab):
    assert remote.total_of(10000, 2) == 20000 * 4096
    assert remote.total_of(3, 1) == 512 * 4096


@test
def what_the_kernel_does_for_a_disk_is_no_disturbance(lab):
    class Options:
        max_wait, max_others, max_stolen = 5, 10, 3
    found = {}
    for r in rows.all_rows():
        words = measure.limits(peers.Stgt, r, Options)
        found[r.store] = dict(zip(words[::2], words[1::2]))["--max-others"]
    assert found == dict.fromkeys(("null", "mem", "file", "mmap"), "10") | {"direct": measure.ANY}, found


@test
def what_is_close_is_measured_more_often(lab):
    class Options:
        runs, runs_qd1 = 5, 9

    class Bench:
        options, peers = Options, dict.fromkeys(peers.ALL)
    by_name = {r.name: r for r in rows.all_rows()}
    m = measure.Measurement(Bench, [], ["stgt", "stgt-layers", "floor"], None)
    layered = by_name[rows.LAYERED[0]]
    assert [m.rounds_of(layered, n) for n in ("stgt", "stgt-layers", "floor")] == [20, 20, 5]
    assert m.rounds_of(by_name["null/read-4k-qd1"], "stgt") == 9 and m.rounds_of(by_name["mem/read-1m"], "stgt") == 5
    assert measure.Measurement(Bench, [], ["stgt", "floor"], None).rounds_of(layered, "stgt") == 5


@test
def layers_are_compared_where_their_gate_is(lab):
    part = [r.name for r in rows.all_rows() if peers.takes_part("stgt-layers", r)]
    assert sorted(part) == sorted(rows.LAYERED), part


@test
def a_table_has_ratios_to_those_who_were_measured_only(lab):
    class Measured:
        rows = [r for r in rows.all_rows() if r.name in ("null/read-64k", "direct/read-1m")]
        cells = {"null/read-64k": {"stgt": cell_of(run_of(8, 1.2)), "tgt": cell_of(run_of(1, 9.0))},
                 "direct/read-1m": {"stgt": cell_of(run_of(8)), "stgt-epoll": cell_of(run_of(9))}}
    null, direct = ("\n".join(docs.store_table(s, Measured, list(peers.DEFAULT))) for s in ("null", "direct"))
    assert "| null | stgt | tgt | p99 us | IOPS / tgt | rejected |" in null and "| 8.00 |" in null, null
    assert "| direct | stgt | stgt-epoll | p99 us | rejected |" in direct, direct


@test
def every_gate_is_for_rows_that_exist(lab):
    names = [r.name for r in rows.all_rows()]
    assert len(names) == len(set(names))
    for g in rows.GATES:
        matching = [n for n in names + list(rows.SPECIAL) if g.matches(n)]
        assert matching, g.name
        for row in (r for r in rows.all_rows() if g.matches(r.name) and g.measure in ("cpu", "iops")):
            if row.store in peers.ALL[g.against].stores and row.store in peers.ALL[g.peer].stores:
                assert peers.takes_part(g.peer, row) and peers.takes_part(g.against, row), (g.name, row.name)
    assert set(rows.QUICK_ROWS) <= set(names)
    assert set(rows.QUICK_PEERS) | set(peers.DEFAULT) <= set(peers.ALL)


@test
def the_page_is_rewritten_between_its_markers_only(lab):
    page = "# a\n\n%s\nold\n%s\n\n## b\n" % (docs.BEGIN, docs.END)
    new = docs.replace_between(page, "new")
    assert new == "# a\n\n%s\n\nnew\n\n%s\n\n## b\n" % (docs.BEGIN, docs.END), new
    assert docs.replace_between(new, "new") == new
    try:
        docs.replace_between("# a\n", "new")
    except ValueError as e:
        assert "markers" in str(e)
    else:
        raise AssertionError("a page without markers was rewritten")
    with open(os.path.join(BENCH, "..", "..", "docs", "performance.md"), encoding="utf-8") as f:
        docs.replace_between(f.read(), "")


@test
def the_chart_is_well_formed_whatever_was_measured(lab):
    class Measured:
        rows = rows.all_rows()[:3]
        cells = {rows[0].name: {"stgt": cell_of(run_of(8, 1.2)), "floor": cell_of(run_of(9, 1.0)),
                                "tgt": cell_of(run_of(1, 9.0))},
                 rows[1].name: {"stgt": cell_of(run_of(8, 1.2)), "tgt": cell_of()}, rows[2].name: {}}
    picture = docs.chart(Measured)
    document = xml.dom.minidom.parseString(picture)
    assert len(document.getElementsByTagName("rect")) == 3, picture  # the ground and two bars


# -- refusals --------------------------------------------------------------------------------------------------------

def refused(command, text, env=None):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=dict(os.environ, **env or {}), timeout=60)
    assert done.returncode == 2, "%s: status %d: %s" % (command, done.returncode, done.stderr)
    assert text in done.stderr, "%s: %r" % (command, done.stderr)
    assert not done.stdout, done.stdout


@cases(("a row", ["--rows", "null/read-5k"], "no row is called so"),
       ("a peer", ["--peers", "stgt,lio"], "there is no such peer"),
       ("SPDK without a path", ["--peers", "spdk"], "SPDK="),
       ("another tgtd without a path", ["--peers", "other"], "--other"),
       ("another tgtd that is not there", ["--other", "/nonexistent/tgtd"], "that is no program"),
       ("no runs", ["--runs", "0"], "from 1 to 99"),
       ("seconds in words", ["--seconds", "two"], "from 1 to 600"),
       ("a size without a unit", ["--file-size", "12"], "no size such as"),
       ("a file too large for memory", ["--file-size", "99999G"], "page cache"),
       ("a folder that is not there", ["--dir", "/nonexistent"], "no folder"),
       ("a CPU that is not there", ["--target-cpu", "1000"], "CPU"),
       ("an option", ["--fast"], "--fast"))
def the_runner_refuses(lab, args, text):
    if len(os.sched_getaffinity(0)) < 2 and "CPU" in text:
        raise Skip("one CPU only")
    refused([RUN, "--no-build", "--no-install", *args], text)


@test
def the_runner_refuses_an_spdk_that_is_not_there(lab):
    refused([RUN, "--no-build", "--no-install"], "SPDK=/nonexistent", {"SPDK": "/nonexistent"})


FOREIGN = (("another host", "192.0.2.1:3260", "not loopback"), ("every address", "0.0.0.0:3260", "not loopback"),
           ("every IPv6 address", "[::]:3260", "not loopback"), ("an IPv6 host", "[2001:db8::1]:3260", "not loopback"),
           ("loopback within IPv6", "[::ffff:192.0.2.1]:3260", "not loopback"),
           ("a name", "localhost:3260", "no numeric address"), ("no port", "127.0.0.1", "no port"),
           ("a bad port", "127.0.0.1:70000", "no port"), ("a relative path", "disk.sock", "no port"))


@cases(*FOREIGN)
def the_generator_never_leaves_this_machine(lab, address, text):
    refused([LOAD, address, "iqn.2026-01.org.example:disk"], text)


@cases(*FOREIGN)
def the_floor_never_leaves_this_machine(lab, address, text):
    refused([FLOOR, address], text)


@cases(("a word for a number", ["--qd", "many"], "--qd many"), ("too deep a queue", ["--qd", "99999"], "--qd"),
       ("an odd block", ["--bs", "1000"], "multiple of 512"), ("a direction", ["--rw", "sideways"], "--rw sideways"),
       ("more threads than sessions", ["--threads", "2"], "more than sessions"),
       ("bursts upside down", ["--first-burst", "2M"], "--first-burst"),
       ("no seconds", ["--seconds", "0"], "--seconds 0"), ("a negative size", ["--span", "-1"], "--span -1"),
       ("a target too many", ["x"], "an address and a target name"))
def the_generator_refuses(lab, args, text):
    refused([LOAD, "127.0.0.1:1", "iqn.2026-01.org.example:disk", *args], text)


def nbd_client():
    if not os.path.exists(NBD):
        raise Skip("bench-nbd is not built: libnbd-dev is not installed")
    return NBD


@cases(("no socket", [], "the path of a socket"), ("a relative path", ["disk.sock"], "the path of a socket"),
       ("two sockets", ["/a", "/b"], "and nothing else"), ("a direction", ["/a", "--rw", "mix"], "--rw mix"),
       ("too deep a queue", ["/a", "--qd", "257"], "--qd 257"), ("a size in words", ["/a", "--bs", "big"], "--bs big"))
def the_nbd_client_refuses(lab, args, text):
    refused([nbd_client(), *args], text)


@test
def the_nbd_client_says_who_is_not_there(lab):
    done = subprocess.run([nbd_client(), lab.path("none.sock")], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=60)
    assert done.returncode == 1 and not done.stdout and "No such file" in done.stderr, done


@cases(("split",), ("packed", "--packed"), ("packed, no table", "--packed", "--no-indirect"))
def the_ring_s_floor_answers_its_load(lab, *args):
    floor = lab.helper(subprocess.Popen([RING_FLOOR, lab.path("ring.sock")], stdout=subprocess.PIPE, text=True))
    assert floor.stdout.readline() == "ready %s\n" % lab.path("ring.sock")
    done = subprocess.run([RING_LOAD, lab.path("ring.sock"), "--pid", str(floor.pid), "--warmup", "0", *args],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, timeout=60)
    run = json.loads(done.stdout)
    assert run["done"] and run["target_cpu_us"] > 0 and run["kicks_per_io"] < 1 and run["calls_per_io"] < 1, run


@cases(("no socket", [], "the path of a socket"), ("too deep a queue", ["/a", "--qd", "65"], "--qd 65"),
       ("a size in words", ["/a", "--bs", "big"], "--bs big"))
def the_ring_s_load_refuses(lab, args, text):
    refused([RING_LOAD, *args], text)


@cases(("no socket", [], "the path of a socket"), ("a store", ["/a", "--store", "tape"], "--store tape"))
def the_ring_s_floor_refuses(lab, args, text):
    refused([RING_FLOOR, *args], text)


@test
def the_floor_refuses_a_file_that_is_not_there_and_stores_it_does_not_know(lab):
    refused([FLOOR, "127.0.0.1:0", "--store", "tape"], "--store tape")
    refused([FLOOR, "127.0.0.1:0", "--store", "file"], "--file")
    done = subprocess.run([FLOOR, "127.0.0.1:0", "--store", "file", "--file", "/nonexistent"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1 and "/nonexistent" in done.stderr, done.stderr


# -- the programs at work --------------------------------------------------------------------------------------------

def load(address, *args, target="x", status=0):
    done = subprocess.run([LOAD, address, target, "--json", "--seconds", "1", "--warmup", "0", *args],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=90)
    assert done.returncode == status, "status %d: %s" % (done.returncode, done.stderr + done.stdout)
    return json.loads(done.stdout) if done.stdout else done.stderr


def tgtd(lab, *options):
    d = lab.start(options=("--reactors", "1") + options)
    d.export(lab.image("16M"))
    return d


@cases(("small mixed blocks", ["--rw", "mix", "--sessions", "2", "--threads", "2"]),
       ("small writes without immediate data", ["--rw", "write", "--no-immediate", "--initial-r2t"]),
       ("large blocks in small pieces", ["--rw", "mix", "--bs", "256K", "--qd", "4", "--max-recv", "8K", "--max-burst",
                                         "64K", "--first-burst", "16K"]))
def what_is_written_through_digests_is_read_back(lab, args):
    d = tgtd(lab)
    result = load(d.portal(), "--verify", "--header-digest", "--data-digest", "--lun", str(d.lun), "--pid",
                  str(d.proc.pid), *args, target=d.name)
    assert result["agreed"]["header_digest"] and result["agreed"]["data_digest"], result
    assert result["wrong_data"] == 0 and result["verified_bytes"] >= 1 << 20, result
    assert result["done"] > 0 and result["lost_sessions"] == 0, result
    names = [t["name"] for t in result["target_threads"]]
    assert "tgtd-0" in names and result["target_cpu_us"] > 0, result
    latency = result["latency_us"]
    assert 0 < latency["p50"] <= latency["p99"] <= latency["p9999"] <= latency["max"], latency


@test
def a_target_that_forgets_is_found_out(lab):
    floor = start_floor(lab, "--store", "null", "--size", "16M")
    assert load(floor, "--verify", "--rw", "write", status=3)["wrong_data"] > 0


@test
def idle_sessions_are_counted_and_stay(lab):
    d = tgtd(lab)
    result = load(d.portal(), "--idle", "--sessions", "20", "--lun", str(d.lun), target=d.name)
    assert result["alive_sessions"] == 20 and result["done"] == 0, result


@test
def little_memory_refuses_commands_and_loses_nobody(lab):
    d = tgtd(lab, "--memory", "64M")
    result = load(d.portal(), "--rw", "write", "--bs", "1M", "--qd", "128", "--sessions", "64", "--lun", str(d.lun),
                  target=d.name)
    assert result["alive_sessions"] == 64 and result["lost_sessions"] == 0, result
    assert result["statuses"]["check_condition"] == 0 and result["statuses"]["other"] == 0, result


@test
def a_target_that_dies_costs_its_sessions_and_the_generator_says_so(lab):
    d = tgtd(lab)
    proc = subprocess.Popen([LOAD, d.portal(), d.name, "--json", "--seconds", "60", "--lun", str(d.lun)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until("commands come", lambda: any(r["sends"] > 100 for r in d.tgtctl_json("stat")["reactors"]))
    d.kill()
    out, err = proc.communicate(timeout=60)
    assert proc.returncode == 3 and "session 0 is lost" in err, err
    assert json.loads(out)["lost_sessions"] == 1
    lab.daemons.remove(d)


def start_floor(lab, *args, address="127.0.0.1:0"):
    proc = lab.helper(peers.spawn([FLOOR, address, "--seconds", "100", *args], stdout=subprocess.PIPE, text=True))
    line = proc.stdout.readline()
    assert line.startswith("ready "), line
    return line.split()[1]


@cases(("memory", ["--store", "mem", "--size", "16M"]), ("a file by pread", ["--io", "pread"]),
       ("a file by mmap", ["--io", "mmap"]))
def the_floor_keeps_what_it_is_told(lab, args):
    if "--io" in args:
        args = ["--store", "file", "--file", lab.image("16M")] + args
    address = start_floor(lab, *args, address=lab.path("floor.sock"))
    assert load(address, "--verify", "--rw", "mix", "--header-digest", "--data-digest")["wrong_data"] == 0
    result = load(address, "--verify", "--rw", "write", "--bs", "1M", "--qd", "4")
    assert result["wrong_data"] == 0 and result["verified_bytes"] >= 1 << 20, result


@test
def the_keeper_keeps_every_page_and_removes_its_file(lab):
    path = lab.path("kept.img")
    proc = lab.helper(peers.spawn([KEEP, path, "8M"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True))
    assert proc.stdout.readline() == "ready\n"
    assert os.path.getsize(path) == 8 << 20
    proc.stdin.write("\n")
    proc.stdin.flush()
    resident, pages = re.match(r"resident (\d+) of (\d+)", proc.stdout.readline()).groups()
    assert resident == pages == str((8 << 20) // os.sysconf("SC_PAGESIZE"))
    proc.stdin.close()
    assert proc.wait(30) == 0 and not os.path.exists(path)


# -- the runner at work ----------------------------------------------------------------------------------------------

def runner(lab, *args):
    if len(os.sched_getaffinity(0)) < 2:
        raise Skip("a target and a generator need a CPU each, there is one")
    return [RUN, "--build", BUILD, "--no-build", "--no-install", "--dir", lab.folder, "--file-size", "64M",
            "--mem-size", "64M", *args]


@test
def a_run_measures_peers_in_turns_and_leaves_nothing_behind(lab):
    out = lab.path("out.json")
    command = runner(lab, "--rows", "null/read-4k-qd32,file/write-64k", "--peers", "stgt,floor", "--runs", "2",
                     "--retries", "0", "--warmup", "0", "--json", out)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=110)
    assert done.returncode in (0, 1), done.stdout  # 1: a gate failed, which is not what is tested
    assert "null/read-4k-qd32" in done.stdout and "every row: IOPS against the floor" in done.stdout, done.stdout
    with open(out) as f:
        data = json.load(f)
    for row in ("null/read-4k-qd32", "file/write-64k"):
        for peer in ("stgt", "floor"):
            cell = data["rows"][row][peer]
            assert len(cell["runs"]) + len(cell["rejected"]) == 2 and cell["iops"] > 0, cell
    assert data["machine"]["cores"] and {g["verdict"] for g in data["gates"]} <= {"goal", "pass", "fail", "doubt",
                                                                                 "miss", "none"}
    assert os.listdir(lab.folder) == ["out.json"], os.listdir(lab.folder)


@test
def other_stores_engines_and_layers_are_measured(lab):
    out = lab.path("out.json")
    command = runner(lab, "--rows", "mmap/read-64k,direct/read-1m,null/read-64k", "--peers",
                     "stgt,stgt-epoll,stgt-layers", "--runs", "1", "--retries", "0", "--warmup", "0", "--json", out)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=110)
    assert done.returncode in (0, 1), done.stdout
    with open(out) as f:
        measured = {row: sorted(p for p, c in cells.items() if c["iops"])
                    for row, cells in json.load(f)["rows"].items()}
    assert measured == {"mmap/read-64k": ["stgt"], "direct/read-1m": ["stgt", "stgt-epoll"],
                        "null/read-64k": ["stgt", "stgt-layers"]}, (measured, done.stdout)
    assert os.listdir(lab.folder) == ["out.json"], os.listdir(lab.folder)


@test
def the_rate_by_way_of_nbdkit_is_measured(lab):
    nbd_client()
    if not shutil.which("nbdkit"):
        raise Skip("nbdkit is not installed")
    out = lab.path("out.json")
    done = subprocess.run(runner(lab, "--rows", "nbd", "--runs", "1", "--warmup", "0", "--json", out),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=110)
    assert done.returncode in (0, 1), done.stdout
    with open(out) as f:
        found = json.load(f)["special"]["nbd"]
    assert "left_out" not in found and all(found["ratio " + what] > 0 for what in rows.NBD), (found, done.stdout)
    assert os.listdir(lab.folder) == ["out.json"], os.listdir(lab.folder)


@test
def the_ring_is_measured(lab):
    out = lab.path("out.json")
    done = subprocess.run(runner(lab, "--rows", "vhost", "--runs", "1", "--warmup", "0", "--retries", "0",
                                 "--json", out),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=110)
    assert done.returncode in (0, 1), done.stdout
    with open(out) as f:
        found = json.load(f)["special"]["vhost"]
    assert "left_out" not in found and all(found["ratio " + what] > 0 for what in rows.RINGS), (found, done.stdout)
    assert os.listdir(lab.folder) == ["out.json"], os.listdir(lab.folder)


@test
def an_interrupted_run_cleans_up_and_says_so(lab):
    command = runner(lab, "--rows", "file/read-4k-qd32", "--peers", "stgt,floor", "--runs", "99")
    proc = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)
    for line in proc.stdout:
        if line.startswith("starting floor"):
            break
    proc.send_signal(signal.SIGINT)
    rest = proc.stdout.read()
    assert proc.wait(60) == 130, rest
    assert "interrupted" in rest and "removed " + lab.folder in rest, rest
    assert os.listdir(lab.folder) == [], os.listdir(lab.folder)


main()
