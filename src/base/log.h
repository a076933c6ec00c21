/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Logs are for operators: one line an event, each naming the object it is
 * about. Any thread may log. A place that repeats itself is limited to
 * LOG_BURST lines in LOG_WINDOW_NS; what was dropped is counted and said.
 */
#ifndef STGT_BASE_LOG_H
#define STGT_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LOG_BURST 10
#define LOG_WINDOW_NS 5000000000ull

enum log_level { LOG_LEVEL_ERR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum log_sink {
	LOG_SINK_STDERR, /* "time level text" */
	LOG_SINK_JOURNAL, /* "<N>text" on stderr, as the journal reads it */
	LOG_SINK_SYSLOG,
	LOG_SINK_FN, /* see log_open_fn() */
};

/* One place in the source that logs, with its rate limit. */
struct log_site {
	_Atomic uint64_t window; /* start of the current window, ns */
	_Atomic uint32_t lines, dropped;
};

/* Set where lines go. Call before threads start. */
void log_open(enum log_sink sink);
/* Lines go to @fn, on the thread that logs, limited as elsewhere. Call before threads start. */
void log_open_fn(void (*fn)(enum log_level level, const char *text));
/* Give every line to @fn instead, without limit of rate. For tests. Call before threads start. */
void log_to(void (*fn)(enum log_level level, const char *text));
/* Set what is logged: lines above @level are not made. Any thread. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);

void log_at(struct log_site *site, enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_line(level, ...) \
	do { \
		static struct log_site log_here; \
		if ((level) <= log_get_level()) \
			log_at(&log_here, level, __VA_ARGS__); \
	} while (0)

#define log_err(...) log_line(LOG_LEVEL_ERR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
