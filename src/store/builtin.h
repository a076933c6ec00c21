/* SPDX-License-Identifier: BSD-2-Clause */
/* The built-in stores. */
#ifndef STGT_STORE_BUILTIN_H
#define STGT_STORE_BUILTIN_H

#include "stgt/store.h"

extern const struct store_ops file_store; /* file or block device */
extern const struct store_ops rdwr_store; /* the same by its name in tgt */
extern const struct store_ops aio_store; /* tgt's name for direct I/O */
extern const struct store_ops mmap_store; /* the same, reads out of a mapping */
extern const struct store_ops mem_store;
extern const struct store_ops sg_store; /* a SCSI device of the host, for passthrough */
extern const struct store_ops null_store;
extern const struct store_ops nullhome_store; /* null with affinity home, for tests */

/* Layers. */
extern const struct store_ops readonly_layer;
extern const struct store_ops limit_layer;
extern const struct store_ops delay_layer;
extern const struct store_ops error_layer;
extern const struct store_ops volatile_layer;
extern const struct store_ops stats_layer;

#endif
