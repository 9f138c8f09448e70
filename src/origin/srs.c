#include "origin/srs.h"

#include "dns/dns.h"
#include "mail/address.h"

enum { HASH_CHARS = 8, STAMP_CHARS = 2, STAMP_DAYS = 1024, GOOD_DAYS = 21, AHEAD_DAYS = 1, LOCAL_MAX = 64, ROOM = 4096 };
static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static int base32_value(char c)
{
	const char *at = c ? strchr(base32, ascii_upper(c)) : NULL;
	return at ? (int)(at - base32) : -1;
}

static bool is_separator(char c) { return c == '=' || c == '-' || c == '+'; }

/* "SRS0" or "SRS1" and a separator: relays on the way may have changed the case. */
static bool is_tagged(struct str local, char digit)
{
	return local.n > 5 && str_istarts(local, STR("SRS")) && local.p[3] == digit && is_separator(local.p[4]);
}

/* The first 40 bits of HMAC-SHA-256 over what stands behind the hash, in lower case: a relay between may fold it. */
static enum rc hash_of(const struct secret *key, char digit, struct str text, char out[HASH_CHARS])
{
	AUTO(buf_done) struct buf b = { .max = ROOM };
	uint8_t mac[HASH_LEN];
	uint64_t bits = 0;
	buf_addf(&b, "srs%c=", digit);
	for (size_t i = 0; i < text.n; i++)
		buf_byte(&b, ascii_lower(text.p[i]));
	if (b.failed)
		return RC_NOMEM;
	TRY(hmac_sha256(key, buf_str(&b), mac));
	for (size_t i = 0; i < 5; i++)
		bits = bits << 8 | mac[i];
	for (size_t i = 0; i < HASH_CHARS; i++)
		out[i] = base32[bits >> (5 * (HASH_CHARS - 1 - i)) & 31];
	return RC_OK;
}

static enum rc hash_check(const struct secret *key, char digit, struct str hash, struct str text)
{
	char want[HASH_CHARS], got[HASH_CHARS];
	if (hash.n != HASH_CHARS)
		return RC_DENIED;
	TRY(hash_of(key, digit, text, want));
	for (size_t i = 0; i < HASH_CHARS; i++)
		got[i] = ascii_upper(hash.p[i]);
	return ct_eq(want, got, HASH_CHARS) ? RC_OK : RC_DENIED;
}

static unsigned today(int64_t now_s)
{
	int64_t day = now_s / 86400;
	return (unsigned)(((day % STAMP_DAYS) + STAMP_DAYS) % STAMP_DAYS);
}

/* "hash=rest" with its tag, as an address at our domain. */
static enum rc put(const struct secret *key, char digit, struct str rest, struct str our_domain, struct buf *out)
{
	AUTO(buf_done) struct buf local = { .max = ROOM }, wire = { .max = 2 * ROOM };
	char hash[HASH_CHARS];
	TRY(hash_of(key, digit, rest, hash));
	buf_addf(&local, "SRS%c=%.*s=", digit, HASH_CHARS, hash);
	buf_add(&local, rest);
	mail_address_format(&(struct mail_address){ .local = buf_str(&local), .domain = our_domain }, &wire);
	if (local.failed || wire.failed)
		return RC_NOMEM;
	if (wire.len > LOCAL_MAX + 1 + our_domain.n) /* RFC 5321 4.5.3.1.1, quotes included */
		return RC_LIMIT;
	buf_add(out, buf_str(&wire));
	return out->failed ? RC_NOMEM : RC_OK;
}

/* Somebody's SRS0 becomes SRS1, and somebody's SRS1 ours: either way a bounce goes from us to the first forwarder and from there home. */
static enum rc again(const struct secret *key, const struct mail_address *m, struct str our_domain, struct buf *out)
{
	AUTO(buf_done) struct buf rest = { .max = ROOM };
	struct str hash, tail, first, behind;
	if (is_tagged(m->local, '0')) {
		buf_add(&rest, m->domain);
		buf_byte(&rest, '=');
		buf_add(&rest, str_skip(m->local, 4)); /* with its separator */
	} else if (str_cut(str_skip(m->local, 5), '=', &hash, &tail) && str_cut(tail, '=', &first, &behind) && behind.n && is_separator(behind.p[0]) &&
	           mail_domain_ok(first, false)) {
		buf_add(&rest, tail);
	} else {
		return RC_SYNTAX;
	}
	return rest.failed ? RC_NOMEM : put(key, '1', buf_str(&rest), our_domain, out);
}

