/* SPDX-License-Identifier: BSD-2-Clause */
/* Requests of the control socket, made of bytes by what the table of verbs says. */
#ifndef TESTS_FUZZ_REQUEST_H
#define TESTS_FUZZ_REQUEST_H

#include "control/verb.h"
#include "input.h"

/* The parameters of @v, chosen by @in. */
json_t *request_params(const struct verb *v, struct input *in);
/*
 * The whole request, a line with its end, malloc()ed; *@len bytes. @id NULL: a
 * notification.
 */
char *request_line(const struct verb *v, const char *id, struct input *in, size_t *len);

#endif
