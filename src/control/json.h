/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects as JSON. */
#ifndef STGT_CONTROL_JSON_H
#define STGT_CONTROL_JSON_H

#include <jansson.h>

#include "control/gather.h"

/* A string, whatever bytes it has: what is not UTF-8 is shown as '?'. */
json_t *text_json(const char *text);
/* A session as {sid, tid, transport, initiator, alias, peer, reactor, connections}, and with vhost-user vhost. */
json_t *session_json(const struct session_sample *s);
/* What vhost-user knows of a session. */
json_t *vhost_json(const struct vhost_session_info *i);
/* The portals, newest first: ["127.0.0.1:3260,1"]. */
json_t *portals_json(struct control *c);

#endif
