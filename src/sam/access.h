/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files of target.h: ends of lists, and the steps of a claim. On control. */
#ifndef STGT_SAM_ACCESS_H
#define STGT_SAM_ACCESS_H

#include "sam/target.h"

struct unmap;

void accounts_free(struct targets *ts);
void known_free(struct targets *ts);
void target_access_free(struct target *t);

/* Give @n the LUN @le; @waiting (may be NULL) is told when it has it. -ENOMEM. */
int nexus_attach(struct it_nexus *n, struct lun_entry *le, struct unmap *waiting);
/* The target's LUN @le is for @n, too. */
bool nexus_may_have(const struct it_nexus *n, const struct lun_entry *le);
/* Every LU of the nexus that n->claim made is attached. */
void claim_attached(struct it_nexus *n);
/* @n is about to be freed: the claims that waited for it go on. */
void claims_go_on(struct it_nexus *n);

#endif
