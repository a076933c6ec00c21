/* SPDX-License-Identifier: BSD-2-Clause */
/* What the files of the one suite share. */
#ifndef TEST_STORE_SUITE_H
#define TEST_STORE_SUITE_H

#include "base/bits.h"
#include "kinds.h"

#define SIZE KIND_SIZE
#define BLOCK KIND_BLOCK

extern const struct engine *suite_engine;
extern const struct kind *kind;

static inline bool is(enum kind_flags flag)
{
	return kind->flags & flag;
}

/* A rig with the kind open; with a second reactor, on a thread of its own, as home. */
int suite_one(void **state);
int suite_two(void **state);
int suite_end(void **state);
/* Open the kind's medium again, under @prefix ("layer+") if that is not NULL. Fails the test if it cannot. */
void suite_reopen(struct rig *g, const char *prefix);

/* Random bytes, none of them zero in every eight; @n a multiple of 8. */
void suite_fill(unsigned char *p, size_t n, uint64_t *seed);
/* Do it, and it must end well. */
void suite_ok(struct rig *g, enum store_verb verb, uint32_t flags, uint64_t off, uint64_t len,
	      void *data);

struct suite_test {
	struct CMUnitTest test;
	unsigned must, must_not; /* flags of the kinds that it is for */
	bool cut; /* the medium's power can be cut */
};

/* NULL-terminated by name. */
extern const struct suite_test suite_basics[], suite_data[], suite_life[];

#define SUITE_TEST(name, set_up) cmocka_unit_test_setup_teardown(name, set_up, suite_end)

#endif
