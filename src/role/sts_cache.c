#include "role/sts_cache.h"

#include "base/codec.h"
#include "base/cursor.h"
#include "base/map.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "os/loop.h"
#include <stdio.h>

enum { ENTRIES_MAX = 20000, VALUE_MAX = 256 << 10, LIST_MAX = 2 << 20, BACK_FIRST_MS = 300000, BACK_MOST_MS = 3600000, DAY_MS = 86400000, NOTE_VERSION = 1, WAIT_MS = 120000 };

/* What is known of one domain. `text` "" = no policy. */
struct entry {
	char domain[256]; size_t domain_n;
	struct buf id, text;
	int64_t fetched_ms, expires_ms, again_ms; /* again_ms: after a failure, no fetch before */
	int64_t back_ms;
	const char *result; char why[200];         /* of the last failure */
	bool loaded, busy;                         /* busy: somebody is fetching */
	unsigned users;
	struct waitlist ready;
};
struct sts_cache {
	struct sts_hooks h;
	uint8_t hash_key[16];
	struct secret seal;
	struct map entries;
};

enum rc sts_cache_new(const struct sts_hooks *hooks, const uint8_t hash_key[16], struct sts_cache **out)
{
	struct sts_cache *c = mem_new(sizeof *c);
	if (!c)
		return RC_NOMEM;
	c->h = *hooks;
	memcpy(c->hash_key, hash_key, sizeof c->hash_key);
	map_init(&c->entries, ENTRIES_MAX);
	enum rc rc = hkdf(str_of(hash_key, 16), STR(""), STR("letterlock mta-sts notes"), &c->seal);
	if (rc != RC_OK)
		sts_cache_free(&c);
	else
		*out = c;
	return rc;
}

static void entry_free(struct entry *e)
{
	buf_done(&e->id);
	buf_done(&e->text);
	mem_free(e);
}

void sts_cache_free(struct sts_cache **cp)
{
	struct sts_cache *c = *cp;
	size_t at = 0;
	if (!c)
		return;
	for (struct entry *e; (e = map_next(&c->entries, &at));)
		entry_free(e);
	map_done(&c->entries);
	secret_done(&c->seal);
	mem_wipe(c->hash_key, sizeof c->hash_key);
	mem_free(c);
	*cp = NULL;
}

/* ---- notes ---- */

static struct str key_of(const struct sts_cache *c, struct str domain, char out[40])
{
	uint8_t twice[2][16];
	memcpy(twice[0], c->hash_key, 16);
	for (size_t i = 0; i < 16; i++)
		twice[1][i] = c->hash_key[i] ^ 0x5c; /* two hashes of 64 bits: one alone could meet another domain's */
	int n = snprintf(out, 40, "sts/%016llx%016llx", (unsigned long long)siphash(twice[0], domain), (unsigned long long)siphash(twice[1], domain));
	mem_wipe(twice, sizeof twice);
	return str_of(out, (size_t)n);
}

static enum rc note_seal(const struct sts_cache *c, struct str key, const struct mta_sts_kept *k, struct buf *out)
{
	AUTO(buf_done) struct buf plain = { .max = VALUE_MAX };
	uint64_t nonce; /* random: some ten thousand notes are written in a year, far from where two of 2^64 meet */
	TRY(random_bytes(&nonce, sizeof nonce));
	mta_sts_keep(k, &plain);
	buf_u8(out, NOTE_VERSION);
	buf_u64(out, nonce);
	return plain.failed ? RC_NOMEM : aead_seal(&c->seal, nonce, key, buf_str(&plain), out);
}

static enum rc note_open(const struct sts_cache *c, struct str key, struct str value, struct buf *plain, struct mta_sts_kept *out)
{
	struct cursor in = cursor_of(value);
	uint8_t version = cursor_u8(&in);
	uint64_t nonce = cursor_u64(&in);
	if (in.failed || version != NOTE_VERSION)
		return RC_DAMAGED;
	TRY(aead_open(&c->seal, nonce, key, in.in, plain));
	return mta_sts_kept_get(buf_str(plain), out);
}

