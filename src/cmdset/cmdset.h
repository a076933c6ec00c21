/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command sets: device servers by peripheral device type, and what control
 * makes logical units of.
 */
#ifndef STGT_CMDSET_CMDSET_H
#define STGT_CMDSET_CMDSET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "sam/lu.h"

extern const struct device_server disk_server, controller_server;
/* Behind every nexus: LUNs that are not there, and the REPORT LUNS well known LU. */
extern const struct device_server absent_server, wlun_server;

/*
 * Build the op indexes of every device server. Once, before the first LU. 0, or -EINVAL
 * if a table fails its self-test.
 */
int cmdset_init(void);

/* All device servers; NULL-terminated. */
extern const struct device_server *const device_servers[];

/* What an LU is made of. Strings and store stay the caller's, the ident becomes the LU's. */
struct lu_config {
	const char *name;
	struct lu_ident *ident; /* malloc()ed */
	struct store *store; /* open */
	uint32_t block_size; /* bytes: a power of two, 512 to 4096 */
	bool readonly; /* the store's own limit counts as well */
	bool offline; /* made without its medium (tgt's online=No) */
	struct lu_mode mode; /* the default mode parameters; zero but for .wce is usual */
	struct reactor *const *reactors; /* valid for the LU's life */
	unsigned nreactors;
	struct reactor *home;
};

/*
 * Make a disk over @c->store. NULL and @e if block size, alignment or size do not
 * suit the store, or without memory: the ident is then still the caller's.
 */
struct lu *disk_create(const struct lu_config *c, struct err *e);

/* Make a storage array controller, as tgt has at LUN 0. No store. */
struct lu *controller_create(const struct lu_config *c, struct err *e);

/*
 * Set in @m what the mode page @page, @subpage with the @n parameter bytes (those
 * after the page length) says: tgt's mode_page=8:0:18:... and page 10. What an
 * initiator could not change is ignored. -EINVAL and @e: no such page, wrong length.
 */
int disk_mode_page(struct lu_mode *m, unsigned page, unsigned subpage, const uint8_t *bytes,
		   unsigned n, struct err *e);

/* For decide() of the administrator's transactions, on the home: */

/* New current and default mode parameters; every nexus is told. */
void disk_set_mode(struct lu *lu, const struct lu_mode *m);
/* The medium goes or comes (tgt's online=), whatever initiators have prevented. Nothing while it is away. */
void disk_set_online(struct lu *lu, bool online);
/* The store has another size, bytes. */
void disk_set_size(struct lu *lu, uint64_t size);
/* From now on requests wait, until the next of these. What is with the store is for the caller to wait for. */
void disk_pause(struct lu *lu);
void disk_resume(struct lu *lu);
/* Another store with the same contents; @readonly: by configuration. The old one is the caller's to close. */
void disk_set_store(struct lu *lu, struct store *s, bool readonly);
/* There is no medium for now: commands end with @why. @placeholder keeps the place of the store, and is never used. */
void disk_take_away(struct lu *lu, struct store *placeholder, enum verdict why);
/* The medium is back: @s. @online: tgt's online=; without it there is still none for initiators. */
void disk_bring_back(struct lu *lu, struct store *s, bool readonly, bool online);
/* True if an initiator prevents the removal of the medium. */
bool disk_removal_prevented(const struct lu *lu);

#endif
