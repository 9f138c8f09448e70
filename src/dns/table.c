#include "dns/table.h"

#include "base/mem.h"
#include <stdio.h>

enum { CNAMES_MAX = 12, DENIAL_TTL = 60 };

enum rc dns_table_new(struct dns_table **out)
{
	struct dns_table *t = mem_new(sizeof *t);
	if (!t)
		return RC_NOMEM;
	arena_init(&t->a, TABLE_OCTETS);
	map_init(&t->names, TABLE_NAMES);
	*out = t;
	return RC_OK;
}

void dns_table_free(struct dns_table **t)
{
	if (!*t)
		return;
	map_done(&(*t)->names);
	arena_done(&(*t)->a);
	mem_free(*t);
	*t = NULL;
}

struct table_node *table_node(struct dns_table *t, struct str name)
{
	struct table_node *node = map_get(&t->names, name);
	if (node)
		return node;
	node = arena_new(&t->a, sizeof *node);
	if (!node)
		return NULL;
	node->name = arena_str(&t->a, name);
	if (t->a.full || map_put(&t->names, node->name, node) != RC_OK)
		return NULL;
	return node;
}

static struct str parent(struct str name)
{
	size_t dot = str_find(name, '.');
	return dot < name.n ? str_skip(name, dot + 1) : STR("");
}

/* RFC 4592 2.2.2: a name between one that exists and its zone exists too, though it has no records. */
static enum rc make_exist(struct dns_table *t, struct str name)
{
	for (;; name = parent(name)) {
		struct table_node *node = table_node(t, name);
		if (!node)
			return RC_NOMEM;
		if (node->exists)
			return RC_OK;
		node->exists = true;
		if (!name.n)
			return RC_OK;
	}
}

static struct table_set *set_of(const struct table_node *node, unsigned type)
{
	struct table_set *s = node->sets;
	while (s && s->type != type)
		s = s->next;
	return s;
}

static enum rc grow(struct dns_table *t, struct table_set *s)
{
	if (s->n < s->cap)
		return RC_OK;
	size_t cap = s->cap ? s->cap * 2 : 2;
	struct dns_record *r = arena_new(&t->a, cap * sizeof *r);
	if (!r)
		return RC_NOMEM;
	if (s->n)
		memcpy(r, s->record, s->n * sizeof *r);
	s->record = r;
	s->cap = cap;
	return RC_OK;
}

static bool same(const struct dns_record *x, const struct dns_record *y)
{
	return x->preference == y->preference && x->weight == y->weight && x->port == y->port && x->usage == y->usage && x->selector == y->selector &&
	       x->matching == y->matching && str_eq(x->name, y->name) && str_eq(x->data, y->data);
}

enum rc table_add(struct dns_table *t, struct str name, unsigned type, uint32_t ttl, const struct dns_record *r, struct why *why)
{
	struct table_node *node = table_node(t, name);
	if (!node || make_exist(t, node->name) != RC_OK)
		FAIL(why, RC_NOMEM, "the table is full");
	if (!r)
		return RC_OK;
	struct table_set *s = set_of(node, type);
	/* RFC 1034 3.6.2: "If a CNAME RR is present at a node, no other data should be present". Test zones break that on purpose; two CNAMEs are nonsense. */
	if (type == DNS_CNAME && s && !same(&s->record[0], r))
		FAIL(why, RC_SYNTAX, "%.*s has two CNAME records", PSTR(str_head(name, 100)));
	for (size_t i = 0; s && i < s->n && i < DNS_MAX_RECORDS; i++)
		if (same(&s->record[i], r))
			return RC_OK; /* RFC 2181 5: the same data twice is one record */
	if (!s) {
		s = arena_new(&t->a, sizeof *s);
		if (!s)
			FAIL(why, RC_NOMEM, "the table is full");
		*s = (struct table_set){ .next = node->sets, .type = type, .ttl = ttl };
		node->sets = s;
	}
	if (grow(t, s) != RC_OK)
		FAIL(why, RC_NOMEM, "the table is full");
	s->record[s->n++] = *r;
	s->ttl = ttl < s->ttl ? ttl : s->ttl; /* RFC 2181 5.2: one TTL per set, the lowest */
	return RC_OK;
}

