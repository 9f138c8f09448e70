#include "cmd/address.h"
#include "cmd/cmd_queue.h"
#include "cmd/ctl.h"
#include <inttypes.h>
#include <stdio.h>

/* queue pause|resume, queue suppressed, trace, probe send. */

enum { ARENA = 16 << 20, EVENTS_MOST = 2000, DAY_MS = 86400000 };

/* ---- pause, resume ---- */

static enum status list_noted(struct call *c, struct str list, const char *key, size_t *n)
{
	struct cursor in = cursor_of(list);
	struct relay_noted p;
	while (relay_next_noted(&in, &p) == RC_OK) {
		struct arena a;
		char at[24];
		arena_init(&a, 65536);
		time_text(p.at_ms, at);
		if (c->json)
			say_json("{\"%s\":\"%s\",\"since_ms\":%" PRIu64 ",\"reason\":\"%s\"}", key, json_text(&a, p.name), p.at_ms, json_text(&a, p.reason));
		else
			say("%-40s %s UTC%s%s", text_z(&a, p.name), at, p.reason.n ? "\n    " : "", text_z(&a, p.reason));
		arena_done(&a);
		++*n;
	}
	return STATUS_OK;
}

static enum status pause_ask(struct ctl *ctl, struct call *c, uint8_t op)
{
	struct msg_QUEUE_PAUSE_answer a;
	struct ipc_reply reply = { 0 };
	struct why why = { 0 };
	char domain[256] = "";
	if (c->arg_n && domain_clean(c->args[0], domain, sizeof domain, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	enum rc rc = ctl_ask(ctl, ROLE_RELAY, MSG_QUEUE_PAUSE, &(struct msg_QUEUE_PAUSE){ .op = op, .domain = str_z(domain) }, &a, &reply, &why);
	if (op == 0 && rc == RC_OK) {
		size_t n = 0;
		(void)list_noted(c, a.list, "domain", &n);
		ipc_reply_done(&reply);
		if (!n && !c->json)
			say("No destination is paused.");
		return n ? STATUS_OK : STATUS_NOTHING;
	}
	ipc_reply_done(&reply);
	if (rc == RC_EXISTS || rc == RC_NOTFOUND)
		return say_error(c, STATUS_NOTHING, rc == RC_EXISTS ? "it is paused already" : "it is not paused", NULL, NULL);
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "nothing was changed", why.text, "letterlock status");
	ctl_audit(ctl, op == 1 ? "queue pause" : "queue resume", STR(""), str_z(domain));
	if (c->json)
		say_json("{\"domain\":\"%s\",\"paused\":%s}", domain, op == 1 ? "true" : "false");
	else
		say(op == 1 ? "Mail to %s waits until: letterlock queue resume %s" : "Mail to %s goes on%.0s", domain, domain);
	return STATUS_OK;
}

static enum status do_pause(struct ctl *ctl, void *arg) { return pause_ask(ctl, arg, ((struct call *)arg)->arg_n ? 1 : 0); }
static enum status do_resume(struct ctl *ctl, void *arg) { return pause_ask(ctl, arg, 2); }
enum status run_queue_pause(struct call *c) { return ctl_verb(c, do_pause); }
enum status run_queue_resume(struct call *c) { return ctl_verb(c, do_resume); }

/* ---- suppressed ---- */

static enum status suppressed_list(struct ctl *ctl, struct call *c)
{
	size_t n = 0;
	char after[201] = "";
	do {
		struct msg_SUPPRESSED_answer a;
		struct ipc_reply reply = { 0 };
		struct why why = { 0 };
		if (ctl_ask(ctl, ROLE_RELAY, MSG_SUPPRESSED, &(struct msg_SUPPRESSED){ .op = 0, .after = str_z(after) }, &a, &reply, &why) != RC_OK)
			return say_error(c, STATUS_FAILED, "the list cannot be read", why.text, "letterlock status");
		(void)list_noted(c, a.list, "address", &n);
		(void)snprintf(after, sizeof after, "%.*s", PSTR(str_head(a.next, 200)));
		ipc_reply_done(&reply);
	} while (after[0]);
	if (!n && !c->json)
		say("No address is suppressed. One is after its server has said for good that there is no such mailbox.");
	return n ? STATUS_OK : STATUS_NOTHING;
}

static enum status suppressed(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	if (strcmp(c->args[0], "list") == 0 && c->arg_n == 1)
		return suppressed_list(ctl, c);
	if (strcmp(c->args[0], "release") != 0 || c->arg_n != 2)
		return say_usage(c, "queue suppressed takes: list, or release ADDRESS");
	char room[ADDRESS_TEXT];
	struct str address = address_sought(c->args[1], room, sizeof room);
	enum rc rc = ctl_ask(ctl, ROLE_RELAY, MSG_SUPPRESSED, &(struct msg_SUPPRESSED){ .op = 1, .address = address }, &(struct msg_SUPPRESSED_answer){ 0 }, NULL, &why);
	if (rc == RC_NOTFOUND)
		return say_error(c, STATUS_NOTHING, "that address is not suppressed", NULL, "letterlock queue suppressed list");
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "nothing was changed", why.text, "letterlock status");
	ctl_audit(ctl, "queue suppressed release", address, STR(""));
	if (c->json)
		say_json("{\"released\":true}");
	else
		say("Mail to %s is accepted again.", c->args[1]);
	return STATUS_OK;
}
enum status run_queue_suppressed(struct call *c) { return ctl_verb(c, suppressed); }

