#include "store/layout.h"

#include "base/codec.h"
#include "crypto/crypto.h"
#include "store/crc.h"
#include "store/rows.h"
#include <assert.h>
#include <stdio.h>

enum { VERSION = 1, FLAG_PRIVATE = 1, FLAG_DISABLED = 2, FLAG_REMOVING = 4, FLAG_SELECTABLE = 2, DEPTH_MAX = 20, LEVEL_MAX = 255 };

void pen_int(struct pen *p, uint64_t v, unsigned octets)
{
	if ((size_t)(p->end - p->p) < octets) {
		p->failed = true;
		return;
	}
	v = __builtin_bswap64(octets == 8 ? v : octets ? v << (64 - 8 * octets) : 0);
	memcpy(p->p, &v, octets);
	p->p += octets;
}

void pen_bytes(struct pen *p, struct str s)
{
	if ((size_t)(p->end - p->p) < s.n) {
		p->failed = true;
		return;
	}
	memcpy(p->p, s.p, s.n);
	p->p += s.n;
}

void pen_run(struct pen *p, struct str s)
{
	if (s.n > UINT16_MAX)
		p->failed = true;
	pen_int(p, s.n, 2);
	pen_bytes(p, s);
}

static struct str take_run16(struct cursor *c) { return cursor_take(c, cursor_u16(c)); }

/* ---- keys ---- */
static struct pen key_pen(struct key *k)
{
	struct pen p = { k->b, k->b + sizeof k->b, false };
	pen_int(&p, ORG, 4);
	return p;
}

static void key_end(struct key *k, const struct pen *p)
{
	assert(!p->failed); /* every caller bounds its text first */
	k->n = (size_t)(p->p - k->b);
}

static struct key key_text(struct str s)
{
	struct key k;
	struct pen p = key_pen(&k);
	pen_bytes(&p, s);
	key_end(&k, &p);
	return k;
}

static struct key key_ints(uint64_t a, unsigned an, uint64_t b, unsigned bn)
{
	struct key k __attribute__((uninitialized)); /* half a kilobyte, of which at most 20 octets are used */
	struct pen p = key_pen(&k);
	pen_int(&p, a, an);
	pen_int(&p, b, bn);
	key_end(&k, &p);
	return k;
}

struct key key_meta(struct str name) { return key_text(name); }
struct key key_domain(struct str domain) { return key_text(domain); }
struct key key_account(uint64_t account) { return key_ints(account, 8, 0, 0); }
struct key key_box(uint64_t account, uint64_t box) { return key_ints(account, 8, box, 8); }
struct key key_box_end(uint64_t account) { return key_ints(account, 8, UINT64_MAX, 8); }
struct key key_uid(uint64_t box, uint32_t uid) { return key_ints(box, 8, uid, 4); }
struct key key_uid_end(uint64_t box) { return key_ints(box, 8, (uint64_t)UINT32_MAX << 8, 5); }
struct key key_name_first(uint64_t account) { return key_account(account); }
struct key key_name_end(uint64_t account) { return key_account(account + 1); }
struct key key_keyword(uint64_t box, uint8_t bit) { return key_ints(box, 8, bit, 1); }
struct key key_keyword_end(uint64_t box) { return key_ints(box, 8, 0xff, 1); }
struct key key_change(uint64_t account, uint64_t modseq) { return key_ints(account, 8, modseq, 8); }
struct key key_pair(uint64_t a, uint64_t b) { return key_ints(a, 8, b, 8); }
struct key key_blob(const struct blob_id *id) { return key_text(str_of(id->b, sizeof id->b)); }
struct key key_segment(uint32_t n) { return key_ints(n, 4, 0, 0); }

enum rc key_name(uint64_t account, struct str name, struct key *out)
{
	uint8_t hash[HASH_LEN]; /* names may be longer than a key; the box row holds the name itself */
	TRY(sha256(name, hash));
	struct pen p = key_pen(out);
	pen_int(&p, account, 8);
	pen_bytes(&p, str_of(hash, 16));
	key_end(out, &p);
	return RC_OK;
}

struct key key_record(uint64_t email, uint64_t box, uint32_t uid)
{
	struct key k __attribute__((uninitialized));
	struct pen p = key_pen(&k);
	pen_int(&p, email, 8);
	pen_int(&p, box, 8);
	pen_int(&p, uid, 4);
	key_end(&k, &p);
	return k;
}

