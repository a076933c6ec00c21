/* SPDX-License-Identifier: BSD-2-Clause */
#include "pair.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct reactor *r;
int pair[2];
char buf[4096];

int set_up(void **state)
{
	r = make_reactor();
	memset(buf, 0, sizeof(buf));
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
}

int tear_down(void **state)
{
	reactor_destroy(r);
	close(pair[0]);
	close(pair[1]);
	return 0;
}
