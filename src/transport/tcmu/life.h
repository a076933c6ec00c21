/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a device on control, as server.c sees it. */
#ifndef STGT_TRANSPORT_TCMU_LIFE_H
#define STGT_TRANSPORT_TCMU_LIFE_H

#include "transport/tcmu/part.h"

/* If @d waits, see whether it still has to. */
void tcmu_try(struct tcmu_device *d);
/* Tell the kernel the LU's size, if it thinks otherwise; @look: and find the disk that tcm_loop made. */
void tcmu_tell(struct tcmu_device *d, bool look);
/* The kernel takes @d away; if @owed, it waits for a reply. @d may be gone after it. */
void tcmu_remove(struct tcmu_device *d, bool owed, uint32_t id);
/* @d may have gone without a word: if nobody would notice, see whether it is there. It may be gone after it. */
void tcmu_check(struct tcmu_device *d);
/* Something of @d has ended: if it was the last, it goes. */
void tcmu_settle(struct tcmu_device *d);

#endif
