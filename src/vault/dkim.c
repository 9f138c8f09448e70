#include "vault/dkim_keys.h"

#include "base/mem.h"
#include "crypto/rsa.h"
#include <stdio.h>
#include <time.h>

/* The life of DKIM keys. What is in memory is what is in the file: a change is written first. */

const char *vault_dkim_state_name(unsigned state)
{
	static const char *const names[VAULT_DKIM_STATES] = { "?", "made", "published", "signing", "retired", "revoked" };
	return names[state < VAULT_DKIM_STATES ? state : 0];
}

size_t vault_dkim_count(const struct vault *v) { return v->dkim.n; }
void vault_dkim_get(const struct vault *v, size_t i, struct vault_dkim *out) { *out = v->dkim.entry[i]->k; }

static void name_of(struct str domain, struct str selector, char out[DKIM_NAME_MAX + 1])
{
	(void)snprintf(out, DKIM_NAME_MAX + 1, "%.*s._domainkey.%.*s", PSTR(str_head(selector, DKIM_SELECTOR_MAX)), PSTR(str_head(domain, 255)));
}

static struct dkim_entry *find(const struct vault *v, struct str domain, struct str selector)
{
	char name[DKIM_NAME_MAX + 1];
	name_of(domain, selector, name);
	return map_get(&v->dkim.by_name, str_z(name));
}

const struct vault_dkim *vault_dkim_find(const struct vault *v, struct str domain, struct str selector)
{
	const struct dkim_entry *e = find(v, domain, selector);
	return e ? &e->k : NULL;
}

/* ---- memory and file ---- */

static enum rc adopt(struct vault *v, const struct vault_dkim *k)
{
	struct dkim_set *s = &v->dkim;
	if (s->n >= DKIM_KEYS_MAX)
		return RC_LIMIT;
	struct dkim_entry *e = mem_new(sizeof *e);
	struct dkim_entry **grown = e ? mem_grow(s->entry, s->n * sizeof *grown, (s->n + 1) * sizeof *grown) : NULL;
	if (grown)
		s->entry = grown;
	if (!grown) {
		mem_free(e);
		return RC_NOMEM;
	}
	e->k = *k;
	name_of(k->domain, k->selector, e->name);
	memcpy(e->public_key, k->public_key.p, k->public_key.n);
	e->k.public_key = str_of(e->public_key, k->public_key.n);
	e->k.selector = str_of(e->name, k->selector.n);
	e->k.domain = str_of(e->name + k->selector.n + sizeof "._domainkey." - 1, k->domain.n);
	enum rc rc = map_put(&s->by_name, str_z(e->name), e);
	if (rc != RC_OK) {
		mem_free(e);
		return rc;
	}
	s->entry[s->n++] = e;
	return RC_OK;
}

static void disown(struct vault *v, struct dkim_entry *e)
{
	struct dkim_set *s = &v->dkim;
	size_t i = 0;
	while (s->entry[i] != e)
		i++;
	memmove(&s->entry[i], &s->entry[i + 1], (s->n - i - 1) * sizeof *s->entry);
	s->n--;
	(void)map_drop(&s->by_name, str_z(e->name));
	dkim_unready(s, e);
	mem_free(e);
}

struct loading { struct vault *v; enum rc rc; };

static bool load_one(void *arg, uint64_t id)
{
	struct loading *l = arg;
	struct vault_dkim k;
	struct str priv;
	struct why unused = { 0 };
	struct buf b AUTO(buf_wipe);
	buf_init(&b, VAULT_VALUE_MAX);
	if (!buf_room(&b, 8192)) {
		l->rc = RC_NOMEM;
		return false;
	}
	enum rc rc = vault_file_get(l->v->file, KIND_DKIM, id, &b, &unused);
	/* A damaged key is no reason not to start: it does not sign, and `verify` names it. */
	if (rc == RC_OK && dkim_record_parse(id, buf_str(&b), &k, &priv) == RC_OK)
		rc = adopt(l->v, &k);
	l->rc = rc == RC_NOMEM ? rc : RC_OK;
	return l->rc == RC_OK;
}

