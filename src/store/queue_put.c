#include "store/queue_row.h"
#include "store/verb.h"

#include <stdio.h>
#include <stdlib.h>

/* What a delivery brings for the queue: letters get their numbers here, one after the other, from a counter that the batch expects as it
 * was read. So keys only grow, and pages are filled one after the other however many rows wait already. */
enum { KNOWN_SENT_MAX = 131072, KNOWN_DAYS = 400, KNOWN_REFRESH_DAYS = 30, PRUNE_STEP = 512 };
#define DAY_MS (24ll * 3600 * 1000)

enum rc queue_check_puts(const struct queue_put *puts, size_t n, const struct sent_note *sent, struct why *why)
{
	if (n > PUTS_MAX)
		FAIL(why, RC_LIMIT, "a delivery has at most %d letters", PUTS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (puts[i].letter.n == 0 || puts[i].letter.n > QUEUE_LETTER_MAX || puts[i].row_n == 0 || puts[i].row_n > QUEUE_ROWS_MAX)
			FAIL(why, RC_LIMIT, "a letter has 1 to %d octets and 1 to %d recipients", QUEUE_LETTER_MAX, QUEUE_ROWS_MAX);
		for (size_t k = 0; k < puts[i].row_n; k++)
			if (!queue_row_possible(&puts[i].rows[k]) || puts[i].rows[k].state == QUEUE_DONE)
				FAIL(why, RC_SYNTAX, "a recipient's row that cannot be");
	}
	if (sent && sent->known_n > KNOWN_SENT_MAX)
		FAIL(why, RC_LIMIT, "at most %d recipients are counted at once", KNOWN_SENT_MAX);
	return RC_OK;
}

/* ---- letters and rows ---- */
static enum rc take_number(struct tx *t, uint64_t *out, struct why *why)
{
	struct key k = key_last_letter();
	struct str v;
	enum rc rc = tx_get(t, TABLE_META, k, &v);
	*out = 0;
	if (rc == RC_OK)
		rc = number_parse(v, out);
	else if (rc == RC_NOTFOUND)
		rc = RC_OK, v = STR("");
	if (rc != RC_OK)
		FAIL(why, rc, "the queue's counter cannot be read");
	batch_expect(&t->batch, TABLE_META, key_str(&k), v);
	return RC_OK;
}

/* Head and tail in one piece that lives as long as the batch. "" = no memory. */
static struct str join(struct tx *t, struct str head, struct str tail)
{
	char *p = arena_new(&t->batch.mem, head.n + tail.n);
	if (!p)
		return STR("");
	memcpy(p, head.p, head.n);
	memcpy(p + head.n, tail.p, tail.n);
	return str_of(p, head.n + tail.n);
}

static enum rc put_letter(struct tx *t, const struct blob_id *blob, const struct queue_put *put, uint64_t number)
{
	char head[LETTER_HEAD_LEN], row_head[QUEUE_HEAD_LEN];
	struct letter_row l = { .blob = *blob, .rows = (uint32_t)put->row_n, .account = put->account };
	struct key k = key_letter(number);
	batch_append(&t->batch, TABLE_LETTER, key_str(&k), join(t, letter_value_head(&l, head), put->letter));
	for (uint32_t n = 0; n < put->row_n; n++) {
		struct queue_row r = put->rows[n];
		r.version = 1;
		k = key_queue(number, n);
		batch_append(&t->batch, TABLE_QUEUE, key_str(&k), join(t, queue_value_head(&r, row_head), r.sealed));
	}
	return t->batch.mem.full || t->batch.failed ? RC_NOMEM : RC_OK;
}

static enum rc count_waiting(struct tx *t, const struct queue_put *puts, size_t n, const struct sent_note *sent, struct why *why)
{
	struct waiting *list = arena_new(&t->batch.mem, n * sizeof *list);
	if (!list)
		return RC_NOMEM;
	for (size_t i = 0; i < n; i++)
		list[i] = (struct waiting){ puts[i].account, (uint32_t)puts[i].row_n };
	return tx_waiting_add(t, list, n, sent, why);
}

enum rc tx_queue_put(struct tx *t, const struct blob_id *blob, const struct queue_put *puts, size_t n, const struct sent_note *sent, uint64_t *out_letters, struct why *why)
{
	uint64_t last;
	char number[8];
	if (n == 0)
		return RC_OK;
	TRY(count_waiting(t, puts, n, sent, why));
	TRY(take_number(t, &last, why));
	for (size_t i = 0; i < n; i++) {
		TRY(put_letter(t, blob, &puts[i], ++last));
		out_letters[i] = last;
	}
	struct key k = key_last_letter();
	batch_put(&t->batch, TABLE_META, key_str(&k), number_format(last, number));
	batch_notice(&t->batch, QUEUE_NOTICE, 0, last);
	return RC_OK;
}

/* ---- an account's day ---- */
static uint32_t day_of(int64_t ms) { return ms < 0 ? 0 : (uint32_t)(ms / DAY_MS); }

/* The civil date of a day since 1970-01-01 (proleptic Gregorian), for the refusal's text. */
static void date_text(uint32_t day, char out[40])
{
	uint32_t z = day + 719468, era = z / 146097, doe = z % 146097; /* days from 0000-03-01, in eras of 400 years */
	uint32_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	uint32_t month = mp < 10 ? mp + 3 : mp - 9;
	(void)snprintf(out, 40, "%04u-%02u-%02u", (yoe + era * 400 + (month <= 2)) % 10000, month, doy - (153 * mp + 2) / 5 + 1);
}

