# SPDX-License-Identifier: BSD-2-Clause
"""The guest: Debian's kernel, an initramfs made for it, and QEMU without KVM.

The kernel comes from Debian's archive (apt-get download; nothing is installed) and stays in $XDG_CACHE_HOME/stgt-guest.
Its root is this machine's root file system, read-only under a layer in memory, so all that is installed here is there.
"""

import ctypes
import fcntl
import hashlib
import json
import lzma
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache"), "stgt-guest")
# what the initramfs loads: enough to reach the root, by 9p or on a SCSI disk
BOOT_MODULES = ("virtio_pci virtio_console virtio_net 9p 9pnet_virtio overlay ext4 virtio_rng "
                "virtio_scsi sd_mod").split()
LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


class Unavailable(Exception):
    """There is no guest on this machine; the reason."""


def ends_with_us():
    """For preexec_fn: a child that does not outlive this process."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise Unavailable("%s is not installed (scripts/need guest)" % name)
    return path


def quietly(*command, **kw):
    """Runs a program; returns its output, which is the reason if it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, errors="replace", **kw)
    if done.returncode:
        last = [line for line in done.stdout.splitlines() if line.strip()][-1:] or ["status %d" % done.returncode]
        raise Unavailable("%s: %s" % (" ".join(command[:2]), last[0]))
    return done.stdout


class Lock:
    """One guest at a time, on this machine and for this user: two at once take each other's time."""

    def __init__(self, seconds=300):
        os.makedirs(CACHE, exist_ok=True)
        self.file = open(os.path.join(CACHE, "lock"), "a+")  # held until this process ends
        os.set_inheritable(self.file.fileno(), False)
        deadline = time.monotonic() + seconds
        told = False
        while True:
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Unavailable("another guest has been running for %d s (process %s)" %
                                      (seconds, self.owner())) from None
                if not told:
                    print("# waiting for another guest (process %s) to end" % self.owner(), flush=True)
                    told = True
                time.sleep(0.2)
        self.file.truncate(0)
        self.file.write(str(os.getpid()))
        self.file.flush()

    def owner(self):
        self.file.seek(0)
        return self.file.read() or "unknown"


# -- kernel --------------------------------------------------------------------------------------------------------

