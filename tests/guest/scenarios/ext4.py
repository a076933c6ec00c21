# SPDX-License-Identifier: BSD-2-Clause
"""ext4 on a LUN: guest/file_system.py"""
# lab: subset yes
# lab: seconds 90
# lab: modules iscsi_tcp sd_mod ext4
# lab: needs iscsid fio fstrim mkfs.ext4 e2fsck

from file_system import live

live("ext4")
