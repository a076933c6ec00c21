/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SIGBUS in memory that is shared with a front end. The handler knows what is guarded from a table that it
 * reads without locks; a fault elsewhere gets what it would have got without us.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

#include "transport/vhost/memory.h"

#define GUARDS 4096

static struct {
	uint8_t *_Atomic start; /* NULL: free. Written last when taken, first when given back */
	_Atomic size_t len;
	atomic_bool *_Atomic broken;
} guards[GUARDS];

static pthread_mutex_t lock =
	PTHREAD_MUTEX_INITIALIZER; /* who writes the table or `before`; innermost */
static struct sigaction before;

static bool meet(uintptr_t at)
{
	for (unsigned i = 0; i < GUARDS; i++) {
		uint8_t *start = atomic_load(&guards[i].start);
		size_t len = atomic_load(&guards[i].len);
		atomic_bool *broken = atomic_load(&guards[i].broken);

		if (!start || at < (uintptr_t)start || at - (uintptr_t)start >= len ||
		    atomic_load(&guards[i].start) != start)
			continue;
		/* all of it: huge pages cannot be replaced by small ones one by one */
		if (mmap(start, len, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
			 0) == MAP_FAILED)
			return false;
		atomic_store(broken, true);
		return true;
	}
	return false;
}

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
	int saved = errno;

	/* Ours: the instruction is tried again, and finds zeroes. Else what was there before: it faults again. */
	if (info->si_code <= 0 || !meet((uintptr_t)info->si_addr)) {
		sigaction(SIGBUS, &before, NULL);
		if (info->si_code <= 0)
			(void)raise(SIGBUS);
	}
	errno = saved;
	(void)sig;
	(void)context;
}

/* Again, should a library have put its own in the place. */
static void install(void)
{
	struct sigaction sa = { .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct sigaction now;

	pthread_mutex_lock(&lock);
	sigemptyset(&sa.sa_mask);
	if (!sigaction(SIGBUS, NULL, &now) && now.sa_sigaction != on_sigbus) {
		before = now;
		sigaction(SIGBUS, &sa, NULL);
	}
	pthread_mutex_unlock(&lock);
}

void guard_thread(void)
{
	sigset_t bus;

	install();
	sigemptyset(&bus);
	sigaddset(&bus, SIGBUS);
	pthread_sigmask(SIG_UNBLOCK, &bus, NULL);
}

int guard_add(void *addr, size_t len, atomic_bool *broken)
{
	int found = -1;

	pthread_mutex_lock(&lock);
	for (unsigned i = 0; i < GUARDS && found < 0; i++) {
		if (atomic_load(&guards[i].start))
			continue;
		atomic_store(&guards[i].len, len);
		atomic_store(&guards[i].broken, broken);
		atomic_store(&guards[i].start, addr);
		found = (int)i;
	}
	pthread_mutex_unlock(&lock);
	return found;
}

void guard_remove(int handle)
{
	pthread_mutex_lock(&lock);
	atomic_store(&guards[handle].start, NULL);
	pthread_mutex_unlock(&lock);
}
