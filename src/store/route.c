#include "store/address.h"
#include "store/route_row.h"

/* Groups, accounts' rules, ways out: the verbs of store/route.h. */

/* ---- addresses ---- */
static enum rc canonical(struct str address, char out[ADDRESS_MAX], struct str *out_address, struct why *why)
{
	enum rc rc = address_canonical(address, out, out_address);
	if (rc != RC_OK)
		FAIL(why, rc, "not an address: %.*s", PSTR(str_head(address, 100)));
	return RC_OK;
}

static enum rc find_exact(struct tx *t, struct str address, struct address_row *out)
{
	struct str v;
	TRY(tx_get(t, TABLE_ADDRESS, key_address(address), &v));
	return address_row_parse(v, out);
}

/* Its own row, or that of the address without its tag. RC_NOTFOUND. */
static enum rc find(struct tx *t, struct str address, struct address_row *out)
{
	char text[ADDRESS_MAX];
	struct str tag;
	enum rc rc = find_exact(t, address, out);
	return rc == RC_NOTFOUND ? find_exact(t, address_base(address, text, &tag), out) : rc;
}

/* An address elsewhere may be anything; one of ours has to lead to somebody. */
static enum rc leads(struct tx *t, struct str address, struct why *why)
{
	struct str v, catch_all;
	struct address_row row;
	enum rc rc = tx_get(t, TABLE_DOMAIN, key_domain(address_domain(address)), &v);
	if (rc == RC_NOTFOUND)
		return RC_OK;
	if (rc == RC_OK)
		rc = domain_row_parse(v, &catch_all);
	if (rc != RC_OK)
		FAIL(why, rc, "the domain's row cannot be read");
	if (catch_all.n)
		return RC_OK;
	rc = find(t, address, &row);
	if (rc == RC_NOTFOUND)
		FAIL(why, rc, "no such address here: %.*s", PSTR(str_head(address, 100)));
	return rc;
}

/* ---- groups ---- */
struct group_verb { struct group g; struct str member; bool add; };

/* The group of this address and its row as stored, in the batch's memory. */
static enum rc load(struct tx *t, struct str address, struct group *out, struct str *out_raw, struct why *why)
{
	struct address_row row;
	struct str v;
	enum rc rc = find_exact(t, address, &row);
	if (rc == RC_NOTFOUND || (rc == RC_OK && row.kind != ADDRESS_GROUP))
		FAIL(why, RC_NOTFOUND, "no such group");
	TRY(rc);
	rc = tx_get(t, TABLE_GROUP, key_group(row.id), &v);
	if (rc != RC_OK)
		FAIL(why, rc == RC_NOTFOUND ? RC_DAMAGED : rc, "the group's row cannot be read");
	*out_raw = arena_str(&t->batch.mem, v);
	if (t->batch.mem.full)
		return RC_NOMEM;
	TRY(group_parse(*out_raw, out));
	out->id = row.id;
	return RC_OK;
}

static void put(struct tx *t, const struct group *g, struct str was)
{
	char row[GROUP_ROW_MAX];
	struct key k = key_group(g->id);
	batch_expect(&t->batch, TABLE_GROUP, key_str(&k), was);
	batch_put(&t->batch, TABLE_GROUP, key_str(&k), group_format(g, row));
	batch_notice(&t->batch, 0, 0, 0);
}

static enum rc add_group(struct tx *t, void *arg, struct why *why)
{
	struct group_verb *v = arg;
	if (v->g.owner.n)
		TRY(leads(t, v->g.owner, why));
	TRY(tx_address_claim(t, v->g.address, ADDRESS_GROUP, v->g.id, why));
	put(t, &v->g, STR(""));
	return RC_OK;
}

static enum rc set_group(struct tx *t, void *arg, struct why *why)
{
	struct group_verb *v = arg;
	struct group g;
	struct str raw;
	TRY(load(t, v->g.address, &g, &raw, why));
	if (v->g.owner.n)
		TRY(leads(t, v->g.owner, why));
	g.name = v->g.name;
	g.rights = v->g.rights;
	g.owner = v->g.owner;
	put(t, &g, raw);
	return RC_OK;
}

