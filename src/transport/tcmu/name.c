/* SPDX-License-Identifier: BSD-2-Clause */
/* What a device is called, and what that says. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/be.h"
#include "transport/tcmu/part.h"

#define PREFIX "tcm-user/"
#define OURS "stgt/"
#define SHARED "shared=unsafe"

/* The part of *@text up to the next slash, which is passed over. False: it does not fit, or there is none. */
static bool part(const char **text, char *out, size_t size)
{
	size_t len = strcspn(*text, "/");

	if (!len || len >= size)
		return false;
	memcpy(out, *text, len);
	out[len] = '\0';
	*text += len + ((*text)[len] == '/');
	return true;
}

static bool number(const char *text, uint64_t most, uint64_t *v)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*v = strtoull(text, &end, 10);
	return !errno && !*end && *v <= most;
}

static int parse_config(struct tcmu_name *n, const char *text, struct err *e)
{
	const char *all = text;
	char lun[24], rest[24];

	if (!part(&text, n->target, sizeof(n->target)) || !part(&text, lun, sizeof(lun)))
		return err_set(e, -EINVAL,
			       "dev_config \"" OURS "%s\" is not \"" OURS
			       "TARGET-NAME/LUN\": write it so",
			       all);
	if (!number(lun, LUN_MAX, &n->lun))
		return err_set(e, -EINVAL, "dev_config: LUN \"%s\" is no number up to %u", lun,
			       LUN_MAX);
	if (!*text)
		return 0;
	if (!part(&text, rest, sizeof(rest)) || *text || strcmp(rest, SHARED))
		return err_set(e, -EINVAL,
			       "dev_config: after the LUN only \"/" SHARED "\" may follow");
	n->shared = true;
	return 0;
}

int tcmu_name_parse(struct tcmu_name *n, const char *text, struct err *e)
{
	char copy[512], hba[16];
	const char *at = copy;
	uint64_t v;

	memset(n, 0, sizeof(*n));
	if (strlen(text) >= sizeof(copy) || strncmp(text, PREFIX, strlen(PREFIX)))
		return -ENOENT;
	snprintf(copy, sizeof(copy), "%s", text + strlen(PREFIX));
	copy[strcspn(copy, " \t\r\n")] = '\0';
	if (!part(&at, hba, sizeof(hba)) || !number(hba, UINT32_MAX, &v) ||
	    !part(&at, n->device, sizeof(n->device)) || strncmp(at, OURS, strlen(OURS)))
		return -ENOENT;
	n->hba = (unsigned)v;
	return parse_config(n, at + strlen(OURS), e);
}

void tcmu_name_config(char *out, const char *target, uint64_t lun, bool shared)
{
	snprintf(out, TCMU_CONFIG_MAX, OURS "%s/%llu%s", target, (unsigned long long)lun,
		 shared ? "/" SHARED : "");
}

/* FNV-1a: the address has to be the same tomorrow, not to be secret. */
static uint64_t hash(const char *what, const char *who)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (const char *c = what; *c; c++)
		h = (h ^ (uint8_t)*c) * 0x100000001b3u;
	for (const char *c = who; *c; c++)
		h = (h ^ (uint8_t)*c) * 0x100000001b3u;
	return h;
}

void tcmu_name_wwn(char out[24], const char *what, const char *who, uint8_t naa[8])
{
	uint64_t v = (hash(what, who) & 0x0fffffffffffffff) | 0x3000000000000000;

	be_store(naa, 8, v);
	snprintf(out, 24, "naa.%016llx", (unsigned long long)v);
}
