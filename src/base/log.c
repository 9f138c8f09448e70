#include "base/log.h"

#include "base/codec.h"
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { LINE_MAX_ = 4096, TAIL = sizeof ",\"cut\":true}\n" };

/* Who is speaking: set once before the first fiber or thread starts, read-only from then on. */
static struct {
	char role[16];
	unsigned index;
	enum level least;
	int fd;
} who = { "main", 0, LEVEL_INFO, 2 };

static const char *const event_names[EVENT_COUNT] = {
#define EVENT(id, name, doc) [EV_##id] = name,
#include "base/events.def"
#undef EVENT
};
static const char *const level_names[] = { "debug", "info", "warn", "error" };

/* One line on the stack: no allocation, so that "out of memory" itself can be told. */
struct line {
	char p[LINE_MAX_];
	size_t n;
	bool cut;
};

static bool line_add(struct line *l, struct str s)
{
	if (l->cut || s.n > sizeof l->p - TAIL - l->n)
		return !(l->cut = true);
	memcpy(l->p + l->n, s.p, s.n);
	l->n += s.n;
	return true;
}

static void line_quote(struct line *l, struct str s)
{
	if (l->n + 2 > sizeof l->p - TAIL) {
		l->cut = true;
		return;
	}
	l->p[l->n++] = '"';
	while (s.n) {
		char unit[8];
		size_t n;
		size_t took = json_unit(s, unit, &n);
		if (l->n + n + 1 > sizeof l->p - TAIL) { /* the closing quote always fits */
			l->cut = true;
			break;
		}
		memcpy(l->p + l->n, unit, n);
		l->n += n;
		s = str_skip(s, took);
	}
	l->p[l->n++] = '"';
}

static void line_head(struct line *l, enum level lv, enum event ev)
{
	struct timespec now;
	struct tm tm;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	int n = snprintf(l->p, sizeof l->p, "{\"ts\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\",\"level\":\"%s\",\"event\":\"%s\",\"role\":\"%s\",\"index\":%u,\"pid\":%ld",
	                 tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(now.tv_nsec / 1000000),
	                 level_names[lv], event_names[ev], who.role, who.index, (long)getpid());
	l->n = n > 0 ? (size_t)n : 0;
}

/* A field is added whole, or, when it is text, with its end cut off; never half a key. */
static void line_field(struct line *l, const struct field *f)
{
	struct str key = str_z(f->key);
	if (l->cut || key.n + 32 > sizeof l->p - TAIL - l->n) {
		l->cut = true;
		return;
	}
	(void)line_add(l, STR(",\""));
	(void)line_add(l, key);
	(void)line_add(l, STR("\":"));
	char num[24];
	if (f->kind == F_STR)
		line_quote(l, f->v.s);
	else if (f->kind == F_BOOL)
		(void)line_add(l, f->v.i ? STR("true") : STR("false"));
	else
		(void)line_add(l, (struct str){ num, (size_t)snprintf(num, sizeof num, "%" PRId64, f->v.i) });
}

void log_event_(enum level lv, enum event ev, const struct field *f, size_t n)
{
	if (lv < who.least || (size_t)ev >= EVENT_COUNT || (size_t)lv > LEVEL_ERROR)
		return;
	struct line l;
	l.cut = false;
	line_head(&l, lv, ev);
	for (size_t i = 0; i < n; i++)
		line_field(&l, &f[i]);
	struct str end = l.cut ? STR(",\"cut\":true}\n") : STR("}\n");
	memcpy(l.p + l.n, end.p, end.n);
	/* One write: lines of several processes on one pipe stay whole (PIPE_BUF). Where a log cannot be written, there is nobody to tell. */
	if (write(who.fd, l.p, l.n + end.n) < 0)
		return;
}

void log_setup(const char *role, unsigned index, enum level least, int fd)
{
	(void)snprintf(who.role, sizeof who.role, "%s", role);
	who.index = index;
	who.least = least;
	who.fd = fd;
}