static enum rc fresh(const struct secret *key, const struct mail_address *m, struct str our_domain, int64_t now_s, struct buf *out)
{
	AUTO(buf_done) struct buf rest = { .max = ROOM };
	unsigned day = today(now_s);
	buf_byte(&rest, base32[day >> 5 & 31]);
	buf_byte(&rest, base32[day & 31]);
	buf_byte(&rest, '=');
	buf_add(&rest, m->domain);
	buf_byte(&rest, '=');
	buf_add(&rest, m->local);
	return rest.failed ? RC_NOMEM : put(key, '0', buf_str(&rest), our_domain, out);
}

enum rc srs_forward(const struct secret *key, struct str sender, struct str our_domain, int64_t now_s, struct buf *out)
{
	AUTO(arena_done) struct arena a = { .max = ROOM };
	AUTO(buf_done) struct buf back = { .max = ROOM };
	struct mail_address m;
	TRY(mail_address_parse(sender, true, &a, &m, NULL));
	bool ours = str_ieq(m.domain, our_domain);
	if (ours && srs_reverse(key, m.local, now_s, &back) == RC_OK) { /* a message that came round again: it leads home as it is */
		mail_address_format(&m, out);
		return out->failed ? RC_NOMEM : RC_OK;
	}
	if (!m.local.n || !m.domain.n || m.domain.p[0] == '[') /* an address literal has no place in a local part */
		return RC_SYNTAX;
	if (!ours && (is_tagged(m.local, '0') || is_tagged(m.local, '1'))) {
		enum rc rc = again(key, &m, our_domain, out);
		if (rc != RC_SYNTAX)
			return rc;
	}
	return fresh(key, &m, our_domain, now_s, out);
}

static enum rc give(struct str local, struct str domain, struct buf *out)
{
	if (!local.n || !mail_domain_ok(domain, false))
		return RC_DENIED;
	mail_address_format(&(struct mail_address){ .local = local, .domain = domain }, out);
	return out->failed ? RC_NOMEM : RC_OK;
}

static enum rc reverse_0(const struct secret *key, struct str hash, struct str rest, int64_t now_s, struct buf *out)
{
	struct str stamp, tail, domain, local;
	TRY(hash_check(key, '0', hash, rest));
	if (!str_cut(rest, '=', &stamp, &tail) || stamp.n != STAMP_CHARS || !str_cut(tail, '=', &domain, &local))
		return RC_DENIED;
	int high = base32_value(stamp.p[0]), low = base32_value(stamp.p[1]);
	if (high < 0 || low < 0)
		return RC_DENIED;
	unsigned age = (today(now_s) + STAMP_DAYS - (unsigned)(high << 5 | low)) % STAMP_DAYS;
	if (age > GOOD_DAYS && age < STAMP_DAYS - AHEAD_DAYS)
		return RC_LATE;
	return give(local, domain, out);
}

static enum rc reverse_1(const struct secret *key, struct str hash, struct str rest, struct buf *out)
{
	AUTO(buf_done) struct buf local = { .max = ROOM };
	struct str domain, tail;
	TRY(hash_check(key, '1', hash, rest));
	if (!str_cut(rest, '=', &domain, &tail) || !tail.n || !is_separator(tail.p[0]))
		return RC_DENIED;
	buf_add(&local, STR("SRS0"));
	buf_add(&local, tail);
	return local.failed ? RC_NOMEM : give(buf_str(&local), domain, out);
}

enum rc srs_reverse(const struct secret *key, struct str local, int64_t now_s, struct buf *out)
{
	struct str hash, rest;
	bool zero = is_tagged(local, '0');
	if (local.n > ROOM / 2 || (!zero && !is_tagged(local, '1')))
		return RC_NOTFOUND;
	if (!str_cut(str_skip(local, 5), '=', &hash, &rest))
		return RC_DENIED;
	return zero ? reverse_0(key, hash, rest, now_s, out) : reverse_1(key, hash, rest, out);
}
