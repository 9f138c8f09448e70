/* Policy discovery and organisational domains by the DNS tree walk (RFC 9989 4.10).
 * 1. A walk asks at most WALK_MAX questions, from the name itself towards the root.
 * 2. Records of one evaluation are asked once; a full memo only costs questions, never changes an answer. */
#include "origin/dmarc_internal.h"

#include <stdio.h>

static size_t labels_of(struct str name)
{
	size_t n = name.n != 0;
	for (size_t i = 0; i < name.n; i++)
		n += name.p[i] == '.';
	return n;
}
static struct str parent_of(struct str name) { return str_skip(name, str_find(name, '.') + 1); }

/* The last `n` labels. */
static struct str tail_of(struct str name, size_t n)
{
	while (labels_of(name) > n)
		name = parent_of(name);
	return name;
}
static bool is_at_or_below(struct str name, struct str top)
{
	return str_ieq(name, top) || (name.n > top.n && str_iends(name, top) && name.p[name.n - top.n - 1] == '.');
}

/* RFC 9989 4.10: "Records that do not start with a 'v' tag that identifies the current version of DMARC are discarded. If multiple DMARC Policy
 * Records are returned, they are all discarded." */
static void choose(struct walk *w, const struct dns_answer *answer, struct walk_found *f)
{
	size_t n = 0;
	for (size_t i = 0; i < answer->records; i++) {
		struct dmarc_record r;
		struct why why = { 0 };
		enum rc rc = dmarc_record_parse(answer->record[i].data, w->arena, &r, &why);
		if (rc == RC_NOTFOUND)
			continue;
		n++;
		f->kind = rc == RC_OK ? WALK_RECORD : rc == RC_SYNTAX ? WALK_BROKEN : WALK_TEMP;
		f->record = r;
		f->record.at = f->at;
		snprintf(f->why, sizeof f->why, "%.100s", why.text);
	}
	if (n > 1) {
		f->kind = WALK_ABSENT;
		snprintf(f->why, sizeof f->why, "%zu DMARC records stand at one name: none counts", n);
	}
}

static void ask(struct walk *w, struct walk_found *f)
{
	char name[264];
	struct dns_answer answer;
	int n = snprintf(name, sizeof name, "_dmarc.%.*s", PSTR(str_head(f->at, 253)));
	dns_ask(w->dns, DNS_TXT, str_of(name, (size_t)n), w->arena, &answer);
	f->kind = WALK_ABSENT;
	if (answer.status == DNS_OK) {
		choose(w, &answer, f);
	} else if (answer.status == DNS_TEMPFAIL || answer.status == DNS_BOGUS) {
		f->kind = WALK_TEMP;
		snprintf(f->why, sizeof f->why, "_dmarc.%.*s: %s %.60s", PSTR(str_head(f->at, 40)), dns_status_name(answer.status), answer.why);
	}
	origin_step(w->trace, "dns", "TXT %s: %s%s%.*s", name, dns_status_name(answer.status), f->kind == WALK_RECORD ? ": " : "",
	            PSTR(str_head(f->kind == WALK_RECORD ? f->record.text : str_z(f->why), 400)));
}

static struct walk_found *known(const struct walk *w, struct str name)
{
	for (size_t i = 0; i < w->memos; i++)
		if (str_eq(w->memo[i]->at, name))
			return w->memo[i];
	return NULL;
}

const struct walk_found *walk_at(struct walk *w, struct str name)
{
	struct walk_found *f = known(w, name);
	if (f)
		return f;
	f = arena_new(w->arena, sizeof *f);
	if (!f)
		return NULL;
	f->at = name;
	ask(w, f);
	if (w->memos < WALK_MEMO)
		w->memo[w->memos++] = f;
	return f;
}

/* 4.10 steps 3 to 7: names of more than eight labels are shortened to seven in the second step, so that a walk has eight questions at most. */
static struct str step_up(struct str name)
{
	return labels_of(name) > WALK_MAX ? tail_of(name, WALK_MAX - 1) : parent_of(name);
}

bool walk_organisational(struct walk *w, struct str name, struct str *out_org, const struct walk_found **out_psd)
{
	struct str at = name, org = name, below = name;
	*out_psd = NULL;
	for (unsigned asked = 0; at.n && asked < WALK_MAX; asked++) {
		const struct walk_found *f = walk_at(w, at);
		if (!f || f->kind == WALK_TEMP)
			return false;
		bool there = f->kind != WALK_ABSENT, start = asked == 0;
		if (there && f->record.psd == 'y' && !start) {
			/* 4.10.2 rule 2: one label below the public suffix. */
			org = tail_of(below, labels_of(at) + 1);
			*out_psd = f;
			break;
		}
		if (there)
			org = at; /* rule 3, unless something else is found further up */
		if (there && f->record.psd == 'n')
			break; /* rule 1 */
		below = at;
		at = step_up(at);
	}
	*out_org = org;
	return true;
}

