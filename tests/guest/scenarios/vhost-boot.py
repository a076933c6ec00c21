# SPDX-License-Identifier: BSD-2-Clause
"""A machine with SeaBIOS has no disks but LUNs behind a vhost-user-scsi socket: it loads its kernel from one, and its
root is another."""
# lab: seconds 200
# lab: boot vhost
# lab: needs syslinux mcopy mkfs.fat

from scenario import *

with point("SeaBIOS finds the loader, the loader the kernel, and the kernel its root"):
    host("boot", seconds=160)
with point("the socket is free for the next machine, which boots, too"):
    wait_until("the port listens", lambda: json.loads(host("list"))[0]["state"] == "listening")
    host("boot", seconds=160)
    note(host("log"))
