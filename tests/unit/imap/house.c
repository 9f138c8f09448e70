#include "house.h"

#include "base/mem.h"
#include "mail/grams.h"

/* The house's own memory does not take part in allocation-failure tests. */
#define QUIETLY long fail_was_ = mem_fail_at; mem_fail_at = -1
#define LOUDLY mem_fail_at = fail_was_

static const struct str user_name = STR_INIT("alice@corp.example"), user_password = STR_INIT("secret");

static struct house_box *box_by_id(struct house *h, uint64_t id)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->boxes[i]->id == id)
			return h->boxes[i];
	return NULL;
}

static struct house_box *box_by_name(struct house *h, struct str name)
{
	for (size_t i = 0; i < h->n; i++)
		if (str_eq(str_z(h->boxes[i]->name), name))
			return h->boxes[i];
	return NULL;
}

static size_t subscription_of(const struct house *h, struct str name)
{
	size_t i = 0;
	while (i < h->subscribed_n && !str_eq(str_z(h->subscribed[i]), name))
		i++;
	return i;
}

static bool is_subscribed(const struct house *h, struct str name) { return subscription_of(h, name) < h->subscribed_n; }

static bool subscription_new(struct house *h, struct str name)
{
	if (h->subscribed_n == HOUSE_SUBSCRIPTIONS || name.n >= HOUSE_NAME)
		return false;
	memcpy(h->subscribed[h->subscribed_n], name.p, name.n);
	h->subscribed[h->subscribed_n++][name.n] = 0;
	return true;
}

struct house_box *house_box(struct house *h, const char *name) { return box_by_name(h, str_z(name)); }

static void wake(struct house *h, const struct house_box *b)
{
	if (h->io && h->watched == b->id)
		stream_wake(h->io);
}

static struct house_box *box_new(struct house *h, struct str name, uint32_t use)
{
	if (h->n == HOUSE_BOXES || name.n >= HOUSE_NAME)
		return NULL;
	QUIETLY;
	struct house_box *b = mem_new(sizeof *b);
	LOUDLY;
	if (!b)
		return NULL;
	*b = (struct house_box){ .id = ++h->last_id, .uidvalidity = (uint32_t)(1000 + h->last_id), .uidnext = 1, .given = 1, .special_use = use,
	                         .is_selectable = true, .modseq = 1 };
	memcpy(b->name, name.p, name.n);
	h->boxes[h->n++] = b;
	return b;
}

static void message_done(struct house_message *m)
{
	buf_done(&m->body);
	mail_digest_done(&m->digest);
}

static void box_free(struct house_box *b)
{
	for (size_t i = 0; i < b->n; i++)
		message_done(&b->messages[i]);
	mem_free(b->messages);
	mem_free(b);
}

void house_init(struct house *h)
{
	static const struct { struct str name; uint32_t use; } names[] = {
		{ STR_INIT("INBOX"), 0 }, { STR_INIT("Sent"), USE_SENT }, { STR_INIT("Drafts"), USE_DRAFTS }, { STR_INIT("Archive"), USE_ARCHIVE },
		{ STR_INIT("Archive/2025"), 0 },
	};
	*h = (struct house){ 0 };
	buf_init(&h->append, 64 << 20);
	buf_init(&h->lent, 128 << 10);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (box_new(h, names[i].name, names[i].use) && i != 4)
			(void)subscription_new(h, names[i].name);
}

void house_done(struct house *h)
{
	for (size_t i = 0; i < h->n; i++)
		box_free(h->boxes[i]);
	buf_done(&h->append);
	buf_done(&h->lent);
	*h = (struct house){ 0 };
}

static struct house_message *message_new(struct house_box *b)
{
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 8;
		struct house_message *p = mem_grow(b->messages, b->cap * sizeof *p, cap * sizeof *p);
		if (!p)
			return NULL;
		b->messages = p;
		b->cap = cap;
	}
	struct house_message *m = &b->messages[b->n++];
	*m = (struct house_message){ .uid = b->uidnext++, .modseq = ++b->modseq };
	buf_init(&m->body, 64 << 20);
	return m;
}

