#pragma once
#include "base/str.h"
#include <stdint.h>

/* Events, not sentences: a stable dotted name plus typed fields, one JSON object per line on stderr. Values are escaped here,
 * once, so a hostile HELO can never forge a line. Secrets have no constructor. Names come from the closed list in base/events.def
 * (log_event's name is its enumerator), which also makes docs/events.md. A line is written with one write(2), at most 4 KiB:
 * longer values are cut and marked with "cut":true. */
struct field {
	const char *key;
	enum { F_STR, F_INT, F_BOOL } kind;
	union { struct str s; int64_t i; } v;
};
#define F(k, x) _Generic((x), struct str: field_str, const char *: field_z, char *: field_z, bool: field_bool, default: field_int)((k), (x))
static inline struct field field_str(const char *k, struct str s) { return (struct field){ k, F_STR, { .s = s } }; }
static inline struct field field_z(const char *k, const char *z) { return (struct field){ k, F_STR, { .s = str_z(z) } }; }
static inline struct field field_bool(const char *k, bool b) { return (struct field){ k, F_BOOL, { .i = b } }; }
static inline struct field field_int(const char *k, int64_t i) { return (struct field){ k, F_INT, { .i = i } }; }
enum level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARN, LEVEL_ERROR };
enum event {
#define EVENT(id, name, doc) EV_##id,
#include "base/events.def"
#undef EVENT
	EVENT_COUNT
};
void log_event_(enum level lv, enum event ev, const struct field *f, size_t n);
#define log_event(lv, ev, ...)                                                                           \
	log_event_((lv), (ev), (const struct field[]){ __VA_ARGS__ __VA_OPT__(,) { 0 } },                \
	           sizeof((const struct field[]){ __VA_ARGS__ __VA_OPT__(,) { 0 } }) / sizeof(struct field) - 1)
void log_setup(const char *role, unsigned index, enum level least, int fd); /* once, at the start of a process */
