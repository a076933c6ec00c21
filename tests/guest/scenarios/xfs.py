# SPDX-License-Identifier: BSD-2-Clause
"""xfs on a LUN: guest/file_system.py"""
# lab: subset no
# lab: seconds 90
# lab: modules iscsi_tcp sd_mod xfs
# lab: needs iscsid fio fstrim mkfs.xfs xfs_repair

from file_system import live

live("xfs")
