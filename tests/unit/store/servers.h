/* SPDX-License-Identifier: BSD-2-Clause */
/* Programs that a test starts and ends, and that end with it. */
#ifndef TEST_STORE_SERVERS_H
#define TEST_STORE_SERVERS_H

#include <stdbool.h>
#include <sys/types.h>

/* argv[0] is looked for in PATH. */
pid_t program_start(char *const argv[]);
/* Run it to its end; its status. */
int program_run(char *const argv[]);
/* kill -9, and wait. */
void program_kill(pid_t *pid);
bool program_exists(const char *name);

/* Somebody accepts connections at @path, or at @port of 127.0.0.1 if that is not 0; false: @pid ended before. */
bool server_wait(pid_t pid, const char *path, unsigned port);
unsigned server_free_port(void);

/* The child of ours called @name, 0: none. */
pid_t child_called(const char *name);

#endif