static enum rc over(const char *may, uint32_t limit, const char *what, uint32_t today, struct why *why)
{
	char until[40];
	date_text(today + 1, until);
	FAIL(why, RC_DENIED, "4.7.1 this account may %s %u %s a day: wait until %s 00:00 UTC", may, limit, what, until);
}

struct pruning { struct tx *t; uint32_t today; };

static bool prune_row(void *arg, const struct engine_row *r)
{
	struct pruning *p = arg;
	uint32_t day;
	bool counter = r->key.n == COUNTER_KEY_LEN, known = r->key.n == KNOWN_KEY_LEN;
	if (counter && key_uid_of(r->key) < p->today)
		batch_delete(&p->t->batch, TABLE_KNOWN, r->key);
	if (known && !r->damaged && known_parse(r->value, &day) == RC_OK && day + KNOWN_DAYS < p->today)
		batch_delete(&p->t->batch, TABLE_KNOWN, r->key);
	return true;
}

/* With the day's first message: counters of other days go, and of the addresses a part, another one each day, is looked through for those that
 * nothing was written to for more than a year. */
static enum rc prune_known(struct tx *t, uint64_t account, uint32_t today)
{
	struct pruning p = { t, today };
	struct key from = key_counter(account, 0), to = key_counter(account, today), end = key_known_end(account);
	uint64_t start = today * 0x9e3779b97f4a7c15ull;
	TRY(engine_scan(t->s->engine, TABLE_KNOWN, key_str(&from), key_str(&to), PRUNE_STEP, prune_row, &p, NULL));
	from = key_known(account, start);
	TRY(engine_scan(t->s->engine, TABLE_KNOWN, key_str(&from), key_str(&end), PRUNE_STEP, prune_row, &p, NULL));
	to = from;
	from = key_known(account, 0);
	return engine_scan(t->s->engine, TABLE_KNOWN, key_str(&from), key_str(&to), PRUNE_STEP, prune_row, &p, NULL);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* Each address once: *out_first of them are new. They are noted as known, in the order of their keys. */
static enum rc note_known(struct tx *t, const struct sent_note *s, uint32_t today, uint32_t *out_first)
{
	char row[KNOWN_LEN];
	uint64_t *all = arena_new(&t->batch.mem, s->known_n * sizeof *all + 1);
	if (!all)
		return RC_NOMEM;
	if (s->known_n)
		memcpy(all, s->known, s->known_n * sizeof *all);
	qsort(all, s->known_n, sizeof *all, by_value);
	*out_first = 0;
	for (size_t i = 0; i < s->known_n; i++) {
		struct key k = key_known(s->account, all[i]);
		struct str v;
		uint32_t day = 0;
		if (i && all[i] == all[i - 1])
			continue;
		enum rc rc = tx_get(t, TABLE_KNOWN, k, &v);
		if (rc != RC_OK && rc != RC_NOTFOUND && rc != RC_DAMAGED)
			return rc;
		bool known = rc == RC_OK && known_parse(v, &day) == RC_OK;
		*out_first += !known;
		if (!known || day + KNOWN_REFRESH_DAYS < today)
			batch_put(&t->batch, TABLE_KNOWN, key_str(&k), known_format(today, row));
	}
	return RC_OK;
}

static uint32_t add_capped(uint32_t a, uint32_t b) { return a > UINT32_MAX - b ? UINT32_MAX : a + b; }

static enum rc count(struct tx *t, const struct sent_note *s, struct counter_row *c, uint32_t today, struct why *why)
{
	uint32_t first = 0;
	TRY(note_known(t, s, today, &first));
	c->messages = add_capped(c->messages, s->messages);
	c->recipients = add_capped(c->recipients, s->recipients);
	c->first = add_capped(c->first, first);
	if (s->max_messages && c->messages > s->max_messages)
		return over("send", s->max_messages, "messages", today, why);
	if (s->max_recipients && c->recipients > s->max_recipients)
		return over("write to", s->max_recipients, "recipients", today, why);
	if (s->max_first && c->first > s->max_first && first)
		return over("write to", s->max_first, "recipients it has never written to", today, why);
	return RC_OK;
}

enum rc tx_sent(struct tx *t, const struct sent_note *s, struct why *why)
{
	uint32_t today = day_of(t->now);
	struct key k = key_counter(s->account, today);
	struct counter_row c = { 0 };
	struct tx_account *a;
	struct str v;
	char row[COUNTER_LEN];
	TRY(tx_account(t, s->account, &a, why));
	enum rc rc = tx_get(t, TABLE_KNOWN, k, &v);
	if (rc == RC_OK)
		rc = counter_parse(v, &c);
	if (rc == RC_NOTFOUND) {
		v = STR("");
		rc = prune_known(t, s->account, today);
	}
	if (rc != RC_OK)
		FAIL(why, rc, "the account's counters of the day cannot be read");
	batch_expect(&t->batch, TABLE_KNOWN, key_str(&k), v);
	TRY(count(t, s, &c, today, why));
	batch_put(&t->batch, TABLE_KNOWN, key_str(&k), counter_format(&c, row));
	return RC_OK;
}