uint32_t key_uid_of(struct str key)
{
	struct cursor c = cursor_of(str_skip(key, key.n < 4 ? 0 : key.n - 4));
	return cursor_u32(&c);
}

uint64_t key_first_of(struct str key)
{
	struct cursor c = cursor_of(str_skip(key, 4));
	return cursor_u64(&c);
}

uint64_t key_second(struct str key)
{
	struct cursor c = cursor_of(str_skip(key, 12));
	return cursor_u64(&c);
}

/* Domain first, so that one domain's addresses lie together. */
struct key key_address(struct str address)
{
	struct key k;
	struct pen p = key_pen(&k);
	struct str domain = address_domain(address);
	pen_bytes(&p, domain);
	pen_int(&p, 0, 1);
	pen_bytes(&p, str_head(address, address.n - domain.n - (domain.n ? 1 : 0)));
	key_end(&k, &p);
	return k;
}

struct key key_address_end(struct str domain)
{
	struct key k;
	struct pen p = key_pen(&k);
	pen_bytes(&p, domain);
	pen_int(&p, 1, 1);
	key_end(&k, &p);
	return k;
}

/* ---- rows ---- */
struct str account_format(const struct account_row *r, char out[ACCOUNT_ROW_MAX])
{
	struct pen p = { out, out + ACCOUNT_ROW_MAX, false };
	pen_int(&p, VERSION, 1);
	pen_int(&p, (r->a.private_mode ? FLAG_PRIVATE : 0) | (r->a.disabled ? FLAG_DISABLED : 0) | (r->removing ? FLAG_REMOVING : 0), 1);
	pen_int(&p, r->a.id, 8);
	pen_int(&p, r->a.quota, 8);
	pen_int(&p, r->a.used, 8);
	pen_int(&p, r->a.messages, 8);
	pen_int(&p, (uint64_t)r->a.created_ms, 8);
	pen_int(&p, r->a.inbox, 8);
	pen_int(&p, r->modseq, 8);
	pen_int(&p, r->floor, 8);
	pen_int(&p, r->last_uidvalidity, 4);
	pen_bytes(&p, str_of(r->a.public_key, PUB_LEN));
	pen_run(&p, r->a.address);
	pen_run(&p, r->a.name);
	assert(!p.failed);
	return str_of(out, (size_t)(p.p - out));
}

enum rc account_parse(struct str v, struct account_row *out)
{
	struct cursor c = cursor_of(v);
	struct account_row r = { 0 };
	uint8_t version = cursor_u8(&c), flags = cursor_u8(&c);
	r.a.private_mode = flags & FLAG_PRIVATE;
	r.a.disabled = flags & FLAG_DISABLED;
	r.removing = flags & FLAG_REMOVING;
	r.a.id = cursor_u64(&c);
	r.a.quota = cursor_u64(&c);
	r.a.used = cursor_u64(&c);
	r.a.messages = cursor_u64(&c);
	r.a.created_ms = (int64_t)cursor_u64(&c);
	r.a.inbox = cursor_u64(&c);
	r.modseq = cursor_u64(&c);
	r.floor = cursor_u64(&c);
	r.last_uidvalidity = cursor_u32(&c);
	struct str pub = cursor_take(&c, PUB_LEN);
	r.a.address = take_run16(&c);
	r.a.name = take_run16(&c);
	if (!cursor_at_end(&c) || version != VERSION || r.a.address.n > ADDRESS_MAX || r.a.name.n > PERSON_NAME_MAX)
		return RC_DAMAGED;
	memcpy(r.a.public_key, pub.p, PUB_LEN);
	*out = r;
	return RC_OK;
}

struct str box_format(const struct box_row *r, char out[BOX_ROW_MAX])
{
	struct pen p = { out, out + BOX_ROW_MAX, false };
	pen_int(&p, VERSION, 1);
	pen_int(&p, r->selectable ? FLAG_SELECTABLE : 0, 1);
	pen_int(&p, r->special_use, 4);
	pen_int(&p, r->uidvalidity, 4);
	pen_int(&p, r->uidnext, 4);
	pen_int(&p, r->exists, 4);
	pen_int(&p, r->unseen, 4);
	pen_int(&p, r->unseen_from, 4);
	pen_int(&p, r->highestmodseq, 8);
	pen_int(&p, r->size, 8);
	pen_run(&p, r->name);
	assert(!p.failed);
	return str_of(out, (size_t)(p.p - out));
}