enum rc dkim_set_load(struct vault *v, struct why *why)
{
	struct loading l = { v, RC_OK };
	map_init(&v->dkim.by_name, DKIM_KEYS_MAX + 1);
	vault_file_each(v->file, KIND_DKIM, load_one, &l);
	if (l.rc != RC_OK)
		FAIL(why, l.rc, "no memory for the DKIM keys");
	return RC_OK;
}

static enum rc store(struct vault *v, const struct vault_dkim *k, struct str private_key, struct why *why)
{
	struct buf b AUTO(buf_wipe);
	buf_init(&b, VAULT_VALUE_MAX);
	if (!buf_room(&b, 8192))
		return RC_NOMEM;
	dkim_record_format(k, private_key, &b);
	return b.failed ? RC_NOMEM : vault_file_put(v->file, KIND_DKIM, k->id, buf_str(&b), why);
}

/* A state of the life that keeps the private half. */
static enum rc move(struct vault *v, struct dkim_entry *e, enum vault_dkim_state to, int64_t now_ms, struct why *why)
{
	struct vault_dkim k, was;
	struct str priv;
	struct buf b AUTO(buf_wipe);
	buf_init(&b, VAULT_VALUE_MAX);
	if (!buf_room(&b, 8192))
		return RC_NOMEM;
	TRY(vault_file_get(v->file, KIND_DKIM, e->k.id, &b, why));
	if (dkim_record_parse(e->k.id, buf_str(&b), &was, &priv) != RC_OK)
		FAIL(why, RC_DAMAGED, "the vault's record of this DKIM key is damaged");
	k = e->k;
	k.state = to;
	k.at_ms[to] = now_ms;
	TRY(store(v, &k, priv, why));
	e->k = k;
	return RC_OK;
}

/* The file is rewritten without the private half before the record without it is added: a crash between the two costs a line of history. */
static enum rc revoke(struct vault *v, struct dkim_entry *e, int64_t now_ms, struct why *why)
{
	struct vault_dkim k = e->k;
	k.state = VAULT_DKIM_REVOKED;
	k.at_ms[VAULT_DKIM_REVOKED] = now_ms;
	enum rc rc = vault_file_drop(v->file, KIND_DKIM, k.id, why);
	if (rc != RC_OK && rc != RC_NOTFOUND) /* not found: an earlier try came so far */
		return rc;
	TRY(store(v, &k, STR(""), why));
	e->k = k;
	dkim_unready(&v->dkim, e);
	return RC_OK;
}

/* ---- by hand ---- */

enum rc vault_dkim_retire(struct vault *v, struct str domain, struct str selector, int64_t now_ms, struct why *why)
{
	struct dkim_entry *e = find(v, domain, selector);
	if (!e)
		FAIL(why, RC_NOTFOUND, "no such DKIM key");
	if (e->k.state >= VAULT_DKIM_RETIRED)
		FAIL(why, RC_CONFLICT, "this key is %s already", vault_dkim_state_name(e->k.state));
	return move(v, e, VAULT_DKIM_RETIRED, now_ms, why);
}

enum rc vault_dkim_revoke(struct vault *v, struct str domain, struct str selector, int64_t now_ms, struct why *why)
{
	struct dkim_entry *e = find(v, domain, selector);
	if (!e)
		FAIL(why, RC_NOTFOUND, "no such DKIM key");
	if (e->k.state == VAULT_DKIM_REVOKED)
		FAIL(why, RC_CONFLICT, "this key is revoked already");
	return revoke(v, e, now_ms, why);
}

enum rc vault_dkim_forget(struct vault *v, struct str domain, struct why *why)
{
	bool any = false;
	for (size_t i = v->dkim.n; i-- > 0;) {
		struct dkim_entry *e = v->dkim.entry[i];
		if (!str_eq(e->k.domain, domain))
			continue;
		enum rc rc = vault_file_drop(v->file, KIND_DKIM, e->k.id, why);
		if (rc != RC_OK && rc != RC_NOTFOUND)
			return rc;
		disown(v, e);
		any = true;
	}
	if (!any)
		FAIL(why, RC_NOTFOUND, "this domain has no DKIM keys");
	return RC_OK;
}

/* ---- making ---- */

