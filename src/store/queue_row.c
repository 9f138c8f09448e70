#include "store/queue_row.h"

#include <assert.h>

enum { VERSION = 1, LETTER_VERSION = 2 /* 1 named no account */, PRIORITY_MAX = 9, FLAGS_ALL = QUEUE_ROW_DELAY_TOLD | QUEUE_ROW_SYSTEM };

/* ---- keys ---- */
static struct key longer(struct key k, uint64_t v, unsigned octets)
{
	struct pen p = { k.b + k.n, k.b + sizeof k.b, false };
	pen_int(&p, v, octets);
	k.n += octets;
	return k;
}

struct key key_org(void) { return (struct key){ 4, { 0, 0, 0, ORG } }; }
struct key key_org_end(void) { return (struct key){ 4, { 0, 0, 0, ORG + 1 } }; }
struct key key_queue(uint64_t letter, uint32_t n) { return longer(key_account(letter), n, 4); }
struct key key_letter(uint64_t letter) { return longer(key_account(letter), 0, 1); }
struct key key_letter_left(uint64_t letter) { return longer(key_account(letter), 1, 1); }
struct key key_counter(uint64_t account, uint32_t day) { return longer(longer(key_account(account), KNOWN_COUNTER, 1), day, 4); }
struct key key_waiting(uint64_t account) { return longer(key_account(account), KNOWN_COUNTER, 1); }
struct key key_known(uint64_t account, uint64_t hash) { return longer(longer(key_account(account), KNOWN_ADDRESS, 1), hash, 8); }
struct key key_known_first(uint64_t account) { return key_account(account); }
struct key key_known_end(uint64_t account) { return key_account(account + 1); } /* no account has the id UINT64_MAX */
struct key key_note(struct str key) { return key_meta(key); }
struct key key_last_letter(void) { return key_meta(STR("queue.letter")); }

/* ---- rows ---- */
bool queue_row_possible(const struct queue_row *r)
{
	bool done = r->state == QUEUE_DONE;
	return r->state >= QUEUE_READY && r->state <= QUEUE_DONE && (r->end != QUEUE_END_NONE) == done && r->end <= QUEUE_DROPPED && r->priority <= PRIORITY_MAX &&
	       (r->flags & ~FLAGS_ALL) == 0 && r->sealed.n <= QUEUE_ROW_MAX;
}

static void put_head(struct pen *p, const struct queue_row *r)
{
	pen_int(p, r->version, 4);
	pen_int(p, r->state, 1);
	pen_int(p, r->end, 1);
	pen_int(p, r->priority, 1);
	pen_int(p, r->flags, 1);
	pen_int(p, r->attempts, 4);
	pen_int(p, r->lane, 8);
	pen_int(p, (uint64_t)r->created_ms, 8);
	pen_int(p, (uint64_t)r->due_ms, 8);
	pen_int(p, (uint64_t)r->expires_ms, 8);
}

static void get_head(struct cursor *c, struct queue_row *r)
{
	r->version = cursor_u32(c);
	r->state = cursor_u8(c);
	r->end = cursor_u8(c);
	r->priority = cursor_u8(c);
	r->flags = cursor_u8(c);
	r->attempts = cursor_u32(c);
	r->lane = cursor_u64(c);
	r->created_ms = (int64_t)cursor_u64(c);
	r->due_ms = (int64_t)cursor_u64(c);
	r->expires_ms = (int64_t)cursor_u64(c);
}

struct str queue_value_head(const struct queue_row *r, char out[QUEUE_HEAD_LEN])
{
	struct pen p = { out, out + QUEUE_HEAD_LEN, false };
	pen_int(&p, VERSION, 1);
	put_head(&p, r);
	assert(!p.failed && p.p == p.end);
	return str_of(out, QUEUE_HEAD_LEN);
}

enum rc queue_value_parse(struct str key, struct str v, struct queue_row *out)
{
	struct cursor c = cursor_of(v), kc = cursor_of(str_skip(key, 4));
	struct queue_row r = { .letter = cursor_u64(&kc) };
	r.n = cursor_u32(&kc);
	uint8_t version = cursor_u8(&c);
	get_head(&c, &r);
	r.sealed = c.in;
	if (c.failed || !cursor_at_end(&kc) || version != VERSION || r.version == 0 || !queue_row_possible(&r))
		return RC_DAMAGED;
	*out = r;
	return RC_OK;
}

/* A packed row: where it stands, its head, `sealed` as a run. A row that cannot be read has state and version 0 and nothing sealed. */
void queue_row_put(struct buf *out, const struct queue_row *r)
{
	char head[QUEUE_HEAD_LEN];
	buf_u64(out, r->letter);
	buf_u32(out, r->n);
	buf_add(out, str_skip(queue_value_head(r, head), 1));
	buf_run(out, r->sealed);
}

enum rc queue_row_get(struct cursor *in, struct queue_row *out)
{
	struct queue_row r = { .letter = cursor_u64(in) };
	r.n = cursor_u32(in);
	get_head(in, &r);
	r.sealed = cursor_run(in, QUEUE_ROW_MAX);
	bool lost = r.state == QUEUE_UNREADABLE && r.end == QUEUE_END_NONE && r.version == 0 && r.sealed.n == 0 && r.priority == 0 && r.flags == 0;
	if (in->failed || (!lost && !queue_row_possible(&r)))
		return in->failed = true, RC_SYNTAX;
	*out = r;
	return RC_OK;
}

