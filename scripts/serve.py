#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Build, start tgtd on a free port, export one image, print how to connect, stop on Ctrl-C.

Settings come from the environment, as make passes them: IMAGE, SIZE, LISTEN, BUILD."""

import ctypes
import errno
import ipaddress
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEFAULT_IMAGE = os.path.join(ROOT, "disk.img")
DEFAULT_SIZE = "1G"
DEFAULT_ADDRESS, DEFAULT_PORT = "127.0.0.1", 3260
PORTS_TRIED = 100
READY_SECONDS = 20
STOP_SECONDS = 20  # tgtd drains to a deadline of its own, which is shorter
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class Refused(Exception):
    """A setting that cannot work; the text names it, the reason and the remedy."""


def parse_size(text):
    match = re.fullmatch(r"(\d{1,15})([KMGT]?)(?:iB|B)?", text, re.I)
    if not match:
        raise Refused("SIZE=%s is not a size: write digits and K, M, G or T, such as SIZE=4G" % text)
    size = int(match.group(1)) * UNITS[match.group(2).upper()]
    if size == 0 or size % 4096:
        raise Refused("SIZE=%s is %d bytes: a disk has a multiple of 4096 bytes, at least 4096" % (text, size))
    if size > 1 << 62:
        raise Refused("SIZE=%s is more than a file can hold" % text)
    return size


def parse_listen(text):
    """'addr', 'addr:port', '[v6]', '[v6]:port' -> (address, port or None)"""
    match = re.fullmatch(r"\[([^\]]*)\](?::(.*))?|([^:]*)(?::([^:]*))?", text)
    if not match:
        raise Refused("LISTEN=%s: write an IPv6 address in brackets, such as LISTEN=[::1]:3260" % text)
    bracketed = match.group(1) is not None
    host, port = (match.group(1), match.group(2)) if bracketed else (match.group(3), match.group(4))
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        raise Refused("LISTEN=%s: '%s' is not an IP address: write one of this machine's, such as "
                      "LISTEN=127.0.0.1:3260 or LISTEN=[::]" % (text, host)) from None
    if (address.version == 6) != bracketed:
        raise Refused("LISTEN=%s: brackets are for IPv6 addresses" % text)
    if port is None:
        return host, None
    if not re.fullmatch(r"\d{1,5}", port) or not 0 < int(port) < 65536:
        raise Refused("LISTEN=%s: '%s' is not a port: write 1 to 65535, or leave it out" % (text, port))
    return host, int(port)


def try_bind(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind(socket.getaddrinfo(address, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)[0][4])
        s.listen(1)


def choose_portal(text):
    """The address and port to listen on: the ones given, or the first port from 3260 that nobody has."""
    address, port = parse_listen(text) if text else (DEFAULT_ADDRESS, None)
    shown = text or address
    for candidate in [port] if port else range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED):
        try:
            try_bind(address, candidate)
            return address, candidate
        except OSError as e:
            if e.errno == errno.EADDRINUSE:
                continue
            if e.errno == errno.EADDRNOTAVAIL:
                raise Refused("LISTEN=%s: this machine has no address %s (ip address shows those it has)" %
                              (shown, address)) from None
            if e.errno == errno.EACCES:
                raise Refused("LISTEN=%s: ports below 1024 need root" % shown) from None
            raise Refused("LISTEN=%s: %s" % (shown, e.strerror or e)) from None
    if port:
        raise Refused("LISTEN=%s: the port is taken; leave it out to get the next free one" % text)
    raise Refused("LISTEN=%s: ports %d to %d are all taken" % (shown, DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED - 1))


def prepare_image(image, size_text):
    """Path of an image that can be served; creates it (sparse) where that is what was asked for."""
    size = parse_size(size_text) if size_text else None
    path = os.path.abspath(image or DEFAULT_IMAGE)
    try:
        st = os.stat(path)
    except FileNotFoundError:
        st = None
    except OSError as e:
        raise Refused("IMAGE=%s: %s" % (image, e.strerror)) from None
    if st is None:
        if image and size is None:
            raise Refused("IMAGE=%s: no such file; to create it, say its size too: make run IMAGE=%s SIZE=%s" %
                          (image, image, DEFAULT_SIZE))
        return create_image(path, size or parse_size(DEFAULT_SIZE))
    if not stat.S_ISREG(st.st_mode) and not stat.S_ISBLK(st.st_mode):
        kind = "a folder" if stat.S_ISDIR(st.st_mode) else "neither a file nor a block device"
        raise Refused("IMAGE=%s is %s: give a file or a block device" % (image or path, kind))
    if not os.access(path, os.R_OK | os.W_OK):
        raise Refused("IMAGE=%s: no permission to read and write it" % (image or path))
    if stat.S_ISREG(st.st_mode) and size is not None and st.st_size != size:
        raise Refused("SIZE=%s: %s is there already, with %d bytes, and is left as it is; leave SIZE out, or give "
                      "another IMAGE" % (size_text, path, st.st_size))
    return path


def create_image(path, size):
    try:
        fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as e:
        raise Refused("%s cannot be created: %s" % (path, e.strerror)) from None
    try:
        os.ftruncate(fd, size)
    except OSError as e:
        os.unlink(path)
        raise Refused("%s cannot be made %d bytes long: %s" % (path, size, e.strerror)) from None
    finally:
        os.close(fd)
    print("Created %s, sparse, %d bytes" % (path, size))
    return path


def die_with_parent():
    """In the child: SIGTERM if this script is killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Daemon:
    """tgtd with a control socket of its own."""

    def __init__(self, build, portal, folder):
        self.build = build
        self.prefix = os.path.join(folder, "socket")
        self.env = dict(os.environ, TGT_IPC_SOCKET=self.prefix)
        # its own session: Ctrl-C comes to this script alone, which passes it on once
        self.proc = subprocess.Popen([os.path.join(build, "tgtd"), "-f", "-C", "0", "--iscsi", "portal=" + portal],
                                     env=self.env, stdin=subprocess.DEVNULL, start_new_session=True,
                                     preexec_fn=die_with_parent)

    def wait_ready(self):
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            if self.proc.poll() is not None:
                raise Refused("tgtd ended with status %d (its log is above)" % self.proc.returncode)
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                try:
                    s.connect(self.prefix + ".0")
                    return
                except OSError:
                    time.sleep(0.02)
        raise Refused("tgtd does not answer on %s.0" % self.prefix)

    def export(self, image):
        """Serve the image; returns (target name, LUN)."""
        done = subprocess.run([os.path.join(self.build, "tgtctl"), "-C", "0", "--json", "export", image], env=self.env,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise Refused("%s cannot be served (the reason is above)" % image)
        answer = json.loads(done.stdout)
        return answer["name"], answer["lun"]

    def stop(self):
        """Returns True if it ended by itself in time."""
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        try:
            self.proc.wait(STOP_SECONDS)
            return True
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            return False


def reachable(address):
    """An address to print in commands: a wildcard is not one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.is_unspecified:
        return "127.0.0.1" if ip.version == 4 else "::1"
    return address


def with_port(address, port):
    return "%s:%d" % ("[%s]" % address if ":" in address else address, port)


def print_howto(daemon, image, target, lun, address, port):
    portal = with_port(reachable(address), port)
    url = "iscsi://%s/%s/%d" % (portal, target, lun)
    print("""
Serving %s
    target  %s
    LUN     %d
    portal  %s

Linux (package open-iscsi, as root):
    iscsiadm -m discovery -t sendtargets -p %s
    iscsiadm -m node -T %s -p %s --login
    iscsiadm -m node -T %s -p %s --logout

QEMU (package qemu-block-extra):
    qemu-img info %s
    qemu-img convert -n -O raw some.img %s

libiscsi (package libiscsi-bin):
    iscsi-ls -s iscsi://%s

This daemon's own:
    TGT_IPC_SOCKET=%s %s/tgtctl ls

Ctrl-C ends it.""" % (image, target, lun, with_port(address, port), portal, target, portal, target, portal, url, url,
                      portal, daemon.prefix, os.path.relpath(daemon.build)), flush=True)


class Stop(Exception):
    pass


def on_signal(number, _):
    signal.signal(number, signal.SIG_IGN)  # once is enough; stopping is bounded
    raise Stop


def build(folder):
    if subprocess.run(["make", "-s", "-C", ROOT, "all", "BUILD=" + folder], stdin=subprocess.DEVNULL).returncode:
        raise Refused("the build failed (see above)")


def serve(folder, private):
    address, port = choose_portal(os.environ.get("LISTEN", ""))
    image = prepare_image(os.environ.get("IMAGE", ""), os.environ.get("SIZE", ""))
    if not os.environ.get("LISTEN") and port != DEFAULT_PORT:
        print("Port %d is taken; using %d" % (DEFAULT_PORT, port))
    daemon = Daemon(folder, with_port(address, port), private)
    try:
        daemon.wait_ready()
        target, lun = daemon.export(image)
        print_howto(daemon, image, target, lun, address, port)
        status = daemon.proc.wait()
        raise Refused("tgtd ended by itself with status %d" % status)
    finally:
        if not daemon.stop():
            print("tgtd did not end within %d s and was killed" % STOP_SECONDS, file=sys.stderr)


def main():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    folder = os.path.join(ROOT, os.environ.get("BUILD") or "build")
    try:
        # what is wrong with the settings is said before a minute of building
        if os.environ.get("SIZE"):
            parse_size(os.environ["SIZE"])
        if os.environ.get("LISTEN"):
            parse_listen(os.environ["LISTEN"])
        build(folder)
        with tempfile.TemporaryDirectory(prefix="stgt-run-") as private:
            serve(folder, private)
    except Refused as e:
        print("make run: %s" % e, file=sys.stderr)
        return 1
    except Stop:
        print("\nStopped.")
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