static void copy_digest(struct mail_digest *to, const struct mail_digest *from)
{
	*to = *from;
	struct buf *bufs[] = { &to->envelope, &to->structure, &to->parts, &to->preview, &to->fields, &to->attachments, &to->grams };
	for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++) {
		struct buf was = *bufs[i];
		buf_init(bufs[i], was.max);
		buf_add(bufs[i], buf_str(&was));
	}
}

/* The first few messages are read once and for all: a fuzzer delivers the same ones a million times. */
static bool digest(struct str body, struct mail_digest *out)
{
	static struct { struct buf body; struct mail_digest digest; } known[8];
	static size_t n;
	for (size_t i = 0; i < n; i++)
		if (str_eq(buf_str(&known[i].body), body)) {
			copy_digest(out, &known[i].digest);
			return true;
		}
	if (mail_digest(body, &mail_limits_default, out, NULL) != RC_OK)
		return false;
	if (n < sizeof known / sizeof *known && body.n < 4096) {
		buf_init(&known[n].body, body.n);
		buf_add(&known[n].body, body);
		copy_digest(&known[n++].digest, out);
	}
	return true;
}

uint32_t house_deliver(struct house *h, struct house_box *b, struct str message, int64_t internal_ms)
{
	QUIETLY;
	struct house_message *m = message_new(b);
	if (m) {
		m->internal_ms = internal_ms;
		buf_add(&m->body, message);
		m->is_damaged = !digest(buf_str(&m->body), &m->digest);
		wake(h, b);
	}
	LOUDLY;
	return m ? m->uid : 0;
}

static struct house_message *message_find(struct house_box *b, uint32_t uid)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->messages[i].uid == uid)
			return &b->messages[i];
	return NULL;
}

void house_flag(struct house *h, struct house_box *b, uint32_t uid, uint32_t flags)
{
	struct house_message *m = message_find(b, uid);
	if (!m)
		return;
	m->flags = flags;
	m->modseq = ++b->modseq;
	wake(h, b);
}

bool house_expunge(struct house *h, struct house_box *b, uint32_t uid)
{
	struct house_message *m = message_find(b, uid);
	if (!m || b->gone_n == HOUSE_GONE)
		return false;
	message_done(m);
	size_t i = (size_t)(m - b->messages);
	memmove(m, m + 1, (b->n - i - 1) * sizeof *m);
	b->n--;
	b->gone[b->gone_n].uid = uid;
	b->gone[b->gone_n++].modseq = ++b->modseq;
	wake(h, b);
	return true;
}

/* What was lent last is no longer what it was. */
void house_lend_over(struct house *h)
{
	if (h->lent.p)
		memset(h->lent.p, '#', h->lent.cap);
}

/* ---- hooks ---- */

static enum rc hook_connect(void *house, const struct stream_facts *facts, struct why *why)
{
	(void)facts;
	if (((struct house *)house)->refuses)
		FAIL(why, RC_BUSY, "[UNAVAILABLE] too many connections");
	return RC_OK;
}

static enum rc hook_login(void *house, struct str user, struct str password, struct why *why)
{
	struct house *h = house;
	if (h->login_rc != RC_OK)
		FAIL(why, h->login_rc, "not now");
	if (!str_ieq(user, user_name) || !str_eq(password, user_password))
		return RC_DENIED;
	h->logins++;
	return RC_OK;
}

static void hook_logout(void *house) { ((struct house *)house)->logouts++; }

