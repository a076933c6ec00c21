/* SPDX-License-Identifier: BSD-2-Clause */
/* A fuzzer's input, taken from its start; after its end there are zeroes. */
#ifndef TESTS_FUZZ_INPUT_H
#define TESTS_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/bits.h"

struct input {
	const uint8_t *p;
	size_t left;
};

static inline uint8_t input_byte(struct input *in)
{
	if (!in->left)
		return 0;
	in->left--;
	return *in->p++;
}

/* Big-endian, @n bytes. */
static inline uint64_t input_number(struct input *in, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | input_byte(in);
	return v;
}

static inline void input_bytes(struct input *in, uint8_t *to, size_t n)
{
	while (n--)
		*to++ = input_byte(in);
}

/* The next @n bytes, or what is left, as an input of their own. */
static inline struct input input_piece(struct input *in, size_t n)
{
	struct input piece = { in->p, min(n, in->left) };

	in->p += piece.left;
	in->left -= piece.left;
	return piece;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
