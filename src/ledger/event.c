#include "ledger/internal.h"

#include "base/cursor.h"
#include "base/mem.h"
#include "ledger/pack.h"
#include "ledger/report.h"

enum { EVENT_TEXTS = 7, EVENT_TEXTS_1 = 6, MID_MAX = 64, KIND_MAX = 32, ADDRESS_MAX = 1024 };

/* The keyed hash that stands for an address in the index: lower case, HMAC, 63 bits of it. 0 for none. */
enum rc ledger_tag(struct ledger *l, struct str address, int64_t *out)
{
	char low[ADDRESS_MAX];
	uint8_t h[HASH_LEN];
	uint32_t sum = 2166136261u; /* FNV-1a: which slot, nothing more */
	*out = 0;
	if (address.n == 0)
		return RC_OK;
	if (address.n > sizeof low)
		return RC_LIMIT;
	for (size_t i = 0; i < address.n; i++) {
		low[i] = ascii_lower(address.p[i]);
		sum = (sum ^ (unsigned char)low[i]) * 16777619u;
	}
	struct tag *known = &l->tags[(sum ^ sum >> 16) % TAGS];
	if (known->n == address.n && memcmp(known->text, low, known->n) == 0) {
		*out = known->tag;
		return RC_OK;
	}
	TRY(hmac_sha256(l->tag_key, str_of(low, address.n), h));
	uint64_t v = 0;
	for (unsigned i = 0; i < 8; i++)
		v = v << 8 | h[i];
	*out = (int64_t)(v >> 1 | 1);
	if (address.n <= TAG_TEXT_MAX) {
		memcpy(known->text, low, address.n);
		known->n = (unsigned char)address.n;
		known->tag = *out;
	}
	return RC_OK;
}

/* The clear columns: what the seal is bound to. */
struct clear { int64_t at_ms; struct str kind, mid; uint64_t size, account; int64_t sender, recipient, batch, place; };
static void aad_of(const struct clear *c, struct buf *out)
{
	buf_add(out, STR("event"));
	buf_u64(out, (uint64_t)c->at_ms);
	buf_run(out, c->kind);
	buf_run(out, c->mid);
	buf_u64(out, c->size);
	buf_u64(out, c->account);
	buf_u64(out, (uint64_t)c->sender);
	buf_u64(out, (uint64_t)c->recipient);
	buf_u64(out, (uint64_t)c->batch);
	buf_u64(out, (uint64_t)c->place);
}

static enum rc insert(struct ledger *l, const struct clear *c, struct str sealed, struct why *why)
{
	sqlite3_stmt *s = sql(l, SQL_EVENT_ADD);
	sqlite3_bind_int64(s, 1, c->at_ms);
	bind_str(s, 2, c->kind);
	bind_str(s, 3, c->mid);
	sqlite3_bind_int64(s, 4, (int64_t)c->size);
	sqlite3_bind_int64(s, 5, (int64_t)c->account);
	sqlite3_bind_int64(s, 6, c->sender);
	sqlite3_bind_int64(s, 7, c->recipient);
	sqlite3_bind_int64(s, 8, c->batch);
	sqlite3_bind_int64(s, 9, c->place);
	bind_blob(s, 10, sealed);
	sqlite3_bind_int64(s, 11, l->next_event);
	TRY(sql_done(l, s, why));
	l->next_event++;
	return RC_OK;
}

/* The next of an event's further recipients. RC_NOTFOUND: that was the last. */
static enum rc next_of(struct cursor *more, struct str *out, uint64_t *out_account)
{
	if (!more->in.n)
		return RC_NOTFOUND;
	*out = cursor_run(more, ADDRESS_MAX);
	*out_account = cursor_u64(more);
	return more->failed ? RC_SYNTAX : RC_OK;
}

/* A line for each further recipient, by which it is found. They come before their event: where that is not written after all, the lines lead to
 * nothing, or to a later event with this id in which the recipient is not named. A savepoint would copy each page that a line lies on. */
static enum rc insert_more(struct ledger *l, struct str more, struct why *why)
{
	struct cursor c = cursor_of(more);
	int64_t tag;
	struct str recipient;
	uint64_t account;
	enum rc rc;
	while ((rc = next_of(&c, &recipient, &account)) == RC_OK) {
		TRY(ledger_tag(l, recipient, &tag));
		sqlite3_stmt *s = sql(l, SQL_EVENT_MORE_ADD);
		sqlite3_bind_int64(s, 1, tag);
		sqlite3_bind_int64(s, 2, l->next_event);
		TRY(sql_done(l, s, why));
	}
	if (rc != RC_NOTFOUND)
		FAIL(why, rc, "ledger: an event's recipients are cut short");
	return RC_OK;
}

