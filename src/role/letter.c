#include "role/letter.h"

#include "base/mem.h"
#include "smtp/session.h"

enum { VERSION = 1, PATH_MAX_OCTETS = 1024, MID_MAX = 64, ENVID_MAX = 512, TYPE_MAX = 64, ORCPT_MAX = 1024, SUBJECT_MAX = 200, FROM_MAX = 320, REPLY_MAX = 500,
	HOST_MAX = 400, TLS_MAX_TEXT = 128, PREFIX_MAX = 512 << 10, CONTEXT_LEN = 1 + BLOB_ID_LEN,
	NOTIFY_ALL = NOTIFY_NEVER | NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY };
enum { BODY_8BIT = 1, BODY_BINARY = 2, SMTPUTF8 = 4, UTF8_HEADER = 8, REQUIRE_TLS = 16, TLS_OPTIONAL = 32, BY_RETURN = 64, HAS_PRIORITY = 128 };
enum { MT_PRIORITY_MOST = 9 };

/* What people read is cut off where it is too long, at a whole character. */
static struct str clip(struct str s, size_t max)
{
	size_t n = s.n <= max ? s.n : max;
	while (n < s.n && n > 0 && ((uint8_t)s.p[n] & 0xc0) == 0x80)
		n--;
	return str_head(s, n);
}

static void put_secret(struct buf *out, const struct secret *s) { buf_add(out, secret_str(s)); }

static void get_secret(struct cursor *c, struct secret *out)
{
	struct str k = cursor_take(c, KEY_LEN);
	memcpy(out->k, k.p, k.n);
}

static uint8_t flags_of(const struct letter *l)
{
	return (uint8_t)((l->body_8bit ? BODY_8BIT : 0) | (l->body_binary ? BODY_BINARY : 0) | (l->smtputf8 ? SMTPUTF8 : 0) | (l->utf8_header ? UTF8_HEADER : 0) |
	                 (l->require_tls ? REQUIRE_TLS : 0) | (l->tls_optional ? TLS_OPTIONAL : 0) | (l->by_return ? BY_RETURN : 0) |
	                 (l->has_priority ? HAS_PRIORITY : 0));
}

void letter_pack(const struct letter *l, struct buf *out)
{
	buf_u8(out, VERSION);
	put_secret(out, &l->body_key);
	put_secret(out, &l->row_key);
	buf_u8(out, l->kind);
	buf_u8(out, l->ret);
	buf_u8(out, flags_of(l));
	buf_u64(out, l->account);
	buf_u32(out, l->skip);
	buf_u64(out, l->size);
	buf_u64(out, (uint64_t)l->created_ms);
	buf_u64(out, (uint64_t)l->deliver_by_ms);
	if (l->has_priority)
		buf_u8(out, (uint8_t)(l->mt_priority + MT_PRIORITY_MOST));
	buf_run(out, l->mid);
	buf_run(out, l->sender);
	buf_run(out, l->owner);
	buf_run(out, l->envid);
	buf_run(out, clip(l->subject, SUBJECT_MAX));
	buf_run(out, clip(l->from, FROM_MAX));
	buf_run(out, l->prefix);
}

static struct str text(struct cursor *c, size_t max, struct arena *a) { return arena_str(a, cursor_run(c, max)); }

static void set_flags(struct letter *l, uint8_t flags)
{
	l->body_8bit = flags & BODY_8BIT;
	l->body_binary = flags & BODY_BINARY;
	l->smtputf8 = flags & SMTPUTF8;
	l->utf8_header = flags & UTF8_HEADER;
	l->require_tls = flags & REQUIRE_TLS;
	l->tls_optional = flags & TLS_OPTIONAL;
	l->by_return = flags & BY_RETURN;
	l->has_priority = flags & HAS_PRIORITY;
}

enum rc letter_unpack(struct str packed, struct arena *a, struct letter *out)
{
	struct cursor c = cursor_of(packed);
	struct letter l = { 0 };
	uint8_t version = cursor_u8(&c);
	get_secret(&c, &l.body_key);
	get_secret(&c, &l.row_key);
	l.kind = cursor_u8(&c);
	l.ret = cursor_u8(&c);
	uint8_t flags = cursor_u8(&c);
	set_flags(&l, flags);
	l.account = cursor_u64(&c);
	l.skip = cursor_u32(&c);
	l.size = cursor_u64(&c);
	l.created_ms = (int64_t)cursor_u64(&c);
	l.deliver_by_ms = (int64_t)cursor_u64(&c);
	l.mt_priority = l.has_priority ? (int)cursor_u8(&c) - MT_PRIORITY_MOST : 0;
	l.mid = text(&c, MID_MAX, a);
	l.sender = text(&c, PATH_MAX_OCTETS, a);
	l.owner = text(&c, PATH_MAX_OCTETS, a);
	l.envid = text(&c, ENVID_MAX, a);
	l.subject = text(&c, SUBJECT_MAX, a);
	l.from = text(&c, FROM_MAX, a);
	l.prefix = text(&c, PREFIX_MAX, a);
	bool ok = cursor_at_end(&c) && version == VERSION && l.kind < LETTER_KINDS && l.ret <= LETTER_RET_HDRS && l.mt_priority <= MT_PRIORITY_MOST;
	if (ok && !a->full)
		*out = l;
	mem_wipe(&l, sizeof l);
	return !ok ? RC_SYNTAX : a->full ? RC_NOMEM : RC_OK;
}

