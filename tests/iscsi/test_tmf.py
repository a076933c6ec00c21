#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Task management: every function, in every state that a command can be in."""

from rig import (TUR, cases, daemon_works, disk, expect, live, main, pattern, pdu, raw_command, read16, slow_disk,
                 still_works, test, wait_until, write16)

COMPLETE, NO_TASK, NO_LUN, NO_REASSIGN, NOT_SUPPORTED, SUCCEEDED = 0, 1, 2, 4, 5, 7


def waiting_write(s, lba=0, blocks=1, lun=1):
    """A write whose R2T is out."""
    p = raw_command(s, write16(lba, blocks), lun, write=True, edtl=blocks * 512)
    s.take_cmdsn()
    s.conn.send(p)
    return p, expect(s, pdu.R2T, itt=p.itt)


NO_IMMEDIATE = {"ImmediateData": "No"}


@test
def abort_task_ends_a_write_that_waits_for_data(lab):
    d = disk(lab)
    s = d.login(keys=NO_IMMEDIATE)
    s.write(0, pattern(512, 9))
    p, r2t = waiting_write(s)
    assert s.task_management(pdu.QUERY_TASK, 1, p.itt) == SUCCEEDED
    assert s.task_management(pdu.ABORT_TASK, 1, p.itt, p.cmdsn) == COMPLETE
    assert s.task_management(pdu.QUERY_TASK, 1, p.itt) == COMPLETE
    s.conn.send(pdu.data_out(p.itt, bytes(512), 0, r2t.ttt, lun=1))  # late: thrown away
    still_works(s)
    assert s.read(0, 1) == pattern(512, 9)
    assert live(d)["tasks"] == 0


@test
def abort_task_ends_a_write_with_unsolicited_data_on_its_way(lab):
    s = disk(lab).login(keys={"ImmediateData": "No", "InitialR2T": "No"})
    p = raw_command(s, write16(0, 8), write=True, edtl=4096, final=False)
    s.take_cmdsn()
    s.conn.send(p, pdu.data_out(p.itt, bytes(1024), 0, lun=1, final=False))
    assert s.task_management(pdu.ABORT_TASK, 1, p.itt, p.cmdsn) == COMPLETE
    s.conn.send(pdu.data_out(p.itt, bytes(3072), 1024, datasn=1, lun=1))
    still_works(s)


@test
def abort_task_ends_a_command_that_has_ended_but_for_its_data(lab):
    s = disk(lab).login(keys={"ImmediateData": "No", "InitialR2T": "No"})
    p = raw_command(s, write16(1 << 40, 8), write=True, edtl=4096, final=False)
    s.take_cmdsn()
    s.conn.send(p)
    assert s.task_management(pdu.ABORT_TASK, 1, p.itt, p.cmdsn) == COMPLETE
    s.conn.send(pdu.data_out(p.itt, bytes(4096), 0, lun=1))
    still_works(s)


@test
def a_command_that_has_ended_but_for_its_data_survives_a_function_that_is_refused(lab):
    s = disk(lab).login(keys={"ImmediateData": "No", "InitialR2T": "No"})
    p = raw_command(s, write16(0, 8), 9, write=True, edtl=4096, final=False)
    s.take_cmdsn()
    s.conn.send(p)
    assert s.task_management(pdu.ABORT_TASK_SET, 9) == NO_LUN
    s.conn.send(pdu.data_out(p.itt, bytes(4096), 0, lun=9))
    assert s.finish(p.itt)[0].status == 2


@test
def abort_task_of_what_is_finished_finds_nothing(lab):
    s = disk(lab).login()
    r = s.command(TUR, 1)
    assert s.task_management(pdu.ABORT_TASK, 1, r.pdu.itt, s.cmdsn - 1) == NO_TASK


@test
def abort_task_of_another_lun_finds_nothing(lab):
    s = disk(lab).login(keys=NO_IMMEDIATE)
    p, r2t = waiting_write(s)
    assert s.task_management(pdu.ABORT_TASK, 0, p.itt, p.cmdsn) == NO_TASK
    s.conn.send(pdu.data_out(p.itt, bytes(512), 0, r2t.ttt, lun=1))
    assert s.finish(p.itt)[0].status == 0


@test
def abort_task_of_what_has_not_come_counts_it_as_come(lab):
    """RFC 7143 11.6.1: its CmdSN is in the window; it is aborted before it arrives."""
    s = disk(lab).login()
    lost = s.take_cmdsn()
    assert s.task_management(pdu.ABORT_TASK, 1, 0x7777, lost) == COMPLETE
    still_works(s)
    s.conn.send(pdu.scsi_command(TUR, 1, 0x7777, lost, s.expstatsn))
    still_works(s)


@test
def abort_task_of_what_waits_for_its_turn_takes_it_out(lab):
    s = disk(lab).login()
    first = raw_command(s, TUR)
    second = raw_command(s, TUR)
    second.cmdsn = s.cmdsn + 1
    s.conn.send(second)
    request = pdu.tmf_request(pdu.ABORT_TASK, 1, s.itt(), second.itt, second.cmdsn, s.cmdsn + 2, s.expstatsn)
    s.conn.send(request)
    expect(s, pdu.TMF_RSP, itt=request.itt, response=COMPLETE)
    s.conn.send(first)
    s.cmdsn += 2
    expect(s, pdu.SCSI_RSP, itt=first.itt)
    still_works(s)


