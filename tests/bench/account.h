/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who had the CPUs: by thread of the target, of this process, of all others;
 * and how long threads that were ready had to wait for one (schedstat).
 * Nanoseconds. Values of a running thread lag by at most a tick.
 */
#ifndef STGT_BENCH_ACCOUNT_H
#define STGT_BENCH_ACCOUNT_H

#include <stdint.h>
#include <sys/types.h>

#define ACCOUNT_THREADS 256

struct thread_account {
	pid_t tid;
	char name[16];
	uint64_t run, wait;
	uint64_t sleeps; /* voluntary context switches: each is followed by a wake-up */
};

struct account {
	struct thread_account target[ACCOUNT_THREADS];
	unsigned ntarget;
	uint64_t target_run; /* all threads, those that ended too; to the nanosecond */
	uint64_t own_run, own_wait;
	uint64_t others_run; /* all threads that are neither ours nor the target's */
	uint64_t stolen; /* by the hypervisor, all CPUs */
	uint64_t target_rss; /* bytes */
};

/*
 * Two parts, because the second takes milliseconds: what is measured should
 * lie between the first parts. @pid: the target, or 0 for none.
 */
void account_take_target(struct account *a, pid_t pid);
void account_take_rest(struct account *a, pid_t pid);
/* @d = @end - @begin. Threads that began in between count whole. */
void account_delta(struct account *d, const struct account *begin, const struct account *end);
/* Resident bytes of a process; 0 if it is gone. */
uint64_t account_rss(pid_t pid);

static inline uint64_t account_target_wait(const struct account *d)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < d->ntarget; i++)
		sum += d->target[i].wait;
	return sum;
}

#endif
