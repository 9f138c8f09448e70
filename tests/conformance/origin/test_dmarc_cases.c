/* Runs the published DMARC cases, as dmarc_cases.py prints them, from standard input: prints every difference and the sum; 0 when all undisputed ones agree. */
#include "base/codec.h"
#include "origin/dmarc.h"

#include <stdio.h>

enum { DKIMS_MAX = 8, EXPECTS_MAX = 16, ASKED_MAX = 64 };

struct given {
	char id[80];
	bool disputed;
	struct dns_table *table;
	struct str from, spf, dkim[DKIMS_MAX];
	size_t dkims;
	struct { struct str key, value; } expect[EXPECTS_MAX];
	size_t expects;
};
struct spy { /* notes the names asked for TXT below _dmarc */
	struct dns inner;
	char asked[2048];
	size_t n;
};

static void spy_ask(void *house, unsigned type, struct str name, struct arena *a, struct dns_answer *out)
{
	struct spy *s = house;
	if (type == DNS_TXT)
		s->n += (size_t)snprintf(s->asked + s->n, sizeof s->asked - s->n, "%s%.*s", s->n ? "," : "", PSTR(name));
	dns_ask(&s->inner, type, name, a, out);
}

static bool listed(struct str list, struct str one)
{
	struct str item;
	bool more = true;
	while (more) {
		more = str_cut(list, ',', &item, &list);
		if (str_eq(item, one))
			return true;
	}
	return false;
}

static int differs(const struct given *g, const char *what, struct str got, struct str want)
{
	fprintf(stderr, "%s%s: %s is \"%.*s\", should be \"%.*s\"\n", g->id, g->disputed ? " (disputed)" : "", what, PSTR(got), PSTR(want));
	return 1;
}

static struct str got_of(struct str key, const struct dmarc_result *r, const struct dmarc_record *record, struct str org, const struct spy *s)
{
	if (str_eq(key, STR("result")))
		return str_z(auth_name(r->result));
	if (str_eq(key, STR("policy_domain")))
		return r->record.at;
	if (str_eq(key, STR("org_domain")))
		return org;
	if (str_eq(key, STR("policy")))
		return str_z(dmarc_policy_name(r->published));
	if (str_eq(key, STR("disposition")))
		return str_z(dmarc_policy_name(r->policy));
	if (str_eq(key, STR("aligned")))
		return str_z(r->spf_aligned ? r->dkim_aligned ? "spf,dkim" : "spf" : r->dkim_aligned ? "dkim" : "");
	if (str_eq(key, STR("queries")))
		return str_of(s->asked, s->n);
	if (str_eq(key, STR("rua")))
		return record->rua;
	return STR("(an unknown key)");
}

static int run(struct given *g, struct arena *a)
{
	struct dns dns = dns_table_dns(g->table);
	struct spy spy = { .inner = dns };
	struct dns spied = { &spy, spy_ask };
	struct buf header = { .max = 10000 };
	struct spf_result spf = { .result = AUTH_PASS, .domain = g->spf };
	struct dkim_signature sig[DKIMS_MAX] = { 0 };
	struct dkim_result dkim = { .signature = sig, .n = g->dkims };
	struct dmarc_result r;
	struct dmarc_record record;
	struct str org, why, domain;
	int bad = 0;
	for (size_t i = 0; i < g->dkims; i++)
		sig[i] = (struct dkim_signature){ .result = AUTH_PASS, .domain = g->dkim[i] };
	buf_addf(&header, "Subject: x\r\nFrom: %.*s\r\n\r\n", PSTR(g->from));
	struct dmarc_input in = { buf_str(&header), g->spf.n ? &spf : NULL, &dkim };
	dmarc_check(&dns, &in, NULL, a, &r);
	record = r.record;
	org = STR("");
	if (dmarc_from(buf_str(&header), a, &domain, NULL) == RC_OK)
		dmarc_discover(&spied, domain, NULL, a, &record, &org, &why);
	for (size_t i = 0; i < g->expects; i++) {
		struct str got = got_of(g->expect[i].key, &r, &record, org, &spy);
		bool one_of = str_eq(g->expect[i].key, STR("result"));
		if (one_of ? !listed(g->expect[i].value, got) : !str_eq(got, g->expect[i].value))
			bad |= differs(g, g->expect[i].key.p, got, g->expect[i].value);
	}
	buf_done(&header);
	return bad;
}

static struct str unhex(const char *text, struct arena *a)
{
	struct buf b = { .max = 10000 };
	if (str_eq(str_z(text), STR("-")))
		return STR("");
	if (hex_decode(str_z(text), &b) != RC_OK)
		fprintf(stderr, "bad line: %s\n", text);
	struct str s = arena_str(a, buf_str(&b));
	buf_done(&b);
	return s;
}

/* One line into `g`. 2: the case is whole. */
static int take(struct given *g, char *line, struct arena *a)
{
	char word[3][4096] = { "", "", "" }, verb[16];
	struct why why = { 0 };
	enum rc rc = RC_OK;
	sscanf(line, "%15s %4095s %4095s %4095s", verb, word[0], word[1], word[2]);
	struct str v = str_z(verb), name = arena_str(a, str_z(word[0]));
	if (str_eq(v, STR("case"))) {
		*g = (struct given){ .from = STR(""), .spf = STR(""), .disputed = word[1][0] == '1' };
		snprintf(g->id, sizeof g->id, "%.70s", word[0]);
		rc = dns_table_new(&g->table);
	} else if (str_eq(v, STR("txt"))) {
		rc = dns_table_add(g->table, name, DNS_TXT, 300, unhex(word[1], a), true, &why);
	} else if (str_eq(v, STR("rr"))) {
		rc = dns_table_add(g->table, name, dns_type_of(str_z(word[1])), 300, unhex(word[2], a), false, &why);
	} else if (str_eq(v, STR("fail"))) {
		rc = dns_table_fail(g->table, name, 0, DNS_TEMPFAIL);
	} else if (str_eq(v, STR("from"))) {
		g->from = unhex(word[0], a);
	} else if (str_eq(v, STR("spf"))) {
		g->spf = unhex(word[0], a);
	} else if (str_eq(v, STR("dkim")) && g->dkims < DKIMS_MAX) {
		g->dkim[g->dkims++] = unhex(word[0], a);
	} else if (str_eq(v, STR("expect")) && g->expects < EXPECTS_MAX) {
		g->expect[g->expects].key = name;
		g->expect[g->expects++].value = unhex(word[1], a);
	} else if (str_eq(v, STR("run"))) {
		return 2;
	} else {
		rc = RC_SYNTAX;
	}
	if (rc != RC_OK)
		fprintf(stderr, "%s: cannot use: %s%s\n", g->id, line, why.text);
	return rc != RC_OK;
}

int main(void)
{
	static char line[16384];
	struct given g = { .from = STR(""), .spf = STR("") };
	struct arena a;
	int undisputed = 0, good = 0, broken = 0;
	arena_init(&a, 8 << 20);
	while (fgets(line, sizeof line, stdin)) {
		int got = take(&g, line, &a);
		broken |= got == 1;
		if (got != 2)
			continue;
		int bad = run(&g, &a);
		undisputed += !g.disputed;
		good += !g.disputed && !bad;
		dns_table_free(&g.table);
		arena_done(&a);
	}
	printf("dmarc: %d of %d undisputed cases\n", good, undisputed);
	return broken || good != undisputed || undisputed == 0;
}