enum walk_answer walk_aligned(struct walk *w, struct str author, struct str authenticated, bool strict)
{
	struct str org, other;
	const struct walk_found *psd;
	author = dmarc_domain_fold(author, w->arena);
	authenticated = dmarc_domain_fold(authenticated, w->arena);
	if (author.n == 0 || authenticated.n == 0)
		return WALK_NO;
	if (str_eq(author, authenticated))
		return WALK_YES;
	if (strict)
		return WALK_NO;
	/* Both organisational domains end their names: without a common last label no walk can make them equal. */
	if (!str_eq(tail_of(author, 1), tail_of(authenticated, 1)))
		return WALK_NO;
	if (!walk_organisational(w, author, &org, &psd))
		return WALK_UNKNOWN;
	if (!is_at_or_below(authenticated, org))
		return WALK_NO;
	if (!walk_organisational(w, authenticated, &other, &psd))
		return WALK_UNKNOWN;
	return str_eq(org, other) ? WALK_YES : WALK_NO;
}

static enum auth use(const struct walk_found *f, struct dmarc_record *out, struct str *out_why, struct arena *a)
{
	*out = f->record;
	*out_why = arena_str(a, str_z(f->why));
	return f->kind == WALK_RECORD ? AUTH_PASS : AUTH_PERMERROR;
}

/* 4.10.1: the author domain's record, else its organisational domain's, else its public suffix's. */
enum auth walk_policy(struct walk *w, struct str domain, bool want_org, struct dmarc_record *out, struct str *out_org, struct str *out_why)
{
	const struct walk_found *psd = NULL, *own = walk_at(w, domain), *top;
	*out_org = STR("");
	*out_why = STR("");
	if (!own || own->kind == WALK_TEMP) {
		*out_why = own ? arena_str(w->arena, str_z(own->why)) : STR("no memory");
		return AUTH_TEMPERROR;
	}
	if (own->kind != WALK_ABSENT && !want_org)
		return use(own, out, out_why, w->arena);
	bool walked = walk_organisational(w, domain, out_org, &psd);
	if (own->kind != WALK_ABSENT)
		return use(own, out, out_why, w->arena);
	if (!walked) {
		*out_why = STR("the DNS did not answer while the DMARC record was looked for");
		return AUTH_TEMPERROR;
	}
	top = known(w, *out_org); /* NULL: one of the names that the walk of a long name passes over */
	if (top && top->kind != WALK_ABSENT)
		return use(top, out, out_why, w->arena);
	if (psd)
		return use(psd, out, out_why, w->arena);
	*out_why = STR("no DMARC record");
	return AUTH_NONE;
}

enum auth dmarc_discover(const struct dns *dns, struct str domain, const struct origin_trace *t, struct arena *a, struct dmarc_record *out, struct str *out_org,
                         struct str *out_why)
{
	struct walk w = { .dns = dns, .trace = t, .arena = a };
	struct str name = dmarc_domain_fold(domain, a);
	*out = (struct dmarc_record){ .at = STR(""), .rua = STR(""), .ruf = STR(""), .fo = STR(""), .rf = STR(""), .text = STR(""), .psd = 'u', .pct = 100 };
	*out_org = STR("");
	if (name.n == 0) {
		*out_why = STR("not a domain name");
		return AUTH_NONE;
	}
	return walk_policy(&w, name, true, out, out_org, out_why);
}

bool dmarc_aligned(const struct dns *dns, struct str author, struct str authenticated, bool strict, struct arena *a)
{
	struct walk w = { .dns = dns, .arena = a };
	return walk_aligned(&w, author, authenticated, strict) == WALK_YES;
}

/* RFC 9990 4: a different host in the override "MUST be ignored". */
static bool same_host(struct str rua, struct str receiver, struct arena *a)
{
	struct dmarc_uri u[8];
	size_t n = dmarc_uris(rua, a, u, 8);
	for (size_t i = 0; i < n; i++) {
		struct str domain = str_skip(u[i].address, u[i].address.n);
		for (size_t k = u[i].address.n; k-- > 0 && u[i].address.p[k] != '@';)
			domain = str_skip(u[i].address, k);
		if (!str_eq(dmarc_domain_fold(domain, a), receiver))
			return false;
	}
	return n > 0;
}

bool dmarc_report_allowed(const struct dns *dns, struct str about, struct str receiver_domain, struct arena *a, struct str *out_override_rua)
{
	struct walk w = { .dns = dns, .arena = a };
	struct dns_answer answer;
	char name[600];
	*out_override_rua = STR("");
	about = dmarc_domain_fold(about, a);
	receiver_domain = dmarc_domain_fold(receiver_domain, a);
	if (about.n == 0 || receiver_domain.n == 0)
		return false;
	if (walk_aligned(&w, about, receiver_domain, false) == WALK_YES)
		return true;
	int n = snprintf(name, sizeof name, "%.*s._report._dmarc.%.*s", PSTR(about), PSTR(receiver_domain));
	dns_ask(dns, DNS_TXT, str_of(name, (size_t)n), a, &answer);
	for (size_t i = 0; answer.status == DNS_OK && i < answer.records; i++) {
		struct dmarc_record r;
		enum rc rc = dmarc_record_parse(answer.record[i].data, a, &r, NULL);
		if (rc != RC_OK && rc != RC_SYNTAX)
			continue;
		if (same_host(r.rua, receiver_domain, a))
			*out_override_rua = r.rua;
		return true;
	}
	return false;
}