static bool drop_member(void *arg, const struct engine_row *r)
{
	struct tx *t = arg;
	batch_delete(&t->batch, TABLE_MEMBER, r->key);
	return true;
}

static enum rc remove_group(struct tx *t, void *arg, struct why *why)
{
	struct group_verb *v = arg;
	struct group g;
	struct str raw;
	struct key address = key_address(v->g.address);
	TRY(load(t, v->g.address, &g, &raw, why));
	struct key k = key_group(g.id), from = key_member(g.id, STR("")), to = key_member_end(g.id);
	TRY(engine_scan(t->s->engine, TABLE_MEMBER, key_str(&from), key_str(&to), SIZE_MAX, drop_member, t, NULL));
	batch_expect(&t->batch, TABLE_GROUP, key_str(&k), raw);
	batch_delete(&t->batch, TABLE_GROUP, key_str(&k));
	batch_delete(&t->batch, TABLE_ADDRESS, key_str(&address));
	struct gone gone = { .group = g.id };
	gone_add(&gone, key_str(&address));
	TRY(gone_sweep(t, &gone));
	batch_notice(&t->batch, 0, 0, 0);
	return RC_OK;
}

static enum rc set_member(struct tx *t, void *arg, struct why *why)
{
	static const char version = ROUTE_ROW_VERSION;
	struct group_verb *v = arg;
	struct group g;
	struct str raw, old;
	TRY(load(t, v->g.address, &g, &raw, why));
	struct key k = key_member(g.id, v->member);
	enum rc rc = tx_get(t, TABLE_MEMBER, k, &old);
	if (rc != RC_OK && rc != RC_NOTFOUND && rc != RC_DAMAGED)
		return rc;
	bool there = rc != RC_NOTFOUND;
	if (v->add && there)
		FAIL(why, RC_EXISTS, "it is a member already");
	if (!v->add && !there)
		FAIL(why, RC_NOTFOUND, "it is no member");
	if (v->add && g.members >= GROUP_MEMBERS_MAX)
		FAIL(why, RC_LIMIT, "a group has at most %d members", GROUP_MEMBERS_MAX);
	if (v->add) {
		TRY(leads(t, v->member, why));
		batch_put(&t->batch, TABLE_MEMBER, key_str(&k), str_of(&version, 1));
		g.members++;
	} else {
		batch_delete(&t->batch, TABLE_MEMBER, key_str(&k));
		g.members -= g.members > 0;
	}
	put(t, &g, raw);
	return RC_OK;
}

/* The verb with its texts in their one form. */
static enum rc run_group(struct store *s, verb *run, const struct group *g, struct str member, bool add, struct why *why)
{
	char address[ADDRESS_MAX], owner[ADDRESS_MAX], other[ADDRESS_MAX];
	struct group_verb v = { .g = *g, .member = STR(""), .add = add };
	v.g.members = 0;
	TRY(canonical(g->address, address, &v.g.address, why));
	if (g->owner.n)
		TRY(canonical(g->owner, owner, &v.g.owner, why));
	if (member.n)
		TRY(canonical(member, other, &v.member, why));
	TRY(person_name_check(g->name, why));
	if (g->rights >= GROUP_RIGHTS_COUNT)
		FAIL(why, RC_LIMIT, "there is no such right to write to a group");
	if (str_eq(v.g.owner, v.g.address) || str_eq(v.member, v.g.address))
		FAIL(why, RC_SYNTAX, "a group is neither its own owner nor its own member");
	return verb_run(s, run, &v, why);
}

enum rc group_add(struct store *s, const struct group *g, struct why *why)
{
	struct group in = *g;
	do
		TRY(random_bytes(&in.id, sizeof in.id));
	while ((in.id &= UINT64_MAX >> 1) == 0);
	return run_group(s, add_group, &in, STR(""), true, why);
}

enum rc group_set(struct store *s, const struct group *g, struct why *why) { return run_group(s, set_group, g, STR(""), true, why); }

enum rc group_remove(struct store *s, struct str address, struct why *why)
{
	return run_group(s, remove_group, &(struct group){ .address = address, .name = STR(""), .owner = STR("") }, STR(""), false, why);
}

