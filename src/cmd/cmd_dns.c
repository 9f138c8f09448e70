#include "cmd/dns_check.h"

#include "cmd/address.h"
#include "role/wire.h"

/* dns show|check|ask. */

static enum status start(struct ctl *ctl, struct call *c, struct arena *a, struct checking *k)
{
	struct why why = { 0 };
	*k = (struct checking){ .c = c, .ctl = ctl, .a = a };
	if (!ctl_config(ctl)->server_hostname.n)
		return say_error(c, STATUS_FAILED, "this needs the configuration: server.hostname and what else the records are made of", NULL, "letterlock config check");
	if (ctl_peer(ctl, ROLE_RESOLVER, &k->resolver, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the resolver cannot be asked", why.text, "letterlock status");
	k->dns = dns_asker_at(k->resolver);
	return STATUS_OK;
}

static enum status clean(struct call *c, struct arena *a, struct str *out)
{
	char domain[256];
	struct why why = { 0 };
	if (domain_clean_ours(c->args[0], domain, sizeof domain, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	*out = arena_str(a, str_z(domain));
	return STATUS_OK;
}

/* A server without keys yet needs none published. */
static void fetch_keys(struct checking *k, struct str domain, struct dkim_row **out, size_t *out_n)
{
	struct msg_DKIM_LIST_answer answer;
	struct ipc_reply reply = { 0 };
	*out_n = 0;
	if (ctl_ask(k->ctl, ROLE_VAULT, MSG_DKIM_LIST, &(struct msg_DKIM_LIST){ .domain = domain }, &answer, &reply, NULL) != RC_OK)
		return;
	struct str kept = arena_str(k->a, answer.keys);
	ipc_reply_done(&reply);
	if (k->a->full || dkim_wire_get(kept, k->a, out, out_n) != RC_OK)
		*out_n = 0;
}

static void add_addresses(struct dns_wants *o, const struct dns_answer *x)
{
	for (size_t i = 0; x->status == DNS_OK && i < x->records && o->address_n < DNS_ADDRESSES_MAX; i++)
		o->address[o->address_n++] = x->record[i].data;
}

/* Whoever asks about a domain that is not ours is told what is missing from the answer. */
static void say_foreign(struct checking *k, struct str domain)
{
	char what[400];
	(void)snprintf(what, sizeof what, "%.*s is not a domain of this server yet, so it has no DKIM keys to publish", PSTR(domain));
	(void)say_error(k->c, STATUS_OK, what, NULL, "letterlock domain add DOMAIN, and again");
}

/* With all its keys retired or revoked nothing is wrong in the DNS, and all its mail is unsigned. */
static void say_unsigned(struct checking *k, struct str domain)
{
	char what[400];
	(void)snprintf(what, sizeof what, "no DKIM key of %.*s signs or waits to: its mail goes out unsigned", PSTR(domain));
	(void)say_error(k->c, STATUS_OK, what, NULL, "letterlock dkim rotate DOMAIN");
}

static bool any_in_use(const struct dkim_row *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (keys[i].state < VAULT_DKIM_RETIRED)
			return true;
	return false;
}

static void collect(struct checking *k, struct str domain, bool first)
{
	struct dns_answer v4, v6;
	struct dkim_row *keys = NULL;
	size_t n = 0;
	struct str host = ctl_config(k->ctl)->server_hostname;
	k->wants = (struct dns_wants){ .dns = k->dns };
	dns_ask(&k->dns, DNS_A, host, k->a, &v4);
	dns_ask(&k->dns, DNS_AAAA, host, k->a, &v6);
	add_addresses(&k->wants, &v4);
	add_addresses(&k->wants, &v6);
	fetch_keys(k, domain, &keys, &n);
	if (!n && first)
		say_foreign(k, domain);
	else if (first && !any_in_use(keys, n))
		say_unsigned(k, domain);
	dns_wants(ctl_config(k->ctl), domain, keys, n, k->a, &k->wants);
}

/* ---- show ---- */

static struct str value_of(const struct dns_want *w, bool quoted, struct buf *b)
{
	buf_clear(b);
	if (w->type == DNS_TXT && quoted)
		dns_txt_quoted(w->value, b);
	else
		buf_add(b, w->value);
	return buf_str(b);
}

/* A name server refuses a whole zone for one line of another. */
static bool is_in_zone(struct str name, struct str domain)
{
	return str_ieq(name, domain) || (name.n > domain.n && str_iends(name, domain) && name.p[name.n - domain.n - 1] == '.');
}

static void show_zone(const struct dns_want *w, struct str domain, struct buf *b)
{
	bool elsewhere = !is_in_zone(w->name, domain), comment = w->rule == RULE_ADDRESS || w->unused || elsewhere;
	AUTO(buf_done) struct buf wrapped = { .max = 16384 };
	struct str v = value_of(w, true, b);
	buf_addf(&wrapped, v.n > 255 ? "( " : "");
	buf_add(&wrapped, v);
	if (v.n > 255)
		buf_add(&wrapped, STR(" )"));
	if (w->unused)
		say("; not used: %s", w->unused);
	else if (elsewhere)
		say("; in another zone than that of %.*s", PSTR(domain));
	say("%s%.*s. 3600 IN %s %.*s", comment ? "; " : "", PSTR(w->name), dns_type_name(w->type), (int)wrapped.len, wrapped.p);
}

/* The document for the web server of mta-sts.DOMAIN, line by line: RFC 8461 3.2 takes LF as well as CRLF. */
static enum status show_sts_policy(struct ctl *ctl, struct call *c, struct arena *a)
{
	AUTO(buf_done) struct buf text = { .max = 4096 };
	char id[33];
	if (dns_sts_policy(ctl_config(ctl), &text, id) != RC_OK)
		return say_error(c, STATUS_FAILED, "there is no policy to show", "server.hostname is no host name", "letterlock config show");
	if (c->json) {
		say_json("{\"id\":\"%s\",\"policy\":\"%s\"}", id, json_text(a, buf_str(&text)));
		return STATUS_OK;
	}
	for (struct str line, rest = buf_str(&text); rest.n;) {
		(void)str_cut(rest, '\n', &line, &rest);
		say("%s", text_z(a, str_trim(line)));
	}
	return STATUS_OK;
}

static enum status show(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct checking k;
	AUTO(arena_done) struct arena a = { .max = CHECK_ROOM };
	AUTO(buf_done) struct buf b = { .max = 8192 };
	struct str domain;
	enum status s = clean(c, &a, &domain);
	if (s == STATUS_OK && call_option(c, "sts-policy"))
		return show_sts_policy(ctl, c, &a);
	if (s != STATUS_OK || (s = start(ctl, c, &a, &k)) != STATUS_OK)
		return s;
	collect(&k, domain, true);
	bool zone = call_option(c, "zone"), split = call_option(c, "split");
	if (!zone && !c->json)
		say("  #  need  %-42s %-5s value", "name", "type");
	for (size_t i = 0; i < k.wants.n; i++) {
		const struct dns_want *w = &k.wants.w[i];
		if (c->json)
			say_json("{\"needed\":%s,\"used\":%s,\"name\":\"%s\",\"type\":\"%s\",\"value\":\"%s\"}", w->needed ? "true" : "false", w->unused ? "false" : "true",
			         json_text(&a, w->name), dns_type_name(w->type), json_text(&a, w->value));
		else if (zone)
			show_zone(w, domain, &b);
		else if (w->unused)
			say("%3zu  no    %-42s %-5s (%s)", i + 1, text_z(&a, w->name), dns_type_name(w->type), w->unused);
		else
			say("%3zu  %-4s  %-42s %-5s %s", i + 1, w->needed ? "yes" : "-", text_z(&a, w->name), dns_type_name(w->type), text_z(&a, value_of(w, split, &b)));
	}
	return STATUS_OK;
}
enum status run_dns_show(struct call *c) { return ctl_verb(c, show); }

/* ---- check ---- */

/* How many needed records are not right. An extra record beside the right one does no harm to what is needed, but is said. */
static size_t check_all(struct checking *k, struct str domain, bool first, bool quiet)
{
	size_t wrong = 0, needed = 0;
	collect(k, domain, first);
	k->zone_n = 0;
	for (size_t i = 0; i < k->wants.n; i++) {
		struct dns_found f;
		dns_check_one(k, &k->wants.w[i], &f);
		wrong += k->wants.w[i].needed && f.result > DNS_EXTRA;
		needed += k->wants.w[i].needed;
		if (!quiet)
			dns_check_say(k, &k->wants.w[i], &f);
	}
	if (!quiet && !k->c->json)
		say("%zu of %zu needed records are right", needed - wrong, needed);
	return wrong;
}

static enum status check(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct checking k;
	size_t wrong;
	for (bool first = true;; first = false) {
		AUTO(arena_done) struct arena a = { .max = CHECK_ROOM };
		struct str domain;
		enum status s = clean(c, &a, &domain);
		if (s != STATUS_OK || (s = start(ctl, c, &a, &k)) != STATUS_OK)
			return s;
		wrong = check_all(&k, domain, first, !first);
		if (!wrong && !first)
			(void)check_all(&k, domain, false, false);
		if (!wrong || !call_option(c, "wait"))
			break;
		if (!c->json)
			say("waiting: %zu needed record%s not right yet", wrong, wrong == 1 ? " is" : "s are");
		(void)fflush(stdout); /* who reads this through a pipe waits with us */
		if (fiber_sleep(CHECK_WAIT_MS) != RC_OK)
			return STATUS_FAILED;
	}
	return wrong ? STATUS_PROBLEMS : STATUS_OK;
}
enum status run_dns_check(struct call *c) { return ctl_verb(c, check); }

/* ---- ask ---- */

static enum status ask(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct checking k;
	struct dns_answer x;
	AUTO(arena_done) struct arena a = { .max = CHECK_ROOM };
	unsigned type = dns_type_of(str_z(c->args[0]));
	if (!type)
		return say_usage(c, "\"%.20s\" is not a type that is asked: A AAAA MX TXT PTR NS SOA CNAME SRV TLSA CAA", c->args[0]);
	enum status s = start(ctl, c, &a, &k);
	if (s != STATUS_OK)
		return s;
	dns_ask(&k.dns, type, str_z(c->args[1]), &a, &x);
	if (c->json)
		say_json("{\"status\":\"%s\",\"secure\":%s,\"ttl\":%u,\"canonical\":\"%s\",\"records\":%zu,\"why\":\"%s\"}", dns_status_name(x.status), x.secure ? "true" : "false", x.ttl,
		         json_text(&a, x.canonical), x.records, json_text(&a, str_z(x.why)));
	else
		say("%s%s, ttl %u%s%s", dns_status_name(x.status), x.secure ? ", secure" : "", x.ttl, x.why[0] ? ": " : "", x.why);
	for (size_t i = 0; i < x.records; i++) {
		AUTO(buf_done) struct buf b = { .max = 128 << 10 };
		dns_record_text(type, &x.record[i], &b);
		if (c->json)
			say_json("{\"value\":\"%s\"}", json_text(&a, buf_str(&b)));
		else
			say("  %s", text_z(&a, buf_str(&b)));
	}
	return x.status == DNS_OK ? STATUS_OK : x.status == DNS_NODATA || x.status == DNS_NXDOMAIN ? STATUS_NOTHING : STATUS_FAILED;
}
enum status run_dns_ask(struct call *c) { return ctl_verb(c, ask); }
