/* SPDX-License-Identifier: BSD-2-Clause */
/* The op indexes of the device servers, for cmdset_init(). */
#ifndef STGT_CMDSET_DISK_H
#define STGT_CMDSET_DISK_H

int disk_index(void);
int controller_index(void);
int absent_index(void);
int wlun_index(void);

#endif