enum rc table_soa(struct dns_table *t, struct str name, uint32_t denial_ttl)
{
	struct table_node *node = table_node(t, name);
	if (!node)
		return RC_NOMEM;
	node->soa = true;
	node->denial_ttl = denial_ttl;
	return RC_OK;
}

enum rc dns_table_add(struct dns_table *t, struct str name, unsigned type, uint32_t ttl, struct str rdata, bool raw, struct why *why)
{
	char key[256];
	size_t n;
	if (!dns_fold(name, key, &n))
		FAIL(why, RC_SYNTAX, "\"%.*s\" is not a name", PSTR(str_head(name, 80)));
	if (raw && type == DNS_TXT) {
		struct dns_record r = { .name = STR(""), .data = arena_str(&t->a, rdata), .strings = (unsigned)(rdata.n / 256 + 1) };
		if (rdata.n > DNS_MAX_RDATA)
			FAIL(why, RC_LIMIT, "a TXT record of %zu octets", rdata.n);
		return t->a.full ? RC_NOMEM : table_add(t, str_of(key, n), type, ttl, &r, why);
	}
	/* One way of reading presentation form: as a line of a master file whose origin is the root. */
	AUTO(buf_done) struct buf line;
	buf_init(&line, 4 * DNS_MAX_RDATA + 2048);
	for (size_t i = 0; i < n; i++)
		if (key[i] == '.' || ascii_alnum(key[i]))
			buf_byte(&line, key[i]);
		else
			buf_addf(&line, "\\%03u", (unsigned)(unsigned char)key[i]);
	buf_addf(&line, ". %u IN TYPE%u ", ttl > INT32_MAX ? INT32_MAX : ttl, type);
	buf_add(&line, rdata);
	if (line.failed || str_find(rdata, '\n') < rdata.n)
		FAIL(why, RC_SYNTAX, "not one record");
	return dns_table_read(t, buf_str(&line), STR(""), why);
}

enum rc dns_table_fail(struct dns_table *t, struct str name, unsigned type, enum dns_status status)
{
	char key[256];
	size_t n;
	if (!dns_fold(name, key, &n))
		return RC_SYNTAX;
	struct table_node *node = table_node(t, str_of(key, n));
	struct table_fault *f = arena_new(&t->a, sizeof *f);
	if (!node || !f)
		return RC_NOMEM;
	*f = (struct table_fault){ .next = node->faults, .type = type, .status = status };
	node->faults = f;
	return RC_OK;
}

static struct table_node *existing(const struct dns_table *t, struct str name)
{
	struct table_node *node = map_get(&t->names, name);
	return node && node->exists ? node : NULL;
}

/* RFC 4592 3.3.1: only a wildcard right below the closest name that exists speaks for the one asked. */
static struct table_node *wildcard(const struct dns_table *t, struct str name)
{
	char star[260];
	while (name.n) {
		name = parent(name);
		if (!name.n || existing(t, name)) {
			int n = snprintf(star, sizeof star, "*%s%.*s", name.n ? "." : "", PSTR(name));
			return existing(t, str_of(star, (size_t)n));
		}
	}
	return NULL;
}

static bool secure(const struct dns_table *t, struct str name)
{
	for (;; name = parent(name)) {
		const struct table_node *node = map_get(&t->names, name);
		if (node && node->secure)
			return true;
		if (!name.n)
			return false;
	}
}

static uint32_t denial_ttl(const struct dns_table *t, struct str name)
{
	for (;; name = parent(name)) {
		const struct table_node *node = map_get(&t->names, name);
		if (node && node->soa)
			return node->denial_ttl;
		if (!name.n)
			return DENIAL_TTL;
	}
}

