#include "ledger/report_rows.h"

/* What others reported to us. */

static enum rc put_rows(struct ledger *l, int64_t id, const struct ledger_report *r, const struct ledger_report_row *rows, size_t n, struct why *why)
{
	for (size_t i = 0; i < n; i++) {
		int64_t clear[] = { id, r->kind, r->verified, 0, rows[i].day, (int64_t)rows[i].count, rows[i].facts };
		TRY(ledger_tag(l, rows[i].domain, &clear[3]));
		TRY(report_insert(l, SQL_REPORT_ROW_ADD, &report_tables[REPORT_ROW], clear, &rows[i].row, why));
	}
	return RC_OK;
}

static enum rc put_report(struct ledger *l, const struct ledger_report *r, int64_t same, const struct ledger_report_row *rows, size_t n, struct why *why)
{
	const struct str texts[] = { r->domain, r->head };
	int64_t clear[] = { r->kind, r->verified, 0, same, r->at_ms, r->begin_s, r->end_s };
	TRY(ledger_tag(l, r->domain, &clear[2]));
	TRY(report_insert(l, SQL_REPORT_ADD, &report_tables[REPORT_IN], clear, texts, why));
	return put_rows(l, sqlite3_last_insert_rowid(l->db), r, rows, n, why);
}

static enum rc is_there(struct ledger *l, int64_t same, struct why *why)
{
	sqlite3_stmt *s = sql(l, SQL_REPORT_SAME);
	sqlite3_bind_int64(s, 1, same);
	int e = sqlite3_step(s);
	sqlite3_reset(s);
	if (e == SQLITE_ROW)
		FAIL(why, RC_EXISTS, "that report has come before");
	return e == SQLITE_DONE ? RC_OK : sql_fail(l, e, SQL_AT, why);
}

enum rc ledger_report_add(struct ledger *l, const struct ledger_report *r, const struct ledger_report_row *rows, size_t n, struct why *why)
{
	int64_t same;
	TRY(ledger_tag(l, r->unique, &same));
	TRY(is_there(l, same, why));
	TRY(batch_write(l, why)); /* before the savepoint: a batch's salt stays whatever becomes of this report */
	TRY(sql_done(l, sql(l, SQL_SAVEPOINT), why));
	return savepoint_end(l, put_report(l, r, same, rows, n, why), why);
}

struct reading { bool (*each)(void *arg, const struct ledger_report *r); void *arg; };
static bool give_report(void *arg, sqlite3_stmt *s, const int64_t *clear, const struct str *texts)
{
	struct reading *g = arg;
	struct ledger_report r = { .id = sqlite3_column_int64(s, 0), .kind = (uint32_t)clear[0], .verified = clear[1] != 0, .at_ms = clear[4], .begin_s = clear[5],
		.end_s = clear[6], .domain = texts[0], .unique = STR(""), .head = texts[1] };
	return g->each(g->arg, &r);
}

static void bind_query(sqlite3_stmt *s, const struct ledger_reports *q, int64_t from, int64_t to)
{
	report_bind(s, 1, (const int64_t[]){ q->kind, q->domain, from, to, q->after, q->unverified ? 0 : 1, q->max }, 7);
}

enum rc ledger_reports(struct ledger *l, const struct ledger_reports *q, bool (*each)(void *arg, const struct ledger_report *r), void *arg, struct why *why)
{
	struct reading g = { each, arg };
	sqlite3_stmt *s = sql(l, SQL_REPORTS);
	bind_query(s, q, q->since_s, q->until_s);
	return report_each(l, s, &report_tables[REPORT_IN], give_report, &g, why);
}

struct rows { bool (*each)(void *arg, const struct ledger_report_row *r); void *arg; };
static bool give_row(void *arg, sqlite3_stmt *s, const int64_t *clear, const struct str *texts)
{
	struct rows *g = arg;
	struct ledger_report_row r = { .id = sqlite3_column_int64(s, 0), .report = clear[0], .day = (uint32_t)clear[4], .count = (uint64_t)clear[5],
		.facts = (uint32_t)clear[6], .domain = STR(""), .row = texts[0] };
	return g->each(g->arg, &r);
}

enum rc ledger_report_rows(struct ledger *l, const struct ledger_reports *q, bool (*each)(void *arg, const struct ledger_report_row *r), void *arg, struct why *why)
{
	struct rows g = { each, arg };
	sqlite3_stmt *s = sql(l, SQL_REPORT_ROWS);
	bind_query(s, q, q->since_s / 86400, (q->until_s + 86399) / 86400);
	return report_each(l, s, &report_tables[REPORT_ROW], give_row, &g, why);
}

enum rc ledger_reports_expire(struct ledger *l, uint32_t before, unsigned max, bool *out_more, struct why *why)
{
	static const enum sql which[] = { SQL_EXPIRE_DAY, SQL_EXPIRE_OBSERVATION, SQL_EXPIRE_SENT, SQL_EXPIRE_REPORT, SQL_EXPIRE_ROW };
	*out_more = false;
	for (size_t i = 0; i < sizeof which / sizeof *which; i++) {
		int64_t limit = which[i] == SQL_EXPIRE_REPORT ? (int64_t)before * 86400 : before;
		TRY(batch_write(l, why));
		sqlite3_stmt *s = sql(l, which[i]);
		report_bind(s, 1, (const int64_t[]){ limit, max }, 2);
		TRY(sql_done(l, s, why));
		*out_more = *out_more || sqlite3_changes(l->db) >= (int)max;
	}
	return RC_OK;
}