def known_versions():
    text = subprocess.run(["apt-cache", "depends", "linux-image-amd64"], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return re.findall(r"Depends: linux-image-(\S+-amd64)$", text, re.M)


def version_key(version):
    return [int(n) for n in re.findall(r"\d+", version)]


def kernel():
    """(version, folder) of the kernel in the cache, which is fetched if there is none. STGT_GUEST_KERNEL chooses."""
    wanted = os.environ.get("STGT_GUEST_KERNEL")
    have = [n[7:] for n in os.listdir(CACHE) if n.startswith("kernel-")]
    if not wanted and have:
        wanted = max(have, key=version_key)
    if wanted in have:
        return wanted, os.path.join(CACHE, "kernel-" + wanted)
    if not wanted:
        program("apt-cache")
        versions = known_versions()
        if not versions:
            quietly("apt-get", "update", "-q")
            versions = known_versions()
        if not versions:
            raise Unavailable("apt knows no linux-image-amd64")
        wanted = max(versions, key=version_key)
    return wanted, fetch_kernel(wanted)


def fetch_kernel(version):
    for tool in ("apt-get", "dpkg-deb", "depmod"):
        program(tool)
    print("# fetching Debian's kernel %s" % version, flush=True)
    folder = tempfile.mkdtemp(prefix=".fetch-", dir=CACHE)
    try:
        with tempfile.TemporaryDirectory(prefix="stgt-kernel-") as box:
            os.chmod(box, 0o777)  # apt fetches as a user of its own
            package = "linux-image-" + version
            try:
                quietly("apt-get", "-q", "download", package, cwd=box)
            except Unavailable:
                quietly("apt-get", "update", "-q")
                quietly("apt-get", "-q", "download", package, cwd=box)
            quietly("dpkg-deb", "-x", os.path.join(box, os.listdir(box)[0]), folder)
        quietly(program("depmod"), "-b", folder, version)
        unpack(os.path.join(folder, "boot", "vmlinuz-" + version), os.path.join(folder, "vmlinux"))
        os.chmod(folder, 0o755)
        final = os.path.join(CACHE, "kernel-" + version)
        os.rename(folder, final)
        return final
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unpack(compressed, target):
    """The ELF in a vmlinuz: QEMU enters it directly (PVH), and the guest spares seconds of unpacking. Without xz in it,
    the kernel is used as it is."""
    with open(compressed, "rb") as f:
        data = f.read()
    start = data.find(b"\xfd7zXZ\0")
    elf = lzma.LZMADecompressor().decompress(data[start:]) if start >= 0 else b""
    if elf[:4] == b"\x7fELF":
        with open(target, "wb") as f:
            f.write(elf)


# -- initramfs -----------------------------------------------------------------------------------------------------

class Cpio:
    """An archive of the kind "newc", as the kernel unpacks it."""

    def __init__(self):
        self.parts = []
        self.inode = 0

    def add(self, name, mode, data=b""):
        self.inode += 1
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08x" % n for n in fields) + name.encode() + b"\0"
        self.parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def folder(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def program(self, name, path):
        with open(path, "rb") as f:
            self.add(name, stat.S_IFREG | 0o755, f.read())

    def bytes(self):
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)


def initramfs(version, folder):
    """Path of the initramfs, made anew when what is in it has changed. Not compressed: unpacking is slow there."""
    busybox = program("busybox")
    if subprocess.run(["ldd", busybox], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0:
        raise Unavailable("busybox is not the static one (package busybox-static)")
    init = os.path.join(HERE, "guest", "init")
    digest = hashlib.sha256((version + " ".join(BOOT_MODULES)).encode())
    for path in (init, busybox, __file__):
        with open(path, "rb") as f:
            digest.update(f.read())
    path = os.path.join(CACHE, "initramfs-%s-%s" % (version, digest.hexdigest()[:12]))
    if os.path.exists(path):
        return path
    for old in os.listdir(CACHE):
        if old.startswith("initramfs-%s-" % version):
            os.unlink(os.path.join(CACHE, old))
    cpio = Cpio()
    for name in ("bin", "proc", "sys", "dev", "m", "ro", "rw", "new"):
        cpio.folder(name)
    cpio.program("bin/busybox", busybox)
    cpio.program("init", init)
    order = []
    for module in BOOT_MODULES:
        for line in quietly(program("modprobe"), "-d", folder, "-S", version, "--show-depends", module).splitlines():
            kind, _, file = line.partition(" ")
            file = file.strip().split(" ")[0]
            if kind == "insmod" and file not in order:
                order.append(file)
                cpio.program("m/" + os.path.basename(file), file)
    cpio.add("order", stat.S_IFREG | 0o644, "".join("/m/%s\n" % os.path.basename(f) for f in order).encode())
    with open(path + ".new", "wb") as f:
        f.write(cpio.bytes())
    os.rename(path + ".new", path)
    return path


# -- QEMU ----------------------------------------------------------------------------------------------------------

def listen(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.path.exists(path):
        os.unlink(path)
    s.bind(path)
    s.listen(1)
    return s


class Guest:
    """One boot. folder: of this run, read and written by both sides (/lab there). jobs: what guest/runner.py does.
    forwards: (address, port in the guest's world, port here). After start(), .lines() is what the jobs say."""

    def __init__(self, folder, jobs, build, forwards=(), qemu=(), cmdline="", memory=1536, root=None):
        self.folder, self.jobs, self.build = folder, jobs, build
        self.forwards, self.qemu, self.cmdline, self.memory, self.root = forwards, list(qemu), cmdline, memory, root
        self.proc = None
        self.version, self.kernel = kernel()
        self.initramfs = initramfs(self.version, self.kernel)

    def path(self, name):
        return os.path.join(self.folder, name)

    def command(self):
        image = os.path.join(self.kernel, "vmlinux")
        if not os.path.exists(image):
            image = os.path.join(self.kernel, "boot", "vmlinuz-" + self.version)
        words = ["console=ttyS0", "loglevel=4", "panic=-1", "oops=panic", "nokaslr", "mitigations=off",
                 "no_timer_check", "tsc=reliable", "apparmor=0", "audit=0", "random.trust_cpu=on", "nowatchdog",
                 "lab.kver=" + self.version, "lab.modules=%s/lib/modules/%s" % (self.kernel, self.version)]
        if self.root:
            words.append("lab.root=" + self.root)
        share = "local,id=%s,path=%s,security_model=none%s"
        args = [program("qemu-system-x86_64"), "-bios", "qboot.rom", "-nodefaults", "-no-user-config",
                "-display", "none", "-no-reboot", "-machine", "q35,memory-backend=mem,hpet=off,vmport=off,smbus=off",
                "-accel", "tcg,thread=multi,tb-size=512", "-cpu", "max", "-smp", "2", "-m", str(self.memory),
                "-object", "memory-backend-memfd,id=mem,size=%dM,share=on" % self.memory,
                "-device", "virtio-rng-pci", "-serial", "file:" + self.path("console.log"),
                "-device", "virtio-serial-pci",
                "-fsdev", share % ("run", self.folder, ""), "-device", "virtio-9p-pci,fsdev=run,mount_tag=labrun",
                "-fsdev", share % ("root", "/", ",readonly=on,multidevs=remap"),
                "-device", "virtio-9p-pci,fsdev=root,mount_tag=hostroot",
                "-kernel", image, "-initrd", self.initramfs, "-append", " ".join(words) + " " + self.cmdline]
        for name in ("out", "host"):
            args += ["-chardev", "socket,id=%s,path=%s" % (name, self.path(name + ".sock")),
                     "-device", "virtserialport,chardev=%s,name=lab.%s" % (name, name)]
        if self.forwards:
            # one socat a connection; what it has to say must not reach the connection, where its stderr leads
            net = "user,id=net,restrict=on,ipv6=off"
            for address, port, here in self.forwards:
                net += ",guestfwd=tcp:%s:%d-cmd:%s -lf /dev/null STDIO TCP4:127.0.0.1:%d" % (
                    address, port, program("socat"), here)
            args += ["-netdev", net, "-device", "virtio-net-pci,netdev=net,romfile="]
        return args + self.qemu

    def start(self):
        with open(self.path("jobs.json"), "w") as f:
            json.dump(self.jobs, f)
        shutil.copy(os.path.join(HERE, "guest", "start"), self.path("start"))
        # the guest sees this machine's files below /host, whatever it has mounted over them
        with open(self.path("conf"), "w") as f:
            f.write("export LAB_SOURCE=%s STGT_SOURCE=%s STGT_BUILD=%s LAB_RUN=/lab\n" % (
                shlex.quote("/host" + SOURCE), shlex.quote("/host" + SOURCE),
                shlex.quote("/host" + os.path.realpath(self.build))))
        listeners = [listen(self.path(name + ".sock")) for name in ("out", "host")]
        args = self.command()
        with open(self.path("qemu.cmd"), "w") as f:
            f.write(shlex.join(args) + "\n")
        with open(self.path("qemu.log"), "wb") as log:
            self.proc = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         preexec_fn=ends_with_us)
        self.out, self.requests = [self._accept(s) for s in listeners]

    def _accept(self, listener):
        listener.settimeout(0.2)
        deadline = time.monotonic() + 30
        while True:
            try:
                connection, _ = listener.accept()
                listener.close()
                return connection
            except socket.timeout:
                if self.proc.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("QEMU did not start: " + self.text("qemu.log")) from None

    def text(self, name):
        try:
            with open(self.path(name), errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def lines(self, seconds):
        """Lines of output until the guest has ended; seconds: between two lines, told anew by .send()."""
        rest = b""
        while True:
            self.out.settimeout(seconds)
            try:
                data = self.out.recv(65536)
            except socket.timeout:
                raise TimeoutError("the guest has said nothing for %d s" % seconds) from None
            except ConnectionError:
                data = b""
            if not data:
                break
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                told = yield line.decode(errors="replace").rstrip("\r")
                if told:
                    seconds = told
                    yield ""
        if rest:
            yield rest.decode(errors="replace")

    def stop(self, seconds=10):
        """Give it a moment to end by itself, then end it."""
        if not self.proc:
            return
        try:
            self.proc.wait(seconds)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