/* Bound to the body it tells how to open: a letter cannot be put before another one's. */
static struct str context(const struct blob_id *blob, char out[CONTEXT_LEN])
{
	out[0] = 'L';
	memcpy(out + 1, blob->b, BLOB_ID_LEN);
	return str_of(out, CONTEXT_LEN);
}

static bool too_long(const struct letter *l)
{
	return l->mid.n > MID_MAX || l->sender.n > PATH_MAX_OCTETS || l->owner.n > PATH_MAX_OCTETS || l->envid.n > ENVID_MAX || l->prefix.n > PREFIX_MAX ||
	       l->kind >= LETTER_KINDS || l->ret > LETTER_RET_HDRS || l->mt_priority < -MT_PRIORITY_MOST || l->mt_priority > MT_PRIORITY_MOST;
}

enum rc letter_seal(const uint8_t queue_public[PUB_LEN], const struct blob_id *blob, const struct letter *l, struct buf *out)
{
	char bound[CONTEXT_LEN];
	struct buf plain AUTO(buf_wipe);
	buf_init(&plain, QUEUE_LETTER_MAX);
	if (too_long(l))
		return RC_LIMIT;
	if (!buf_room(&plain, 1200 + l->sender.n + l->owner.n + l->envid.n + l->prefix.n)) /* once: no copies of keys left behind */
		return RC_NOMEM;
	letter_pack(l, &plain);
	return plain.failed ? RC_NOMEM : seal_to(queue_public, context(blob, bound), buf_str(&plain), out);
}

enum rc letter_open(struct unsealer *queue, const struct blob_id *blob, struct str sealed, struct arena *a, struct letter *out)
{
	char bound[CONTEXT_LEN];
	struct buf plain AUTO(buf_wipe);
	buf_init(&plain, QUEUE_LETTER_MAX);
	TRY(unsealer_open(queue, context(blob, bound), sealed, &plain));
	return letter_unpack(buf_str(&plain), a, out);
}

/* ---- a recipient's row ---- */
static bool rcpt_too_long(const struct letter_rcpt *r)
{
	return r->address.n > PATH_MAX_OCTETS || r->orcpt_type.n > TYPE_MAX || r->orcpt.n > ORCPT_MAX || r->notify > NOTIFY_ALL || r->remote > 1;
}

static uint64_t row_nonce(uint32_t version, uint32_t n) { return (uint64_t)version << 32 | n; }

enum rc letter_rcpt_seal(const struct secret *row_key, uint32_t version, uint32_t n, const struct letter_rcpt *r, struct buf *out)
{
	struct buf plain AUTO(buf_done);
	buf_init(&plain, QUEUE_ROW_MAX);
	if (rcpt_too_long(r))
		return RC_LIMIT;
	buf_u8(&plain, VERSION);
	buf_u8(&plain, r->notify);
	buf_u8(&plain, r->remote);
	buf_u64(&plain, (uint64_t)r->last_ms);
	buf_run(&plain, r->address);
	buf_run(&plain, r->orcpt_type);
	buf_run(&plain, r->orcpt);
	buf_run(&plain, clip(r->reply, REPLY_MAX));
	buf_run(&plain, clip(r->host, HOST_MAX));
	buf_run(&plain, clip(r->tls, TLS_MAX_TEXT));
	return plain.failed ? RC_NOMEM : aead_seal(row_key, row_nonce(version, n), STR("letterlock queue row"), buf_str(&plain), out);
}

static enum rc rcpt_unpack(struct str packed, struct arena *a, struct letter_rcpt *out)
{
	struct cursor c = cursor_of(packed);
	struct letter_rcpt r = { 0 };
	uint8_t version = cursor_u8(&c);
	r.notify = cursor_u8(&c);
	r.remote = cursor_u8(&c);
	r.last_ms = (int64_t)cursor_u64(&c);
	r.address = text(&c, PATH_MAX_OCTETS, a);
	r.orcpt_type = text(&c, TYPE_MAX, a);
	r.orcpt = text(&c, ORCPT_MAX, a);
	r.reply = text(&c, REPLY_MAX, a);
	r.host = text(&c, HOST_MAX, a);
	r.tls = text(&c, TLS_MAX_TEXT, a);
	if (!cursor_at_end(&c) || version != VERSION || r.notify > NOTIFY_ALL || r.remote > 1)
		return RC_SYNTAX;
	if (a->full)
		return RC_NOMEM;
	*out = r;
	return RC_OK;
}

enum rc letter_rcpt_open(const struct secret *row_key, uint32_t version, uint32_t n, struct str sealed, struct arena *a, struct letter_rcpt *out)
{
	struct buf plain AUTO(buf_done);
	buf_init(&plain, QUEUE_ROW_MAX);
	TRY(aead_open(row_key, row_nonce(version, n), STR("letterlock queue row"), sealed, &plain));
	return rcpt_unpack(buf_str(&plain), a, out);
}

uint64_t letter_lane(const uint8_t hash_key[16], struct str domain)
{
	char lower[256];
	size_t n = domain.n < sizeof lower ? domain.n : sizeof lower;
	for (size_t i = 0; i < n; i++)
		lower[i] = ascii_lower(domain.p[i]);
	return siphash(hash_key, str_of(lower, n));
}
