#include "role/relay.h"

#include "base/log.h"
#include "base/mem.h"
#include "role/wire_queue.h"

/* Letters and rows as the store has them. Rows are numbered as they are committed, so one place to go on from is all that loading and keeping up need. */

enum { PAGE = 1 << 20, AGAIN_MS = 500, LETTERS_KEPT = 64, LETTER_ROOM = 4 << 20, HOT_OCTETS = 16 << 20, HOT_ROWS = 40000, HOT_MS = 2000, ROW_MOST = 2048 };

/* ---- rows that were read in passing and go out at once ---- */

struct relay_hot { uint64_t letter; uint32_t n; uint32_t len; char packed[]; };

static uint64_t hot_key(uint64_t letter, uint32_t n) { return letter << 17 ^ n; }

static void hot_add(struct relay_house *h, const struct queue_row *r, struct str packed)
{
	struct relay_hot *x;
	if (h->rows_octets + packed.n > HOT_OCTETS || h->rows.n >= HOT_ROWS || !(x = mem_raw(sizeof *x + packed.n)))
		return;
	*x = (struct relay_hot){ .letter = r->letter, .n = r->n, .len = (uint32_t)packed.n };
	memcpy(x->packed, packed.p, packed.n);
	if (map_put_u64(&h->rows, hot_key(r->letter, r->n), x) != RC_OK) {
		mem_free(x);
		return;
	}
	h->rows_octets += packed.n;
}

/* It is taken out: what is written next makes it old. */
static struct relay_hot *hot_take(struct relay_house *h, uint64_t letter, uint32_t n)
{
	struct relay_hot *x = map_drop_u64(&h->rows, hot_key(letter, n));
	if (x)
		h->rows_octets -= x->len;
	return x;
}

void relay_hot_forget(struct relay_house *h)
{
	size_t at = 0;
	for (struct relay_hot *x; (x = map_next(&h->rows, &at));)
		mem_free(x);
	map_done(&h->rows);
	map_init(&h->rows, HOT_ROWS + 1);
	h->rows_octets = 0;
}

/* ---- the loader ---- */

void relay_load_kick(struct relay_house *h)
{
	h->load_news = true;
	wake_one(&h->load);
}

static void add_row(struct relay_house *h, const struct queue_row *r, struct str packed)
{
	struct relay_times t = relay_times_of(h->e);
	int64_t wall = wall_ms(), now = loop_now(h->e->loop);
	int64_t due = now + (relay_due_loaded(&t, r, wall) - wall);
	struct rq_row in = { .letter = r->letter, .n = r->n, .lane = r->lane, .due = due, .priority = r->priority, .held = r->state == QUEUE_HELD, .again = r->attempts > 0 };
	enum rc rc = rq_add(h->q, &in, now);
	if (rc == RC_OK && !in.held && due - now < HOT_MS && r->letter >= h->read_to) /* what is read again may have changed meanwhile */
		hot_add(h, r, packed);
	if (rc == RC_OK || rc == RC_EXISTS)
		return;
	if (!h->left_out)
		log_event(LEVEL_ERROR, EV_QUEUE_TROUBLE, F("reason", rc == RC_FULL ? "the queue holds more rows than relay can have in memory: the rest waits" : "no memory for the queue: the rest waits"));
	if (!h->left_out || r->letter < h->left_out)
		h->left_out = r->letter;
}

/* Rows that found no room in memory are looked for again, now and then. */
static void go_back(struct relay_house *h)
{
	struct rq_counts c;
	uint64_t rows = 0;
	rq_counts(h->q, &c);
	for (size_t i = 0; i < sizeof c.rows / sizeof *c.rows; i++)
		rows += c.rows[i];
	if (!h->left_out || !h->look_again || rows >= RQ_ROWS_MAX)
		return;
	h->read_to = h->next_letter > h->read_to ? h->next_letter : h->read_to;
	h->next_letter = h->left_out;
	h->next_n = 0;
	h->left_out = 0;
	h->look_again = false;
}

