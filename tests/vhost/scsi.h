/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver of the SCSI host (virtio 1.2, 5.6): requests, functions, events. A request lies in guest memory of
 * its own, as two streams of bytes, one that the device reads (header, data-out), one that it writes
 * (response, data-in), each cut into segments as the test likes.
 */
#ifndef TESTS_VHOST_SCSI_H
#define TESTS_VHOST_SCSI_H

#include "front.h"

enum front_layout {
	LAYOUT_USUAL, /* header | data-out | response | data-in, as Linux makes them */
	LAYOUT_ONE, /* one segment to read, one to write */
	LAYOUT_ODD, /* cut anywhere (by seed), with gaps, headers too */
	LAYOUT_PAGES, /* usual, but data in pages with gaps between them */
	LAYOUT_BYTES, /* header and response byte by byte, with gaps; data in one */
};

#define REQUEST_GUARD 0xa5

struct front_request {
	/* what is asked */
	uint8_t lun[8], attr, prio, crn, cdb[CDB_ROOM];
	uint64_t tag; /* 0: the next one */
	const void *out;
	void *in;
	size_t out_len, in_len;
	/* how it lies there */
	enum front_layout layout;
	uint32_t seed;
	bool indirect;
	size_t head_len, resp_len; /* of header and response, if not 0: other than the standard's */
	/* guest memory: begun by request_room() */
	struct front *front;
	uint64_t area, area_len, table;
	struct front_seg seg[FRONT_SEGS];
	unsigned nread, n;
	/* what came */
	bool busy;
	uint32_t used_len, sense_len, residual;
	uint8_t status, response, sense[SENSE_ROOM];
	void (*done)(struct front_request *r); /* may be NULL */
	void *owner; /* of who submits */
	unsigned queue;
};

/* Single level LUN structure of target @target, with a LUN below 16384. */
void lun_bytes(uint8_t to[8], unsigned target, unsigned lun);
/* Begin @r: LUN opts.lun of target 0, usual layout, in guest memory of its own for at most @most bytes of data. */
void request_room(struct front *f, struct front_request *r, size_t most);
/* Put it into memory and on ring RING_REQUEST + @queue; not yet kicked. False: the ring is full. */
bool request_add(struct front_request *r, unsigned queue);
void request_submit(struct front_request *r, unsigned queue);
/* Take what has completed; number of requests. Ends the program if what was written is not what it may be. */
unsigned requests_reap(struct front *f, unsigned queue);
/* Sleep until an interrupt of the queue, and reap; 0 if patience ends. */
unsigned requests_wait(struct front *f, unsigned queue);
void request_finish(struct front_request *r);
/* Submit on queue 0 and wait. */
void request_do(struct front_request *r);

/* ---- commands ----------------------------------------------------------------------------- */

/* Fill in CDB and data; the length of data follows. */
void cdb_rw(struct front_request *r, bool write, uint64_t lba, uint32_t blocks, void *data,
	    uint32_t block_size);
void cdb_in(struct front_request *r, const uint8_t *cdb, size_t cdb_len, void *in, size_t in_len);
void cdb_none(struct front_request *r, uint8_t opcode);
/* Sense: key, ASC << 8 | ASCQ; of fixed and descriptor format. 0 without sense. */
unsigned sense_key(const struct front_request *r);
unsigned sense_code(const struct front_request *r);
/* Do it until it ends with something else than a unit attention, BUSY or TASK SET FULL. */
void request_do_patiently(struct front_request *r);
/* It must be VS_OK and GOOD, or the program ends naming @what. */
void request_good(const struct front_request *r, const char *what);
/* Blocks and block length of the request's LUN. */
uint64_t disk_size(struct front_request *r, uint32_t *block_size);

/* ---- control and events ------------------------------------------------------------------- */

struct front_function {
	uint8_t bytes[TMF_SIZE];
	uint64_t area;
	uint8_t response;
	bool busy;
};
/* Submit a function; @lun: 8 bytes. Wait for it with function_wait(). */
void function_submit(struct front *f, struct front_function *t, unsigned subtype,
		     const uint8_t *lun, uint64_t tag);
uint8_t function_wait(struct front *f, struct front_function *t);
uint8_t function_do(struct front *f, unsigned subtype, const uint8_t *lun, uint64_t tag);
/* Any bytes to the control queue, and @room for an answer, which is returned; its length. */
int control_raw(struct front *f, const void *bytes, size_t len, void *answer, size_t room);

struct front_event {
	uint64_t area;
	uint32_t event, reason;
	uint8_t lun[8];
};
/* Give the device @n buffers for events. */
void events_post(struct front *f, unsigned n);
/* Wait for one, and give its buffer back if @again. False: patience ended. */
bool event_wait(struct front *f, struct front_event *e, bool again);
/* The same, if it is there. */
bool event_take(struct front *f, struct front_event *e, bool again);

#endif
