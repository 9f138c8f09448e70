#include "base/log.h"

#include "base/codec.h"
#include <stdio.h>
#include <unistd.h>

enum { LINE_MAX_ = 4096, TAIL = sizeof ",\"cut\":true}\n" };

/* Who is speaking: set once before the first fiber or thread starts, read-only from then on. */
static struct {
	char role[16];
	unsigned index;
	enum level least;
	int fd;
	long pid;
} who = { "main", 0, LEVEL_INFO, 2, 0 };

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

static void line_int(struct line *l, int64_t v)
{
	char text[24];
	size_t at = sizeof text;
	uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	do
		text[--at] = (char)('0' + left % 10);
	while (left /= 10);
	if (v < 0)
		text[--at] = '-';
	(void)line_add(l, (struct str){ text + at, sizeof text - at });
}

/* "2026-01-31T23:59:59": thousands of lines have the same one. */
static struct str second_text(time_t now)
{
	static __thread struct { time_t at; bool known; char text[32]; } last;
	if (!last.known || last.at != now) {
		struct tm tm;
		(void)gmtime_r(&now, &tm);
		(void)strftime(last.text, sizeof last.text, "%Y-%m-%dT%H:%M:%S", &tm);
		last.at = now;
		last.known = true;
	}
	return str_z(last.text);
}

static void line_head(struct line *l, enum level lv, enum event ev)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	int ms = (int)(now.tv_nsec / 1000000);
	char fraction[] = { '.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10) };
	l->n = 0;
	(void)line_add(l, STR("{\"ts\":\""));
	(void)line_add(l, second_text(now.tv_sec));
	(void)line_add(l, (struct str){ fraction, sizeof fraction });
	(void)line_add(l, STR("Z\",\"level\":\""));
	(void)line_add(l, str_z(level_names[lv]));
	(void)line_add(l, STR("\",\"event\":\""));
	(void)line_add(l, str_z(event_names[ev]));
	(void)line_add(l, STR("\",\"role\":\""));
	(void)line_add(l, str_z(who.role));
	(void)line_add(l, STR("\",\"index\":"));
	line_int(l, who.index);
	(void)line_add(l, STR(",\"pid\":"));
	line_int(l, who.pid ? who.pid : (long)getpid());
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
	if (f->kind == F_STR)
		line_quote(l, f->v.s);
	else if (f->kind == F_BOOL)
		(void)line_add(l, f->v.i ? STR("true") : STR("false"));
	else
		line_int(l, f->v.i);
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
	who.pid = (long)getpid(); /* set again by whoever has forked: every child calls this first */
}