/* One page; *out_more: there is another. */
static enum rc load_page(struct relay_house *h, bool *out_more, struct why *why)
{
	struct msg_QUEUE_SCAN q = { .letter = h->next_letter, .n = h->next_n, .max_bytes = PAGE };
	struct msg_QUEUE_SCAN_answer a;
	struct ipc_reply reply = { 0 };
	TRY(ipc_ask_role(h->e->node, ROLE_READER, MSG_QUEUE_SCAN, &q, &a, &reply, true, why));
	struct cursor c = cursor_of(a.rows);
	struct queue_row r = { 0 };
	uint64_t last = h->next_letter ? h->next_letter - 1 : 0;
	enum rc rc = RC_OK;
	while (rc == RC_OK && c.in.n) {
		struct str from = c.in;
		rc = queue_row_get(&c, &r);
		if (rc != RC_OK)
			break;
		add_row(h, &r, str_head(from, from.n - c.in.n));
		last = r.letter;
	}
	*out_more = a.next_letter != 0;
	h->next_letter = *out_more ? a.next_letter : last + 1;
	h->next_n = *out_more ? a.next_n : 0;
	ipc_reply_done(&reply);
	relay_kick(h);
	return rc;
}

void relay_load_fiber(void *house)
{
	struct relay_house *h = house;
	bool more = true;
	h->next_letter = 1;
	while (!fiber_cancelled()) {
		struct why why = { 0 };
		enum rc rc = more ? load_page(h, &more, &why) : RC_OK;
		if (rc != RC_OK && rc != RC_CLOSED)
			log_event(LEVEL_ERROR, EV_QUEUE_TROUBLE, F("reason", why.text[0] ? why.text : rc_name(rc)));
		if (rc == RC_OK && !more) {
			h->loaded = true;
			/* News that came while a page was on its way may speak of what that page does not have. */
			if (!h->load_news && wait_on(&h->load, NO_DEADLINE) == RC_CLOSED)
				return;
			h->load_news = false;
			go_back(h);
			more = true;
		} else if (rc != RC_OK && fiber_sleep(AGAIN_MS) != RC_OK) {
			return;
		} else {
			fiber_yield();
		}
	}
}

/* ---- letters ---- */

static void letter_free(struct relay_letter *l)
{
	secret_done(&l->l.body_key);
	secret_done(&l->l.row_key);
	arena_done(&l->a);
	mem_free(l);
}

static enum rc open_letter(struct relay_house *h, uint64_t number, struct relay_letter *l, struct why *why)
{
	struct msg_LETTER_answer a;
	struct ipc_reply reply = { 0 };
	TRY(ipc_ask_role(h->e->node, ROLE_READER, MSG_LETTER, &(struct msg_LETTER){ .letter = number }, &a, &reply, true, why));
	enum rc rc = a.blob.n == sizeof l->blob.b ? RC_OK : RC_SYNTAX;
	if (rc == RC_OK) {
		memcpy(l->blob.b, a.blob.p, sizeof l->blob.b);
		rc = letter_open(h->unsealer, &l->blob, a.sealed, &l->a, &l->l);
	}
	ipc_reply_done(&reply);
	if (rc != RC_OK)
		FAIL(why, rc == RC_NOMEM ? rc : RC_DAMAGED, "letter %llu does not open", (unsigned long long)number);
	return RC_OK;
}

/* The one used longest ago, of those nobody holds. */
static void trim_letters(struct relay_house *h)
{
	struct relay_letter **oldest = NULL;
	for (struct relay_letter **p = &h->letters; *p; p = &(*p)->next)
		if (!(*p)->refs)
			oldest = p;
	if (h->letter_n <= LETTERS_KEPT || !oldest)
		return;
	struct relay_letter *gone = *oldest;
	*oldest = gone->next;
	h->letter_n--;
	letter_free(gone);
}