/* ---- trace ---- */

static void print_event(const struct call *c, const struct msg_EVENT *m, struct arena *a)
{
	char at[24];
	time_text(m->at_ms, at);
	if (c->json) {
		say_json("{\"at_ms\":%" PRIu64 ",\"mid\":\"%s\",\"kind\":\"%s\",\"from\":\"%s\",\"to\":\"%s\",\"peer\":\"%s\",\"name\":\"%s\",\"tls\":\"%s\",\"reason\":\"%s\",\"size\":%" PRIu64 "}",
		         m->at_ms, json_text(a, m->mid), json_text(a, m->kind), json_text(a, m->sender), json_text(a, m->recipient), json_text(a, m->client), json_text(a, m->helo),
		         json_text(a, m->tls), json_text(a, m->reason), m->size);
		return;
	}
	bool out = str_eq(m->kind, STR("sent")) || str_eq(m->kind, STR("deferred")) || str_eq(m->kind, STR("bounced"));
	say("%s  %s  %s", at, text_z(a, m->mid), text_z(a, m->kind));
	say("    %s -> %s", m->sender.n ? text_z(a, m->sender) : "<>", text_z(a, m->recipient));
	if (m->client.n || m->helo.n)
		say("    %s %s [%s]%s%s", out ? "to" : "from", text_z(a, m->helo), text_z(a, m->client), m->tls.n ? ", TLS: " : "", text_z(a, m->tls));
	if (m->reason.n)
		say("    %s", text_z(a, m->reason));
}

static size_t count_runs(struct str list)
{
	struct cursor in = cursor_of(list);
	size_t n = 0;
	for (; in.in.n && !in.failed; n++)
		(void)cursor_run(&in, in.in.n);
	return n;
}

/* The newest EVENTS_MOST: of one more, which says that there are others, the first is passed over. */
static enum rc print_events(struct call *c, struct str list, size_t *n, bool *out_cut, struct why *why)
{
	struct cursor in = cursor_of(list);
	*out_cut = count_runs(list) > EVENTS_MOST;
	if (*out_cut)
		(void)cursor_run(&in, in.in.n);
	while (in.in.n && !in.failed) {
		struct msg_EVENT m;
		struct arena a;
		struct str one = cursor_run(&in, in.in.n);
		if (in.failed || msg_decode(MSG_EVENT, false, one, &m, why) != RC_OK)
			return RC_SYNTAX;
		arena_init(&a, 1 << 20);
		print_event(c, &m, &a);
		arena_done(&a);
		++*n;
	}
	return RC_OK;
}

struct tracing { struct call *c; size_t n; };
static void trace_row(void *arg, const struct relay_entry *e)
{
	struct tracing *t = arg;
	if (!t->n++ && !t->c->json)
		say("Now in the queue:");
	queue_print(t->c, e, false);
}

static enum rc trace_queue(struct ctl *ctl, struct call *c, struct str what, bool address, size_t *n, struct why *why)
{
	struct tracing t = { .c = c };
	struct queue_search s = { .limit = EVENTS_MOST };
	s.f = (struct relay_filter){ .from = STR(""), .to = STR(""), .domain = STR(""), .reason = STR(""), .mid = address ? STR("") : what,
		.states = RELAY_STATE_READY | RELAY_STATE_DEFERRED | RELAY_STATE_HELD };
	if (address)
		s.f.to = what;
	enum rc rc = queue_find(ctl, &s, &t.n, trace_row, &t, why);
	*n += t.n;
	return rc;
}

/* The number of a message as the history has it: people say it over the telephone, and type it in small letters. */
static struct str mid_sought(const char *text, char room[ADDRESS_TEXT])
{
	size_t n = 0;
	for (; text[n] && n < ADDRESS_TEXT; n++)
		room[n] = ascii_upper(text[n]);
	return str_of(room, n);
}

/* With --json on stderr: what is on stdout are events. */
static void say_cut(const struct call *c)
{
	static const char what[] = "only the newest 2,000 events are shown, older ones were left out", act[] = "a shorter --since shows fewer; for others give one message's ID, or the address at its other end";
	_Static_assert(EVENTS_MOST == 2000, "what is said names the number");
	if (c->json)
		(void)say_error(c, STATUS_OK, what, NULL, act);
	else
		say("Note: %s; %s.", what, act);
}

