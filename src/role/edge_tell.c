#include "role/edge_session.h"

#include "os/file.h"

/* What the ledger hears of each message, outside the path of the answer. */

enum { EVENTS_MS = 20 };

void edge_flush_events(struct role_env *e)
{
	struct edge_house *h = e->state;
	struct ipc_peer *ledger;
	bool there = (h->events.len || h->facts.len) && ipc_find(e->node, ROLE_LEDGER, 0, &ledger) == RC_OK;
	if (there && h->events.len)
		(void)!ipc_tell(ledger, MSG_EVENTS, &(struct msg_EVENTS){ .list = buf_str(&h->events) }, -1);
	if (there && h->facts.len)
		(void)!ipc_tell(ledger, MSG_DMARC_RESULTS, &(struct msg_DMARC_RESULTS){ .list = buf_str(&h->facts) }, -1);
	buf_clear(&h->events);
	buf_clear(&h->facts);
	h->told_at = loop_now(e->loop);
}

static void flush_soon(void *arg)
{
	(void)!fiber_sleep(EVENTS_MS);
	edge_flush_events(arg);
}

/* A single message's history goes at once. In a crowd it waits for company, 20 ms at most: a datagram and a wake-up for each recipient of
 * each message cost more than writing its row. `b` is one of the two lists. */
void edge_tell(struct role_env *e, struct buf *b, enum msg_type type, const void *m, size_t most)
{
	struct edge_house *h = e->state;
	bool first = h->events.len == 0 && h->facts.len == 0;
	if (!msg_add(b, type, m))
		return;
	if (b->len > EDGE_EVENTS_MAX - most)
		edge_flush_events(e);
	else if (first && (loop_now(e->loop) - h->told_at > EVENTS_MS || fiber_start(e->loop, flush_soon, e, NULL) != RC_OK))
		edge_flush_events(e);
}

/* Room for the recipients that share an event with its first one: what MSG_EVENT has for them. */
enum { MORE_MAX = 8192, MORE_EACH = 4 + 320 + 8 };

/* A recipient with a mailbox here has it delivered, whatever else goes on from there; one that is elsewhere waits in the queue. */
static const char *kind_of(const struct edge_rcpt *r, enum rc rc)
{
	return rc != RC_OK ? "failed" : r->report ? "report" : r->account ? "delivered" : "queued";
}

/* One event for recipient `i` and those behind it to whom the same happened, as far as they fit; who is in it has been told. */
static void tell_of(struct edge_session *s, size_t i, const enum rc *fates, bool *told)
{
	const struct edge_rcpt *r = &s->rcpts[i];
	const struct stream_facts *f = stream_facts(s->v->stream);
	char room[MORE_MAX];
	struct buf more = { .p = room, .cap = sizeof room, .max = sizeof room };
	enum rc rc = fates[i];
	const char *kind = kind_of(r, rc);
	told[i] = true;
	for (size_t k = i + 1; k < s->rcpt_n && more.len <= MORE_MAX - MORE_EACH; k++) {
		if (told[k] || fates[k] != rc || kind_of(&s->rcpts[k], rc) != kind)
			continue;
		buf_run(&more, str_head(s->rcpts[k].address, 320));
		buf_u64(&more, s->rcpts[k].account);
		told[k] = true;
	}
	struct msg_EVENT m = { .at_ms = (uint64_t)wall_ms(), .mid = str_z(s->mid), .kind = str_z(kind),
		.sender = str_head(s->from, 320), .recipient = r->address, .client = str_z(f->peer_ip), .helo = str_z(s->helo), .tls = str_z(f->tls_version),
		.reason = rc == RC_OK ? STR("") : str_z(rc_name(rc)), .size = s->message.n, .account = r->account, .more = buf_str(&more) };
	edge_tell(s->v->e, &s->h->events, MSG_EVENT, &m, EDGE_EVENT_MOST);
}

void edge_tell_rcpts(struct edge_session *s, const enum rc *fates)
{
	bool *told = arena_new(&s->a, s->rcpt_n * sizeof *told);
	for (size_t i = 0; told && i < s->rcpt_n; i++)
		if (!told[i])
			tell_of(s, i, fates, told);
}
