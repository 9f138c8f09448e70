#include "role/report_note.h"

#include "base/cursor.h"
#include "base/mem.h"
#include "role/report_rules.h"

enum { GROUPS_MAX = 4096, ROWS_MAX = 8192, ROOM = 24 << 20, DAYS_MAX = 50000, ABOUT_MAX = 16384 };

struct group {                         /* a domain's day in this flush, under one published policy */
	struct group *next;
	uint32_t day;
	int64_t tag;
	struct str domain, about;
	struct report_sum sum;
};
struct known_day {                     /* what the ledger has of it */
	uint32_t day;
	uint64_t rows;
	uint8_t about[HASH_LEN];
	bool told;
};
struct report_note {
	struct ledger *l;
	struct arena a;
	struct map groups, days;
	struct group *first;
	size_t rows;                   /* taken since the last flush, at most */
};

enum rc report_note_new(struct ledger *l, struct report_note **out)
{
	struct report_note *n = mem_new(sizeof *n);
	if (!n)
		return RC_NOMEM;
	n->l = l;
	arena_init(&n->a, ROOM);
	map_init(&n->groups, GROUPS_MAX);
	map_init(&n->days, DAYS_MAX);
	*out = n;
	return RC_OK;
}

static void forget_groups(struct report_note *n)
{
	for (struct group *g = n->first; g; g = g->next)
		report_sum_done(&g->sum);
	n->first = NULL;
	n->rows = 0;
	map_done(&n->groups);
	map_init(&n->groups, GROUPS_MAX);
	arena_done(&n->a);
	arena_init(&n->a, ROOM);
}

static void forget_days(struct report_note *n)
{
	size_t at = 0;
	for (struct known_day *k; (k = map_next(&n->days, &at));)
		mem_free(k);
	map_done(&n->days);
	map_init(&n->days, DAYS_MAX);
}

void report_note_free(struct report_note **n)
{
	if (!*n)
		return;
	forget_groups(*n);
	forget_days(*n);
	arena_done(&(*n)->a);
	map_done(&(*n)->groups);
	map_done(&(*n)->days);
	mem_free(*n);
	*n = NULL;
}

void report_about_put(const struct report_aggregate *about, struct str rua, struct buf *out)
{
	struct report r = { .kind = REPORT_DMARC, .dmarc = *about };
	r.dmarc.row = NULL;
	r.dmarc.rows = 0;
	buf_run(out, rua);
	report_pack(&r, out);
}

enum rc report_about_get(struct str in, struct arena *a, struct report_aggregate *out, struct str *out_rua, struct why *why)
{
	struct cursor c = cursor_of(in);
	struct report r;
	*out_rua = cursor_run(&c, ABOUT_MAX);
	if (c.failed)
		FAIL(why, RC_DAMAGED, "what is known of a domain's policy is cut short");
	TRY(report_unpack(c.in, a, &r, why));
	*out = r.dmarc;
	return RC_OK;
}

/* The day's entry in memory; the first time the ledger is asked how many rows there are. */
static enum rc day_of(struct report_note *n, uint32_t day, int64_t tag, struct known_day **out, struct why *why)
{
	uint64_t key = (uint64_t)tag * 0x9e3779b97f4a7c15u ^ day;
	struct known_day *k = map_get_u64(&n->days, key);
	if (k && k->day == day)
		return *out = k, RC_OK;
	if (n->days.n >= DAYS_MAX - 1)
		forget_days(n);
	if (!(k = mem_new(sizeof *k)))
		return RC_NOMEM;
	k->day = day;
	enum rc rc = ledger_observed(n->l, day, tag, &k->rows, why);
	struct known_day *old = map_drop_u64(&n->days, key);
	mem_free(old);
	if (rc == RC_OK)
		rc = map_put_u64(&n->days, key, k);
	if (rc != RC_OK)
		mem_free(k);
	else
		*out = k;
	return rc;
}