enum rc box_parse(struct str v, struct box_row *out)
{
	struct cursor c = cursor_of(v);
	struct box_row r = { 0 };
	uint8_t version = cursor_u8(&c), flags = cursor_u8(&c);
	r.selectable = flags & FLAG_SELECTABLE;
	r.special_use = cursor_u32(&c);
	r.uidvalidity = cursor_u32(&c);
	r.uidnext = cursor_u32(&c);
	r.exists = cursor_u32(&c);
	r.unseen = cursor_u32(&c);
	r.unseen_from = cursor_u32(&c);
	r.highestmodseq = cursor_u64(&c);
	r.size = cursor_u64(&c);
	r.name = take_run16(&c);
	if (!cursor_at_end(&c) || version != VERSION || r.name.n > NAME_MAX_OCTETS)
		return RC_DAMAGED;
	*out = r;
	return RC_OK;
}

struct str recent_format(uint32_t first, char out[RECENT_ROW_LEN])
{
	struct pen p = { out, out + RECENT_ROW_LEN, false };
	pen_int(&p, first, 4);
	return str_of(out, RECENT_ROW_LEN);
}

enum rc recent_parse(struct str v, uint32_t *out)
{
	struct cursor c = cursor_of(v);
	uint32_t first = cursor_u32(&c);
	if (!cursor_at_end(&c) || first == 0)
		return RC_DAMAGED;
	*out = first;
	return RC_OK;
}

uint32_t recent_of(enum rc got, struct str v, uint32_t uidnext)
{
	uint32_t first = 1;
	if (got == RC_OK && recent_parse(v, &first) != RC_OK)
		first = 1;
	return first < uidnext ? first : uidnext;
}

struct str state_format(const struct state_row *r, char out[STATE_LEN])
{
	struct pen p = { out, out + STATE_LEN, false };
	pen_int(&p, r->modseq, 8);
	pen_int(&p, r->flags, 4);
	pen_int(&p, r->size, 4);
	pen_int(&p, r->keywords, 8);
	pen_int(&p, r->email, 8);
	return str_of(out, STATE_LEN);
}

enum rc state_parse(struct str v, struct state_row *out)
{
	struct cursor c = cursor_of(v);
	struct state_row r;
	r.modseq = cursor_u64(&c);
	r.flags = cursor_u32(&c);
	r.size = cursor_u32(&c);
	r.keywords = cursor_u64(&c);
	r.email = cursor_u64(&c);
	if (!cursor_at_end(&c))
		return RC_DAMAGED;
	*out = r;
	return RC_OK;
}

struct str change_format(const struct change_row *r, char out[CHANGE_ROW_MAX])
{
	struct pen p = { out, out + CHANGE_ROW_MAX, false };
	pen_int(&p, VERSION, 1);
	pen_int(&p, r->what, 1);
	pen_int(&p, r->box, 8);
	pen_int(&p, (uint64_t)r->at_ms, 8);
	for (size_t i = 0; i < r->n; i++) {
		pen_int(&p, r->r[i].first, 4);
		pen_int(&p, r->r[i].last, 4);
	}
	assert(!p.failed);
	return str_of(out, (size_t)(p.p - out));
}

enum rc change_parse(struct str v, struct change_row *out)
{
	struct cursor c = cursor_of(v);
	uint8_t version = cursor_u8(&c);
	out->what = cursor_u8(&c);
	out->box = cursor_u64(&c);
	out->at_ms = (int64_t)cursor_u64(&c);
	out->n = 0;
	if (c.failed || version != VERSION || out->what < CHANGE_NEW || out->what > CHANGE_KEYWORDS || c.in.n % 8 || c.in.n / 8 > CHANGE_RANGES_MAX)
		return RC_DAMAGED;
	while (c.in.n) {
		struct uid_range *r = &out->r[out->n++];
		r->first = cursor_u32(&c);
		r->last = cursor_u32(&c);
		if (r->first == 0 || r->last < r->first)
			return RC_DAMAGED;
	}
	return RC_OK;
}