static enum rc hook_folders(void *house, struct arena *a, struct imap_folder **out, size_t *out_n, struct why *why)
{
	struct house *h = house;
	struct imap_folder *v = arena_new(a, (h->n + h->subscribed_n) * sizeof *v);
	size_t n = h->n;
	(void)why;
	for (size_t i = 0; v && i < h->n; i++) {
		struct str name = arena_str(a, str_z(h->boxes[i]->name));
		v[i] = (struct imap_folder){ name, h->boxes[i]->id, h->boxes[i]->special_use, is_subscribed(h, name), h->boxes[i]->is_selectable, true };
	}
	for (size_t i = 0; v && i < h->subscribed_n; i++)
		if (!box_by_name(h, str_z(h->subscribed[i])))
			v[n++] = (struct imap_folder){ .name = arena_str(a, str_z(h->subscribed[i])), .subscribed = true };
	if (a->full)
		return RC_NOMEM;
	*out = v;
	*out_n = n;
	return RC_OK;
}

static enum rc hook_status(void *house, uint64_t id, struct arena *a, struct imap_box *out, struct why *why)
{
	struct house_box *b = box_by_id(house, id);
	if (!b)
		FAIL(why, RC_NOTFOUND, "gone");
	*out = (struct imap_box){ .id = id, .uidvalidity = b->uidvalidity, .uidnext = b->uidnext, .exists = (uint32_t)b->n, .highestmodseq = b->modseq, .recent_from = ((struct house *)house)->stale ? 1 : b->given };
	for (size_t i = 0; i < b->n; i++) {
		if (b->messages[i].flags & IMAP_SEEN)
			continue;
		if (!out->unseen++)
			out->first_unseen_uid = b->messages[i].uid;
	}
	for (unsigned i = 0; i < 64; i++)
		out->keywords[i] = b->keywords[i][0] ? arena_str(a, str_z(b->keywords[i])) : STR("");
	return a->full ? RC_NOMEM : RC_OK;
}

static enum rc hook_open(void *house, uint64_t id, bool readonly, struct arena *a, struct imap_box *out, struct why *why)
{
	struct house *h = house;
	TRY(hook_status(house, id, a, out, why));
	struct house_box *b = box_by_id(h, id);
	struct imap_range *runs = arena_new(a, (b->n + 1) * sizeof *runs);
	if (!runs)
		return RC_NOMEM;
	size_t n = 0;
	for (size_t i = 0; i < b->n; i++) {
		uint32_t uid = b->messages[i].uid;
		if (n && runs[n - 1].last + 1 == uid)
			runs[n - 1].last = uid;
		else
			runs[n++] = (struct imap_range){ uid, uid };
	}
	out->runs = runs;
	out->run_count = n;
	out->readonly = readonly;
	h->watched = id;
	h->opens++;
	return RC_OK;
}

static void hook_close(void *house, uint64_t id)
{
	struct house *h = house;
	h->closes++;
	h->watched = 0;
}

static enum rc hook_create(void *house, struct str name, uint32_t use, struct why *why)
{
	struct house *h = house;
	if (box_by_name(h, name))
		FAIL(why, RC_EXISTS, "it exists");
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] == '/' && !box_by_name(h, str_head(name, i)) && !box_new(h, str_head(name, i), 0))
			FAIL(why, RC_FULL, "too many folders");
	if (!box_new(h, name, use))
		FAIL(why, RC_FULL, "too many folders");
	return RC_OK;
}

static enum rc hook_remove(void *house, struct str name, struct why *why)
{
	struct house *h = house;
	struct house_box *b = box_by_name(h, name);
	if (!b)
		FAIL(why, RC_NOTFOUND, "no such mailbox");
	for (size_t i = 0; i < h->n; i++)
		if (str_starts(str_z(h->boxes[i]->name), name) && h->boxes[i]->name[name.n] == '/')
			FAIL(why, RC_DENIED, "it has children");
	for (size_t i = 0; i < h->n; i++)
		if (h->boxes[i] == b)
			h->boxes[i] = h->boxes[--h->n];
	box_free(b);
	return RC_OK;
}

static void rename_to(struct house_box *b, struct str to, struct str rest)
{
	char name[2 * HOUSE_NAME] = { 0 };
	memcpy(name, to.p, to.n);
	memcpy(name + to.n, rest.p, rest.n);
	memcpy(b->name, name, HOUSE_NAME);
	b->name[HOUSE_NAME - 1] = 0;
}