/* ---- letters ---- */
struct str letter_value_head(const struct letter_row *r, char out[LETTER_HEAD_LEN])
{
	struct pen p = { out, out + LETTER_HEAD_LEN, false };
	pen_int(&p, LETTER_VERSION, 1);
	pen_bytes(&p, str_of(r->blob.b, BLOB_ID_LEN));
	pen_int(&p, r->rows, 4);
	pen_int(&p, r->account, 8);
	assert(!p.failed && p.p == p.end);
	return str_of(out, LETTER_HEAD_LEN);
}

enum rc letter_value_parse(struct str v, struct letter_row *out)
{
	struct cursor c = cursor_of(v);
	uint8_t version = cursor_u8(&c);
	struct str id = cursor_take(&c, BLOB_ID_LEN);
	struct letter_row r = { .rows = cursor_u32(&c) };
	if (version > 1)
		r.account = cursor_u64(&c);
	if (c.failed || version < 1 || version > LETTER_VERSION || r.rows == 0 || r.rows > QUEUE_ROWS_MAX || c.in.n == 0 || c.in.n > QUEUE_LETTER_MAX)
		return RC_DAMAGED;
	memcpy(r.blob.b, id.p, BLOB_ID_LEN);
	r.sealed = c.in;
	*out = r;
	return RC_OK;
}

struct str left_format(uint32_t left, char out[LEFT_LEN])
{
	struct pen p = { out, out + LEFT_LEN, false };
	pen_int(&p, VERSION, 1);
	pen_int(&p, left, 4);
	return str_of(out, LEFT_LEN);
}

enum rc left_parse(struct str v, uint32_t *out)
{
	struct cursor c = cursor_of(v);
	uint8_t version = cursor_u8(&c);
	uint32_t left = cursor_u32(&c);
	if (!cursor_at_end(&c) || version != VERSION || left == 0 || left >= QUEUE_ROWS_MAX)
		return RC_DAMAGED;
	*out = left;
	return RC_OK;
}

/* ---- who has written to whom ---- */
struct str counter_format(const struct counter_row *r, char out[COUNTER_LEN])
{
	struct pen p = { out, out + COUNTER_LEN, false };
	pen_int(&p, VERSION, 1);
	pen_int(&p, r->messages, 4);
	pen_int(&p, r->recipients, 4);
	pen_int(&p, r->first, 4);
	return str_of(out, COUNTER_LEN);
}

enum rc counter_parse(struct str v, struct counter_row *out)
{
	struct cursor c = cursor_of(v);
	uint8_t version = cursor_u8(&c);
	struct counter_row r = { .messages = cursor_u32(&c) };
	r.recipients = cursor_u32(&c);
	r.first = cursor_u32(&c);
	if (!cursor_at_end(&c) || version != VERSION)
		return RC_DAMAGED;
	*out = r;
	return RC_OK;
}

struct str waiting_format(uint32_t n, char out[WAITING_LEN])
{
	struct pen p = { out, out + WAITING_LEN, false };
	pen_int(&p, VERSION, 1);
	pen_int(&p, n, 4);
	return str_of(out, WAITING_LEN);
}

enum rc waiting_parse(struct str v, uint32_t *out)
{
	struct cursor c = cursor_of(v);
	uint8_t version = cursor_u8(&c);
	uint32_t n = cursor_u32(&c);
	if (!cursor_at_end(&c) || version != VERSION || n == 0)
		return RC_DAMAGED;
	*out = n;
	return RC_OK;
}

struct str known_format(uint32_t day, char out[KNOWN_LEN])
{
	struct pen p = { out, out + KNOWN_LEN, false };
	pen_int(&p, VERSION, 1);
	pen_int(&p, day, 4);
	return str_of(out, KNOWN_LEN);
}

enum rc known_parse(struct str v, uint32_t *out_day)
{
	struct cursor c = cursor_of(v);
	uint8_t version = cursor_u8(&c);
	uint32_t day = cursor_u32(&c);
	if (!cursor_at_end(&c) || version != VERSION)
		return RC_DAMAGED;
	*out_day = day;
	return RC_OK;
}

/* ---- the rest ---- */
struct str number_format(uint64_t v, char out[8])
{
	struct pen p = { out, out + 8, false };
	pen_int(&p, v, 8);
	return str_of(out, 8);
}

enum rc number_parse(struct str v, uint64_t *out)
{
	struct cursor c = cursor_of(v);
	uint64_t n = cursor_u64(&c);
	if (!cursor_at_end(&c))
		return RC_DAMAGED;
	*out = n;
	return RC_OK;
}

enum rc note_parse(struct str v, struct str *out)
{
	if (v.n < 2 || (uint8_t)v.p[0] != VERSION || v.n > NOTE_MAX + 1)
		return RC_DAMAGED;
	*out = str_skip(v, 1);
	return RC_OK;
}