@cases(("ABORT TASK SET", pdu.ABORT_TASK_SET), ("CLEAR TASK SET", pdu.CLEAR_TASK_SET), ("LUN RESET", pdu.LUN_RESET),
       ("TARGET WARM RESET", pdu.TARGET_WARM_RESET))
def all_tasks_of_the_unit_end(lab, function):
    d = disk(lab)
    s = d.login(keys={"ImmediateData": "No", "InitialR2T": "No"})
    writes = []
    for i in range(3):
        p = raw_command(s, write16(i * 256, 256), write=True, edtl=131072, final=False)
        s.take_cmdsn()
        s.conn.send(p)
        writes.append(p)
    assert s.task_management(pdu.QUERY_TASK_SET, 1) == SUCCEEDED
    assert s.task_management(function, 1) == COMPLETE
    assert s.task_management(pdu.QUERY_TASK_SET, 1) == COMPLETE
    for p in writes:
        s.conn.send(pdu.data_out(p.itt, bytes(65536), 0, lun=1))
    s.clear_unit_attention()
    still_works(s)
    assert live(d)["tasks"] == 0


@test
def target_cold_reset_closes_the_sessions(lab):
    d = disk(lab, options=("--reactors", "2"))
    other = d.login()
    s = d.login()
    assert s.task_management(pdu.TARGET_COLD_RESET) == COMPLETE
    assert s.conn.is_closed() and other.conn.is_closed()
    daemon_works(d)


@cases(("TASK REASSIGN", pdu.TASK_REASSIGN, NO_REASSIGN), ("CLEAR ACA", pdu.CLEAR_ACA, NOT_SUPPORTED),
       ("0", 0, NOT_SUPPORTED), ("100", 100, NOT_SUPPORTED))
def what_is_not_supported_is_said(lab, function, response):
    s = disk(lab).login()
    assert s.task_management(function, 1) == response
    still_works(s)


@test
def a_unit_that_is_not_there_is_said(lab):
    s = disk(lab).login()
    assert s.task_management(pdu.LUN_RESET, 77) == NO_LUN
    assert s.task_management(pdu.ABORT_TASK_SET, 77) == NO_LUN


@test
def the_response_comes_after_the_write_has_left_the_store(lab):
    s = slow_disk(lab, 300000).login()
    first = s.send_command(write16(0, 8), 1, write=pattern(4096, 1))
    assert s.task_management(pdu.ABORT_TASK, 1, first, s.cmdsn - 1) == COMPLETE
    s.write(0, pattern(4096, 2))
    assert s.read(0, 8) == pattern(4096, 2)


@test
def an_aborted_slow_write_never_wins(lab):
    d = slow_disk(lab, 300000, options=("--reactors", "2"))
    a, b = d.login(), d.login()
    a.send_command(write16(0, 8), 1, write=pattern(4096, 1))
    assert b.task_management(pdu.LUN_RESET, 1) == COMPLETE
    b.clear_unit_attention()
    b.write(0, pattern(4096, 2))
    assert b.read(0, 8) == pattern(4096, 2)


@test
def a_reset_by_another_session_is_told_with_task_aborted(lab):
    """TAS=1: the write that waits for data ends with TASK ABORTED once its data has come."""
    d = disk(lab)
    a, b = d.login(keys=NO_IMMEDIATE), d.login()
    p, r2t = waiting_write(a)
    assert b.task_management(pdu.LUN_RESET, 1) == COMPLETE
    a.conn.send(pdu.data_out(p.itt, bytes(512), 0, r2t.ttt, lun=1))
    expect(a, pdu.SCSI_RSP, itt=p.itt, status=pdu.TASK_ABORTED)
    assert a.clear_unit_attention() != []
    still_works(a)


@test
def management_in_its_turn_meets_the_commands_before_it_only(lab):
    s = disk(lab).login(keys=NO_IMMEDIATE)
    p, r2t = waiting_write(s)
    request = pdu.tmf_request(pdu.ABORT_TASK_SET, 1, s.itt(), cmdsn=s.cmdsn + 1, expstatsn=s.expstatsn, immediate=False)
    between = raw_command(s, write16(9, 1), write=True, edtl=512)
    s.conn.send(request)
    s.ping()
    s.conn.send(between)
    expect(s, pdu.R2T, itt=between.itt)
    expect(s, pdu.TMF_RSP, itt=request.itt, response=COMPLETE)
    s.cmdsn += 2
    still_works(s)


@test
def more_management_than_can_be_under_way_is_rejected(lab):
    s = slow_disk(lab, 500000).login()
    s.send_command(write16(0, 8), 1, write=pattern(4096, 1))
    requests = [pdu.tmf_request(pdu.LUN_RESET, 1, s.itt(), cmdsn=s.cmdsn, expstatsn=s.expstatsn) for _ in range(9)]
    s.conn.send(*requests)
    expect(s, pdu.REJECT, response=6)
    done = {expect(s, pdu.TMF_RSP, response=COMPLETE).itt for _ in range(8)}
    assert done == {p.itt for p in requests[:8]}
    s.clear_unit_attention()
    still_works(s)


@test
def a_session_that_dies_while_its_write_is_with_the_store_leaves_nothing(lab):
    d = slow_disk(lab, 300000)
    for end in ("reset", "close"):
        s = d.login()
        s.send_command(write16(0, 8), 1, write=pattern(4096, 1))
        s.ping()
        getattr(s.conn, end)()
    wait_until("sessions and tasks are gone", lambda: live(d)["sessions"] == live(d)["tasks"] == 0)
    daemon_works(d)


main()
