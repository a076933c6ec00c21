#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""A real tgtd behind a vhost-user-scsi socket, played with by vhost-play (play.h): each scenario is a test point.

A daemon serves a group of scenarios: after each one it must still be there, and whoever was connected must have left
nothing behind: no connection, no command, no descriptor.
"""

import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from lab import BUILD, SANITIZED, cases, main, test, wait_until  # noqa: E402

PLAY = os.environ.get("VHOST_PLAY", os.path.join(BUILD, "tests", "vhost", "vhost-play"))
FLOOR = os.environ.get("VHOST_FLOOR", os.path.join(BUILD, "tests", "bench", "bench-vhost-floor"))
SECONDS = 240 if SANITIZED else 60
SLOW = "delay:delay_us=60000+file"  # LUN 2
KINDS = (("split", ()), ("packed", ("--packed",)))


class Host:
    """A daemon with a target behind a socket. LUN 1: a file; LUN 2: slow; LUN 3: null."""

    def __init__(self, lab, options=("--reactors", "1"), queues=8):
        self.lab, self.path, self.queues = lab, lab.path("vhost.sock"), queues
        self.d = lab.start(options=options)
        self.image, self.slow = lab.image("64M"), lab.image("1M", "slow.img")
        self.serve()

    def serve(self):
        d = self.d
        d.export(self.image)
        d.tgtctl("lun", "create", "1", self.slow, "--lun", "2", "--type", SLOW)
        d.tgtctl("lun", "create", "1", "--lun", "3", "--type", "null", "--bsopts", "size=64M")
        d.tgtctl("vhost", "add", d.name, self.path, "--queues", str(self.queues))

    def killed(self):
        """kill -9, and another one that serves the same."""
        self.d.kill()
        self.d.launch(self.d.ports)
        self.serve()

    def command(self, scenario, args):
        return [PLAY, self.path, scenario, *args]

    def play(self, scenario, *args, answers=None):
        """answers: {line it says: what is done then}"""
        proc = self.lab.helper(subprocess.Popen(self.command(scenario, args), stdin=subprocess.PIPE,
                                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        watch = threading.Timer(SECONDS, proc.kill)
        watch.start()
        try:
            for line in proc.stdout:
                answers[line.strip()]()
                proc.stdin.write("\n")
                proc.stdin.flush()
        except BrokenPipeError:
            pass
        said = proc.stderr.read().strip()
        status = proc.wait()
        watch.cancel()
        assert not status, said or "ended with status %d" % status

    def sid(self):
        """Of the session that a front end is."""
        return [s["sid"] for s in self.d.tgtctl_json("session", "list") if "vhost" in s][0]

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.d.proc.pid))

    def mappings(self):
        with open("/proc/%d/maps" % self.d.proc.pid) as f:
            return sum("memfd:" in line for line in f)

    def nothing_is_left(self):
        """No connection, no command, no memory; and iSCSI has nothing of it."""
        stat = self.d.tgtctl_json("stat")
        return not (stat["vhost"]["connections"] or stat["vhost"]["tasks"] or stat["live"]["commands"] or
                    self.mappings())


def scenarios(group, kinds, names, options=("--reactors", "1")):
    """A test for a group of scenarios; one daemon plays them all."""
    def run(lab, *args):
        host = Host(lab, options)
        before = None
        for name in names:
            try:
                host.play(name, *args)
                assert host.d.alive(), "tgtd has died"
                wait_until("nothing is left of it", host.nothing_is_left, 30)
                now = host.descriptors()
                before = before or now
                wait_until("no descriptor is left", lambda: host.descriptors() <= before, 30)
                lab.point("%s (%s)" % (name, run.label))
            except AssertionError as e:
                lab.point("%s (%s)" % (name, run.label), ok=False, detail=str(e))
                if not host.d.alive():
                    host.killed()

    for label, args in kinds:
        def one(lab, _label=label, _args=args):
            run.label = _label
            run(lab, *_args)
        one.__name__ = "%s: %s" % (group, label)
        test(one)


# -- data ---------------------------------------------------------------------------------------------------------

DATA = ("the_devices_describe_themselves", "luns_are_reported", "what_is_written_is_read",
        "data_is_scattered_over_odd_boundaries", "headers_lie_in_single_bytes", "rings_go_round_many_times",
        "several_queues_work_at_once", "residuals_count_what_is_missing", "too_little_room_is_no_harm",
        "sense_data_comes_with_the_answer", "another_target_is_a_bad_target",
        "a_lun_that_is_not_there_is_not_supported", "faster_commands_overtake", "the_attributes_are_taken",
        "the_configuration_is_read_and_written")
LESS = ("--count", "5000") if SANITIZED else ()

scenarios("data", (("split", LESS), ("packed", ("--packed", *LESS)),
                   ("split, tables", ("--indirect", *LESS)), ("packed, tables", ("--packed", "--indirect", *LESS)),
                   ("split, flags", ("--no-event-idx", "--table", "--no-inflight", *LESS)),
                   ("packed, flags", ("--packed", "--no-event-idx", "--table", "--no-inflight", *LESS))), DATA)
scenarios("data", (("packed, 37 descriptors", ("--packed", "--indirect", "--ring", "37", *LESS)),
                   ("split, 1024 descriptors", ("--ring", "1024", *LESS)),),
          ("rings_go_round_many_times", "several_queues_work_at_once"), options=("--reactors", "2"))
scenarios("data", (("epoll", LESS), ("epoll, packed", ("--packed", *LESS))),
          ("what_is_written_is_read", "rings_go_round_many_times"), options=("--engine", "epoll", "--reactors", "2"))

scenarios("notify", KINDS,
          ("an_interrupt_comes_when_the_index_passes_the_event", "flags_suppress_interrupts",
           "a_batch_is_one_interrupt", "who_goes_to_sleep_asks_for_a_kick", "a_kick_without_news_is_harmless",
           "interrupts_go_to_the_newest_descriptor", "without_a_descriptor_the_ring_is_polled",
           "a_counter_that_is_full_holds_nobody_up", "kicks_come_by_the_newest_descriptor"))

scenarios("tasks", KINDS,
          ("a_task_is_aborted", "all_tasks_are_aborted", "a_reset_ends_tasks_and_is_told", "a_task_is_asked_for",
           "aborting_what_is_not_there_is_no_error", "what_cannot_be_done_is_said", "notifications_are_asked_for",
           "an_unknown_control_request_is_answered", "functions_race_with_requests"))

scenarios("messages", KINDS,
          ("requests_nobody_knows", "requests_for_other_devices", "versions_and_flags_that_are_wrong",
           "sizes_that_are_wrong", "payloads_without_end", "features_nobody_offered", "a_log_is_refused_cleanly",
           "descriptors_nobody_asked_for", "a_kick_by_something_else_than_an_eventfd",
           "tables_of_memory_that_are_wrong", "memory_that_is_no_memory", "regions_that_are_wrong",
           "sizes_of_rings_that_are_wrong", "rings_that_are_not_there", "addresses_of_rings_that_are_wrong",
           "messages_in_another_order", "memory_for_what_is_in_flight_that_is_wrong",
           "notes_of_what_is_in_flight_that_are_forged"))

scenarios("rings", KINDS,
          ("crimes_in_the_request_ring", "crimes_in_the_other_rings", "a_broken_ring_breaks_no_other",
           "a_table_that_was_not_agreed", "bytes_change_under_the_server", "rings_of_noise"))

scenarios("memory", KINDS,
          ("memory_lies_in_several_regions", "a_buffer_lies_across_two_regions", "regions_come_and_go",
           "a_new_table_under_requests", "regions_go_under_requests", "files_of_memory_shrink",
           "files_of_rings_shrink", "a_file_is_shorter_than_its_region"))

scenarios("restart", KINDS,
          ("drivers_stop_and_start_again", "a_ring_that_stops_ends_what_is_under_way", "a_disabled_ring_waits",
           "a_reset_device_begins_anew", "a_second_connection_is_refused", "front_ends_die_at_any_point",
           "front_ends_die_within_a_message", "front_ends_die_with_requests_under_way",
           "every_request_survives_the_connection"))


# -- what needs somebody outside ------------------------------------------------------------------------------------

def lun_changes(host):
    d, sizes = host.d, iter(("96M", "80M", "128M"))

    def resize():
        with open(host.image, "r+b") as f:
            f.truncate(int(next(sizes)[:-1]) << 20)
        d.tgtctl("lun", "resize", "1", "1")
    return {"add": lambda: d.tgtctl("lun", "create", "1", "--lun", "7", "--type", "null", "--bsopts", "size=1M"),
            "remove": lambda: d.tgtctl("lun", "delete", "1", "7", "--force"), "resize": resize}


@cases(*((n + ", " + k, n, a) for n in
         ("a_lun_that_comes_or_goes_is_told", "a_new_size_is_told", "who_did_not_agree_to_events_gets_none",
          "events_without_a_buffer_are_missed_and_that_is_told") for k, a in KINDS))
def events_(lab, name, args):
    host = Host(lab)
    host.play(name, *args, answers=lun_changes(host))


@cases(*((k, a) for k, a in KINDS))
def restart_every_request_survives_the_server(lab, args):
    host = Host(lab)
    host.play("every_request_survives_the_server", *args, answers={"kill": host.killed})
    host.play("the_devices_describe_themselves", *args)


@test
def restart_every_request_survives_with_tables(lab):
    host = Host(lab, options=("--reactors", "2"))
    host.play("every_request_survives_the_server", "--indirect", "--packed", "--ring", "64",
              answers={"kill": host.killed})


@test
def restart_a_dead_front_end_leaves_no_reservation(lab):
    host = Host(lab)
    iscsi = host.d.login()

    def is_reserved():
        """Another nexus meets a conflict while it lasts."""
        assert iscsi.command(bytes(6), 1).status == 0x18, "no reservation conflict"
    host.play("a_front_end_dies_with_a_reservation", answers={"reserved": is_reserved})
    wait_until("the reservation is gone", lambda: iscsi.command(bytes(6), 1).status == 0)
    iscsi.logout()


@test
def messages_half_a_message_keeps_nobody_waiting(lab):
    host = Host(lab)
    host.d.tgtctl("vhost", "add", host.d.name, lab.path("other.sock"))

    def others():
        iscsi = host.d.login()
        iscsi.write(0, b"x" * 512)
        iscsi.logout()
        assert host.d.tgtctl("vhost", "list").stdout
        done = subprocess.run([PLAY, lab.path("other.sock"), "the_devices_describe_themselves"],
                              stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=SECONDS)
        assert not done.returncode, done.stderr
    host.play("a_part_of_a_message_then_silence", answers={"silent": others})


@test
def rings_hostile_ones_disturb_no_iscsi_session(lab):
    host = Host(lab)
    iscsi = host.d.login()
    over = threading.Event()
    trouble = []

    def work():
        n = 0
        while not over.is_set():
            n += 1
            data = bytes([n & 255]) * 4096
            try:
                iscsi.write(2048, data)
                if iscsi.read(2048, 8) != data:
                    raise AssertionError("other data")
            except Exception as e:  # whatever it is, it is a finding
                trouble.append(repr(e))
                return
    worker = threading.Thread(target=work)
    worker.start()
    try:
        for name in ("crimes_in_the_request_ring", "files_of_memory_shrink"):
            host.play(name)
    finally:
        over.set()
        worker.join()
    assert not trouble, trouble[0]
    iscsi.logout()


@test
def restart_ports_come_and_go(lab):
    """Under a front end that is at work; its session is one like others."""
    host = Host(lab)
    d = host.d
    done = d.tgtctl("vhost", "add", d.name, host.path, check=False)
    assert done.returncode and "vhost.sock" in done.stderr, done.stderr
    done = d.tgtctl("vhost", "add", d.name, host.image, check=False)
    assert done.returncode and "no socket" in done.stderr and os.path.getsize(host.image), done.stderr

    def remove():
        d.tgtctl("vhost", "remove", host.path)
        assert not os.path.exists(host.path), "the socket is still there"
    for action in (remove, lambda: d.tgtctl("session", "close", "1", str(host.sid()))):
        host.play("the_connection_is_ended_under_requests", answers={"end": action})
        wait_until("nothing is left of it", host.nothing_is_left)
        if action is remove:
            d.tgtctl("vhost", "add", d.name, host.path)
        host.play("the_devices_describe_themselves")


# -- the other server -----------------------------------------------------------------------------------------------

@cases(("split",), ("packed", "--packed"), ("split, tables", "--indirect"),
       ("packed, flags", "--packed", "--no-event-idx"), ("a table of memory", "--table"))
def floor_serves_the_front_end(lab, *args):
    """The benchmark's floor is another server from the same standards: what both do alike is rarely one's mistake."""
    path = lab.path("floor.sock")
    proc = lab.helper(subprocess.Popen([FLOOR, path, "--store", "mem"], stdout=subprocess.PIPE, text=True))
    assert proc.stdout.readline().startswith("ready"), "the floor does not start"
    for name in ("the_devices_describe_themselves", "what_is_written_is_read",
                 "data_is_scattered_over_odd_boundaries", "rings_go_round_many_times", "several_queues_work_at_once"):
        done = subprocess.run([PLAY, path, name, "--count", "4000", *args], stdin=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, timeout=SECONDS)
        lab.point(name, ok=not done.returncode, detail=done.stderr)


main()
