/* SPDX-License-Identifier: BSD-2-Clause */
/* Network portals: listening sockets, accepted from on the first data reactor. */
#ifndef STGT_ISCSI_PORTAL_H
#define STGT_ISCSI_PORTAL_H

#include <netinet/in.h>

#include "transport/iscsi/part.h"

struct iscsi_portal {
	struct list link; /* server->portals, newest first */
	char text[80]; /* as it was asked for */
	char name[80]; /* as it is shown */
};

/*
 * Parse a portal's text: the addresses to listen at (one, or two for every
 * address) into @to. Returns how many, or -EINVAL and @e.
 */
int portal_parse(const char *text, struct sockaddr_storage to[2], struct err *e);

/* Stop listening everywhere; portals_closed() follows when every socket is closed. */
void portals_close(struct iscsi_server *s);
/* server.c: no listener is left. On control. */
void portals_closed(struct iscsi_server *s);

#endif
