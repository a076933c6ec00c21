# SPDX-License-Identifier: BSD-2-Clause
"""Slow commands are aborted and reset, and time out in the kernel; a LUN behind TCMU is no other transport's."""
# lab: seconds 120
# lab: modules target_core_mod target_core_user tcm_loop sd_mod sg iscsi_tcp
# lab: needs sg_reset sg_raw iscsid

import glob

from scenario import *

CORE = "/sys/kernel/config/target/core/"
LOOP = "/sys/kernel/config/target/loopback/"
d = Tgtd().export(image("32M"))
d.target("slow", 2)
d.tgtctl("lun", "create", 2, 1, image("32M", "slow.img"), "--bstype", "delay:delay_us=3000000,ops=read+file")


def commands_aborted():
    return d.log_path and "task management function" in read(d.log_path)


with point("sg_reset of a slow disk comes back when its commands are through, and says that it aborted them"):
    disk = d.json("attach", 2, 1, "--fabric", "none") and None
