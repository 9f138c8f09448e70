#include "origin/report_sum.h"

#include "base/cursor.h"
#include "origin/report_internal.h"

enum { KEY_MAX = 1 << 18, RESERVE = REPORT_SUM_OVERFLOWS * 512 };

struct sum_row {
	struct str key;
	uint64_t count;
	struct sum_row *next;
};

static void key_auth(const struct report_auth *a, struct buf *out)
{
	buf_run(out, a->domain);
	buf_run(out, a->selector);
	buf_run(out, a->result);
	buf_run(out, a->scope);
}

void report_row_key(const struct report_row *w, struct buf *out)
{
	const struct str *const texts[] = { &w->source_ip, &w->disposition, &w->dkim, &w->spf, &w->override, &w->override_comment, &w->header_from,
		&w->envelope_from, &w->envelope_to };
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		buf_run(out, *texts[i]);
	buf_u8(out, (uint8_t)w->auth_dkims);
	for (size_t i = 0; i < w->auth_dkims; i++)
		key_auth(&w->auth_dkim[i], out);
	key_auth(&w->auth_spf, out);
}

static void take_auth(struct cursor *c, struct report_auth *a)
{
	a->domain = cursor_run(c, KEY_MAX);
	a->selector = cursor_run(c, KEY_MAX);
	a->result = cursor_run(c, KEY_MAX);
	a->scope = cursor_run(c, KEY_MAX);
}

enum rc report_row_of_key(struct str key, struct report_row *out)
{
	struct cursor c = cursor_of(key);
	struct report_row w = report_row_empty();
	struct str *const texts[] = { &w.source_ip, &w.disposition, &w.dkim, &w.spf, &w.override, &w.override_comment, &w.header_from, &w.envelope_from, &w.envelope_to };
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		*texts[i] = cursor_run(&c, KEY_MAX);
	w.auth_dkims = cursor_u8(&c);
	if (w.auth_dkims > sizeof w.auth_dkim / sizeof w.auth_dkim[0])
		return RC_DAMAGED;
	for (size_t i = 0; i < w.auth_dkims; i++)
		take_auth(&c, &w.auth_dkim[i]);
	take_auth(&c, &w.auth_spf);
	if (!cursor_at_end(&c))
		return RC_DAMAGED;
	*out = w;
	return RC_OK;
}

void report_sum_init(struct report_sum *s, struct arena *arena, size_t max_rows)
{
	*s = (struct report_sum){ .arena = arena, .max_rows = max_rows };
	s->tail = &s->first;
	map_init(&s->rows, max_rows);
}

void report_sum_done(struct report_sum *s)
{
	map_done(&s->rows);
	*s = (struct report_sum){ 0 };
}

/* Linked only once it is whole; the arena keeps `spare` octets. */
static struct sum_row *row_new(struct report_sum *s, struct str key, size_t spare)
{
	struct arena *a = s->arena;
	if (a->full || a->max - a->used < spare || a->max - a->used - spare < key.n + sizeof(struct sum_row) + 64)
		return NULL;
	struct sum_row *r = arena_new(a, sizeof *r);
	if (!r)
		return NULL;
	r->key = arena_str(a, key);
	return r->key.n == key.n ? r : NULL;
}

static void link_row(struct report_sum *s, struct sum_row *r)
{
	*s->tail = r;
	s->tail = &r->next;
	s->n++;
}

static unsigned overflow_index(const struct report_row *row)
{
	unsigned d = str_eq(row->disposition, STR("reject")) ? 2 : str_eq(row->disposition, STR("quarantine")) ? 1 : 0;
	return d * 4 + (str_eq(row->dkim, STR("pass")) ? 2u : 0u) + (str_eq(row->spf, STR("pass")) ? 1u : 0u);
}

/* A sound row of the schema from nobody, with disposition and results as they were. */
static struct sum_row *overflow_row(struct report_sum *s, const struct report_row *row)
{
	static const char *const dispositions[] = { "none", "quarantine", "reject" };
	AUTO(buf_done) struct buf key = { .max = 1024 };
	unsigned i = overflow_index(row);
	struct report_row w = report_row_empty();
	if (s->overflow[i])
		return s->overflow[i];
	w.source_ip = STR("0.0.0.0");
	w.disposition = str_z(dispositions[i / 4]);
	w.dkim = i & 2 ? STR("pass") : STR("fail");
	w.spf = i & 1 ? STR("pass") : STR("fail");
	w.override = STR("other");
	w.override_comment = STR("too many different sources: the rest, added up");
	w.header_from = STR("invalid");
	report_row_key(&w, &key);
	struct sum_row *r = key.failed ? NULL : row_new(s, buf_str(&key), 0);
	if (r)
		link_row(s, r);
	return s->overflow[i] = r;
}

static struct sum_row *find_or_make(struct report_sum *s, struct str key)
{
	struct sum_row *r = map_get(&s->rows, key);
	if (r || s->rows.n >= s->max_rows)
		return r;
	r = row_new(s, key, RESERVE);
	if (!r || map_put(&s->rows, r->key, r) != RC_OK)
		return NULL;
	link_row(s, r);
	return r;
}

enum rc report_sum_add(struct report_sum *s, const struct report_row *row)
{
	AUTO(buf_done) struct buf key = { .max = KEY_MAX };
	uint64_t n = row->count ? row->count : 1;
	if (row->auth_dkims > sizeof row->auth_dkim / sizeof row->auth_dkim[0])
		return RC_LIMIT;
	report_row_key(row, &key);
	if (key.failed)
		return RC_LIMIT;
	struct sum_row *r = find_or_make(s, buf_str(&key));
	bool details = r != NULL;
	if (!r)
		r = overflow_row(s, row);
	if (!r)
		return RC_NOMEM;
	r->count += n;
	s->messages += n;
	s->lost_details += details ? 0 : n;
	return RC_OK;
}

enum rc report_sum_rows(const struct report_sum *s, struct arena *a, struct report_row **out, size_t *out_n)
{
	struct report_row *rows = arena_new(a, s->n * sizeof *rows);
	size_t n = 0;
	if (!rows)
		return RC_LIMIT;
	for (const struct sum_row *r = s->first; r; r = r->next) {
		TRY(report_row_of_key(r->key, &rows[n]));
		rows[n++].count = r->count;
	}
	*out = rows;
	*out_n = n;
	return RC_OK;
}