static enum rc hook_rename(void *house, struct str from, struct str to, struct why *why)
{
	struct house *h = house;
	if (!box_by_name(h, from))
		FAIL(why, RC_NOTFOUND, "no such mailbox");
	if (box_by_name(h, to))
		FAIL(why, RC_EXISTS, "the new name exists");
	if (to.n >= HOUSE_NAME)
		FAIL(why, RC_LIMIT, "too long");
	for (size_t i = 0; i < h->n; i++) {
		char old[HOUSE_NAME];
		memcpy(old, h->boxes[i]->name, HOUSE_NAME);
		if (str_starts(str_z(old), from) && (old[from.n] == 0 || old[from.n] == '/'))
			rename_to(h->boxes[i], to, str_z(old + from.n));
	}
	if (str_eq(from, STR("INBOX")))
		return box_new(h, from, 0) ? RC_OK : RC_FULL;
	return RC_OK;
}

static enum rc hook_subscribe(void *house, struct str name, bool on, struct why *why)
{
	struct house *h = house;
	size_t at = subscription_of(h, name);
	bool was = at < h->subscribed_n;
	if (on && !was && !subscription_new(h, name))
		FAIL(why, RC_LIMIT, "too many subscriptions");
	if (!on && !was && !box_by_name(h, name))
		FAIL(why, RC_NOTFOUND, "no such mailbox");
	if (!on && was)
		memmove(h->subscribed[at], h->subscribed[--h->subscribed_n], HOUSE_NAME);
	return RC_OK;
}

static int by_modseq(const void *x, const void *y)
{
	const struct imap_change *a = x, *b = y;
	return (a->modseq > b->modseq) - (a->modseq < b->modseq);
}

static enum rc hook_changes(void *house, uint64_t id, uint64_t since, struct arena *a, struct imap_change **out, size_t *out_n,
                            uint64_t *out_modseq, bool *out_more, struct why *why)
{
	enum { PIECE = 3 };
	struct house *h = house;
	struct house_box *b = box_by_id(h, id);
	if (!b || h->forgets) {
		h->forgets = false;
		FAIL(why, RC_NOTFOUND, "too long ago");
	}
	struct imap_change *v = arena_new(a, (b->n + b->gone_n + 1) * sizeof *v);
	if (!v)
		return RC_NOMEM;
	size_t n = 0;
	for (size_t i = 0; i < b->n; i++)
		if (b->messages[i].modseq > since)
			v[n++] = (struct imap_change){ b->messages[i].uid, false, b->messages[i].flags, b->messages[i].keywords, b->messages[i].modseq };
	for (size_t i = 0; i < b->gone_n; i++)
		if (b->gone[i].modseq > since)
			v[n++] = (struct imap_change){ .uid = b->gone[i].uid, .expunged = true, .modseq = b->gone[i].modseq };
	if (n)
		qsort(v, n, sizeof *v, by_modseq);
	*out_more = n > PIECE;
	*out_n = n > PIECE ? PIECE : n;
	*out_modseq = *out_n ? v[*out_n - 1].modseq : since;
	*out = v;
	return RC_OK;
}

static enum rc hook_recent(void *house, uint64_t id, uint32_t before, uint32_t *out_first, struct why *why)
{
	struct house *h = house;
	struct house_box *b = box_by_id(h, id);
	h->asked_recent++;
	if (!b || h->recent_rc != RC_OK)
		FAIL(why, b ? h->recent_rc : RC_NOTFOUND, "nobody knows");
	*out_first = b->given;
	b->given = b->given < before ? before : b->given;
	return RC_OK;
}

struct cursor_of_house { struct house_box *box; struct imap_range *ranges; size_t n; uint32_t uid; unsigned want; };

