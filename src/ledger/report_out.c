#include "ledger/report_rows.h"

/* What we saw, and which report about it went where. */

enum rc ledger_observe_day(struct ledger *l, uint32_t day, struct str domain, struct str about, struct why *why)
{
	const struct str texts[] = { domain, about };
	int64_t clear[] = { day, 0 };
	TRY(ledger_tag(l, domain, &clear[1]));
	return report_insert(l, SQL_REPORT_DAY_PUT, &report_tables[REPORT_DAY], clear, texts, why);
}

enum rc ledger_observe(struct ledger *l, uint32_t day, int64_t domain, uint64_t count, struct str row, struct why *why)
{
	const int64_t clear[] = { day, domain, (int64_t)count };
	return report_insert(l, SQL_OBSERVATION_ADD, &report_tables[REPORT_OBSERVATION], clear, &row, why);
}

static enum rc one_number(struct ledger *l, sqlite3_stmt *s, int64_t *out, struct why *why)
{
	int e = sqlite3_step(s);
	enum rc rc = e == SQLITE_ROW ? RC_OK : e == SQLITE_DONE ? RC_NOTFOUND : sql_fail(l, e, SQL_AT, why);
	if (rc == RC_OK)
		*out = sqlite3_column_int64(s, 0);
	sqlite3_reset(s);
	return rc;
}

enum rc ledger_observed(struct ledger *l, uint32_t day, int64_t domain, uint64_t *out_rows, struct why *why)
{
	sqlite3_stmt *s = sql(l, SQL_OBSERVATIONS_COUNT);
	int64_t n = 0;
	report_bind(s, 1, (const int64_t[]){ day, domain }, 2);
	TRY(one_number(l, s, &n, why));
	*out_rows = (uint64_t)n;
	return RC_OK;
}

struct seeing { bool (*each)(void *arg, const struct ledger_observation *o); void *arg; };
static bool see(void *arg, sqlite3_stmt *s, const int64_t *clear, const struct str *texts)
{
	struct seeing *g = arg;
	return g->each(g->arg, &(struct ledger_observation){ sqlite3_column_int64(s, 0), (uint64_t)clear[2], texts[0] });
}

enum rc ledger_observations(struct ledger *l, const struct ledger_span *p, bool (*each)(void *arg, const struct ledger_observation *o), void *arg, struct why *why)
{
	struct seeing g = { each, arg };
	sqlite3_stmt *s = sql(l, SQL_OBSERVATIONS);
	report_bind(s, 1, (const int64_t[]){ p->day, p->domain, p->after, p->upto, p->max }, 5);
	return report_each(l, s, &report_tables[REPORT_OBSERVATION], see, &g, why);
}

/* ---- days ---- */

struct giving { bool (*each)(void *arg, const struct ledger_report_day *d); void *arg; };
static bool give(void *arg, sqlite3_stmt *s, const int64_t *clear, const struct str *texts)
{
	struct giving *g = arg;
	struct ledger_report_day d = { .id = sqlite3_column_int64(s, 0), .day = (uint32_t)clear[0], .domain = clear[1], .upto = sqlite3_column_int64(s, 6),
		.target = sqlite3_column_int64(s, 7), .since_ms = sqlite3_column_int64(s, 8), .done = sqlite3_column_int64(s, 9) != 0,
		.last = sqlite3_column_int64(s, 10), .name = texts[0], .about = texts[1] };
	return g->each(g->arg, &d);
}

enum rc ledger_report_days(struct ledger *l, const struct ledger_days *q, bool (*each)(void *arg, const struct ledger_report_day *d), void *arg, struct why *why)
{
	struct giving g = { each, arg };
	sqlite3_stmt *s = sql(l, q->done_too ? SQL_REPORT_DAYS_ALL : SQL_REPORT_DAYS);
	report_bind(s, 1, (const int64_t[]){ q->first, q->end, q->domain, q->after, q->max }, 5);
	return report_each(l, s, &report_tables[REPORT_DAY], give, &g, why);
}

enum rc ledger_report_day_set(struct ledger *l, const struct ledger_report_day *d, struct why *why)
{
	TRY(batch_write(l, why)); /* a transaction that the next flush ends */
	sqlite3_stmt *s = sql(l, SQL_REPORT_DAY_SET);
	report_bind(s, 1, (const int64_t[]){ d->id, d->upto, d->target, d->since_ms, d->done }, 5);
	TRY(sql_done(l, s, why));
	l->pending++;
	return RC_OK;
}

/* ---- sent ---- */

enum rc ledger_sent_put(struct ledger *l, const struct ledger_sent *w, struct why *why)
{
	const struct str texts[] = { w->name, w->receiver, w->id, w->text };
	int64_t clear[] = { w->day, w->domain, w->part, 0, w->state, w->at_ms };
	TRY(ledger_tag(l, w->receiver, &clear[3]));
	return report_insert(l, SQL_REPORT_SENT_PUT, &report_tables[REPORT_SENT], clear, texts, why);
}

enum rc ledger_sent_state(struct ledger *l, uint32_t day, int64_t domain, int64_t part, struct str receiver, enum ledger_sent_state *out_state,
                          int64_t *out_at_ms, struct why *why)
{
	int64_t tag;
	TRY(ledger_tag(l, receiver, &tag));
	sqlite3_stmt *s = sql(l, SQL_REPORT_SENT_GET);
	report_bind(s, 1, (const int64_t[]){ day, domain, part, tag }, 4);
	int e = sqlite3_step(s);
	if (e == SQLITE_ROW) {
		*out_state = (enum ledger_sent_state)sqlite3_column_int64(s, 0);
		*out_at_ms = sqlite3_column_int64(s, 1);
	}
	enum rc rc = e == SQLITE_ROW ? RC_OK : e == SQLITE_DONE ? RC_NOTFOUND : sql_fail(l, e, SQL_AT, why);
	sqlite3_reset(s);
	return rc;
}

struct listing { bool (*each)(void *arg, const struct ledger_sent *s); void *arg; };
static bool list(void *arg, sqlite3_stmt *s, const int64_t *clear, const struct str *texts)
{
	struct listing *g = arg;
	(void)s;
	struct ledger_sent w = { .day = (uint32_t)clear[0], .domain = clear[1], .part = clear[2], .state = (enum ledger_sent_state)clear[4], .at_ms = clear[5],
		.name = texts[0], .receiver = texts[1], .id = texts[2], .text = texts[3] };
	return g->each(g->arg, &w);
}

enum rc ledger_sent_list(struct ledger *l, const struct ledger_days *q, bool (*each)(void *arg, const struct ledger_sent *s), void *arg, struct why *why)
{
	struct listing g = { each, arg };
	sqlite3_stmt *s = sql(l, SQL_REPORTS_SENT);
	report_bind(s, 1, (const int64_t[]){ q->first, q->end, q->domain, q->max }, 4);
	return report_each(l, s, &report_tables[REPORT_SENT], list, &g, why);
}