enum rc relay_letter_get(struct relay_house *h, uint64_t number, struct relay_letter **out, struct why *why)
{
	for (struct relay_letter **p = &h->letters; *p; p = &(*p)->next) {
		struct relay_letter *l = *p;
		if (l->number != number)
			continue;
		*p = l->next;
		l->next = h->letters;
		h->letters = l;
		l->refs++;
		return *out = l, RC_OK;
	}
	struct relay_letter *l = mem_new(sizeof *l);
	if (!l)
		FAIL(why, RC_NOMEM, "no memory");
	l->number = number;
	arena_init(&l->a, LETTER_ROOM);
	enum rc rc = open_letter(h, number, l, why);
	if (rc != RC_OK)
		return letter_free(l), rc;
	l->refs = 1;
	l->next = h->letters;
	h->letters = l;
	h->letter_n++;
	trim_letters(h);
	return *out = l, RC_OK;
}

void relay_letter_unref(struct relay_house *h, struct relay_letter **l)
{
	if (*l)
		(*l)->refs--;
	*l = NULL;
	trim_letters(h);
}

void relay_letters_done(struct relay_house *h)
{
	for (struct relay_letter *l; (l = h->letters);) {
		h->letters = l->next;
		letter_free(l);
	}
	h->letter_n = 0;
}

/* ---- rows of a letter ---- */

static enum rc open_row(const struct relay_letter *l, struct cursor *c, struct arena *a, struct relay_row *out)
{
	*out = (struct relay_row){ 0 };
	TRY(queue_row_get(c, &out->row));
	struct str sealed = out->row.sealed;
	out->row.sealed = STR("");
	enum rc rc = out->row.state == QUEUE_UNREADABLE ? RC_DAMAGED : letter_rcpt_open(&l->l.row_key, out->row.version, out->row.n, sealed, a, &out->rcpt);
	out->readable = rc == RC_OK;
	return rc == RC_NOMEM ? rc : RC_OK;
}

/* From the reader: some from (letter, from) on. *out_next: where to go on, 0 = that letter has no more. */
static enum rc ask_rows(struct relay_house *h, const struct relay_letter *l, const uint32_t *n, size_t count, struct arena *a, struct relay_row *out, size_t *at, size_t *out_n,
                        struct why *why)
{
	struct msg_QUEUE_SCAN q = { .letter = l->number, .n = n[*at], .max_bytes = (uint32_t)(count - *at > 500 ? PAGE : (count - *at) * ROW_MOST) };
	struct msg_QUEUE_SCAN_answer ans;
	struct ipc_reply reply = { 0 };
	TRY(ipc_ask_role(h->e->node, ROLE_READER, MSG_QUEUE_SCAN, &q, &ans, &reply, true, why));
	struct cursor c = cursor_of(ans.rows);
	enum rc rc = RC_OK;
	size_t was = *at;
	bool beyond = ans.next_letter != l->number;
	while (rc == RC_OK && c.in.n && *at < count) {
		struct cursor look = c;
		struct queue_row r;
		rc = queue_row_get(&look, &r);
		if (rc != RC_OK || r.letter != l->number) {
			beyond = beyond || rc == RC_OK;
			break;
		}
		while (*at < count && n[*at] < r.n)
			++*at; /* that one is gone */
		if (*at < count && n[*at] == r.n) {
			rc = open_row(l, &c, a, &out[*out_n]);
			++*out_n;
			++*at;
		} else {
			c = look;
		}
	}
	ipc_reply_done(&reply);
	if (beyond || *at == was)
		*at = count;
	return rc;
}

enum rc relay_rows_get(struct relay_house *h, const struct relay_letter *l, const uint32_t *n, size_t count, struct arena *a, struct relay_row *out, size_t *out_n,
                       struct why *why)
{
	size_t at = 0;
	*out_n = 0;
	while (at < count) {
		struct relay_hot *x = hot_take(h, l->number, n[at]);
		if (x) {
			struct cursor c = cursor_of(str_of(x->packed, x->len));
			bool right = x->letter == l->number && x->n == n[at];
			enum rc rc = right ? open_row(l, &c, a, &out[*out_n]) : RC_OK;
			mem_free(x);
			TRY(rc);
			if (right) {
				++*out_n;
				at++;
				continue;
			}
		}
		TRY(ask_rows(h, l, n, count, a, out, &at, out_n, why));
	}
	return RC_OK;
}
