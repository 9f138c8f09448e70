#include "role/relay_rule.h"

#include "smtp/session.h"
#include <stdarg.h>
#include <stdio.h>

int64_t relay_wait(const struct relay_times *t, uint32_t attempts, uint64_t seed)
{
	int64_t ms = t->first;
	for (uint32_t i = 1; i < attempts && ms < t->most; i++)
		ms *= 2;
	if (ms > t->most)
		ms = t->most;
	seed = (seed ^ attempts) * 0x9e3779b97f4a7c15u;
	return ms - ms / 5 + (int64_t)((seed >> 24) % (uint64_t)(ms / 5 * 2 + 1));
}

uint32_t relay_attempts_in(const struct relay_times *t, int64_t ms)
{
	uint32_t n = 1;
	int64_t wait = t->first < 1 ? 1 : t->first;
	for (; ms >= wait && wait < t->most; n++) {
		ms -= wait;
		wait *= 2;
	}
	if (wait > t->most)
		wait = t->most;
	uint64_t rest = ms > 0 && wait > 0 ? (uint64_t)ms / (uint64_t)wait : 0;
	return rest > 1000000 ? 1000000 : n + (uint32_t)rest;
}

static uint32_t third(uint32_t n) { return n / 3 ? n / 3 : 1; }

int64_t relay_begin(const struct relay_times *t, const struct queue_row *r)
{
	int64_t begin = r->expires_ms - t->expire;
	return begin > r->created_ms ? begin : r->created_ms;
}

bool relay_expired(const struct relay_times *t, const struct queue_row *r, int64_t now)
{
	int64_t begin = relay_begin(t, r), life = r->expires_ms > begin ? r->expires_ms - begin : 0;
	uint32_t tries = relay_attempts_in(t, life);
	if (now >= r->expires_ms)
		return r->attempts >= third(tries);
	return now < r->created_ms && r->attempts >= 2 * tries;
}

bool relay_is_late(const struct relay_times *t, const struct queue_row *r, int64_t now)
{
	if (!t->notice || (r->flags & QUEUE_ROW_DELAY_TOLD))
		return false;
	uint32_t tries = relay_attempts_in(t, t->notice);
	if (now - relay_begin(t, r) >= t->notice)
		return r->attempts >= third(tries);
	return now < r->created_ms && r->attempts >= 2 * tries;
}

static int64_t not_past(int64_t due, int64_t moment, int64_t now) { return moment > now && moment < due ? moment : due; }

int64_t relay_due(const struct relay_times *t, const struct queue_row *r, int64_t now, uint64_t seed)
{
	int64_t due = now + relay_wait(t, r->attempts, seed);
	if (t->notice && !(r->flags & QUEUE_ROW_DELAY_TOLD))
		due = not_past(due, relay_begin(t, r) + t->notice, now);
	return not_past(due, r->expires_ms, now);
}

int64_t relay_due_loaded(const struct relay_times *t, const struct queue_row *r, int64_t now)
{
	int64_t latest = now + t->most + t->most / 5;
	if (r->attempts)
		return r->due_ms < latest ? r->due_ms : latest;
	if (r->created_ms > now) { /* the clock was set back: what is left is the wait it was given */
		int64_t wait = r->due_ms > r->created_ms ? r->due_ms - r->created_ms : 0;
		return now + wait;
	}
	return r->due_ms;
}

/* ---- outcomes ---- */

void relay_reply(struct relay_outcome *o, int code, const char *enhanced, const char *text)
{
	*o = (struct relay_outcome){ .what = code < 400 ? RELAY_SENT : code < 500 ? RELAY_LATER : RELAY_FAILED, .remote = true, .code = code };
	if (enhanced && enhanced[0])
		(void)snprintf(o->status, sizeof o->status, "%.11s", enhanced);
	else
		(void)snprintf(o->status, sizeof o->status, "%c.0.0", code < 400 ? '2' : code < 500 ? '4' : '5');
	(void)snprintf(o->text, sizeof o->text, "%d %s%s%.480s", code, enhanced ? enhanced : "", enhanced && enhanced[0] ? " " : "", text);
}

void relay_own(struct relay_outcome *o, enum relay_what what, const char *status, const char *format, ...)
{
	va_list ap;
	*o = (struct relay_outcome){ .what = what };
	(void)snprintf(o->status, sizeof o->status, "%.11s", status);
	va_start(ap, format);
	(void)vsnprintf(o->text, sizeof o->text, format, ap);
	va_end(ap);
}

enum relay_report relay_report_due(enum relay_what what, unsigned notify, bool late, bool peer_has_dsn, bool has_owner)
{
	/* RFC 3461 4.1: "NEVER ... requests that a DSN not be returned to the sender under any conditions." */
	if (!has_owner || (notify & NOTIFY_NEVER))
		return RELAY_REPORT_NONE;
	/* RFC 3461 5.2.2: relayed to a server that knows no DSN: "the MTA SHOULD issue a "relayed" DSN" where SUCCESS was asked for. */
	if (what == RELAY_SENT)
		return (notify & NOTIFY_SUCCESS) && !peer_has_dsn ? RELAY_REPORT_RELAYED : RELAY_REPORT_NONE;
	if (what == RELAY_FAILED)
		return !notify || (notify & NOTIFY_FAILURE) ? RELAY_REPORT_FAILED : RELAY_REPORT_NONE;
	return late && (!notify || (notify & NOTIFY_DELAY)) ? RELAY_REPORT_DELAYED : RELAY_REPORT_NONE;
}

bool relay_suppresses(const struct relay_outcome *o)
{
	/* RFC 3463 3.2: bad destination mailbox (1), system (2), syntax (3), moved without an address (6), null MX (10). 7 and 8 are about the sender. */
	static const char *const about[] = { "5.1.1", "5.1.2", "5.1.3", "5.1.6", "5.1.10" };
	if (o->what != RELAY_FAILED || !o->remote)
		return false;
	for (size_t i = 0; i < sizeof about / sizeof *about; i++)
		if (strcmp(o->status, about[i]) == 0)
			return true;
	return false;
}
