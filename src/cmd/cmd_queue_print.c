#include "cmd/cmd_queue.h"

#include "os/loop.h"
#include "role/letter.h"
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* How a recipient in the queue looks. */

enum { ARENA = 1 << 20 };

void time_text(uint64_t ms, char out[24])
{
	time_t s = (time_t)(ms / 1000);
	struct tm t;
	if (!ms || !gmtime_r(&s, &t) || !strftime(out, 24, "%Y-%m-%d %H:%M:%S", &t))
		(void)snprintf(out, 24, "-");
}

void span_text(int64_t ms, char out[24])
{
	int64_t s = ms / 1000;
	if (s < 120)
		(void)snprintf(out, 24, "%" PRId64 " s", s < 0 ? 0 : s);
	else if (s < 7200)
		(void)snprintf(out, 24, "%" PRId64 " min", s / 60);
	else if (s < 172800)
		(void)snprintf(out, 24, "%" PRId64 " h", s / 3600);
	else
		(void)snprintf(out, 24, "%" PRId64 " days", s / 86400);
}

/* "SUCCESS,DELAY", as in RFC 3461; "" = not given. */
static const char *notify_text(uint8_t bits, char out[40])
{
	static const char *const words[] = { "NEVER", "SUCCESS", "FAILURE", "DELAY" };
	size_t n = 0;
	out[0] = 0;
	for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
		if (bits & 1u << i)
			n += (size_t)snprintf(out + n, 40 - n, "%s%s", n ? "," : "", words[i]);
	return out;
}

static const char *ret_text(uint8_t ret) { return ret == LETTER_RET_FULL ? "FULL" : ret == LETTER_RET_HDRS ? "HDRS" : ""; }
static const char *truth(bool b) { return b ? "true" : "false"; }

static void print_json(const struct relay_entry *e, struct arena *a)
{
	char notify[40];
	say_json("{\"id\":\"%" PRIu64 ".%u\",\"mid\":\"%s\",\"state\":\"%s\",\"from\":\"%s\",\"to\":\"%s\",\"created_ms\":%" PRIu64 ",\"due_ms\":%" PRIu64 ",\"expires_ms\":%" PRIu64
	         ",\"last_ms\":%" PRIu64 ",\"attempts\":%u,\"priority\":%u,\"size\":%" PRIu64 ",\"paused\":%s,\"reason\":\"%s\",\"host\":\"%s\",\"tls\":\"%s\",\"subject\":\"%s\""
	         ",\"notify\":\"%s\",\"orcpt\":\"%s\",\"ret\":\"%s\",\"envid\":\"%s\",\"require_tls\":%s,\"tls_optional\":%s,\"deliver_by_ms\":%" PRIu64 ",\"by_return\":%s}",
	         e->letter, e->n, json_text(a, e->mid), queue_state_word(e), json_text(a, e->from), json_text(a, e->to), e->created_ms, e->due_ms, e->expires_ms, e->last_ms, e->attempts,
	         e->priority, e->size, truth(e->paused), json_text(a, e->reason), json_text(a, e->host), json_text(a, e->tls), json_text(a, e->subject), notify_text(e->notify, notify),
	         json_text(a, e->orcpt), ret_text(e->ret), json_text(a, e->envid), truth(e->require_tls), truth(e->tls_optional), e->deliver_by_ms, truth(e->by_return));
}

static const char *sender_of(const struct relay_entry *e, struct arena *a) { return e->from.n ? text_z(a, e->from) : "<>"; }

/* What the sender asked for, as far as anything. */
static void print_wishes(const struct relay_entry *e, struct arena *a)
{
	char by[24], notify[40];
	time_text(e->deliver_by_ms, by);
	if (e->notify)
		say("  notify    %s", notify_text(e->notify, notify));
	if (e->envid.n)
		say("  envelope  %s", text_z(a, e->envid));
	if (e->require_tls || e->tls_optional)
		say("  asks for  %s", e->require_tls ? "verified TLS all the way (REQUIRETLS)" : "delivery also where TLS fails (TLS-Required: No)");
	if (e->deliver_by_ms)
		say("  in time   until %s UTC, else %s", by, e->by_return ? "it is returned" : "its sender is told");
}

/* "in 11 min" for what waits, else nothing. */
static void when(const struct relay_entry *e, char out[40])
{
	char span[24];
	int64_t wait = (int64_t)e->due_ms - wall_ms();
	out[0] = 0;
	if (e->state == RELAY_STATE_DONE || e->state == RELAY_STATE_HELD || e->under_way || e->paused || wait <= 0)
		return;
	span_text(wait, span);
	(void)snprintf(out, 40, ", next in %s", span);
}

/* Whole, in lines that fit 80 columns: the end of a reason is often what matters. */
static void say_reason(const char *text)
{
	enum { WIDTH = 76 };
	struct str rest = str_z(text);
	while (rest.n) {
		size_t n = rest.n;
		if (n > WIDTH)
			for (n = WIDTH; n > 0 && rest.p[n] != ' ';)
				n--;
		if (n == 0)
			n = WIDTH; /* one long word */
		say("    %.*s", PSTR(str_head(rest, n)));
		rest = str_skip(rest, n);
		while (rest.n && rest.p[0] == ' ')
			rest = str_skip(rest, 1);
	}
}

static void print_short(const struct relay_entry *e, struct arena *a)
{
	char id[40], age[24], next[40];
	span_text(wall_ms() - (int64_t)e->created_ms, age);
	when(e, next);
	(void)snprintf(id, sizeof id, "%" PRIu64 ".%u", e->letter, e->n);
	say("%-10s %-8s %-9s age %s, %u attempt%s%s", id, text_z(a, e->mid), queue_state_word(e), age, e->attempts, e->attempts == 1 ? "" : "s", next);
	say("    %.34s -> %.38s", sender_of(e, a), text_z(a, e->to));
	if (e->reason.n)
		say_reason(text_z(a, e->reason));
}

static void print_whole(const struct relay_entry *e, struct arena *a)
{
	char created[24], due[24], expires[24], last[24], size[24];
	time_text(e->created_ms, created);
	time_text(e->due_ms, due);
	time_text(e->expires_ms, expires);
	time_text(e->last_ms, last);
	say("%" PRIu64 ".%u  message %s: %s", e->letter, e->n, text_z(a, e->mid), queue_state_word(e));
	say("  from      %s", sender_of(e, a));
	say("  to        %s", text_z(a, e->to));
	if (e->subject.n)
		say("  subject   %s", text_z(a, e->subject));
	if (e->size)
		say("  size      %s", size_text(e->size, size));
	say("  came      %s UTC", created);
	if (e->state == RELAY_STATE_DONE)
		say("  ended     %s UTC", due);
	else
		say("  next try  %s UTC, returned to its sender after %s UTC", e->state == RELAY_STATE_HELD ? "when it is freed" : due, expires);
	print_wishes(e, a);
	say("  attempts  %u%s%s%s", e->attempts, e->last_ms ? ", the last at " : "", e->last_ms ? last : "", e->last_ms ? " UTC" : "");
	if (e->host.n)
		say("  server    %s", text_z(a, e->host));
	if (e->tls.n)
		say("  TLS       %s", text_z(a, e->tls));
	if (e->reason.n)
		say("  words     %s", text_z(a, e->reason));
}

void queue_print(const struct call *c, const struct relay_entry *e, bool whole)
{
	struct arena a;
	arena_init(&a, ARENA);
	if (c->json)
		print_json(e, &a);
	else if (whole)
		print_whole(e, &a);
	else
		print_short(e, &a);
	arena_done(&a);
}