static void save(struct sts_cache *c, const struct entry *e)
{
	AUTO(buf_done) struct buf value = { .max = VALUE_MAX };
	char key[40];
	struct str domain = str_of(e->domain, e->domain_n), k = key_of(c, domain, key);
	struct mta_sts_kept kept = { domain, buf_str(&e->id), buf_str(&e->text), e->fetched_ms, e->expires_ms, e->fetched_ms };
	/* What cannot be kept now still holds in this process; the next fetch keeps it again. */
	if (note_seal(c, k, &kept, &value) == RC_OK)
		(void)!c->h.note_put(c->h.house, k, buf_str(&value), NULL);
}

static void set(struct buf *b, struct str s)
{
	buf_clear(b);
	buf_add(b, s);
}

/* A note that is damaged, or another domain's, is none. */
static void restore(struct sts_cache *c, struct entry *e)
{
	AUTO(buf_done) struct buf value = { .max = VALUE_MAX }, plain = { .max = VALUE_MAX };
	struct mta_sts_kept k;
	char key[40];
	struct str domain = str_of(e->domain, e->domain_n), name = key_of(c, domain, key);
	enum rc rc = c->h.note_get(c->h.house, name, &value, NULL);
	e->loaded = rc == RC_OK || rc == RC_NOTFOUND;
	if (rc != RC_OK || note_open(c, name, buf_str(&value), &plain, &k) != RC_OK || !str_eq(k.domain, domain))
		return;
	set(&e->id, k.id);
	set(&e->text, k.text);
	if (e->id.failed || e->text.failed)
		buf_clear(&e->text);
	e->fetched_ms = k.fetched_ms;
	e->expires_ms = k.expires_ms;
}

/* ---- entries ---- */

static void make_room(struct sts_cache *c)
{
	size_t at = 0;
	for (struct entry *e; c->entries.n >= ENTRIES_MAX && (e = map_next(&c->entries, &at));)
		if (!e->users) {
			(void)map_drop(&c->entries, str_of(e->domain, e->domain_n));
			entry_free(e);
			return;
		}
}

static struct entry *entry_of(struct sts_cache *c, struct str domain)
{
	struct entry *e = map_get(&c->entries, domain);
	if (e)
		return e;
	make_room(c);
	e = mem_new(sizeof *e);
	if (!e)
		return NULL;
	*e = (struct entry){ .domain_n = domain.n, .id = { .max = 64 }, .text = { .max = MTA_STS_POLICY_MAX }, .result = "" };
	memcpy(e->domain, domain.p, domain.n);
	if (map_put(&c->entries, str_of(e->domain, e->domain_n), e) != RC_OK) {
		entry_free(e);
		return NULL;
	}
	return e;
}

static bool holds(const struct sts_cache *c, const struct entry *e)
{
	int64_t now = c->h.now_ms();
	/* A clock that jumped: nothing holds for longer than a policy may. */
	return e->text.len && now < e->expires_ms && e->expires_ms - now <= MTA_STS_AGE_MAX * 1000ll;
}

static void failed(struct sts_cache *c, struct entry *e, const char *result, const struct why *why)
{
	e->result = result;
	(void)snprintf(e->why, sizeof e->why, "%.190s", why->text);
	e->back_ms = e->back_ms ? e->back_ms * 2 : BACK_FIRST_MS;
	if (e->back_ms > BACK_MOST_MS)
		e->back_ms = BACK_MOST_MS;
	e->again_ms = c->h.now_ms() + e->back_ms;
}

/* Fetches and, when it is a policy, puts it in the place of the one before. */
static enum rc renew(struct sts_cache *c, struct entry *e, struct str id)
{
	AUTO(buf_done) struct buf text = { .max = MTA_STS_POLICY_MAX };
	AUTO(arena_done) struct arena a = { .max = 1 << 18 };
	struct mta_sts_policy p;
	struct why why = { 0 };
	const char *result = "";
	enum rc rc = c->h.fetch(c->h.house, str_of(e->domain, e->domain_n), &text, &result, &why);
	if (rc == RC_OK) {
		result = "sts-policy-invalid";
		rc = mta_sts_parse(buf_str(&text), &a, &p, &why);
	}
	if (rc == RC_CLOSED)
		return rc;
	if (rc != RC_OK) {
		failed(c, e, result, &why);
		return rc;
	}
	set(&e->id, id);
	set(&e->text, buf_str(&text));
	if (e->id.failed || e->text.failed) {
		buf_clear(&e->text);
		return RC_NOMEM;
	}
	e->fetched_ms = c->h.now_ms();
	e->expires_ms = e->fetched_ms + (int64_t)p.max_age * 1000;
	e->again_ms = e->back_ms = 0;
	e->result = "";
	e->why[0] = '\0';
	save(c, e);
	return RC_OK;
}