static enum rc hook_fetch_open(void *house, uint64_t id, const struct imap_range *ranges, size_t n, unsigned want, void **out, struct why *why)
{
	struct house *h = house;
	struct house_box *b = box_by_id(h, id);
	if (!b)
		FAIL(why, RC_NOTFOUND, "gone");
	struct cursor_of_house *c = mem_new(sizeof *c);
	struct imap_range *copy = c ? mem_new((n + 1) * sizeof *copy) : NULL;
	if (!copy) {
		mem_free(c);
		return RC_NOMEM;
	}
	if (n)
		memcpy(copy, ranges, n * sizeof *copy);
	*c = (struct cursor_of_house){ .box = b, .ranges = copy, .n = n, .want = want };
	h->cursors++;
	h->wanted |= want;
	*out = c;
	return RC_OK;
}

static bool in_ranges(const struct cursor_of_house *c, uint32_t uid)
{
	for (size_t i = 0; i < c->n; i++)
		if (c->ranges[i].first <= uid && uid <= c->ranges[i].last)
			return true;
	return false;
}

/* Lends a copy that the next call spoils. */
static struct str lend(struct house *h, struct str s)
{
	QUIETLY;
	struct str out = STR("");
	if (buf_room(&h->lent, s.n) && h->lent.p) {
		memcpy(h->lent.p + h->lent.len, s.p, s.n);
		out = (struct str){ h->lent.p + h->lent.len, s.n };
		h->lent.len += s.n;
	}
	LOUDLY;
	return out;
}

static void lend_record(struct house *h, struct imap_row *out, struct house_message *m)
{
	const struct mail_digest *d = &m->digest;
	struct str *to[] = { &out->envelope, &out->structure, &out->parts, &out->preview, &out->fields };
	const struct buf *from[] = { &d->envelope, &d->structure, &d->parts, &d->preview, &d->fields };
	size_t total = 0;
	for (size_t i = 0; i < 5; i++)
		total += from[i]->len;
	if (total + h->lent.len > h->lent.max / 2) { /* too large to spoil: lent as it is */
		for (size_t i = 0; i < 5; i++)
			*to[i] = buf_str(from[i]);
		return;
	}
	QUIETLY;
	(void)buf_room(&h->lent, total); /* so that it does not move in between */
	LOUDLY;
	for (size_t i = 0; i < 5; i++)
		*to[i] = lend(h, buf_str(from[i]));
}

static enum rc hook_fetch_next(void *house, void *cursor, struct imap_row *out, struct why *why)
{
	struct house *h = house;
	struct cursor_of_house *c = cursor;
	house_lend_over(h);
	h->lent.len = 0;
	for (size_t i = 0; i < c->box->n; i++) {
		struct house_message *m = &c->box->messages[i];
		if (m->uid <= c->uid || !in_ranges(c, m->uid))
			continue;
		c->uid = m->uid;
		if (m->is_damaged && c->want & ~(unsigned)WANT_STATE)
			FAIL(why, RC_DAMAGED, "does not open");
		*out = (struct imap_row){ .uid = m->uid, .handle = m };
		if (c->want & WANT_STATE) {
			out->flags = m->flags;
			out->keywords = m->keywords;
			out->modseq = m->modseq;
			out->size = m->body.len;
		}
		if (c->want & (WANT_RECORD | WANT_HEAD)) {
			out->internal_ms = m->internal_ms;
			lend_record(h, out, m);
			if (!(c->want & WANT_RECORD))
				out->structure = out->parts = out->preview = out->fields = STR("");
		}
		if (c->want & WANT_GRAMS)
			out->grams = buf_str(&m->digest.grams);
		return RC_OK;
	}
	return RC_NOTFOUND;
}

static void hook_fetch_close(void *house, void *cursor)
{
	struct house *h = house;
	struct cursor_of_house *c = cursor;
	h->cursors--;
	mem_free(c->ranges);
	mem_free(c);
}