static enum rc may_make(struct vault *v, struct str domain, bool first_only, struct why *why)
{
	size_t mine = 0;
	if (domain.n == 0 || domain.n > 253)
		FAIL(why, RC_SYNTAX, "not a domain");
	for (size_t i = 0; i < v->dkim.n; i++) {
		const struct vault_dkim *k = &v->dkim.entry[i]->k;
		if (!str_eq(k->domain, domain))
			continue;
		mine++;
		if (first_only)
			FAIL(why, RC_EXISTS, "the domain has DKIM keys");
		if (k->state < VAULT_DKIM_SIGNING)
			FAIL(why, RC_EXISTS, "%.*s is waiting already: publish its record", PSTR(k->selector));
	}
	if (mine + 2 > DKIM_KEYS_PER_DOMAIN || v->dkim.n + 2 > DKIM_KEYS_MAX)
		FAIL(why, RC_LIMIT, "too many DKIM keys");
	return RC_OK;
}

/* Room for two more: what has been revoked longest goes first. False: there is room, or nothing to forget. */
static bool forget_oldest(struct vault *v, struct str domain)
{
	size_t mine = 0;
	struct dkim_entry *oldest = NULL;
	struct why unused = { 0 };
	for (size_t i = 0; i < v->dkim.n; i++) {
		struct dkim_entry *e = v->dkim.entry[i];
		if (!str_eq(e->k.domain, domain))
			continue;
		mine++;
		if (e->k.state == VAULT_DKIM_REVOKED && (!oldest || e->k.at_ms[VAULT_DKIM_REVOKED] < oldest->k.at_ms[VAULT_DKIM_REVOKED]))
			oldest = e;
	}
	if (mine + 2 <= DKIM_KEYS_PER_DOMAIN || !oldest || vault_file_drop(v->file, KIND_DKIM, oldest->k.id, &unused) != RC_OK)
		return false;
	disown(v, oldest);
	return true;
}

static const char *const endings[] = { [VAULT_DKIM_RSA] = "rsa", [VAULT_DKIM_ED25519] = "ed" };