enum rc group_member_set(struct store *s, struct str address, struct str member, bool add, struct why *why)
{
	if (member.n == 0)
		FAIL(why, RC_SYNTAX, "a member is an address");
	return run_group(s, set_member, &(struct group){ .address = address, .name = STR(""), .owner = STR("") }, member, add, why);
}

/* ---- an account's rules ---- */
static bool has(const struct str *list, size_t n, struct str s)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(list[i], s))
			return true;
	return false;
}

/* Everything in its one form, each once, in the order given. */
static enum rc clean_list(struct arena *a, const struct str *in, size_t n, bool domains, struct str **out, size_t *out_n, struct why *why)
{
	struct str *list = arena_new(a, n * sizeof *list);
	size_t kept = 0;
	if (!list)
		return RC_NOMEM;
	for (size_t i = 0; i < n; i++) {
		char text[ADDRESS_MAX];
		struct str s;
		if (domains && in[i].n && in[i].p[0] == '@') {
			enum rc rc = way_key_canonical(in[i], text, &s);
			if (rc != RC_OK)
				FAIL(why, rc, "not a domain: %.*s", PSTR(str_head(in[i], 100)));
		} else {
			TRY(canonical(in[i], text, &s, why));
		}
		if (!has(list, kept, s))
			list[kept++] = arena_str(a, s);
	}
	*out = list;
	*out_n = kept;
	return a->full ? RC_NOMEM : RC_OK;
}

static bool says_nothing(const struct account_rules *r)
{
	return !r->forward_n && !r->grant_n && !r->undo_ms && !r->max_messages && !r->max_recipients && !r->max_first && !r->max_waiting;
}

static enum rc set_rules(struct tx *t, void *arg, struct why *why)
{
	const struct account_rules *r = arg;
	struct tx_account *a;
	struct address_row to;
	struct key k = key_rules(r->account);
	TRY(tx_account(t, r->account, &a, why));
	for (size_t i = 0; i < r->forward_n; i++) {
		TRY(leads(t, r->forwards[i], why));
		enum rc rc = find(t, r->forwards[i], &to);
		if (rc == RC_OK && to.kind != ADDRESS_GROUP && to.id == r->account)
			FAIL(why, RC_SYNTAX, "%.*s is the account itself", PSTR(str_head(r->forwards[i], 100)));
		if (rc != RC_OK && rc != RC_NOTFOUND)
			return rc;
	}
	AUTO(buf_done) struct buf row = { .max = RULES_ROW_MAX };
	rules_format(r, &row);
	if (row.failed)
		return RC_NOMEM;
	if (says_nothing(r))
		batch_delete(&t->batch, TABLE_RULES, key_str(&k));
	else
		batch_put(&t->batch, TABLE_RULES, key_str(&k), buf_str(&row));
	a->changed = true; /* the account may not be removed meanwhile */
	batch_notice(&t->batch, r->account, 0, a->row.modseq);
	return RC_OK;
}

enum rc account_rules_set(struct store *s, const struct account_rules *r, struct why *why)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	struct account_rules in = *r;
	if (r->forward_n > FORWARDS_MAX || r->grant_n > GRANTS_MAX)
		FAIL(why, RC_LIMIT, "an account has at most %d forwards and %d grants", FORWARDS_MAX, GRANTS_MAX);
	if (r->undo_ms > UNDO_MS_MAX)
		FAIL(why, RC_LIMIT, "a message waits at most %d minutes before it leaves", UNDO_MS_MAX / 60000);
	TRY(clean_list(&a, r->forwards, r->forward_n, false, &in.forwards, &in.forward_n, why));
	TRY(clean_list(&a, r->grants, r->grant_n, true, &in.grants, &in.grant_n, why));
	if (in.forward_only && !in.forward_n)
		FAIL(why, RC_SYNTAX, "without a copy, but to where?");
	return verb_run(s, set_rules, &in, why);
}

/* ---- ways out ---- */
static bool count_row(void *arg, const struct engine_row *r)
{
	(void)r;
	++*(size_t *)arg;
	return true;
}

