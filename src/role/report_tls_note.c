#include "role/report_tls.h"

#include "base/cursor.h"
#include "base/map.h"
#include "base/mem.h"
#include "dns/rdata.h"
#include "role/report_rules.h"

enum { SUMS_MAX = 8192, ROOM = 16 << 20, POLICIES = 3, NAME_MAX_ = 300 };
static const struct str mark = STR_INIT("tls:");

/* Sessions that are equal in everything a report says of them. key: u32 day, run domain, row. */
struct sum { struct sum *next; uint64_t count; struct str key; };
struct tls_note {
	struct ledger *l;
	struct arena a;
	struct map sums;
	struct sum *first, **tail;     /* in the order they came */
};

bool report_tls_is_day(struct str name, struct str *out_domain)
{
	*out_domain = str_starts(name, mark) ? str_skip(name, mark.n) : name;
	return str_starts(name, mark);
}

static struct str day_name(struct str domain, char room[NAME_MAX_])
{
	int n = snprintf(room, NAME_MAX_, "%.*s%.*s", PSTR(mark), PSTR(str_head(domain, 253)));
	return str_of(room, n > 0 ? (size_t)n : 0);
}

enum rc report_tls_tag(struct ledger *l, struct str domain, int64_t *out)
{
	char room[NAME_MAX_];
	return ledger_tag(l, day_name(domain, room), out);
}

enum rc tls_note_new(struct ledger *l, struct tls_note **out)
{
	struct tls_note *n = mem_new(sizeof *n);
	if (!n)
		return RC_NOMEM;
	n->l = l;
	n->tail = &n->first;
	arena_init(&n->a, ROOM);
	map_init(&n->sums, SUMS_MAX);
	*out = n;
	return RC_OK;
}

static void forget(struct tls_note *n)
{
	n->first = NULL;
	n->tail = &n->first;
	map_done(&n->sums);
	map_init(&n->sums, SUMS_MAX);
	arena_done(&n->a);
	arena_init(&n->a, ROOM);
}

void tls_note_free(struct tls_note **n)
{
	if (!*n)
		return;
	forget(*n);
	map_done(&(*n)->sums);
	mem_free(*n);
	*n = NULL;
}

static bool printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e)
			return false;
	return true;
}

static enum rc check(const struct msg_TLS_RESULT *m, struct why *why)
{
	struct cursor c = cursor_of(m->policy_strings);
	while (c.in.n && !c.failed)
		(void)cursor_run(&c, c.in.n);
	bool ok = !c.failed && m->policy < POLICIES && dns_name_ok(m->domain) && printable(m->domain) && printable(m->mx) && printable(m->mx_ip) && printable(m->local_ip) &&
	          printable(m->result) && m->at_ms < (uint64_t)INT64_MAX;
	if (!ok)
		FAIL(why, RC_SYNTAX, "TLS_RESULT: a value out of range");
	return RC_OK;
}

static void put_lower(struct buf *b, struct str s)
{
	size_t start;
	buf_run(b, s);
	start = b->len - s.n;
	for (size_t i = start; !b->failed && i < b->len; i++)
		b->p[i] = ascii_lower(b->p[i]);
}

static void put_row(struct buf *b, const struct msg_TLS_RESULT *m)
{
	buf_u8(b, m->policy);
	buf_run(b, m->policy_strings);
	put_lower(b, m->mx);
	buf_run(b, m->mx_ip);
	buf_run(b, m->local_ip);
	buf_run(b, m->result);
	buf_run(b, m->reason);
}

static enum rc add(struct tls_note *n, struct str key)
{
	struct sum *s = map_get(&n->sums, key);
	if (s)
		return s->count++, RC_OK;
	s = arena_new(&n->a, sizeof *s);
	struct str kept = arena_str(&n->a, key);
	if (!s || n->a.full)
		return RC_NOMEM;
	*s = (struct sum){ .count = 1, .key = kept };
	TRY(map_put(&n->sums, kept, s));
	*n->tail = s;
	n->tail = &s->next;
	return RC_OK;
}

enum rc tls_note_take(struct tls_note *n, const struct msg_TLS_RESULT *m, struct why *why)
{
	struct buf key AUTO(buf_done) = { 0 };
	TRY(check(m, why));
	buf_init(&key, 8192);
	buf_u32(&key, day_of_ms((int64_t)m->at_ms));
	put_lower(&key, m->domain.p[m->domain.n - 1] == '.' ? str_head(m->domain, m->domain.n - 1) : m->domain);
	put_row(&key, m);
	if (key.failed)
		FAIL(why, RC_LIMIT, "TLS_RESULT: too long to be kept");
	if (n->sums.n >= SUMS_MAX - 1 || n->a.used > ROOM / 2)
		TRY(tls_note_flush(n, why));
	return add(n, buf_str(&key));
}

/* Who and where go; policy and kind of result stay. */
static struct str without_details(struct str row, struct buf *b)
{
	struct cursor c = cursor_of(row);
	struct msg_TLS_RESULT m = { .policy = cursor_u8(&c), .policy_strings = cursor_run(&c, c.in.n) };
	for (int i = 0; i < 3; i++)
		(void)cursor_run(&c, c.in.n);
	m.result = cursor_run(&c, c.in.n);
	put_row(b, &m);
	return buf_str(b);
}

/* The day that the row before was of: rows of one domain come in runs. */
struct writing { uint32_t day; int64_t tag; uint64_t rows; };

static enum rc begin_day(struct tls_note *n, struct writing *w, uint32_t day, struct str domain, struct why *why)
{
	char room[NAME_MAX_];
	int64_t tag;
	TRY(report_tls_tag(n->l, domain, &tag));
	if (w->tag == tag && w->day == day)
		return RC_OK;
	*w = (struct writing){ .day = day, .tag = tag };
	TRY(ledger_observed(n->l, day, tag, &w->rows, why));
	/* Each time: a day that was reported as over is so no more. */
	return ledger_observe_day(n->l, day, day_name(domain, room), STR(""), why);
}

static enum rc write_one(struct tls_note *n, struct writing *w, const struct sum *s, struct why *why)
{
	struct cursor c = cursor_of(s->key);
	uint32_t day = cursor_u32(&c);
	struct buf short_row AUTO(buf_done);
	buf_init(&short_row, 8192);
	TRY(begin_day(n, w, day, cursor_run(&c, c.in.n), why));
	return ledger_observe(n->l, day, w->tag, s->count, w->rows++ < REPORT_TLS_ROWS ? c.in : without_details(c.in, &short_row), why);
}

enum rc tls_note_flush(struct tls_note *n, struct why *why)
{
	struct writing w = { 0 };
	enum rc rc = RC_OK;
	for (const struct sum *s = n->first; s && rc == RC_OK; s = s->next)
		rc = write_one(n, &w, s, why);
	if (n->first)
		forget(n);
	return rc;
}