/* "202611a": the first letter of this month that no key of the domain has. */
static enum rc stem_of(struct vault *v, struct str domain, int64_t now_ms, char out[16])
{
	time_t t = (time_t)(now_ms / 1000);
	struct tm tm;
	if (!gmtime_r(&t, &tm))
		return RC_SYNTAX;
	for (char c = 'a'; c <= 'z'; c++) {
		char rsa[DKIM_SELECTOR_MAX], ed[DKIM_SELECTOR_MAX];
		(void)snprintf(out, 16, "%04u%02u%c", (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100, c);
		(void)snprintf(rsa, sizeof rsa, "%s-rsa", out);
		(void)snprintf(ed, sizeof ed, "%s-ed", out);
		if (!find(v, domain, str_z(rsa)) && !find(v, domain, str_z(ed)))
			return RC_OK;
	}
	return RC_LIMIT;
}

struct making { struct buf priv, pub; enum rc rc; };
static void make_job(void *arg)
{
	struct making *m = arg;
	m->rc = rsa_pair(&m->priv, &m->pub);
}

static enum rc add(struct vault *v, struct vault_dkim *k, const char *stem, struct str priv, struct str pub, struct why *why)
{
	char selector[DKIM_SELECTOR_MAX];
	(void)snprintf(selector, sizeof selector, "%s-%s", stem, endings[k->kind]);
	k->selector = str_z(selector);
	k->public_key = pub;
	do
		TRY(random_bytes(&k->id, sizeof k->id));
	while (k->id == 0 || vault_file_version(v->file, KIND_DKIM, k->id) != 0);
	TRY(store(v, k, priv, why));
	return adopt(v, k);
}

static enum rc add_pair(struct vault *v, struct str domain, int64_t now_ms, const struct making *rsa, struct why *why)
{
	char stem[16];
	struct secret seed AUTO(secret_done) = { { 0 } };
	uint8_t pub[PUB_LEN];
	struct vault_dkim k = { .kind = VAULT_DKIM_RSA, .state = VAULT_DKIM_MADE, .domain = domain, .at_ms[VAULT_DKIM_MADE] = now_ms };
	if (stem_of(v, domain, now_ms, stem) != RC_OK)
		FAIL(why, RC_LIMIT, "too many DKIM keys were made this month");
	TRY(random_bytes(seed.k, sizeof seed.k));
	TRY(ed25519_public(&seed, pub));
	TRY(add(v, &k, stem, buf_str(&rsa->priv), buf_str(&rsa->pub), why));
	k.kind = VAULT_DKIM_ED25519;
	return add(v, &k, stem, secret_str(&seed), str_of(pub, sizeof pub), why);
}

enum rc vault_dkim_make(struct vault *v, struct str domain, bool first_only, int64_t now_ms, struct why *why)
{
	struct making rsa = { .rc = RC_NOMEM };
	while (forget_oldest(v, domain))
		;
	TRY(may_make(v, domain, first_only, why));
	buf_init(&rsa.priv, DKIM_PRIVATE_MAX);
	buf_init(&rsa.pub, DKIM_PUBLIC_MAX);
	enum rc rc = buf_room(&rsa.priv, DKIM_PRIVATE_MAX) ? RC_OK : RC_NOMEM;
	if (rc == RC_OK && fiber_self())
		rc = worker_run(make_job, &rsa);
	else if (rc == RC_OK)
		make_job(&rsa);
	if (rc == RC_OK)
		rc = rsa.rc;
	if (rc == RC_OK)
		rc = may_make(v, domain, first_only, why); /* another may have been faster */
	if (rc == RC_OK)
		rc = add_pair(v, domain, now_ms, &rsa, why);
	buf_wipe(&rsa.priv);
	buf_done(&rsa.pub);
	return rc;
}

/* ---- the clock ---- */

enum { JUMP_MS = 300000 /* less than this harms no key */ };
struct turn { struct vault *v; const struct vault_dkim_rules *r; int64_t now; const struct vault_dkim_listener *l; struct why *why; };

static enum rc moved(const struct turn *t, struct dkim_entry *e, enum vault_dkim_state to)
{
	TRY(to == VAULT_DKIM_REVOKED ? revoke(t->v, e, t->now, t->why) : move(t->v, e, to, t->now, t->why));
	if (t->l)
		t->l->moved(t->l->arg, &e->k);
	return RC_OK;
}

static enum rc sign_with(const struct turn *t, struct dkim_entry *e)
{
	TRY(moved(t, e, VAULT_DKIM_SIGNING));
	for (size_t i = 0; i < t->v->dkim.n; i++) {
		struct dkim_entry *o = t->v->dkim.entry[i];
		if (o != e && o->k.state == VAULT_DKIM_SIGNING && o->k.kind == e->k.kind && str_eq(o->k.domain, e->k.domain))
			TRY(moved(t, o, VAULT_DKIM_RETIRED));
	}
	return RC_OK;
}

/* A server that stopped between a successor's first signature and its own retirement left both signing: the one that began later stays. */
static bool is_succeeded(const struct turn *t, const struct dkim_entry *e)
{
	int64_t since = e->k.at_ms[VAULT_DKIM_SIGNING];
	for (size_t i = 0; e->k.state == VAULT_DKIM_SIGNING && i < t->v->dkim.n; i++) {
		const struct vault_dkim *o = &t->v->dkim.entry[i]->k;
		int64_t other = o->at_ms[VAULT_DKIM_SIGNING];
		if (o->state == VAULT_DKIM_SIGNING && o->kind == e->k.kind && str_eq(o->domain, e->k.domain) && (other > since || (other == since && o->id > e->k.id)))
			return true;
	}
	return false;
}

static enum rc turn_one(const struct turn *t, struct dkim_entry *e)
{
	const struct vault_dkim *k = &e->k;
	/* The clock was ahead when it was written: what has to pass is counted from now on, not from a day that may be years away. */
	if (k->state != VAULT_DKIM_REVOKED && k->at_ms[k->state] > t->now)
		TRY(move(t->v, e, k->state, t->now, t->why));
	if (is_succeeded(t, e))
		return moved(t, e, VAULT_DKIM_RETIRED);
	if (k->state == VAULT_DKIM_MADE && k->dns == DKIM_SEEN)
		TRY(moved(t, e, VAULT_DKIM_PUBLISHED));
	else if (k->state == VAULT_DKIM_PUBLISHED && k->dns == DKIM_ABSENT)
		return moved(t, e, VAULT_DKIM_MADE); /* gone again before it was used */
	if (k->state == VAULT_DKIM_PUBLISHED && k->dns == DKIM_SEEN && t->now - k->at_ms[VAULT_DKIM_PUBLISHED] >= t->r->settle_ms)
		return sign_with(t, e);
	if (k->state == VAULT_DKIM_RETIRED && t->now - k->at_ms[VAULT_DKIM_RETIRED] >= t->r->revoke_ms)
		return moved(t, e, VAULT_DKIM_REVOKED);
	return RC_OK;
}

/* Does this domain's signing key ask for a successor? Asked with its RSA key, so that the pair is made once. */
static bool is_old(const struct turn *t, const struct vault_dkim *k)
{
	if (!t->r->rotate_ms || k->state != VAULT_DKIM_SIGNING || k->kind != VAULT_DKIM_RSA || t->now - k->at_ms[VAULT_DKIM_SIGNING] < t->r->rotate_ms)
		return false;
	for (size_t i = 0; i < t->v->dkim.n; i++)
		if (t->v->dkim.entry[i]->k.state < VAULT_DKIM_SIGNING && str_eq(t->v->dkim.entry[i]->k.domain, k->domain))
			return false;
	return true;
}

static enum rc succeed(const struct turn *t, struct str domain)
{
	TRY(vault_dkim_make(t->v, domain, false, t->now, t->why));
	for (size_t i = 0; t->l && i < t->v->dkim.n; i++)
		if (t->v->dkim.entry[i]->k.state == VAULT_DKIM_MADE && str_eq(t->v->dkim.entry[i]->k.domain, domain))
			t->l->moved(t->l->arg, &t->v->dkim.entry[i]->k);
	return RC_OK;
}

/* One domain a turn: making takes a while, and there is no hurry. A domain that can have no more keys does not keep the others from theirs. */
static enum rc rotate_old(const struct turn *t)
{
	enum rc worst = RC_OK;
	for (size_t i = 0; i < t->v->dkim.n; i++) {
		char domain[256];
		const struct vault_dkim *k = &t->v->dkim.entry[i]->k;
		if (!is_old(t, k))
			continue;
		(void)snprintf(domain, sizeof domain, "%.*s", PSTR(str_head(k->domain, 255)));
		enum rc rc = succeed(t, str_z(domain));
		if (rc != RC_LIMIT && rc != RC_EXISTS)
			return rc;
		worst = rc;
	}
	return worst;
}

/* The clock was set: a day that it skipped has not passed. What was written since is by the clock as it is. */
static enum rc follow_clock(const struct turn *t, int64_t steady_ms)
{
	struct dkim_set *s = &t->v->dkim;
	int64_t passed = steady_ms - s->turned_steady_ms, jump = t->now - s->turned_ms - passed;
	bool first = s->turned_ms == 0;
	s->turned_ms = t->now;
	s->turned_steady_ms = steady_ms;
	if (first || passed < 0 || (jump > -JUMP_MS && jump < JUMP_MS))
		return RC_OK;
	for (size_t i = 0; i < s->n; i++) {
		struct dkim_entry *e = s->entry[i];
		int64_t at = e->k.at_ms[e->k.state];
		if (e->k.state != VAULT_DKIM_REVOKED && (at < t->now - passed || at > t->now) && at + jump > 0)
			TRY(move(t->v, e, e->k.state, at + jump, t->why));
	}
	return RC_OK;
}

enum rc vault_dkim_turn(struct vault *v, const struct vault_dkim_rules *r, int64_t now_ms, int64_t steady_ms, const struct vault_dkim_look *look, size_t n,
                        const struct vault_dkim_listener *l, struct why *why)
{
	struct turn t = { v, r, now_ms, l, why };
	TRY(follow_clock(&t, steady_ms));
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < v->dkim.n; j++)
			if (v->dkim.entry[j]->k.id == look[i].id)
				v->dkim.entry[j]->k.dns = look[i].seen ? DKIM_SEEN : DKIM_ABSENT;
	for (size_t i = 0; i < v->dkim.n; i++)
		TRY(turn_one(&t, v->dkim.entry[i]));
	return rotate_old(&t);
}
