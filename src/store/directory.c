#include "store/address.h"
#include "store/folder.h"
#include "store/queue_row.h"

/* Domains, accounts and their addresses. */
enum { REMOVE_STEP = 512, ROWS_STEP = 4096, REMOVE_TRIES = 1 << 20 };

/* ---- domains ---- */
struct domain_verb { struct str domain, catch_all; };

static enum rc domain_get(struct tx *t, struct str domain, struct str *out_raw, struct why *why)
{
	struct str v;
	enum rc rc = tx_get(t, TABLE_DOMAIN, key_domain(domain), &v);
	if (rc != RC_OK)
		FAIL(why, rc, rc == RC_NOTFOUND ? "no such domain" : "the domain's row cannot be read");
	*out_raw = arena_str(&t->batch.mem, v);
	return RC_OK;
}

static enum rc add_domain(struct tx *t, void *arg, struct why *why)
{
	struct domain_verb *d = arg;
	struct key k = key_domain(d->domain);
	struct str v;
	char row[DOMAIN_ROW_MAX];
	enum rc rc = tx_get(t, TABLE_DOMAIN, k, &v);
	if (rc == RC_OK)
		FAIL(why, RC_EXISTS, "this domain is ours already");
	if (rc != RC_NOTFOUND)
		return rc;
	batch_expect(&t->batch, TABLE_DOMAIN, key_str(&k), STR(""));
	batch_put(&t->batch, TABLE_DOMAIN, key_str(&k), domain_row_format(STR(""), row));
	batch_notice(&t->batch, 0, 0, 0);
	return RC_OK;
}

static bool seen_one(void *arg, const struct engine_row *r)
{
	*(bool *)arg = true;
	return false;
}

static enum rc remove_domain(struct tx *t, void *arg, struct why *why)
{
	struct domain_verb *d = arg;
	struct key k = key_domain(d->domain), to = key_address_end(d->domain), from = key_address(STR(""));
	struct str raw;
	bool any = false;
	TRY(domain_get(t, d->domain, &raw, why));
	from.n = to.n;
	memcpy(from.b, to.b, to.n);
	from.b[from.n - 1] = 0; /* the domain's first address */
	TRY(engine_scan(t->s->engine, TABLE_ADDRESS, key_str(&from), key_str(&to), 1, seen_one, &any, NULL));
	if (any)
		FAIL(why, RC_DENIED, "the domain still has addresses");
	batch_expect(&t->batch, TABLE_DOMAIN, key_str(&k), raw);
	batch_delete(&t->batch, TABLE_DOMAIN, key_str(&k));
	TRY(gone_domain(t, d->domain));
	batch_notice(&t->batch, 0, 0, 0);
	return RC_OK;
}

static enum rc catch_all(struct tx *t, void *arg, struct why *why)
{
	struct domain_verb *d = arg;
	struct key k = key_domain(d->domain);
	struct str raw, v;
	char row[DOMAIN_ROW_MAX];
	TRY(domain_get(t, d->domain, &raw, why));
	if (d->catch_all.n && tx_get(t, TABLE_ADDRESS, key_address(d->catch_all), &v) != RC_OK)
		FAIL(why, RC_NOTFOUND, "no such address");
	batch_expect(&t->batch, TABLE_DOMAIN, key_str(&k), raw);
	batch_put(&t->batch, TABLE_DOMAIN, key_str(&k), domain_row_format(d->catch_all, row));
	batch_notice(&t->batch, 0, 0, 0);
	return RC_OK;
}

static enum rc run_domain(struct store *s, verb *v, struct str domain, struct str address, struct why *why)
{
	char text[DOMAIN_MAX], mail[ADDRESS_MAX];
	struct domain_verb d = { .catch_all = STR("") };
	enum rc rc = domain_canonical(domain, text, &d.domain);
	if (rc != RC_OK)
		FAIL(why, rc, "not a domain name");
	rc = address.n ? address_canonical(address, mail, &d.catch_all) : RC_OK;
	if (rc != RC_OK)
		FAIL(why, rc, "not an address");
	return verb_run(s, v, &d, why);
}

enum rc domain_add(struct store *s, struct str domain, struct why *why) { return run_domain(s, add_domain, domain, STR(""), why); }
enum rc domain_remove(struct store *s, struct str domain, struct why *why) { return run_domain(s, remove_domain, domain, STR(""), why); }

