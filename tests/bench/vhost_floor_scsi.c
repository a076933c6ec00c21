/* SPDX-License-Identifier: BSD-2-Clause */
#include "vhost_floor.h"

/* Copy between a chain's segments [@from, @to) and a flat buffer, after @skip bytes; how many. */
static size_t copy(const struct vf_chain *c, unsigned from, unsigned to, size_t skip, void *flat,
		   size_t len, bool in)
{
	size_t done = 0;

	for (unsigned i = from; i < to && done < len; i++) {
		const struct iovec *s = &c->seg[i];
		size_t n;

		if (skip >= s->iov_len) {
			skip -= s->iov_len;
			continue;
		}
		n = s->iov_len - skip < len - done ? s->iov_len - skip : len - done;
		if (in && flat)
			memcpy((uint8_t *)s->iov_base + skip, (uint8_t *)flat + done, n);
		else if (in)
			memset((uint8_t *)s->iov_base + skip, 0, n);
		else
			memcpy((uint8_t *)flat + done, (uint8_t *)s->iov_base + skip, n);
		done += n;
		skip = 0;
	}
	return done;
}

static uint64_t be_at(const uint8_t *p, unsigned n)
{
	uint64_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

static void put_be(uint8_t *p, unsigned n, uint64_t v)
{
	for (; n--; v >>= 8)
		p[n] = (uint8_t)v;
}

static bool is_rw(const uint8_t *cdb, uint64_t *lba, uint64_t *blocks)
{
	switch (cdb[0] & 0xfd) {
	case 0x28: /* and 2a */
		*lba = be_at(cdb + 2, 4);
		*blocks = be_at(cdb + 7, 2);
		return true;
	case 0x88:
		*lba = be_at(cdb + 2, 8);
		*blocks = be_at(cdb + 10, 4);
		return true;
	}
	return false;
}

/* Commands with an answer of their own; its length. */
static size_t fixed_answer(struct vf *v, const uint8_t *cdb, uint8_t data[36])
{
	memset(data, 0, 36);
	switch (cdb[0]) {
	case 0x12: /* INQUIRY */
		data[2] = 6;
		data[4] = 31;
		memcpy(data + 8, "STGT    FLOOR           0001", 28);
		return 36;
	case 0x25: /* READ CAPACITY(10) */
		put_be(data, 4, v->blocks - 1 > UINT32_MAX ? UINT32_MAX : v->blocks - 1);
		put_be(data + 4, 4, VF_BLOCK);
		return 8;
	case 0x9e: /* READ CAPACITY(16) */
		put_be(data, 8, v->blocks - 1);
		put_be(data + 8, 4, VF_BLOCK);
		return 32;
	}
	return 0;
}

static size_t room(const struct vf_chain *c)
{
	size_t n = 0;

	for (unsigned i = c->nread; i < c->n; i++)
		n += c->seg[i].iov_len;
	return n;
}

uint32_t vf_request(struct vf *v, struct vf_chain *c)
{
	uint8_t req[REQ_SIZE], resp[RESP_SIZE] = { 0 }, data[36], *cdb = req + REQ_CDB, *disk;
	uint64_t lba, blocks;
	size_t n, done = 0;

	if (copy(c, 0, c->nread, 0, req, sizeof(req), false) < sizeof(req))
		die(END_TROUBLE, "a request that is too short");
	if (is_rw(cdb, &lba, &blocks)) {
		n = blocks * VF_BLOCK;
		disk = v->disk ? v->disk + lba * VF_BLOCK : NULL;
		if (lba > v->blocks || blocks > v->blocks - lba)
			resp[RESP_RESPONSE] = VS_FAILURE;
		else if (!(cdb[0] & 2))
			done = copy(c, c->nread, c->n, RESP_SIZE, disk, n, true);
		else if (disk)
			copy(c, 0, c->nread, REQ_SIZE, disk, n, false);
	} else {
		n = fixed_answer(v, cdb, data);
		done = copy(c, c->nread, c->n, RESP_SIZE, data, n, true);
	}
	put_le32(resp + RESP_RESIDUAL, (uint32_t)(room(c) - RESP_SIZE - done));
	copy(c, c->nread, c->n, 0, resp, sizeof(resp), true);
	return (uint32_t)(sizeof(resp) + done);
}

uint32_t vf_control(struct vf_chain *c)
{
	uint8_t response = VS_OK;

	return (uint32_t)copy(c, c->nread, c->n, 0, &response, 1, true);
}