struct str blob_row_format(const struct blob_row *r, char out[BLOB_ROW_LEN])
{
	struct pen p = { out, out + BLOB_ROW_LEN, false };
	pen_int(&p, VERSION, 1);
	pen_int(&p, r->place.segment, 4);
	pen_int(&p, r->place.offset, 8);
	pen_int(&p, r->place.length, 8);
	pen_int(&p, r->refs, 4);
	return str_of(out, BLOB_ROW_LEN);
}

enum rc blob_row_parse(struct str v, struct blob_row *out)
{
	struct cursor c = cursor_of(v);
	struct blob_row r;
	uint8_t version = cursor_u8(&c);
	r.place.segment = cursor_u32(&c);
	r.place.offset = cursor_u64(&c);
	r.place.length = cursor_u64(&c);
	r.refs = cursor_u32(&c);
	if (!cursor_at_end(&c) || version != VERSION || r.refs == 0 || !blob_place_fits(&r.place))
		return RC_DAMAGED;
	*out = r;
	return RC_OK;
}

struct str segment_row_format(const struct segment_row *r, char out[SEGMENT_ROW_LEN])
{
	struct pen p = { out, out + SEGMENT_ROW_LEN, false };
	pen_int(&p, VERSION, 1);
	pen_int(&p, r->length, 8);
	pen_int(&p, r->live, 8);
	pen_int(&p, (uint64_t)r->retired_ms, 8);
	pen_int(&p, r->single, 1);
	return str_of(out, SEGMENT_ROW_LEN);
}

enum rc segment_row_parse(struct str v, struct segment_row *out)
{
	struct cursor c = cursor_of(v);
	struct segment_row r;
	uint8_t version = cursor_u8(&c);
	r.length = cursor_u64(&c);
	r.live = cursor_u64(&c);
	r.retired_ms = (int64_t)cursor_u64(&c);
	r.single = cursor_u8(&c) != 0;
	if (!cursor_at_end(&c) || version != VERSION || r.length > INT64_MAX || r.live > r.length)
		return RC_DAMAGED;
	*out = r;
	return RC_OK;
}

void segment_head(uint32_t n, char out[SEGMENT_HEAD_LEN])
{
	struct pen p = { out, out + SEGMENT_HEAD_LEN, false };
	pen_bytes(&p, STR("LLSG"));
	pen_int(&p, VERSION, 4);
	pen_int(&p, n, 4);
	pen_int(&p, crc32c(0, str_of(out, 12)), 4);
}

enum rc segment_head_check(struct str head, uint32_t n)
{
	char want[SEGMENT_HEAD_LEN];
	segment_head(n, want);
	return str_eq(head, str_of(want, sizeof want)) ? RC_OK : RC_DAMAGED;
}

void segment_name(uint32_t n, char out[16]) { (void)snprintf(out, 16, "%08x.seg", n); }

struct str address_row_format(const struct address_row *r, char out[ADDRESS_ROW_LEN])
{
	struct pen p = { out, out + ADDRESS_ROW_LEN, false };
	pen_int(&p, r->kind, 1);
	pen_int(&p, r->id, 8);
	return str_of(out, ADDRESS_ROW_LEN);
}

enum rc address_row_parse(struct str v, struct address_row *out)
{
	struct cursor c = cursor_of(v);
	struct address_row r = { .kind = cursor_u8(&c) };
	r.id = cursor_u64(&c);
	if (!cursor_at_end(&c) || r.kind >= ADDRESS_KINDS)
		return RC_DAMAGED;
	*out = r;
	return RC_OK;
}

struct str domain_row_format(struct str catch_all, char out[DOMAIN_ROW_MAX])
{
	struct pen p = { out, out + DOMAIN_ROW_MAX, false };
	pen_int(&p, VERSION, 1);
	pen_run(&p, catch_all);
	assert(!p.failed);
	return str_of(out, (size_t)(p.p - out));
}

enum rc domain_row_parse(struct str v, struct str *out_catch_all)
{
	struct cursor c = cursor_of(v);
	uint8_t version = cursor_u8(&c);
	*out_catch_all = take_run16(&c);
	return cursor_at_end(&c) && version == VERSION && out_catch_all->n <= ADDRESS_MAX ? RC_OK : RC_DAMAGED;
}

/* ---- names ---- */
static enum rc level_check(struct str level, struct why *why)
{
	if (level.n == 0)
		FAIL(why, RC_SYNTAX, "mailbox name with an empty level");
	if (level.n > LEVEL_MAX)
		FAIL(why, RC_LIMIT, "mailbox name: a level may have at most %d octets", LEVEL_MAX);
	return RC_OK;
}