static enum rc hook_body_read(void *house, const struct imap_row *row, uint64_t offset, uint64_t max, struct str *out, struct why *why)
{
	enum { PIECE = 100 };
	struct house *h = house;
	const struct house_message *m = row->handle;
	struct str body = buf_str(&m->body);
	if (m->is_damaged)
		FAIL(why, RC_DAMAGED, "does not open");
	if (h->body_cut)
		body = str_head(body, h->body_cut);
	*out = str_head(str_skip(body, offset < body.n ? offset : body.n), max < PIECE ? max : PIECE);
	return RC_OK;
}

static uint64_t keyword_bit(struct house_box *b, struct str name, bool make)
{
	for (unsigned i = 0; i < 64; i++) {
		if (b->keywords[i][0] && str_ieq(str_z(b->keywords[i]), name))
			return 1ull << i;
		if (!b->keywords[i][0] && make) {
			memcpy(b->keywords[i], name.p, name.n);
			return 1ull << i;
		}
	}
	return 0;
}

static enum rc hook_store(void *house, uint64_t id, const struct imap_range *ranges, size_t n, enum imap_flag_mode mode, uint32_t flags,
                          const struct str *keywords, size_t keyword_n, struct why *why)
{
	struct house *h = house;
	struct house_box *b = box_by_id(h, id);
	struct cursor_of_house c = { .ranges = (struct imap_range *)(uintptr_t)ranges, .n = n };
	uint64_t bits = 0;
	if (!b || h->store_rc != RC_OK)
		FAIL(why, b ? h->store_rc : RC_NOTFOUND, "the disk is full");
	for (size_t i = 0; i < keyword_n; i++) {
		uint64_t bit = keyword_bit(b, keywords[i], mode != FLAGS_REMOVE);
		if (!bit && mode != FLAGS_REMOVE)
			FAIL(why, RC_LIMIT, "a mailbox has at most 64 keywords");
		bits |= bit;
	}
	for (size_t i = 0; i < b->n; i++) {
		struct house_message *m = &b->messages[i];
		if (!in_ranges(&c, m->uid))
			continue;
		uint32_t f = mode == FLAGS_SET ? flags : mode == FLAGS_ADD ? m->flags | flags : m->flags & ~flags;
		uint64_t k = mode == FLAGS_SET ? bits : mode == FLAGS_ADD ? m->keywords | bits : m->keywords & ~bits;
		if (f == m->flags && k == m->keywords)
			continue;
		m->flags = f;
		m->keywords = k;
		m->modseq = ++b->modseq;
	}
	return RC_OK;
}

static enum rc hook_expunge(void *house, uint64_t id, const struct imap_range *ranges, size_t n, struct why *why)
{
	struct house *h = house;
	struct house_box *b = box_by_id(h, id);
	struct cursor_of_house c = { .ranges = (struct imap_range *)(uintptr_t)ranges, .n = n };
	if (!b)
		FAIL(why, RC_NOTFOUND, "gone");
	for (size_t i = 0; i < b->n;) {
		struct house_message *m = &b->messages[i];
		if (!(m->flags & IMAP_DELETED) || (ranges && !in_ranges(&c, m->uid)) || !house_expunge(h, b, m->uid))
			i++;
	}
	return RC_OK;
}

static enum rc hook_copy(void *house, uint64_t id, const struct imap_range *ranges, size_t n, uint64_t to_id, bool move, struct arena *a,
                         struct imap_range **out_src, struct imap_range **out_dst, size_t *out_n, uint32_t *out_uidvalidity, struct why *why)
{
	struct house *h = house;
	struct house_box *b = box_by_id(h, id), *to = box_by_id(h, to_id);
	struct cursor_of_house c = { .ranges = (struct imap_range *)(uintptr_t)ranges, .n = n };
	if (!b || !to)
		FAIL(why, RC_NOTFOUND, "gone");
	struct imap_range *src = arena_new(a, (b->n + 1) * sizeof *src), *dst = arena_new(a, (b->n + 1) * sizeof *dst);
	if (!src || !dst)
		return RC_NOMEM;
	size_t k = 0, end = b->n;
	for (size_t i = 0; i < end; i++) {
		if (!in_ranges(&c, b->messages[i].uid))
			continue;
		uint32_t flags = b->messages[i].flags;
		struct str body = buf_str(&b->messages[i].body);
		src[k] = (struct imap_range){ b->messages[i].uid, b->messages[i].uid };
		uint32_t uid = house_deliver(h, to, body, b->messages[i].internal_ms);
		dst[k++] = (struct imap_range){ uid, uid };
		to->messages[to->n - 1].flags = flags;
	}
	for (size_t i = 0; move && i < k; i++)
		house_expunge(h, b, src[i].first);
	*out_src = src;
	*out_dst = dst;
	*out_n = k;
	*out_uidvalidity = to->uidvalidity;
	return RC_OK;
}

