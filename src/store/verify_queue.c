#include "store/queue_row.h"
#include "store/verify.h"

#include <stdlib.h>

/* The queue: every letter counts the rows that wait for it, every account those of its letters, refers to a body as often as there are letters, and has a number that was given;
 * every row that waits has its letter. What is done may have outlived it. */
struct seen_letter { uint64_t id, account; uint32_t rows, left, counted; };

static void say(struct verify *v, enum table t, struct str key, const char *what)
{
	verify_say(v, "%s of letter %llu, recipient %u: %s", index_table_names[t], (unsigned long long)key_first_of(key), key_uid_of(key), what);
}

static int by_id(const void *a, const void *b)
{
	const struct seen_letter *x = a, *y = b;
	return x->id < y->id ? -1 : x->id > y->id;
}

static struct seen_letter *find_letter(struct verify *v, uint64_t id)
{
	struct seen_letter want = { .id = id };
	return v->letters.n ? bsearch(&want, v->letters.items, v->letters.n, sizeof want, by_id) : NULL;
}

/* How many rows are left of the letter just before. */
static bool left_row(struct verify *v, uint64_t id, struct str value)
{
	struct seen_letter *all = v->letters.items, *l = v->letters.n && all[v->letters.n - 1].id == id ? &all[v->letters.n - 1] : NULL;
	uint32_t left;
	if (left_parse(value, &left) != RC_OK || (l && left >= l->rows))
		return false;
	if (l)
		l->left = left;
	else if (!v->damaged_rows[TABLE_LETTER])
		verify_say(v, "letter %llu is not there, and %u recipients are left of it", (unsigned long long)id, left);
	return true;
}

static bool letter_row(struct verify *v, struct str key, struct str value)
{
	struct letter_row row;
	uint64_t id = key_first_of(key);
	if (key.n == LETTER_KEY_LEN && key.p[LETTER_KEY_LEN - 1] == 1)
		return left_row(v, id, value);
	if (key.n != LETTER_KEY_LEN || key.p[LETTER_KEY_LEN - 1] != 0 || letter_value_parse(value, &row) != RC_OK)
		return false;
	struct seen_letter *l = verify_add(&v->letters, sizeof *l);
	struct blob_id *blob = verify_add(&v->named, sizeof *blob);
	if (l)
		*l = (struct seen_letter){ .id = id, .account = row.account, .rows = row.rows, .left = row.rows };
	if (blob)
		*blob = row.blob;
	return true;
}

static bool queue_row(struct verify *v, struct str key, struct str value)
{
	struct queue_row r;
	if (key.n != QUEUE_KEY_LEN || queue_value_parse(key, value, &r) != RC_OK || r.state == QUEUE_DONE)
		return false;
	struct seen_letter *l = find_letter(v, r.letter);
	v->out->queued++;
	if (l)
		l->counted++;
	if (l && r.n >= l->rows)
		say(v, TABLE_QUEUE, key, "is more than its letter has");
	if (!l && !v->damaged_rows[TABLE_LETTER])
		say(v, TABLE_QUEUE, key, "has no letter");
	return true;
}

static bool done_row(struct verify *v, struct str key, struct str value)
{
	struct queue_row r;
	struct str other;
	if (key.n != QUEUE_KEY_LEN || queue_value_parse(key, value, &r) != RC_OK || r.state != QUEUE_DONE)
		return false;
	const struct seen_letter *l = find_letter(v, r.letter);
	if (l && r.n >= l->rows)
		say(v, TABLE_QUEUE_DONE, key, "is more than its letter has");
	if (index_get(v->index, v->txn, TABLE_QUEUE, key, &other) == RC_OK)
		say(v, TABLE_QUEUE_DONE, key, "is done and still waits");
	return true;
}

static bool known_row(struct verify *v, struct str key, struct str value)
{
	struct counter_row c;
	uint32_t day, waiting = 0;
	bool counter = key.n == COUNTER_KEY_LEN && key.p[12] == KNOWN_COUNTER, known = key.n == KNOWN_KEY_LEN && key.p[12] == KNOWN_ADDRESS;
	bool waits = key.n == WAITING_KEY_LEN && key.p[12] == KNOWN_COUNTER && waiting_parse(value, &waiting) == RC_OK;
	if (!(counter && counter_parse(value, &c) == RC_OK) && !(known && known_parse(value, &day) == RC_OK) && !waits)
		return false;
	struct seen_account *a = verify_account(v, key_first_of(key));
	if (a && waits)
		a->waiting = waiting;
	if (!a && !v->damaged_rows[TABLE_ACCOUNT])
		verify_say(v, "what account %016llx has sent is counted, and the account is not there", (unsigned long long)key_first_of(key));
	return true;
}

static bool note_row(struct verify *v, struct str key, struct str value)
{
	struct str text;
	(void)v;
	return key.n > 4 && key.n <= 4 + NOTE_KEY_MAX && note_parse(value, &text) == RC_OK;
}

static void judge_letters(struct verify *v)
{
	struct seen_letter *all = v->letters.items;
	for (size_t i = 0; i < v->letters.n; i++)
		if (all[i].counted != all[i].left)
			verify_say(v, "letter %llu: %u recipients are left, there are %u", (unsigned long long)all[i].id, all[i].left, all[i].counted);
}

static void judge_waiting(struct verify *v)
{
	struct seen_letter *all = v->letters.items;
	struct seen_account *accounts = v->accounts.items, *a;
	for (size_t i = 0; i < v->letters.n; i++)
		if (all[i].account && (a = verify_account(v, all[i].account)))
			a->waiting_seen += all[i].counted;
	for (size_t i = 0; i < v->accounts.n; i++)
		if (accounts[i].waiting != accounts[i].waiting_seen && !accounts[i].row.removing)
			verify_say(v, "account %016llx: %u recipients are counted as waiting, there are %u", (unsigned long long)accounts[i].id, accounts[i].waiting, accounts[i].waiting_seen);
}

static void judge_numbers(struct verify *v)
{
	struct seen_letter *all = v->letters.items;
	struct key k = key_last_letter();
	struct str raw;
	uint64_t last = 0;
	enum rc rc = index_get(v->index, v->txn, TABLE_META, key_str(&k), &raw);
	if (v->letters.n == 0 || (rc != RC_OK && rc != RC_NOTFOUND))
		return; /* a damaged counter is told already */
	if (rc == RC_NOTFOUND || number_parse(raw, &last) != RC_OK || last < all[v->letters.n - 1].id)
		verify_say(v, "letter %llu has a number that was not given yet: the last is %llu", (unsigned long long)all[v->letters.n - 1].id, (unsigned long long)last);
}

enum rc verify_queue(struct verify *v)
{
	TRY(verify_table(v, TABLE_LETTER, letter_row));
	TRY(verify_table(v, TABLE_QUEUE, queue_row));
	TRY(verify_table(v, TABLE_QUEUE_DONE, done_row));
	TRY(verify_table(v, TABLE_NOTE, note_row));
	TRY(verify_table(v, TABLE_KNOWN, known_row));
	v->out->letters = v->letters.n;
	if (!v->damaged_rows[TABLE_LETTER] && !v->damaged_rows[TABLE_QUEUE])
		judge_letters(v);
	if (!v->damaged_rows[TABLE_LETTER] && !v->damaged_rows[TABLE_QUEUE] && !v->damaged_rows[TABLE_KNOWN])
		judge_waiting(v);
	if (!v->damaged_rows[TABLE_LETTER] && !v->damaged_rows[TABLE_META])
		judge_numbers(v);
	return RC_OK;
}
