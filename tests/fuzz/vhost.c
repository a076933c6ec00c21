/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages of a hypervisor to a whole daemon. The first byte is chance; then pieces: a length byte n and n bytes of
 * script. A script's first byte:
 *	bits 0-2  what: raw bytes; a message; a message that is changed; a kick; the daemon runs; time passes; the
 *		start of a driver; another connection
 *	bit 3	  an acknowledgement is asked for
 *	bits 4-7  which descriptors go along
 * A message: its number, then its payload as it is. One that is changed: its number, then pairs (place, value) in a
 * payload that would be right.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "hypervisor.h"

#define CONNECTIONS_MAX 6

enum { RAW, MESSAGE, CHANGED, KICK, STEPS, WAIT, START, AGAIN };

static struct hypervisor hv;
static unsigned connections; /* of this input */
static int spare[3]; /* an eventfd, a pipe's end, /dev/null */

/* Up to eight, of the kinds that @how chooses. */
static unsigned choose_fds(unsigned how, int *fds)
{
	const int kinds[8] = { hv.file,	 hv.kick[2], spare[0], spare[1],
			       spare[2], hv.log,     hv.file,  hv.call[2] };
	static const uint8_t counts[16] = { 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 8, 8, 9, 16 };
	unsigned n = counts[how];

	for (unsigned i = 0; i < n; i++) {
		fds[i] = kinds[(how + i * (how >> 1)) % 8];
		if (fds[i] < 0)
			fds[i] = spare[0];
	}
	return n;
}

/* A payload that would be right, and its length. */
static uint32_t right_payload(uint32_t request, uint8_t *p)
{
	memset(p, 0, 512);
	switch (request) {
	case VU_SET_FEATURES:
		put_le64(p, BIT64(VIRTIO_F_VERSION_1) | BIT64(VIRTIO_F_PROTOCOL_FEATURES));
		return 8;
	case VU_SET_MEM_TABLE:
	case VU_ADD_MEM_REG:
	case VU_REM_MEM_REG:
		p[0] = request == VU_SET_MEM_TABLE;
		put_le64(p + 8, HV_GUEST);
		put_le64(p + 16, HV_SECOND);
		put_le64(p + 24, HV_USER);
		return 40;
	case VU_SET_VRING_ADDR:
		p[0] = RING_REQUEST;
		put_le64(p + 8, HV_USER + HV_RING_AT(RING_REQUEST));
		put_le64(p + 16, HV_USER + HV_RING_AT(RING_REQUEST) + 0x200);
		put_le64(p + 24, HV_USER + HV_RING_AT(RING_REQUEST) + 0x100);
		return 40;
	case VU_GET_INFLIGHT_FD:
	case VU_SET_INFLIGHT_FD:
		put_le64(p, hv.log_size ? hv.log_size : HV_MEMORY);
		put_le16(p + 16, HV_RINGS);
		put_le16(p + 18, HV_SIZE);
		return VU_INFLIGHT;
	case VU_SET_VRING_NUM:
		p[4] = HV_SIZE;
		/* fall through */
	case VU_SET_VRING_BASE:
	case VU_GET_VRING_BASE:
	case VU_SET_VRING_ENABLE:
	case VU_SET_VRING_KICK:
	case VU_SET_VRING_CALL:
	case VU_SET_VRING_ERR:
		p[0] = RING_REQUEST;
		if (request == VU_SET_VRING_ENABLE)
			p[4] = 1;
		return 8;
	case VU_GET_CONFIG:
	case VU_SET_CONFIG:
		p[0] = request == VU_SET_CONFIG ? 20 : 0;
		p[4] = request == VU_SET_CONFIG ? 4 : 36;
		p[12] = 96;
		return 12 + p[4];
	}
	return request == VU_SET_PROTOCOL_FEATURES ? 8 : 0;
}

static void message(struct input *s, bool changed, unsigned how, uint32_t flags)
{
	uint8_t number = input_byte(s), payload[512];
	uint32_t len;
	int fds[16];

	if (changed) {
		len = right_payload(number & 63, payload);
		while (s->left >= 2) {
			unsigned at = input_byte(s);

			payload[at] = input_byte(s);
			len = at == 255 ? payload[at] : len;
		}
	} else {
		len = (uint32_t)min(s->left, sizeof(payload));
		input_bytes(s, payload, len);
	}
	hv_message(&hv, number == 255 ? UINT32_MAX : number & 63, flags, payload, len, fds,
		   choose_fds(how, fds));
}

static void start(struct input *s)
{
	static const uint64_t features[] = { HV_FEATURES_NONE, HV_FEATURES_ALL, HV_FEATURES_PACKED };
	uint8_t how = input_byte(s);

	hv_start(&hv, features[how % 3], how & 0x80);
}

static void play(struct input s)
{
	uint8_t op = input_byte(&s);
	uint32_t flags = VU_VERSION | (op & 8 ? VU_NEED_REPLY : 0);
	unsigned n;
	int fds[16];

	switch (op & 7) {
	case RAW:
		hv_send(&hv, s.p, s.left, fds, choose_fds(op >> 4, fds));
		break;
	case MESSAGE:
	case CHANGED:
		message(&s, (op & 7) == CHANGED, op >> 4, flags);
		break;
	case KICK:
		hv_kick(&hv, input_byte(&s) % HV_RINGS);
		break;
	case STEPS:
		tgtd_steps(input_byte(&s));
		break;
	case WAIT:
		n = input_byte(&s) % 64;
		tgtd_wait((uint64_t)n * n * NSEC_PER_MSEC);
		break;
	case START:
		start(&s);
		break;
	default:
		if (++connections < CONNECTIONS_MAX) {
			hv_leave(&hv);
			hv_connect(&hv);
		}
		break;
	}
	tgtd_steps(op >> 4 & 3 ? 8 : 0);
	hv_listen(&hv);
}

static void set_up(void)
{
	int ends[2];

	if (tgtd.control)
		return;
	hv_begin(&hv);
	tgtd_check(!pipe2(ends, O_CLOEXEC));
	spare[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	spare[1] = ends[0];
	spare[2] = open("/dev/null", O_RDWR | O_CLOEXEC);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };

	set_up();
	tgtd_input(input_byte(&in));
	connections = 0;
	hv_memory(&hv);
	hv_connect(&hv);
	while (in.left)
		play(input_piece(&in, input_byte(&in)));
	tgtd_steps(50);
	hv_gone(&hv);
	tgtd_idle();
	tgtd_tidy();
	return 0;
}