/* One at a time for a domain; who comes meanwhile waits for the first one's result. */
static enum rc enter(struct entry *e)
{
	int64_t deadline = fiber_self() ? loop_now(fiber_loop()) + WAIT_MS : 0;
	while (e->busy)
		TRY(wait_on(&e->ready, deadline));
	e->busy = true;
	return RC_OK;
}

static void leave(struct entry *e)
{
	e->busy = false;
	wake_all(&e->ready);
}

static enum sts_state decide(struct sts_cache *c, struct entry *e, enum rc has_record, struct str id, struct why *why, enum rc *rc)
{
	*rc = RC_OK;
	/* RFC 8461 3.1: "the absence of a usable TXT record is not by itself sufficient to remove a sender's previously cached policy" */
	if (has_record != RC_OK)
		return holds(c, e) ? STS_KEPT_STALE : STS_NONE;
	if (holds(c, e) && str_eq(buf_str(&e->id), id))
		return STS_KEPT;
	if (c->h.now_ms() >= e->again_ms || e->again_ms - c->h.now_ms() > BACK_MOST_MS) {
		*rc = renew(c, e, id);
		if (*rc == RC_OK)
			return STS_FETCHED;
	}
	if (*rc != RC_CLOSED && *rc != RC_NOMEM)
		*rc = RC_OK;
	if (why)
		(void)snprintf(why->text, sizeof why->text, "%.190s", e->why);
	/* RFC 8461 5.1: a policy that cannot be fetched anew does not end the one that is kept. */
	return holds(c, e) ? STS_KEPT_STALE : STS_FAILED;
}

static enum rc give(const struct entry *e, struct arena *a, struct mta_sts_policy *out, struct why *why)
{
	struct str text = arena_str(a, buf_str(&e->text)); /* the entry may change while the caller suspends */
	return a->full ? RC_NOMEM : mta_sts_parse(text, a, out, why);
}

static enum rc look(struct sts_cache *c, struct entry *e, struct arena *a, struct mta_sts_policy *out, struct sts_status *status, struct why *why)
{
	AUTO(arena_done) struct arena mine = { .max = 1 << 18 };
	struct why reason = { 0 };
	struct dns_answer txt;
	struct str id = STR("");
	char name[270];
	enum rc rc;
	int n = snprintf(name, sizeof name, "_mta-sts.%.*s", (int)e->domain_n, e->domain);
	dns_ask(&c->h.dns, DNS_TXT, str_of(name, (size_t)n), &mine, &txt);
	if (!e->loaded)
		restore(c, e);
	enum rc has_record = mta_sts_record(&txt, &id, &reason);
	if (has_record != RC_OK && (txt.status == DNS_TEMPFAIL || txt.status == DNS_BOGUS))
		(void)snprintf(reason.text, sizeof reason.text, "_mta-sts.%.80s gave no answer: %.80s", e->domain, txt.why);
	status->state = decide(c, e, has_record, id, &reason, &rc);
	status->later = has_record == RC_OK ? status->state == STS_FAILED || status->state == STS_KEPT_STALE : txt.status == DNS_TEMPFAIL || txt.status == DNS_BOGUS;
	status->result = status->state == STS_FAILED || (status->state == STS_KEPT_STALE && has_record == RC_OK) ? e->result : "";
	TRY(rc);
	if (status->state == STS_NONE || status->state == STS_FAILED)
		FAIL(why, RC_NOTFOUND, "%.190s", reason.text);
	return give(e, a, out, why);
}

