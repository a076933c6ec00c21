/* SPDX-License-Identifier: BSD-2-Clause */
/* Objects as JSON. */
#ifndef STGT_CONTROL_JSON_H
#define STGT_CONTROL_JSON_H

#include <jansson.h>

#include "control/gather.h"

/* A string, whatever bytes it has: what is not UTF-8 is shown as '?'. */
json_t *text_json(const char *text);
/* A session as {sid, initiator, alias, reactor, connections}. */
json_t *session_json(const struct session_sample *s);
/* The portals, newest first: ["127.0.0.1:3260,1"]. */
json_t *portals_json(struct control *c);

#endif