static enum status trace(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	const char *what = c->args[0], *since = call_option(c, "since");
	char room[ADDRESS_TEXT];
	bool address = strchr(what, '@') != NULL;
	struct str sought = address ? address_sought(what, room, sizeof room) : mid_sought(what, room);
	uint64_t back = 7 * (uint64_t)DAY_MS, now = (uint64_t)wall_ms();
	struct msg_TRACE_answer a;
	struct ipc_reply reply = { 0 };
	struct why why = { 0 };
	size_t n = 0;
	if (since && !queue_duration(since, &back))
		return say_usage(c, "--since takes a time: 30m, 4h, 2d, 1w");
	if (!address && strlen(what) != 8)
		return say_usage(c, "\"%.60s\" is neither an address nor a message's id (7F3K9Q2D)", what);
	struct msg_TRACE q = { .address = address ? str_head(sought, 320) : STR(""), .mid = address ? STR("") : sought, .since_ms = since || address ? now - back : 0,
		.max = EVENTS_MOST + 1 };
	if (ctl_ask(ctl, ROLE_LEDGER, MSG_TRACE, &q, &a, &reply, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the history cannot be read", why.text, "letterlock status");
	bool cut;
	enum rc rc = print_events(c, a.events, &n, &cut, &why);
	ipc_reply_done(&reply);
	if (rc == RC_OK)
		rc = trace_queue(ctl, c, sought, address, &n, &why);
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the history or the queue cannot be read", why.text, "letterlock status");
	if (cut)
		say_cut(c);
	if (!n && !c->json)
		say("Nothing is known of %s%s.", what, since || address ? " within that time" : "");
	return n ? STATUS_OK : STATUS_NOTHING;
}
enum status run_trace(struct call *c) { return ctl_verb(c, trace); }

/* ---- probe send ---- */

enum { OUTCOME_LATER, OUTCOME_SENT, OUTCOME_FAILED }; /* enum relay_what */

static enum status print_probe(struct call *c, const struct msg_PROBE_SEND_answer *p)
{
	static const char *const outcomes[] = { "refused for now", "taken", "refused" };
	struct cursor in = cursor_of(p->lines);
	const char *outcome = p->outcome == OUTCOME_SENT && call_option(c, "no-data") ? "the recipient would be taken" : outcomes[p->outcome < 3 ? p->outcome : OUTCOME_FAILED];
	while (in.in.n && !in.failed) {
		struct arena a;
		char kind = (char)cursor_u8(&in);
		struct str text = cursor_run(&in, in.in.n);
		arena_init(&a, 1 << 20);
		if (c->json)
			say_json("{\"line\":\"%s\",\"text\":\"%s\"}", kind == '>' ? "sent" : kind == '<' ? "received" : kind == '=' ? "result" : "note", json_text(&a, text));
		else if (kind == '=')
			say("%s: %s", outcome, text_z(&a, text));
		else
			say("%c %s", kind, text_z(&a, text));
		arena_done(&a);
	}
	if (c->json)
		say_json("{\"outcome\":\"%s\"}", outcome);
	return p->outcome == OUTCOME_SENT ? STATUS_OK : STATUS_PROBLEMS;
}

/* Mail for a domain of our own is in its mailbox at once and never sent: there is nothing to try. */
static bool is_ours(struct ctl *ctl, struct str address)
{
	struct msg_ROUTE_answer a;
	struct ipc_reply reply = { 0 };
	struct why unused = { 0 };
	enum rc rc = ctl_ask(ctl, ROLE_READER, MSG_ROUTE, &(struct msg_ROUTE){ .address = str_head(address, 320) }, &a, &reply, &unused);
	ipc_reply_done(&reply);
	return rc == RC_OK || rc == RC_NOTFOUND;
}

static enum status probe_send(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	const char *from = call_option(c, "from");
	char from_room[ADDRESS_TEXT], to_room[ADDRESS_TEXT];
	struct str to = address_sought(c->args[0], to_room, sizeof to_room);
	struct msg_PROBE_SEND_answer a;
	struct ipc_reply reply = { 0 };
	struct why why = { 0 };
	if (!strchr(c->args[0], '@'))
		return say_usage(c, "\"%.60s\" is not an address", c->args[0]);
	if (!from && !call_option(c, "no-data"))
		return say_usage(c, "whose test message? --from ADDRESS; or --no-data to stop before the message");
	if (is_ours(ctl, to))
		return say_error(c, STATUS_FAILED, "nothing to try: this address is in a domain of yours", "its mail is delivered here and goes through no relay", "letterlock alias who ADDRESS shows where it leads");
	struct msg_PROBE_SEND q = { .from = from ? str_head(address_sought(from, from_room, sizeof from_room), 320) : STR(""), .to = str_head(to, 320), .no_data = call_option(c, "no-data") != NULL };
	if (ctl_ask(ctl, ROLE_RELAY, MSG_PROBE_SEND, &q, &a, &reply, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the test could not be made", why.text, "letterlock status");
	enum status s = print_probe(c, &a);
	ipc_reply_done(&reply);
	return s;
}
enum status run_probe_send(struct call *c) { return ctl_verb(c, probe_send); }
