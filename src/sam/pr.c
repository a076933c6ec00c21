/* SPDX-License-Identifier: BSD-2-Clause */
#include "sam/pr.h"

#include <stdlib.h>
#include <string.h>

#include "sam/it_nexus.h"
#include "sam/op.h"

void pr_init(struct pr_state *pr)
{
	*pr = (struct pr_state){ 0 };
	list_init(&pr->registrations);
}

void pr_fini(struct pr_state *pr)
{
	struct pr_registration *reg, *tmp;

	list_for_each_safe(reg, tmp, &pr->registrations, link)
		free(reg);
	pr_init(pr);
}

struct pr_registration *pr_find(const struct pr_state *pr, const uint8_t *id, uint16_t id_len,
				uint16_t rtpi)
{
	struct pr_registration *reg;

	list_for_each(reg, &pr->registrations, link)
		if (reg->rtpi == rtpi && reg->id_len == id_len && !memcmp(reg->id, id, id_len))
			return reg;
	return NULL;
}

struct pr_registration *pr_of(const struct pr_state *pr, const struct itl *itl)
{
	const struct it_nexus *n = itl->nexus;

	return pr_find(pr, n->transport_id, n->transport_id_len, n->rtpi);
}

struct pr_registration *pr_register(struct pr_state *pr, const uint8_t *id, uint16_t id_len,
				    uint16_t rtpi, uint64_t key)
{
	struct pr_registration *reg;

	if (pr->count >= PR_REGISTRATIONS_MAX || id_len > sizeof(reg->id))
		return NULL;
	reg = calloc(1, sizeof(*reg));
	if (!reg)
		return NULL;
	reg->key = key;
	reg->rtpi = rtpi;
	reg->id_len = id_len;
	memcpy(reg->id, id, id_len);
	list_add(&pr->registrations, &reg->link);
	pr->count++;
	return reg;
}

bool pr_unregister(struct pr_state *pr, struct pr_registration *reg)
{
	bool held = pr_holds(pr, reg);

	list_del(&reg->link);
	pr->count--;
	/* SPC-5 5.14: an all-registrants reservation goes with the last registration */
	if (held && pr_type_all_registrants(pr->type))
		held = !pr->count;
	if (held) {
		pr->type = 0;
		pr->holder = NULL;
	}
	free(reg);
	return held;
}

bool pr_holds(const struct pr_state *pr, const struct pr_registration *reg)
{
	if (!pr->type || !reg)
		return false;
	return pr_type_all_registrants(pr->type) || pr->holder == reg;
}

bool pr_type_valid(uint8_t type)
{
	switch (type) {
	case PR_WRITE_EXCLUSIVE:
	case PR_EXCLUSIVE_ACCESS:
	case PR_WRITE_EXCLUSIVE_RO:
	case PR_EXCLUSIVE_ACCESS_RO:
	case PR_WRITE_EXCLUSIVE_AR:
	case PR_EXCLUSIVE_ACCESS_AR:
		return true;
	default:
		return false;
	}
}

bool pr_type_all_registrants(uint8_t type)
{
	return type == PR_WRITE_EXCLUSIVE_AR || type == PR_EXCLUSIVE_ACCESS_AR;
}

bool pr_type_registrants_only(uint8_t type)
{
	return type == PR_WRITE_EXCLUSIVE_RO || type == PR_EXCLUSIVE_ACCESS_RO;
}

static bool write_exclusive(uint8_t type)
{
	return type == PR_WRITE_EXCLUSIVE || type == PR_WRITE_EXCLUSIVE_RO ||
	       type == PR_WRITE_EXCLUSIVE_AR;
}

uint16_t pr_conflicts(const struct pr_state *pr, const struct itl *itl)
{
	const struct pr_registration *reg;

	if (!pr->type)
		return 0;
	reg = pr_of(pr, itl);
	if (reg && (pr_holds(pr, reg) || pr_type_registrants_only(pr->type)))
		return 0;
	return write_exclusive(pr->type) ? OP_RSV_WRITE : OP_RSV_READ | OP_RSV_WRITE;
}
