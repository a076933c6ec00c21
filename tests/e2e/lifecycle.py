#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""How the daemon begins and ends: after kill -9, by SIGTERM, as another user, with bad options."""

import os
import signal
import socket
import subprocess
import time

from lab import NAME, Skip, TGTD, cases, free_port, main, pdu, test, wait_until

STOP_BOUND = 15.0  # seconds from SIGTERM to the end, whatever initiators do


def try_login(d):
    """The kernel may take its time to close the portal of a daemon that was killed: initiators try again."""
    try:
        return d.login()
    except (OSError, pdu.Closed):
        return None


@test
def after_kill_9_the_same_image_socket_and_port_serve_again(lab):
    image = lab.image("64M")
    d = lab.start()
    d.export(image)
    data = os.urandom(256 << 10)
    s = d.login()
    s.write(1000, data)
    ports = d.ports
    d.proc.kill()
    d.proc.wait()
    assert os.path.exists("%s.%d" % (d.prefix, d.control_port)), "the test wants the stale socket left behind"
    d.launch(ports)
    d.export(image)
    s = wait_until("the portal is ours", lambda: try_login(d))
    assert s.read(1000, len(data) // 512) == data
    s.logout()


@test
def a_second_daemon_on_the_same_control_port_is_refused_and_changes_nothing(lab):
    d = lab.start()
    d.export(lab.image("1M"))
    second = subprocess.run([TGTD, "-f", "-C", str(d.control_port), "--iscsi",
                             "portal=127.0.0.1:%d" % free_port()], env=d.env(), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    assert second.returncode not in (0, None), second.stdout
    assert second.stdout.strip(), "no reason was given"
    d.login().logout()
    assert d.name in d.tgtadm("--lld", "iscsi", "--op", "show", "--mode", "target").stdout


@test
def a_taken_portal_is_refused_with_its_name(lab):
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run([TGTD, "-f", "-C", "9", "--iscsi", "portal=127.0.0.1:%d" % port],
                              env=dict(os.environ, TGT_IPC_SOCKET=lab.path("other")), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
        assert done.returncode != 0 and str(port) in done.stdout, done.stdout


@test
def sigterm_ends_it_with_targets(lab):
    d = lab.start()
    for tid in range(1, 9):
        d.export(lab.image("1M", "%d.img" % tid), name=NAME + str(tid), tid=tid)
    seconds = d.stop(STOP_BOUND)
    assert seconds < STOP_BOUND, seconds
    assert not os.path.exists("%s.%d" % (d.prefix, d.control_port)), "the control socket is left behind"


@test
def sigterm_ends_it_with_sessions_that_do_not_answer(lab):
    d = lab.start()
    d.export(lab.image("8M"))
    sessions = [d.login() for _ in range(4)]
    # one of them owes data that never comes
    sessions[0].conn.send(pdu.scsi_command(bytes([0x2A, 0, 0, 0, 0, 0, 0, 0, 128, 0]), 1, 999,
                                           sessions[0].take_cmdsn(), write=True, edtl=65536))
    d.stop(STOP_BOUND)
    for s in sessions:
        s.close()


@test
def sigterm_asks_initiators_to_log_out(lab):
    d = lab.start()
    d.export(lab.image("8M"))
    s = d.login()
    d.proc.send_signal(signal.SIGTERM)
    message = s.conn.recv()
    assert message.opcode == pdu.ASYNC_MSG and message.async_event == 1, message
    s.expstatsn += 1
    s.logout()
    assert d.proc.wait(STOP_BOUND) == 0


@test
def a_second_sigterm_ends_it_at_once(lab):
    d = lab.start()
    d.export(lab.image("8M"))
    s = d.login()
    d.proc.send_signal(signal.SIGTERM)
    assert s.conn.recv().opcode == pdu.ASYNC_MSG
    start = time.monotonic()
    d.proc.send_signal(signal.SIGTERM)
    d.proc.wait(STOP_BOUND)
    assert time.monotonic() - start < 3, "a second SIGTERM was not faster"
    s.close()
    d.proc.returncode = 0  # however it says that it was told twice


@test
def a_synchronized_write_is_in_the_file_when_the_command_ends(lab):
    image = lab.image("8M")
    d = lab.start()
    d.export(image)
    s = d.login()
    data = os.urandom(4096)
    s.write(64, data)
    assert s.command(bytes([0x35]) + bytes(9), 1).status == 0
    with open(image, "rb") as f:
        f.seek(64 * 512)
        assert f.read(4096) == data
    s.logout()


@cases(("uring or what there is", ()), ("epoll", ("--engine", "epoll")), ("two reactors", ("--reactors", "2")),
       ("spinning", ("--poll", "50")))
def it_runs_as_nobody_with_64_kib_of_locked_memory(lab, options):
    d = lab.start(nobody=True, memlock=64 << 10, options=options)
    d.export(lab.image("64M", nobody=True))
    sessions = [d.login() for _ in range(4)]
    for i, s in enumerate(sessions):
        data = os.urandom(512 << 10)
        s.write(i * 2048, data)
        assert s.read(i * 2048, 1024) == data
    for s in sessions:
        s.logout()
    with open("/proc/%d/status" % d.proc.pid) as f:
        assert "\nUid:\t65534\t65534\t" in f.read()


@test
def a_file_served_once_is_not_served_twice(lab):
    image = lab.image("8M")
    first, second = lab.start(), lab.start()
    first.export(image)
    done = second.tgtadm("--lld", "iscsi", "--op", "new", "--mode", "target", "--tid", "1", "-T", NAME)
    done = second.tgtadm("--lld", "iscsi", "--op", "new", "--mode", "logicalunit", "--tid", "1", "--lun", "1",
                         "-b", image, check=False)
    assert done.returncode == 22, done
    first.login().logout()


@cases(("unknown option", ("--no-such-option",)), ("port", ("--iscsi", "portal=127.0.0.1:99999")),
       ("address", ("--iscsi", "portal=999.1.1.1:3260")), ("iscsi word", ("--iscsi", "portl=127.0.0.1:1")),
       ("reactors", ("--reactors", "0")), ("reactors text", ("--reactors", "many")), ("engine", ("--engine", "steam")),
       ("poll", ("--poll", "-1")), ("control port", ("-C", "x")), ("stray word", ("stray",)))
def a_bad_option_is_refused_with_a_text_that_names_it(lab, options):
    done = subprocess.run([TGTD, "-f", *options], env=dict(os.environ, TGT_IPC_SOCKET=lab.path("ipc")), timeout=30,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode not in (0, -6, -11), done
    word = "portl" if "portl" in options[-1] else options[-1].split("=")[-1].lstrip("-")
    assert word in done.stdout, done.stdout
    assert not os.path.exists(lab.path("ipc.0")), "a control socket is left behind"


@test
def help_and_version_are_short_and_end_with_0(lab):
    for option in ("--help", "-h", "--version", "-V"):
        done = lab.run(TGTD, option)
        assert done.stdout.strip(), option
    text = lab.run(TGTD, "--help").stdout
    for word in ("--foreground", "--control-port", "--iscsi", "--reactors", "--engine", "--poll"):
        assert word in text, word


@test
def the_pid_file_names_the_daemon_and_goes_with_it(lab):
    path = lab.path("tgtd.pid")
    d = lab.start(options=("-p", path))
    pid = wait_until("the pid file is written", lambda: os.path.exists(path) and open(path).read().strip())
    assert int(pid) == d.proc.pid
    d.stop()
    assert not os.path.exists(path)


@test
def garbage_on_the_portal_and_the_control_socket_hurts_nobody(lab):
    d = lab.start()
    d.export(lab.image("8M"))
    held = d.login()
    for garbage in (b"GET / HTTP/1.0\r\n\r\n", bytes(4096), b"\xff" * 4096, os.urandom(65536)):
        with socket.create_connection(("127.0.0.1", d.ports[0])) as s:
            try:
                s.sendall(garbage)
            except OSError:
                pass  # it hung up already
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.connect("%s.%d" % (d.prefix, d.control_port))
            try:
                s.sendall(garbage)
            except OSError:
                pass
    held.ping()
    assert held.read(0, 8) == bytes(4096)
    held.logout()
    assert d.name in d.tgtadm("--lld", "iscsi", "--op", "show", "--mode", "target").stdout


@test
def only_the_owner_reaches_the_control_socket(lab):
    if os.geteuid() != 0:
        raise Skip("needs root, to try as another user")
    d = lab.start()
    mode = os.stat("%s.%d" % (d.prefix, d.control_port)).st_mode & 0o777
    assert mode == 0o600, oct(mode)
    os.chmod("%s.%d" % (d.prefix, d.control_port), 0o666)  # so that only the peer's credentials stand in the way
    d.nobody = True
    done = d.tgtadm("--lld", "iscsi", "--op", "new", "--mode", "target", "--tid", "1", "-T", NAME, check=False)
    d.nobody = False
    assert done.returncode != 0, "another user's request was obeyed"
    assert not d.tgtadm("--lld", "iscsi", "--op", "show", "--mode", "target").stdout


main()