enum rc name_canonical(struct str name, char out[NAME_MAX_OCTETS], struct str *out_name, struct why *why)
{
	if (name.n == 0)
		FAIL(why, RC_SYNTAX, "empty mailbox name");
	if (name.n > NAME_MAX_OCTETS)
		FAIL(why, RC_LIMIT, "mailbox name: at most %d octets", NAME_MAX_OCTETS);
	if (!utf8_ok(name))
		FAIL(why, RC_SYNTAX, "mailbox name is not UTF-8");
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] < 0x20 || name.p[i] == 0x7f)
			FAIL(why, RC_SYNTAX, "mailbox name with a control character");
	struct str rest = name, level;
	unsigned depth = 0;
	bool more = true;
	while (more) {
		more = str_cut(rest, '/', &level, &rest);
		TRY(level_check(level, why));
		if (++depth > DEPTH_MAX)
			FAIL(why, RC_LIMIT, "mailbox name: at most %d levels", DEPTH_MAX);
	}
	memcpy(out, name.p, name.n);
	/* RFC 3501 5.1: INBOX is case-insensitive; so is it as the first level of a name. */
	if (name.n >= 5 && str_ieq(str_head(name, 5), STR("INBOX")) && (name.n == 5 || name.p[5] == '/'))
		memcpy(out, "INBOX", 5);
	*out_name = str_of(out, name.n);
	return RC_OK;
}

enum rc domain_canonical(struct str domain, char out[DOMAIN_MAX], struct str *out_domain)
{
	if (domain.n == 0)
		return RC_SYNTAX;
	if (domain.n > DOMAIN_MAX)
		return RC_LIMIT;
	for (size_t i = 0; i < domain.n; i++) {
		char c = domain.p[i];
		if ((unsigned char)c <= 0x20 || c == 0x7f || c == '@' || c == '/')
			return RC_SYNTAX;
		out[i] = ascii_lower(c);
	}
	*out_domain = str_of(out, domain.n);
	return RC_OK;
}

static enum rc canonical(struct str address, bool blanks, char out[ADDRESS_MAX], struct str *out_address)
{
	size_t local = address.n - address_domain(address).n;
	if (address.n > ADDRESS_MAX)
		return RC_LIMIT;
	for (size_t i = 0; i < address.n; i++) {
		bool blank = blanks && i < local && address.p[i] == ' ';
		if (((unsigned char)address.p[i] <= 0x20 && !blank) || address.p[i] == 0x7f)
			return RC_SYNTAX;
		out[i] = ascii_lower(address.p[i]);
	}
	*out_address = str_of(out, address.n);
	struct str domain = address_domain(*out_address);
	return domain.n == 0 || domain.n > DOMAIN_MAX || domain.n + 1 >= address.n ? RC_SYNTAX : RC_OK;
}

enum rc address_canonical(struct str address, char out[ADDRESS_MAX], struct str *out_address) { return canonical(address, false, out, out_address); }

enum rc address_asked(struct str address, char out[ADDRESS_MAX], struct str *out_address) { return canonical(address, true, out, out_address); }

struct str address_domain(struct str address)
{
	for (size_t i = address.n; i > 0; i--)
		if (address.p[i - 1] == '@')
			return str_skip(address, i);
	return STR("");
}

struct str address_base(struct str address, char out[ADDRESS_MAX], struct str *out_tag)
{
	struct str domain = address_domain(address), local = str_head(address, address.n - domain.n - (domain.n ? 1 : 0));
	size_t plus = str_find(local, '+');
	*out_tag = STR("");
	if (plus == 0 || plus >= local.n || address.n > ADDRESS_MAX)
		return address;
	memcpy(out, local.p, plus);
	out[plus] = '@';
	memcpy(out + plus + 1, domain.p, domain.n);
	*out_tag = str_skip(local, plus + 1);
	return str_of(out, plus + 1 + domain.n);
}

enum rc person_name_check(struct str name, struct why *why)
{
	if (name.n > PERSON_NAME_MAX)
		FAIL(why, RC_LIMIT, "a name has at most %d octets", PERSON_NAME_MAX);
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] < ' ' || name.p[i] == 0x7f)
			FAIL(why, RC_SYNTAX, "a name is one line without control characters");
	return RC_OK;
}