static enum rc hook_append_begin(void *house, uint64_t id, uint64_t size, struct why *why)
{
	struct house *h = house;
	if (h->append_rc != RC_OK)
		FAIL(why, h->append_rc, "over quota");
	h->append_box = id;
	h->append_size = size;
	buf_clear(&h->append);
	return RC_OK;
}

static enum rc hook_append_write(void *house, struct str bytes, struct why *why)
{
	struct house *h = house;
	QUIETLY;
	buf_add(&h->append, bytes);
	LOUDLY;
	return RC_OK;
}

static enum rc hook_append_end(void *house, uint32_t flags, const struct str *keywords, size_t keyword_n, int64_t internal_ms,
                               uint32_t *out_uid, uint32_t *out_uidvalidity, struct why *why)
{
	struct house *h = house;
	struct house_box *b = box_by_id(h, h->append_box);
	if (!b || h->append.len != h->append_size)
		FAIL(why, RC_NOTFOUND, "gone");
	*out_uid = house_deliver(h, b, buf_str(&h->append), internal_ms);
	if (!*out_uid)
		return RC_NOMEM;
	struct house_message *m = &b->messages[b->n - 1];
	m->flags = flags;
	for (size_t i = 0; i < keyword_n; i++)
		m->keywords |= keyword_bit(b, keywords[i], true);
	*out_uidvalidity = b->uidvalidity;
	h->append_box = 0;
	return RC_OK;
}

static void hook_append_abort(void *house) { ((struct house *)house)->append_box = 0; }

static enum rc hook_fold(void *house, struct str utf8, struct arena *a, struct str *out, struct why *why)
{
	AUTO(buf_done) struct buf folded;
	buf_init(&folded, 1 << 20);
	TRY(mail_fold(utf8, &folded));
	*out = arena_str(a, buf_str(&folded));
	return a->full ? RC_NOMEM : RC_OK;
}

static enum rc hook_match(void *house, const struct imap_row *row, char where, struct str field, struct str needle, bool *out, struct why *why)
{
	struct house *h = house;
	const struct house_message *m = row->handle;
	struct mail_match one = { where == 'B' ? MATCH_BODY : where == 'T' ? MATCH_TEXT : MATCH_HEADER, field, needle };
	h->matches++;
	if (m->is_damaged)
		FAIL(why, RC_DAMAGED, "does not open");
	return mail_matches(buf_str(&m->body), &one, 1, &mail_limits_default, out);
}

struct imap_hooks house_hooks(struct house *h)
{
	return (struct imap_hooks){
		.house = h, .connect = hook_connect, .login = hook_login, .logout = hook_logout, .folders = hook_folders, .status = hook_status,
		.create = hook_create, .remove = hook_remove, .rename = hook_rename, .subscribe = hook_subscribe, .open = hook_open,
		.close = hook_close, .changes = hook_changes, .recent = hook_recent, .fetch_open = hook_fetch_open, .fetch_next = hook_fetch_next,
		.fetch_close = hook_fetch_close, .body_read = hook_body_read, .store = hook_store, .expunge = hook_expunge, .copy = hook_copy,
		.append_begin = hook_append_begin, .append_write = hook_append_write, .append_end = hook_append_end,
		.append_abort = hook_append_abort, .fold = hook_fold, .match = hook_match,
	};
}
