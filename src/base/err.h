/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An error that a person will read: the thing, the reason and the remedy.
 * Used on cold paths (configuration, RPC, opening stores); hot paths return
 * -errno or a verdict.
 */
#ifndef STGT_BASE_ERR_H
#define STGT_BASE_ERR_H

struct err {
	int code; /* -errno, 0 if there is no error */
	char text[480];
};

/*
 * Set @e (which may be NULL) to @code, a negative errno, and the formatted
 * text, cut if too long. Returns @code, so that callers can return it.
 */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