enum rc ledger_event(struct ledger *l, const struct ledger_event *e, struct why *why)
{
	struct buf aad AUTO(buf_done), plain AUTO(buf_wipe), sealed AUTO(buf_done);
	buf_init(&aad, 512);
	buf_init(&plain, LEDGER_TEXT_MAX + 64);
	buf_init(&sealed, LEDGER_TEXT_MAX + 128);
	struct clear c = { e->at_ms, e->kind, e->mid, e->size, e->account, 0, 0, 0, 0 };
	if (e->kind.n > KIND_MAX || e->mid.n > MID_MAX || e->sender.n > ADDRESS_MAX || e->recipient.n > ADDRESS_MAX)
		FAIL(why, RC_LIMIT, "ledger: an event's field is too long");
	const struct str texts[EVENT_TEXTS] = { e->sender, e->recipient, e->client_ip, e->helo, e->tls, e->reason, e->more };
	TRY(pack(texts, EVENT_TEXTS, &plain, why));
	TRY(ledger_tag(l, e->sender, &c.sender));
	TRY(ledger_tag(l, e->recipient, &c.recipient));
	TRY(batch_write(l, why));
	c.batch = l->writing.id;
	c.place = (int64_t)l->writing.next;
	aad_of(&c, &aad);
	if (aad.failed)
		return RC_NOMEM;
	TRY(row_seal(l, buf_str(&aad), buf_str(&plain), &sealed));
	TRY(insert_more(l, e->more, why));
	TRY(insert(l, &c, buf_str(&sealed), why));
	return ++l->pending >= PENDING_MAX ? ledger_flush(l, why) : RC_OK;
}

/* One row -> an event whose texts lie in `plain`. */
static enum rc open_row(struct ledger *l, sqlite3_stmt *s, struct buf *plain, struct ledger_event *out, struct why *why)
{
	struct clear c = { sqlite3_column_int64(s, 1), column_run(s, 2), column_run(s, 3), (uint64_t)sqlite3_column_int64(s, 4),
		           (uint64_t)sqlite3_column_int64(s, 5), sqlite3_column_int64(s, 6), sqlite3_column_int64(s, 7),
		           sqlite3_column_int64(s, 8), sqlite3_column_int64(s, 9) };
	struct buf aad AUTO(buf_done);
	struct str texts[EVENT_TEXTS] = { STR("") };
	long long id = sqlite3_column_int64(s, 0);
	buf_init(&aad, 512);
	aad_of(&c, &aad);
	TRY(batch_read(l, c.batch, why));
	enum rc rc = aad.failed ? RC_DAMAGED : row_open(l, (uint64_t)c.place, buf_str(&aad), column_run(s, 10), plain);
	if (rc == RC_OK && !unpack(buf_str(plain), texts, EVENT_TEXTS)) { /* one written before version 3 has no further recipients */
		texts[EVENT_TEXTS_1] = STR("");
		rc = unpack(buf_str(plain), texts, EVENT_TEXTS_1) ? RC_OK : RC_DAMAGED;
	}
	if (rc == RC_DAMAGED)
		FAIL(why, rc, "ledger: event %lld is damaged", id);
	TRY(rc);
	*out = (struct ledger_event){ c.at_ms, c.mid, c.kind, texts[0], texts[1], texts[2], texts[3], texts[4], texts[5], c.size, c.account, texts[6] };
	return RC_OK;
}

/* Two addresses may share a hash, and with an address the short id is a filter of ours. */
static bool is_meant(const struct ledger_filter *f, const struct ledger_event *e)
{
	return (!f->address.n || str_ieq(e->sender, f->address) || str_ieq(e->recipient, f->address)) && (!f->mid.n || str_eq(e->mid, f->mid));
}

/* Each row that may be meant, from number `first` on, forward or back, until `row` answers false. */
struct walk { const struct ledger_filter *f; int64_t first; bool back; bool (*row)(void *arg, int64_t id, struct ledger_event *e); void *arg; };
static enum rc walk_rows(struct ledger *l, const struct walk *w, struct why *why)
{
	static const enum sql queries[2][3] = { { SQL_EVENTS_ALL, SQL_EVENTS_MID, SQL_EVENTS_ADDRESS }, { SQL_EVENTS_BACK_ALL, SQL_EVENTS_BACK_MID, SQL_EVENTS_BACK_ADDRESS } };
	struct buf plain AUTO(buf_wipe);
	int64_t tag = 0;
	buf_init(&plain, LEDGER_TEXT_MAX + 128);
	TRY(ledger_tag(l, w->f->address, &tag));
	sqlite3_stmt *s = sql(l, queries[w->back][w->f->address.n ? 2 : w->f->mid.n ? 1 : 0]);
	sqlite3_bind_int64(s, 1, w->f->since_ms);
	sqlite3_bind_int64(s, 3, w->first);
	if (w->f->address.n)
		sqlite3_bind_int64(s, 2, tag);
	else if (w->f->mid.n)
		bind_str(s, 2, w->f->mid);
	enum rc rc = RC_OK;
	int step;
	while ((step = sqlite3_step(s)) == SQLITE_ROW) {
		struct ledger_event e;
		rc = open_row(l, s, &plain, &e, why);
		if (rc != RC_OK || !w->row(w->arg, sqlite3_column_int64(s, 0), &e))
			break;
	}
	if (rc == RC_OK && step != SQLITE_ROW && step != SQLITE_DONE)
		rc = sql_fail(l, step, SQL_AT, why);
	sqlite3_reset(s);
	return rc;
}

