/* SPDX-License-Identifier: BSD-2-Clause */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

static enum log_sink sink = LOG_SINK_STDERR;
static _Atomic int max_level = LOG_LEVEL_INFO;

static const struct {
	const char *word;
	int priority; /* syslog(3) */
} levels[] = {
	[LOG_LEVEL_ERR] = { "error", LOG_ERR },
	[LOG_LEVEL_WARN] = { "warning", LOG_WARNING },
	[LOG_LEVEL_INFO] = { "info", LOG_INFO },
	[LOG_LEVEL_DEBUG] = { "debug", LOG_DEBUG },
};

static void (*handler)(enum log_level level, const char *text);
static void (*sink_fn)(enum log_level level, const char *text);

void log_open(enum log_sink to)
{
	sink = to;
	if (to == LOG_SINK_SYSLOG)
		openlog("tgtd", LOG_PID, LOG_DAEMON);
}

void log_open_fn(void (*fn)(enum log_level level, const char *text))
{
	sink_fn = fn;
	sink = LOG_SINK_FN;
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&max_level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&max_level, memory_order_relaxed);
}

void log_to(void (*fn)(enum log_level level, const char *text))
{
	handler = fn;
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/*
 * True if this line may be written. *@dropped is how many were not since the
 * last one that was. A race at a window's edge lets a line or two more pass.
 */
static bool site_admits(struct log_site *s, uint32_t *dropped)
{
	uint64_t now = now_ns();
	uint64_t start = atomic_load_explicit(&s->window, memory_order_relaxed);

	*dropped = 0;
	if (!start || now - start > LOG_WINDOW_NS) {
		atomic_store_explicit(&s->window, now, memory_order_relaxed);
		atomic_store_explicit(&s->lines, 0, memory_order_relaxed);
		*dropped = atomic_exchange_explicit(&s->dropped, 0, memory_order_relaxed);
	}
	if (atomic_fetch_add_explicit(&s->lines, 1, memory_order_relaxed) < LOG_BURST)
		return true;
	atomic_fetch_add_explicit(&s->dropped, 1, memory_order_relaxed);
	return false;
}

static void emit(enum log_level level, const char *text)
{
	char line[1200];
	struct timespec ts;
	struct tm tm;
	char when[32];
	int n;

	if (sink == LOG_SINK_FN) {
		sink_fn(level, text);
		return;
	}
	if (sink == LOG_SINK_SYSLOG) {
		syslog(levels[level].priority, "%s", text);
		return;
	}
	if (sink == LOG_SINK_JOURNAL) {
		n = snprintf(line, sizeof(line), "<%d>%s\n", levels[level].priority, text);
	} else {
		clock_gettime(CLOCK_REALTIME, &ts);
		localtime_r(&ts.tv_sec, &tm);
		strftime(when, sizeof(when), "%F %T", &tm);
		n = snprintf(line, sizeof(line), "%s.%03ld %s: %s\n", when, ts.tv_nsec / 1000000,
			     levels[level].word, text);
	}
	if (n >= (int)sizeof(line)) {
		n = sizeof(line) - 1;
		line[n - 1] = '\n';
	}
	/* One write a line: lines of several threads do not mix. */
	if (write(STDERR_FILENO, line, (size_t)n) < 0)
		return; /* nobody is left to be told */
}

void log_at(struct log_site *site, enum log_level level, const char *fmt, ...)
{
	char text[1024];
	uint32_t dropped = 0;
	va_list ap;

	if (!handler && !site_admits(site, &dropped))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (handler) {
		handler(level, text);
		return;
	}
	if (dropped) {
		char more[96];

		snprintf(more, sizeof(more), "(%u lines like the next one were left out)", dropped);
		emit(level, more);
	}
	emit(level, text);
}
