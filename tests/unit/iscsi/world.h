/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An iSCSI server within the test: a control reactor and a data reactor stepped by one
 * thread, a target with a small disk in memory at LUN 1, and peers that are
 * the other ends of socket pairs. Failing is aborting: fuzzers use it too.
 */
#ifndef TESTS_ISCSI_WORLD_H
#define TESTS_ISCSI_WORLD_H

#include <stdlib.h>

#include "transport/iscsi/part.h"
#include "transport/iscsi/pdu.h"
#include "transport/iscsi/session.h"

#define WORLD_TARGET "iqn.2026-11.test:disk"
#define WORLD_LUN 1
#define WORLD_BYTES (4u << 20)
#define WORLD_BLOCK 512

struct world {
	struct reactor *control, *data;
	struct targets ts;
	struct target *target;
	struct lu *lu;
	struct store *store;
	struct iscsi_server *server;
	struct iscsi_part *part;
};
extern struct world world;

/* @buf_cap: data memory, bytes. */
void world_begin(const struct engine *engine, size_t buf_cap);
void world_end(void);
void world_step(void);

#define world_until(cond) \
	do { \
		for (int tries = 0;; tries++) { \
			if (cond) \
				break; \
			if (tries == 100000) { \
				fprintf(stderr, "%s:%d: never: %s\n", __FILE__, __LINE__, #cond); \
				world_explain(); \
				abort(); \
			} \
			world_step(); \
		} \
	} while (0)

/* The initiator's side. */
struct peer {
	int fd;
	uint32_t cmd_sn, itt;
	struct iscsi_conn *conn; /* the other side */
	bool closed; /* by the target */
	/* what came and is not taken yet */
	uint8_t in[1u << 20];
	size_t in_len;
};

/* Log in with the @extra keys ("A=b\0C=d\0", @len bytes), and take pending unit attentions. */
struct peer *peer_login(const char *extra, size_t len);
struct peer *peer_connect(void);
void peer_close(struct peer *p);
/* All of it; the target runs when the socket is full. */
void peer_send(struct peer *p, const void *data, size_t len);
/* Receive what is there. False: the target has closed. */
bool peer_receive(struct peer *p);
/* The next PDU, waited for; its data at *@data, valid until the next call. NULL: closed. */
const union pdu *peer_pdu(struct peer *p, const uint8_t **data, uint32_t *len);

/* A SCSI Command PDU for LUN 1 with the next CmdSN and ITT. */
union pdu peer_command(struct peer *p, const uint8_t *cdb, unsigned cdb_len, uint8_t flags,
		       uint32_t expected, uint32_t data_len);
void rw16(uint8_t cdb[16], bool write, uint64_t lba, uint32_t blocks);

/* Nothing of any session is left. */
bool world_is_empty(void);
/* Say on stderr what is left. */
void world_explain(void);

#endif
