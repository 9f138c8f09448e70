#include "base/rate.h"

#include <stdio.h>

enum { TOGETHER_US = 100000 };

static const struct { struct str word; uint32_t seconds; } units[] = { { STR_INIT("s"), 1 }, { STR_INIT("min"), 60 }, { STR_INIT("h"), 3600 } };
enum { UNITS = sizeof units / sizeof *units };

bool rate_parse(struct str text, struct rate *out)
{
	struct str number, unit;
	uint64_t n;
	bool cut = str_cut(text, '/', &number, &unit);
	if (!str_u64(number, RATE_MOST, &n) || cut != (n != 0))
		return false;
	if (!n)
		return *out = (struct rate){ 0, 1 }, true;
	for (size_t i = 0; i < UNITS; i++)
		if (str_eq(unit, units[i].word))
			return *out = (struct rate){ (uint32_t)n, units[i].seconds }, true;
	return false;
}

bool rate_possible(const struct rate *r)
{
	if (!r->n)
		return r->seconds <= 1;
	return r->n <= RATE_MOST && (r->seconds == 1 || r->seconds == 60 || r->seconds == 3600);
}

void rate_text(const struct rate *r, char out[RATE_TEXT])
{
	const char *unit = "s";
	for (size_t i = 0; i < UNITS; i++)
		if (units[i].seconds == r->seconds)
			unit = units[i].word.p;
	if (r->n)
		(void)snprintf(out, RATE_TEXT, "%u/%s", r->n, unit);
	else
		(void)snprintf(out, RATE_TEXT, "%s", r->seconds ? "0" : "");
}

/* Rounded up: never faster than was asked for. */
static int64_t interval(const struct rate *r) { return ((int64_t)r->seconds * 1000000 + r->n - 1) / r->n; }

/* What is late by more than that is lost; of a low rate, whatever is late. */
static int64_t slot_from(const struct rate *r, int64_t slot, int64_t now_us)
{
	int64_t earliest = interval(r) < TOGETHER_US ? now_us - TOGETHER_US + 1 : now_us;
	return slot > earliest ? slot : earliest;
}

int64_t rate_at(const struct rate *r, int64_t slot) { return r->n ? (slot + 999) / 1000 : INT64_MIN; }

unsigned rate_room(const struct rate *r, int64_t slot, int64_t now_ms, unsigned most)
{
	int64_t now = now_ms * 1000;
	if (!r->n)
		return most;
	if (slot > now)
		return 0;
	int64_t room = (now - slot_from(r, slot, now)) / interval(r) + 1;
	return room < most ? (unsigned)room : most;
}

int64_t rate_take(const struct rate *r, int64_t slot, int64_t now_ms, unsigned n)
{
	return r->n ? slot_from(r, slot, now_ms * 1000) + n * interval(r) : slot;
}

int64_t rate_untake(const struct rate *r, int64_t slot, unsigned n) { return r->n ? slot - n * interval(r) : slot; }