bool dns_table_covers(const struct dns_table *t, struct str name)
{
	for (;; name = parent(name)) {
		const struct table_node *node = map_get(&t->names, name);
		if (node && node->soa)
			return true;
		if (!name.n)
			return false;
	}
}

static void fill(const struct table_set *s, struct arena *a, struct dns_answer *out)
{
	size_t n = s->n < DNS_MAX_RECORDS ? s->n : DNS_MAX_RECORDS;
	out->ttl = s->ttl < out->ttl ? s->ttl : out->ttl;
	out->truncated = n < s->n;
	out->record = arena_new(a, n * sizeof *out->record);
	for (size_t i = 0; !a->full && i < n; i++) {
		out->record[i] = s->record[i];
		out->record[i].name = arena_str(a, s->record[i].name);
		out->record[i].data = arena_str(a, s->record[i].data);
	}
	out->records = a->full ? 0 : n;
	out->status = DNS_OK;
}

static void deny(const struct dns_table *t, enum dns_status status, struct str at, struct dns_answer *out)
{
	uint32_t ttl = denial_ttl(t, at);
	out->status = status;
	out->ttl = ttl < out->ttl ? ttl : out->ttl;
}

static bool faulty(const struct dns_table *t, struct str at, unsigned type, struct dns_answer *out)
{
	const struct table_node *node = map_get(&t->names, at);
	for (const struct table_fault *f = node ? node->faults : NULL; f; f = f->next) {
		if (f->type && f->type != type)
			continue;
		deny(t, f->status, at, out);
		snprintf(out->why, sizeof out->why, "%s", f->status == DNS_TEMPFAIL ? "no answer in time" : f->status == DNS_BOGUS ? "the signatures are wrong" : "");
		return true;
	}
	return false;
}

static void look_up(const struct dns_table *t, struct str name, unsigned type, struct arena *a, struct dns_answer *out)
{
	struct str at = name;
	out->secure = true;
	out->ttl = UINT32_MAX;
	for (unsigned hops = 0; hops < CNAMES_MAX; hops++) {
		const struct table_set *s;
		out->canonical = at;
		out->secure = out->secure && secure(t, at);
		if (faulty(t, at, type, out))
			return;
		const struct table_node *node = existing(t, at);
		if (!node && !(node = wildcard(t, at))) {
			deny(t, DNS_NXDOMAIN, at, out);
			return;
		}
		if ((s = set_of(node, type))) {
			fill(s, a, out);
			return;
		}
		if (!(s = set_of(node, DNS_CNAME))) {
			deny(t, DNS_NODATA, at, out);
			return;
		}
		out->ttl = s->ttl < out->ttl ? s->ttl : out->ttl;
		at = s->record[0].name;
	}
	out->status = DNS_TEMPFAIL;
	snprintf(out->why, sizeof out->why, "CNAMEs lead in a circle or through more than %d names", CNAMES_MAX);
}

static void ask(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	struct dns_table *t = house;
	char key[256];
	size_t n;
	*out = (struct dns_answer){ .status = DNS_BADNAME, .canonical = STR(""), .why = "not a name that can be asked" };
	if (!dns_fold(name, key, &n))
		return;
	out->why[0] = '\0';
	t->asked++;
	look_up(t, str_of(key, n), type, a, out);
	out->canonical = arena_str(a, out->canonical);
	if (out->status == DNS_TEMPFAIL || out->status == DNS_BOGUS)
		out->ttl = 0, out->secure = false;
	if (a->full)
		*out = (struct dns_answer){ .status = DNS_TEMPFAIL, .ours = true, .canonical = STR(""), .why = "no memory for the answer" };
}

struct dns dns_table_dns(struct dns_table *t) { return (struct dns){ .house = t, .ask = ask }; }
uint64_t dns_table_asked(const struct dns_table *t) { return t->asked; }