/* Back from the newest: in which row the `max`th event is, and how many there are from that row on. */
struct counting { const struct ledger_filter *f; uint64_t max, n; int64_t first; };
static bool count_row(void *arg, int64_t id, struct ledger_event *e)
{
	struct counting *c = arg;
	struct cursor more = cursor_of(e->more);
	do
		c->n += is_meant(c->f, e);
	while (next_of(&more, &e->recipient, &e->account) == RC_OK);
	c->first = id;
	return c->n < c->max;
}

struct hearing { const struct ledger_filter *f; bool (*each)(void *arg, const struct ledger_event *e); void *arg; uint64_t skip, left; };
static bool give_row(void *arg, int64_t id, struct ledger_event *e)
{
	struct hearing *h = arg;
	struct cursor more = cursor_of(e->more);
	(void)id;
	e->more = STR("");
	do {
		if (!is_meant(h->f, e) || (h->skip && h->skip--))
			continue;
		h->left--;
		if (!h->each(h->arg, e) || !h->left)
			return false;
	} while (next_of(&more, &e->recipient, &e->account) == RC_OK);
	return true;
}

enum rc ledger_events(struct ledger *l, const struct ledger_filter *f, bool (*each)(void *arg, const struct ledger_event *e), void *arg,
                      struct why *why)
{
	struct counting c = { .f = f, .max = f->max ? f->max : 1000 };
	TRY(walk_rows(l, &(struct walk){ .f = f, .first = INT64_MIN, .back = true, .row = count_row, .arg = &c }, why));
	if (!c.n)
		return RC_OK;
	struct hearing h = { f, each, arg, c.n > c.max ? c.n - c.max : 0, c.max };
	return walk_rows(l, &(struct walk){ .f = f, .first = c.first, .row = give_row, .arg = &h }, why);
}

/* Can each further recipient of this row be found? */
static enum rc check_more(struct ledger *l, long long id, struct str more, struct why *why)
{
	struct cursor c = cursor_of(more);
	struct str recipient;
	uint64_t account;
	int64_t tag;
	enum rc rc;
	while ((rc = next_of(&c, &recipient, &account)) == RC_OK) {
		TRY(ledger_tag(l, recipient, &tag));
		sqlite3_stmt *s = sql(l, SQL_EVENT_MORE_HAS);
		sqlite3_bind_int64(s, 1, tag);
		sqlite3_bind_int64(s, 2, id);
		int step = sqlite3_step(s);
		sqlite3_reset(s);
		if (step != SQLITE_ROW && step != SQLITE_DONE)
			return sql_fail(l, step, SQL_AT, why);
		if (step == SQLITE_DONE)
			FAIL(why, RC_DAMAGED, "ledger: event %lld is damaged: a recipient's line is missing", id);
	}
	if (rc != RC_NOTFOUND)
		FAIL(why, RC_DAMAGED, "ledger: event %lld is damaged", id);
	return RC_OK;
}

enum rc ledger_events_verify(struct ledger *l, struct why *why)
{
	sqlite3_stmt *s = sql(l, SQL_EVENTS_ALL);
	struct buf plain AUTO(buf_wipe);
	buf_init(&plain, LEDGER_TEXT_MAX + 128);
	sqlite3_bind_int64(s, 1, INT64_MIN);
	sqlite3_bind_int64(s, 3, INT64_MIN);
	enum rc rc = RC_OK;
	int step = SQLITE_DONE;
	while (rc == RC_OK && (step = sqlite3_step(s)) == SQLITE_ROW) {
		struct ledger_event e;
		rc = open_row(l, s, &plain, &e, why);
		if (rc == RC_OK)
			rc = check_more(l, sqlite3_column_int64(s, 0), e.more, why);
	}
	if (rc == RC_OK && step != SQLITE_DONE)
		rc = sql_fail(l, step, SQL_AT, why);
	sqlite3_reset(s);
	return rc;
}
