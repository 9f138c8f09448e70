#include "role/dkim_clock.h"

#include "base/log.h"
#include "base/mem.h"
#include "dns/asker.h"
#include "origin/dkim_key.h"
#include "origin/origin.h"
#include "role/dkim_wire.h"

enum { FIRST_MS = 3000, ROOM = 64 << 20, ANSWER_ROOM = 4 << 20 };

struct dkim_clock {
	struct role_env *e;
	void (*moved)(struct role_env *e, struct str name, const char *state);
	struct dns dns;
	int64_t next;
	bool busy;
};

enum rc dkim_clock_new(struct role_env *e, void (*moved)(struct role_env *e, struct str name, const char *state), struct dkim_clock **out)
{
	struct dkim_clock *c = mem_new(sizeof *c);
	if (!c)
		return RC_NOMEM;
	*c = (struct dkim_clock){ .e = e, .moved = moved, .dns = dns_asker(e->node), .next = loop_now(e->loop) + FIRST_MS };
	*out = c;
	return RC_OK;
}

void dkim_clock_free(struct dkim_clock **c)
{
	mem_free(*c);
	*c = NULL;
}

/* What no verifier would take is not published. */
static bool is_usable(struct str record)
{
	const struct dkim_key *k;
	struct why unused = { 0 };
	return dkim_key_get(record, &k, &unused) == RC_OK && k->sha256 && k->email;
}

/* By the key itself: whoever publishes may order tags otherwise, add t= or notes, and break lines. */
bool dkim_clock_same(struct str published, struct str wanted)
{
	struct tags a, b;
	struct buf x AUTO(buf_done), y AUTO(buf_done);
	struct why unused = { 0 };
	buf_init(&x, 4096);
	buf_init(&y, 4096);
	if (!is_usable(published) || tags_parse(published, &a, &unused) != RC_OK || tags_parse(wanted, &b, &unused) != RC_OK)
		return false;
	const struct str *p = tags_get(&a, "p"), *q = tags_get(&b, "p"), *k = tags_get(&a, "k"), *l = tags_get(&b, "k");
	if (!p || !q || tags_base64(*p, &x) != RC_OK || tags_base64(*q, &y) != RC_OK)
		return false;
	/* RFC 6376 3.6.1: k= is rsa when left out */
	return y.len && str_eq(buf_str(&x), buf_str(&y)) && str_eq(k ? *k : STR("rsa"), l ? *l : STR("rsa"));
}

/* One question. Nothing is added where the DNS gave no answer: then nothing is known. */
static void look_up(struct dkim_clock *c, const struct dkim_row *r, struct buf *looks)
{
	struct arena a;
	struct dns_answer answer;
	char name[400];
	bool seen = false;
	arena_init(&a, ANSWER_ROOM);
	(void)snprintf(name, sizeof name, "%.*s._domainkey.%.*s", PSTR(r->selector), PSTR(r->domain));
	dns_ask(&c->dns, DNS_TXT, str_z(name), &a, &answer);
	for (size_t i = 0; answer.status == DNS_OK && i < answer.records && !seen; i++)
		seen = dkim_clock_same(answer.record[i].data, r->record);
	if (answer.status == DNS_OK || answer.status == DNS_NODATA || answer.status == DNS_NXDOMAIN) {
		buf_u64(looks, r->id);
		buf_u8(looks, seen);
	}
	arena_done(&a);
}

static void tell_moves(struct dkim_clock *c, struct str moved, struct arena *a)
{
	struct dkim_row *rows;
	size_t n = 0;
	if (dkim_wire_get(moved, a, &rows, &n) != RC_OK)
		return;
	for (size_t i = 0; i < n; i++) {
		char name[400];
		(void)snprintf(name, sizeof name, "%.*s._domainkey.%.*s", PSTR(rows[i].selector), PSTR(rows[i].domain));
		c->moved(c->e, str_z(name), vault_dkim_state_name(rows[i].state));
	}
}

static enum rc look(struct dkim_clock *c, struct arena *a, struct buf *looks, struct why *why)
{
	struct msg_DKIM_LIST_answer list;
	struct msg_DKIM_TURN_answer turn;
	struct ipc_reply reply = { 0 }, moved = { 0 };
	struct dkim_row *rows;
	size_t n = 0;
	TRY(ipc_ask_role(c->e->node, ROLE_VAULT, MSG_DKIM_LIST, &(struct msg_DKIM_LIST){ .domain = STR("") }, &list, &reply, true, why));
	enum rc rc = dkim_wire_get(list.keys, a, &rows, &n);
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		if (rows[i].state <= VAULT_DKIM_RETIRED)
			look_up(c, &rows[i], looks);
	ipc_reply_done(&reply);
	TRY(rc);
	TRY(ipc_ask_role(c->e->node, ROLE_VAULT, MSG_DKIM_TURN, &(struct msg_DKIM_TURN){ .looks = buf_str(looks) }, &turn, &moved, true, why));
	tell_moves(c, turn.moved, a);
	ipc_reply_done(&moved);
	return RC_OK;
}

static void look_fiber(void *arg)
{
	struct dkim_clock *c = arg;
	struct arena a;
	struct buf looks;
	struct why why = { 0 };
	arena_init(&a, ROOM);
	buf_init(&looks, 196608);
	if (look(c, &a, &looks, &why) != RC_OK && !c->e->stopping)
		log_event(LEVEL_WARN, EV_DKIM_CLOCK, F("reason", why.text));
	buf_done(&looks);
	arena_done(&a);
	c->busy = false;
}

void dkim_clock_hurry(struct dkim_clock *c) { c->next = 0; }

void dkim_clock_tick(struct dkim_clock *c)
{
	int64_t now = loop_now(c->e->loop);
	int64_t every = (int64_t)c->e->config->dkim_check;
	if (c->next > now + (every > FIRST_MS ? every : FIRST_MS))
		c->next = now + every; /* the configuration has changed */
	if (c->busy || now < c->next)
		return;
	c->next = now + every;
	c->busy = fiber_start(c->e->loop, look_fiber, c, NULL) == RC_OK;
}