enum rc domain_catch_all(struct store *s, struct str domain, struct str address_or_empty, struct why *why)
{
	return run_domain(s, catch_all, domain, address_or_empty, why);
}

/* ---- accounts ---- */
enum rc tx_address_claim(struct tx *t, struct str address, enum address_kind kind, uint64_t id, struct why *why)
{
	struct str raw, v;
	char row[ADDRESS_ROW_LEN];
	TRY(domain_get(t, address_domain(address), &raw, why));
	struct key k = key_address(address), dk = key_domain(address_domain(address));
	enum rc rc = tx_get(t, TABLE_ADDRESS, k, &v);
	if (rc == RC_OK)
		FAIL(why, RC_EXISTS, "this address is taken");
	if (rc != RC_NOTFOUND)
		return rc;
	batch_expect(&t->batch, TABLE_DOMAIN, key_str(&dk), raw); /* it may not be removed meanwhile */
	batch_expect(&t->batch, TABLE_ADDRESS, key_str(&k), STR(""));
	batch_put(&t->batch, TABLE_ADDRESS, key_str(&k), address_row_format(&(struct address_row){ (uint8_t)kind, id }, row));
	return RC_OK;
}

static enum rc add_account(struct tx *t, void *arg, struct why *why)
{
	static const struct { struct str name; uint32_t use; } folders[] = {
		{ STR_INIT("INBOX"), 0 }, { STR_INIT("Drafts"), 1 }, { STR_INIT("Sent"), 2 },
		{ STR_INIT("Junk"), 4 },  { STR_INIT("Trash"), 8 },  { STR_INIT("Archive"), 16 },
	};
	const struct account *in = arg;
	struct key k = key_account(in->id);
	struct str v;
	enum rc rc = tx_get(t, TABLE_ACCOUNT, k, &v);
	if (rc != RC_NOTFOUND)
		FAIL(why, rc == RC_OK ? RC_EXISTS : rc, "there is an account with this id");
	TRY(tx_address_claim(t, in->address, ADDRESS_ACCOUNT, in->id, why));
	batch_expect(&t->batch, TABLE_ACCOUNT, key_str(&k), STR(""));
	struct tx_account *a = arena_new(&t->batch.mem, sizeof *a);
	if (!a)
		return RC_NOMEM;
	a->row.a = *in;
	a->row.a.used = a->row.a.messages = 0;
	a->row.a.created_ms = in->created_ms ? in->created_ms : t->now;
	t->accounts = a;
	for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
		struct tx_box *b;
		TRY(tx_box_new(t, a, folders[i].name, folders[i].use, &b, why));
		TRY(tx_subscribe(t, a, folders[i].name));
		if (i == 0)
			a->row.a.inbox = b->id;
	}
	batch_notice(&t->batch, in->id, 0, a->row.modseq);
	return RC_OK;
}

enum rc account_add(struct store *s, const struct account *a, struct why *why)
{
	char text[ADDRESS_MAX];
	struct account in = *a;
	enum rc rc = address_canonical(a->address, text, &in.address);
	if (rc != RC_OK)
		FAIL(why, rc, "not an address");
	if (in.id == 0 || in.id == UINT64_MAX)
		FAIL(why, RC_LIMIT, "account id out of range");
	TRY(person_name_check(in.name, why));
	return verb_run(s, add_account, &in, why);
}

static enum rc set_account(struct tx *t, void *arg, struct why *why)
{
	const struct account *in = arg;
	struct tx_account *a;
	TRY(tx_account(t, in->id, &a, why));
	a->row.a.name = in->name;
	a->row.a.quota = in->quota;
	a->row.a.disabled = in->disabled;
	a->changed = true;
	batch_notice(&t->batch, in->id, 0, a->row.modseq);
	return RC_OK;
}

enum rc account_set(struct store *s, const struct account *a, struct why *why)
{
	TRY(person_name_check(a->name, why));
	struct account in = *a;
	return verb_run(s, set_account, &in, why);
}

struct alias_verb { uint64_t account; struct str address; bool add; };