static enum rc group_of(struct report_note *n, uint32_t day, struct str domain, struct str about, struct group **out, struct why *why)
{
	struct buf key AUTO(buf_done);
	struct known_day *k;
	buf_init(&key, ABOUT_MAX);
	buf_u32(&key, day);
	buf_run(&key, domain);
	buf_run(&key, about);
	if (key.failed)
		FAIL(why, RC_LIMIT, "a published policy is too long to be reported");
	if ((*out = map_get(&n->groups, buf_str(&key))))
		return RC_OK;
	struct group *g = arena_new(&n->a, sizeof *g);
	struct str kept = arena_str(&n->a, buf_str(&key));
	if (!g || kept.n != key.len)
		return RC_NOMEM;
	*g = (struct group){ .day = day, .domain = str_of(kept.p + 8, domain.n), .about = str_skip(kept, 12 + domain.n) };
	TRY(ledger_tag(n->l, domain, &g->tag));
	TRY(day_of(n, day, g->tag, &k, why));
	report_sum_init(&g->sum, &n->a, k->rows < REPORT_SUM_ROWS ? REPORT_SUM_ROWS - (size_t)k->rows : 0);
	TRY(map_put(&n->groups, kept, g));
	g->next = n->first;
	n->first = g;
	*out = g;
	return RC_OK;
}

static enum rc take(struct report_note *n, uint32_t day, struct str domain, struct str about, const struct report_row *row, struct why *why)
{
	struct group *g = NULL;
	TRY(group_of(n, day, domain, about, &g, why));
	n->rows++;
	return report_sum_add(&g->sum, row);
}

enum rc report_note_take(struct report_note *n, int64_t at_ms, const struct report_aggregate *about, struct str rua, const struct report_row *row, struct why *why)
{
	struct buf packed AUTO(buf_done);
	struct report_aggregate dated = *about;
	buf_init(&packed, ABOUT_MAX);
	dated.begin_s = dated.end_s = (int64_t)day_of_ms(at_ms) * 86400;
	report_about_put(&dated, rua, &packed);
	if (packed.failed)
		FAIL(why, RC_LIMIT, "a published policy is too long to be reported");
	if (n->rows >= ROWS_MAX || n->groups.n >= GROUPS_MAX - 1 || n->a.used > ROOM / 2)
		TRY(report_note_flush(n, why));
	return take(n, day_of_ms(at_ms), about->domain, buf_str(&packed), row, why);
}

static enum rc write_rows(struct report_note *n, struct group *g, struct known_day *k, struct why *why)
{
	struct arena a AUTO(arena_done);
	struct report_row *rows;
	size_t count = 0;
	struct buf key AUTO(buf_done);
	arena_init(&a, 64 << 20);
	buf_init(&key, LEDGER_RUN_MAX);
	TRY(report_sum_rows(&g->sum, &a, &rows, &count));
	for (size_t i = 0; i < count; i++) {
		buf_clear(&key);
		report_row_key(&rows[i], &key);
		if (key.failed)
			FAIL(why, RC_LIMIT, "a row of a report is too long");
		TRY(ledger_observe(n->l, g->day, g->tag, rows[i].count, buf_str(&key), why));
		k->rows++;
	}
	return RC_OK;
}

static enum rc write_group(struct report_note *n, struct group *g, struct why *why)
{
	struct known_day *k;
	uint8_t h[HASH_LEN];
	TRY(day_of(n, g->day, g->tag, &k, why));
	TRY(sha256(g->about, h));
	if (!k->told || memcmp(k->about, h, HASH_LEN) != 0) {
		TRY(ledger_observe_day(n->l, g->day, g->domain, g->about, why));
		memcpy(k->about, h, HASH_LEN);
		k->told = true;
	}
	return write_rows(n, g, k, why);
}

enum rc report_note_flush(struct report_note *n, struct why *why)
{
	enum rc rc = RC_OK;
	if (!n->first)
		return RC_OK;
	for (struct group *g = n->first; g && rc == RC_OK; g = g->next)
		rc = write_group(n, g, why);
	forget_groups(n);
	return rc;
}
