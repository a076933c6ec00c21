/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's header, whose struct iovec would be in the way of the C library's. */
#ifndef STGT_TRANSPORT_TCMU_UAPI_H
#define STGT_TRANSPORT_TCMU_UAPI_H

#define iovec linux_iovec
#include <linux/target_core_user.h>
#undef iovec

#endif
