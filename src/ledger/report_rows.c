#include "ledger/report_rows.h"

#include "base/cursor.h"
#include "ledger/pack.h"

enum { ROW_MAX = LEDGER_TEXT_MAX + 128, AAD_MAX = 256 };

static bool put_aad(const struct report_table *t, const int64_t *clear, const struct report_place *p, struct buf *out)
{
	buf_add(out, str_z(t->name));
	for (size_t i = 0; i < t->clear_n; i++)
		buf_u64(out, (uint64_t)clear[i]);
	buf_u64(out, (uint64_t)p->batch);
	buf_u64(out, (uint64_t)p->place);
	return !out->failed;
}

enum rc report_seal(struct ledger *l, const struct report_table *t, const int64_t *clear, const struct str *texts, struct report_place *out_place, struct buf *out,
                    struct why *why)
{
	struct buf aad AUTO(buf_done), plain AUTO(buf_wipe);
	buf_init(&aad, AAD_MAX);
	buf_init(&plain, ROW_MAX);
	for (size_t i = 0; i < t->text_n; i++)
		if (texts[i].n > LEDGER_RUN_MAX)
			FAIL(why, RC_LIMIT, "ledger: more than %d octets in a row of a report", LEDGER_RUN_MAX);
	TRY(pack(texts, t->text_n, &plain, why));
	TRY(batch_write(l, why));
	*out_place = (struct report_place){ l->writing.id, (int64_t)l->writing.next };
	if (!put_aad(t, clear, out_place, &aad))
		return RC_NOMEM;
	buf_init(out, ROW_MAX);
	return row_seal(l, buf_str(&aad), buf_str(&plain), out);
}

enum rc report_open(struct ledger *l, const struct report_table *t, const int64_t *clear, const struct report_place *p, struct str sealed, struct buf *plain,
                    struct str *out_texts, struct why *why)
{
	struct buf aad AUTO(buf_done);
	buf_init(&aad, AAD_MAX);
	TRY(batch_read(l, p->batch, why));
	enum rc rc = put_aad(t, clear, p, &aad) ? row_open(l, (uint64_t)p->place, buf_str(&aad), sealed, plain) : RC_NOMEM;
	if (rc == RC_OK && !unpack(buf_str(plain), out_texts, t->text_n))
		rc = RC_DAMAGED;
	if (rc == RC_DAMAGED)
		FAIL(why, rc, "ledger: a row of %s is damaged (batch %lld, place %lld)", t->name, (long long)p->batch, (long long)p->place);
	return rc;
}

void report_bind(sqlite3_stmt *s, int first, const int64_t *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		sqlite3_bind_int64(s, first + (int)i, v[i]);
}

enum rc report_insert(struct ledger *l, enum sql which, const struct report_table *t, const int64_t *clear, const struct str *texts, struct why *why)
{
	struct report_place p;
	struct buf sealed AUTO(buf_done);
	buf_init(&sealed, ROW_MAX);
	TRY(report_seal(l, t, clear, texts, &p, &sealed, why));
	sqlite3_stmt *s = sql(l, which);
	report_bind(s, 1, clear, t->clear_n);
	sqlite3_bind_int64(s, (int)t->clear_n + 1, p.batch);
	sqlite3_bind_int64(s, (int)t->clear_n + 2, p.place);
	bind_blob(s, (int)t->clear_n + 3, buf_str(&sealed));
	enum rc rc = sql_done(l, s, why);
	l->pending++;
	return rc;
}

enum rc report_each(struct ledger *l, sqlite3_stmt *s, const struct report_table *t, bool (*row)(void *arg, sqlite3_stmt *s, const int64_t *clear, const struct str *texts),
                    void *arg, struct why *why)
{
	struct buf plain AUTO(buf_wipe);
	int step;
	enum rc rc = RC_OK;
	buf_init(&plain, ROW_MAX);
	while (rc == RC_OK && (step = sqlite3_step(s)) != SQLITE_DONE) {
		int64_t clear[REPORT_CLEAR_MAX];
		struct str texts[REPORT_TEXTS_MAX];
		if (step != SQLITE_ROW) {
			rc = sql_fail(l, step, SQL_AT, why);
			break;
		}
		int at = 1; /* column 0 is the id */
		for (size_t i = 0; i < t->clear_n; i++)
			clear[i] = sqlite3_column_int64(s, at++);
		struct report_place p = { sqlite3_column_int64(s, at), sqlite3_column_int64(s, at + 1) };
		rc = report_open(l, t, clear, &p, column_run(s, at + 2), &plain, texts, why);
		if (rc == RC_OK && row && !row(arg, s, clear, texts))
			break;
	}
	sqlite3_reset(s);
	return rc;
}

/* ---- care ---- */

static enum rc verify_table(struct ledger *l, const struct report_table *t, struct why *why)
{
	sqlite3_stmt *s = NULL;
	char text[300];
	(void)snprintf(text, sizeof text, "SELECT id,%s,batch,place,sealed FROM %s ORDER BY id", t->columns, t->name);
	int e = sqlite3_prepare_v2(l->db, text, -1, &s, NULL);
	enum rc rc = e == SQLITE_OK ? report_each(l, s, t, NULL, NULL, why) : sql_fail(l, e, SQL_AT, why);
	sqlite3_finalize(s);
	return rc;
}

enum rc ledger_reports_verify(struct ledger *l, struct why *why)
{
	for (size_t i = 0; i < REPORT_TABLES; i++)
		TRY(verify_table(l, &report_tables[i], why));
	return RC_OK;
}

const struct report_table report_tables[REPORT_TABLES] = {
	[REPORT_DAY] = { "report_day", "day,domain", 2, 2 },
	[REPORT_OBSERVATION] = { "observation", "day,domain,count", 3, 1 },
	[REPORT_SENT] = { "report_sent", "day,domain,part,receiver,state,at_ms", 6, 4 },
	[REPORT_IN] = { "report", "kind,verified,domain,same,at_ms,begin_s,end_s", 7, 2 },
	[REPORT_ROW] = { "report_row", "report,kind,verified,domain,day,count,facts", 7, 1 },
};