static enum rc alias(struct tx *t, void *arg, struct why *why)
{
	struct alias_verb *l = arg;
	struct tx_account *a;
	struct address_row row;
	struct str v;
	TRY(tx_account(t, l->account, &a, why));
	if (l->add) {
		TRY(tx_address_claim(t, l->address, ADDRESS_ALIAS, l->account, why));
	} else {
		struct key k = key_address(l->address);
		enum rc rc = tx_get(t, TABLE_ADDRESS, k, &v);
		if (rc == RC_OK)
			rc = address_row_parse(v, &row);
		if (rc == RC_NOTFOUND || (rc == RC_OK && (row.id != l->account || row.kind != ADDRESS_ALIAS)))
			FAIL(why, RC_NOTFOUND, "no such alias of this account");
		if (rc != RC_OK)
			return rc;
		batch_delete(&t->batch, TABLE_ADDRESS, key_str(&k));
		TRY(gone_address(t, l->address));
	}
	a->changed = true;
	batch_notice(&t->batch, l->account, 0, a->row.modseq);
	return RC_OK;
}

enum rc account_alias(struct store *s, uint64_t id, struct str address, bool add, struct why *why)
{
	char text[ADDRESS_MAX];
	struct alias_verb l = { .account = id, .add = add };
	enum rc rc = address_canonical(address, text, &l.address);
	if (rc != RC_OK)
		FAIL(why, rc, "not an address");
	return verb_run(s, alias, &l, why);
}

/* ---- removal, in steps: first the addresses and the mark, so that nothing new arrives; then folder by folder ----
 * Whoever finds the mark goes on with it: the care of a store that has just been opened, a second administrator. So between two steps the
 * account may be gone by another's last one, and that is an end as good as one's own. */
struct removal { uint64_t id; bool left; };
struct own_addresses { struct tx *t; struct gone *gone; uint64_t id; };

static bool drop_address(void *arg, const struct engine_row *r)
{
	struct own_addresses *o = arg;
	struct address_row row;
	if (!r->damaged && address_row_parse(r->value, &row) == RC_OK && row.id == o->id && row.kind != ADDRESS_GROUP) {
		batch_delete(&o->t->batch, TABLE_ADDRESS, r->key);
		gone_add(o->gone, r->key);
	}
	return true;
}

static enum rc mark_removed(struct tx *t, void *arg, struct why *why)
{
	struct removal *r = arg;
	struct tx_account *a;
	struct gone gone = { .account = r->id };
	struct own_addresses own = { t, &gone, r->id };
	struct key from = { 4, { 0, 0, 0, ORG } }, to = { 4, { 0, 0, 0, ORG + 1 } };
	TRY(tx_account_any(t, r->id, &a, why));
	enum rc rc = engine_scan(t->s->engine, TABLE_ADDRESS, key_str(&from), key_str(&to), SIZE_MAX, drop_address, &own, NULL);
	gone.failed |= rc != RC_OK;
	enum rc swept = gone_sweep(t, &gone);
	TRY(rc);
	TRY(swept);
	a->row.removing = a->changed = true;
	batch_notice(&t->batch, r->id, 0, a->row.modseq);
	return RC_OK;
}

struct dropping { struct tx *t; enum table table; size_t n; };

static bool drop_any(void *arg, const struct engine_row *r)
{
	struct dropping *d = arg;
	batch_delete(&d->t->batch, d->table, r->key);
	d->n++;
	return true;
}

static enum rc drop_rows(struct tx *t, enum table table, struct key from, struct key to, bool *left)
{
	struct dropping d = { t, table, 0 };
	TRY(engine_scan(t->s->engine, table, key_str(&from), key_str(&to), ROWS_STEP, drop_any, &d, NULL));
	*left |= d.n == ROWS_STEP;
	return RC_OK;
}