static bool fold(struct str domain, char out[256], size_t *n)
{
	if (domain.n && domain.p[domain.n - 1] == '.')
		domain.n--;
	bool number = true; /* "192.0.2.1": no name ends in digits only (RFC 3696 2) */
	for (size_t i = domain.n; i > 0 && domain.p[i - 1] != '.'; i--)
		number = number && ascii_digit(domain.p[i - 1]);
	if (number || domain.n > 244 || !dns_name_ok(domain))
		return false;
	for (size_t i = 0; i < domain.n; i++) {
		if (!ascii_alnum(domain.p[i]) && !memchr("-_.", domain.p[i], 3))
			return false;
		out[i] = ascii_lower(domain.p[i]);
	}
	*n = domain.n;
	return true;
}

enum rc sts_policy_for(struct sts_cache *c, struct str domain, struct arena *a, struct mta_sts_policy *out_policy, struct sts_status *out_status, struct why *why)
{
	char name[256];
	size_t n;
	*out_status = (struct sts_status){ .state = STS_NONE, .result = "" };
	if (!fold(domain, name, &n))
		FAIL(why, RC_NOTFOUND, "not a domain");
	struct entry *e = entry_of(c, str_of(name, n));
	if (!e)
		FAIL(why, RC_NOMEM, "no memory for MTA-STS");
	e->users++;
	enum rc rc = enter(e);
	if (rc == RC_OK) {
		rc = look(c, e, a, out_policy, out_status, why);
		leave(e);
	} else if (rc == RC_LATE) {
		out_status->later = true;
		rc = why_fail(why, RC_NOTFOUND, 0, __FILE__, "others wait for the same policy already");
	}
	e->users--;
	return rc;
}

/* ---- refreshing ---- */

static bool is_due(const struct sts_cache *c, const struct mta_sts_kept *k)
{
	int64_t now = c->h.now_ms(), life = k->expires_ms - k->fetched_ms;
	return now - k->fetched_ms >= (life / 2 < DAY_MS ? life / 2 : DAY_MS) || now < k->fetched_ms;
}

static size_t refresh_one(struct sts_cache *c, struct str key, const struct mta_sts_kept *k)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	struct dns_answer txt;
	char name[270];
	struct str id;
	size_t done = 0;
	if (k->expires_ms <= c->h.now_ms()) { /* a domain that mail goes to is fetched again with the next one */
		(void)!c->h.note_put(c->h.house, key, STR(""), NULL);
		return 0;
	}
	struct entry *e = is_due(c, k) ? entry_of(c, k->domain) : NULL;
	if (!e || (e->again_ms > c->h.now_ms() && e->again_ms - c->h.now_ms() <= BACK_MOST_MS))
		return 0;
	e->users++;
	if (enter(e) == RC_OK) {
		if (!e->loaded)
			restore(c, e);
		int n = snprintf(name, sizeof name, "_mta-sts.%.*s", PSTR(k->domain));
		dns_ask(&c->h.dns, DNS_TXT, str_of(name, (size_t)n), &a, &txt);
		if (mta_sts_record(&txt, &id, NULL) == RC_OK)
			done = renew(c, e, id) == RC_OK;
		leave(e);
	}
	e->users--;
	return done;
}

size_t sts_refresh(struct sts_cache *c)
{
	AUTO(buf_done) struct buf list = { .max = LIST_MAX }, after = { .max = 300 };
	size_t done = 0;
	for (bool more = true; more && !fiber_cancelled();) {
		buf_clear(&list);
		if (c->h.note_list(c->h.house, STR("sts/"), buf_str(&after), &list, &more, NULL) != RC_OK)
			break;
		struct cursor in = cursor_of(buf_str(&list));
		struct str key = STR("");
		while (in.in.n && !in.failed) {
			AUTO(buf_done) struct buf plain = { .max = VALUE_MAX };
			struct mta_sts_kept k;
			key = cursor_run(&in, 200);
			struct str value = cursor_run(&in, VALUE_MAX);
			if (!in.failed && note_open(c, key, value, &plain, &k) == RC_OK && k.domain.n < 245)
				done += refresh_one(c, key, &k);
		}
		set(&after, key);
		more = more && key.n && !in.failed;
	}
	return done;
}