static enum rc set_way(struct tx *t, void *arg, struct why *why)
{
	const struct way *w = arg;
	struct key k = key_way(w->key), from = { 4, { 0, 0, 0, ORG } }, to = { 4, { 0, 0, 0, ORG + 1 } };
	struct str v;
	char row[WAY_ROW_MAX];
	size_t n = 0;
	enum rc rc = tx_get(t, TABLE_WAY, k, &v);
	if (rc == RC_NOTFOUND) {
		TRY(engine_scan(t->s->engine, TABLE_WAY, key_str(&from), key_str(&to), SIZE_MAX, count_row, &n, NULL));
		if (n >= WAYS_MAX)
			FAIL(why, RC_LIMIT, "there are %d ways already", WAYS_MAX);
	} else if (rc != RC_OK && rc != RC_DAMAGED) {
		return rc;
	}
	batch_put(&t->batch, TABLE_WAY, key_str(&k), way_format(w, row));
	batch_notice(&t->batch, 0, 0, 0);
	return RC_OK;
}

static enum rc drop_way(struct tx *t, void *arg, struct why *why)
{
	const struct way *w = arg;
	struct key k = key_way(w->key);
	struct str v;
	if (tx_get(t, TABLE_WAY, k, &v) == RC_NOTFOUND)
		FAIL(why, RC_NOTFOUND, "no such way");
	batch_delete(&t->batch, TABLE_WAY, key_str(&k));
	batch_notice(&t->batch, 0, 0, 0);
	return RC_OK;
}

/* A name, or an IP address without brackets. */
static enum rc host_canonical(struct str host, char out[HOST_NAME_MAX], struct str *out_host, struct why *why)
{
	for (size_t i = 0; i < host.n; i++) {
		if (host.n > HOST_NAME_MAX || !(ascii_alnum(host.p[i]) || host.p[i] == '.' || host.p[i] == '-' || host.p[i] == '_' || host.p[i] == ':'))
			FAIL(why, host.n > HOST_NAME_MAX ? RC_LIMIT : RC_SYNTAX, "not a host name");
		out[i] = ascii_lower(host.p[i]);
	}
	*out_host = str_of(out, host.n);
	return RC_OK;
}

enum rc way_set(struct store *s, const struct way *w, struct why *why)
{
	char key[ADDRESS_MAX], host[HOST_NAME_MAX];
	struct way in = *w;
	enum rc rc = way_key_canonical(w->key, key, &in.key);
	if (rc != RC_OK)
		FAIL(why, rc, "a way is for a domain, \".domain\", \"*\", an address or \"@domain\"");
	TRY(host_canonical(w->host, host, &in.host, why));
	if (w->tls >= ROUTE_TLS_COUNT || w->user.n > ADDRESS_MAX || w->password_sealed.n > WAY_PASSWORD_MAX)
		FAIL(why, RC_LIMIT, "user or password too long");
	if (!w->host.n && (w->port || w->user.n))
		FAIL(why, RC_SYNTAX, "a port or a user is of a host");
	if ((w->user.n == 0) != (w->password_sealed.n == 0))
		FAIL(why, RC_SYNTAX, "a user and a password go together");
	/* A password is not said in the clear, and port 465 is TLS from its first octet (RFC 8314, 3.3). */
	if (w->tls == ROUTE_TLS_NONE && (w->user.n || w->port == 465))
		FAIL(why, RC_SYNTAX, "a password, or port 465, needs TLS");
	if (!rate_possible(&w->rate))
		FAIL(why, RC_SYNTAX, "a rate is N/s, N/min or N/h, or 0");
	/* What is counted is what leaves for one destination: a sender is none, and what many destinations' mail does together at one smarthost is not counted. */
	if (rate_said(&w->rate) && str_find(in.key, '@') < in.key.n)
		FAIL(why, RC_SYNTAX, "a rate is of a destination, not of a sender");
	if (w->rate.n && w->host.n && (in.key.p[0] == '.' || in.key.p[0] == '*'))
		FAIL(why, RC_SYNTAX, "a rate holds for each destination by itself, so for a smarthost that many destinations share it would not be kept: give --connections, or name one domain");
	return verb_run(s, set_way, &in, why);
}

enum rc way_remove(struct store *s, struct str key, struct why *why)
{
	char text[ADDRESS_MAX];
	struct way w = { .key = STR("") };
	enum rc rc = way_key_canonical(key, text, &w.key);
	if (rc != RC_OK)
		FAIL(why, rc, "not the key of a way");
	return verb_run(s, drop_way, &w, why);
}
