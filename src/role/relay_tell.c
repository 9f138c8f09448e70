#include "role/relay.h"

/* What the ledger hears: each recipient's outcome for `trace`, each connection's TLS for TLS-RPT; and the gauges. */

enum { EVENTS_MS = 50, EVENTS_MAX = 48 * 1024, MORE_MAX = 8000, EVENT_MOST = MORE_MAX + 2048 };

void relay_flush_events(struct relay_house *h)
{
	struct ipc_peer *ledger;
	if (h->events.len && ipc_find(h->e->node, ROLE_LEDGER, 0, &ledger) == RC_OK)
		(void)!ipc_tell(ledger, MSG_EVENTS, &(struct msg_EVENTS){ .list = buf_str(&h->events) }, -1);
	buf_clear(&h->events);
	h->told = loop_now(h->e->loop);
}

static void flush_soon(void *house)
{
	(void)!fiber_sleep(EVENTS_MS);
	relay_flush_events(house);
}

/* In a crowd they wait for company. */
static void tell(struct relay_house *h, const struct msg_EVENT *m)
{
	struct buf *b = &h->events;
	bool first = b->len == 0;
	if (!msg_add(b, MSG_EVENT, m))
		return;
	if (b->len > EVENTS_MAX - EVENT_MOST)
		relay_flush_events(h);
	else if (first && fiber_start(h->e->loop, flush_soon, h, NULL) != RC_OK)
		relay_flush_events(h);
}

void relay_tell_rows(struct relay_house *h, const struct relay_letter *l, const char *kind, const struct relay_row *rows, const size_t *which, size_t n,
                     const struct relay_conn *c, const char *reason)
{
	struct buf more AUTO(buf_done);
	buf_init(&more, MORE_MAX);
	for (size_t i = 0; i < n;) {
		size_t first = which[i++];
		struct msg_EVENT m = { .at_ms = (uint64_t)wall_ms(), .mid = str_head(l->l.mid, 16), .kind = str_z(kind), .sender = str_head(l->l.sender, 320),
			.recipient = str_head(rows[first].rcpt.address, 320), .client = c ? str_z(c->ip) : STR(""), .helo = c ? str_head(str_z(c->name), 256) : STR(""),
			.tls = c ? str_head(str_z(c->tls), 64) : STR(""), .reason = str_head(str_z(reason), 256), .size = l->l.size, .account = l->l.account };
		buf_clear(&more);
		while (i < n && more.len + rows[which[i]].rcpt.address.n + 12 <= MORE_MAX) {
			buf_run(&more, str_head(rows[which[i++]].rcpt.address, 320));
			buf_u64(&more, l->l.account);
		}
		m.more = buf_str(&more);
		tell(h, &m);
	}
}

static enum metric tls_metric(const struct tls_policy_out *p, bool tls, bool ok)
{
	if (!tls)
		return ok ? M_OUT_TLS_CLEAR : M_OUT_TLS_NONE_FAIL;
	if (p->verify == TLS_VERIFY_DANE)
		return ok ? M_OUT_TLS_DANE_OK : M_OUT_TLS_DANE_FAIL;
	if (p->type == TLS_POLICY_STS)
		return ok ? M_OUT_TLS_STS_OK : M_OUT_TLS_STS_FAIL;
	return ok ? M_OUT_TLS_ANY_OK : M_OUT_TLS_ANY_FAIL;
}

void relay_tell_tls(struct relay_house *h, const struct relay_target *t, const char *local_ip, bool tls, bool ok, const char *result, const char *reason)
{
	struct ipc_peer *ledger;
	struct buf strings AUTO(buf_done);
	buf_init(&strings, 4096);
	count_add(h->e, tls_metric(t->policy, tls, ok), 1);
	if (t->route->smarthost) /* RFC 8460 speaks of MX records: a way of our own choice is nobody's to report on */
		return;
	for (size_t i = 0; i < t->policy->policy_n && strings.len + t->policy->policy[i].n + 4 <= 4096; i++)
		buf_run(&strings, t->policy->policy[i]);
	struct msg_TLS_RESULT m = { .at_ms = (uint64_t)wall_ms(), .domain = str_head(t->route->next_hop, 255), .policy = (uint8_t)t->policy->type,
		.policy_strings = buf_str(&strings), .mx = str_head(t->name, 255), .mx_ip = str_z(t->ip), .local_ip = str_z(local_ip), .result = str_head(str_z(result), 48),
		.reason = str_head(str_z(reason), 256) };
	if (ipc_find(h->e->node, ROLE_LEDGER, 0, &ledger) == RC_OK)
		(void)!ipc_tell(ledger, MSG_TLS_RESULT, &m, -1);
}

void relay_gauges(struct relay_house *h)
{
	struct rq_counts c;
	rq_counts(h->q, &c);
	uint32_t open = c.rows[RQ_WAITING] + c.rows[RQ_READY] + c.rows[RQ_UNDER_WAY];
	count_set(h->e, M_QUEUE_READY, open - c.again);
	count_set(h->e, M_QUEUE_DEFERRED, c.again);
	count_set(h->e, M_QUEUE_HELD, c.rows[RQ_HELD]);
	count_set(h->e, M_QUEUE_OLDEST, h->oldest_ms && open + c.rows[RQ_HELD] ? (wall_ms() - h->oldest_ms) / 1000 : 0);
	count_set(h->e, M_RELAY_CONNECTIONS, h->connections);
}