static enum rc remove_step(struct tx *t, void *arg, struct why *why)
{
	struct removal *r = arg;
	struct tx_account *a;
	struct folder_name *all;
	size_t n;
	r->left = false;
	enum rc rc = tx_account_any(t, r->id, &a, why);
	if (rc == RC_NOTFOUND) /* it was there, with the mark */
		return RC_OK;
	TRY(rc);
	TRY(tx_folders(t, a, &all, &n));
	r->left = all;
	if (all) { /* one folder at a time, at most REMOVE_STEP messages of it */
		struct tx_box *b;
		bool more;
		TRY(tx_box(t, a, all->id, &b, why));
		TRY(tx_empty(t, b, REMOVE_STEP, &more, why));
		return more ? RC_OK : tx_box_drop(t, b, why);
	}
	TRY(drop_rows(t, TABLE_CHANGE, key_change(r->id, 0), key_change(r->id, UINT64_MAX), &r->left));
	TRY(drop_rows(t, TABLE_EPOCH, key_pair(r->id, 0), key_pair(r->id, UINT64_MAX), &r->left));
	TRY(drop_rows(t, TABLE_SUBSCRIPTION, key_name_first(r->id), key_name_end(r->id), &r->left));
	TRY(drop_rows(t, TABLE_KNOWN, key_known_first(r->id), key_known_end(r->id), &r->left)); /* letters of its that wait go out all the same */
	TRY(drop_rows(t, TABLE_BOX, key_box(r->id, 0), key_box_end(r->id), &r->left)); /* folders whose row was damaged */
	TRY(drop_rows(t, TABLE_RECENT, key_box(r->id, 0), key_box_end(r->id), &r->left));
	if (!r->left) {
		struct key k = key_account(r->id);
		batch_delete(&t->batch, TABLE_ACCOUNT, key_str(&k));
	}
	return RC_OK;
}

enum rc account_remove(struct store *s, uint64_t id, struct why *why)
{
	struct removal r = { .id = id };
	TRY(verb_run(s, mark_removed, &r, why));
	for (unsigned i = 0; i < REMOVE_TRIES; i++) {
		TRY(verb_run(s, remove_step, &r, why));
		if (!r.left)
			return RC_OK;
	}
	FAIL(why, RC_BUSY, "the account was not removed in time; call again");
}

struct unfinished { uint64_t id; };

static bool is_unfinished(void *arg, const struct engine_row *r)
{
	struct unfinished *u = arg;
	struct account_row row;
	if (!r->damaged && account_parse(r->value, &row) == RC_OK && row.removing)
		u->id = row.a.id;
	return u->id == 0;
}

enum rc directory_resume(struct store *s, struct why *why)
{
	struct key from = { 4, { 0, 0, 0, ORG } }, to = { 4, { 0, 0, 0, ORG + 1 } };
	for (;;) {
		struct unfinished u = { 0 };
		enum rc rc = engine_scan(s->engine, TABLE_ACCOUNT, key_str(&from), key_str(&to), SIZE_MAX, is_unfinished, &u, NULL);
		engine_settle(s->engine);
		if (rc != RC_OK || u.id == 0)
			return rc;
		rc = account_remove(s, u.id, why);
		if (rc != RC_OK && rc != RC_NOTFOUND) /* another may have ended it meanwhile */
			return rc;
	}
}

/* ---- epochs ---- */
struct rollup { uint64_t owner, id; struct str sealed; const uint64_t *epochs; size_t n; };

static enum rc roll_up(struct tx *t, void *arg, struct why *why)
{
	struct rollup *u = arg;
	struct tx_account *a;
	struct buf b;
	TRY(tx_account(t, u->owner, &a, why));
	for (size_t i = 0; i < u->n; i++) {
		struct key k = key_pair(u->owner, u->epochs[i]);
		batch_delete(&t->batch, TABLE_EPOCH, key_str(&k));
	}
	buf_init(&b, u->sealed.n + 1);
	buf_u8(&b, 1);
	buf_add(&b, u->sealed);
	struct key k = key_pair(u->owner, u->id);
	batch_put(&t->batch, TABLE_EPOCH, key_str(&k), buf_str(&b));
	enum rc rc = b.failed ? RC_NOMEM : RC_OK;
	buf_done(&b);
	return rc;
}

enum rc epoch_rollup(struct store *s, uint64_t owner, uint64_t rollup_id, struct str sealed, const uint64_t *epochs, size_t n, struct why *why)
{
	if (sealed.n == 0 || sealed.n > 1 << 20 || n > 100000)
		FAIL(why, RC_LIMIT, "a roll-up of that size");
	struct rollup u = { owner, rollup_id, sealed, epochs, n };
	return verb_run(s, roll_up, &u, why);
}
