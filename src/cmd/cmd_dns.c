#include "cmd/address.h"
#include "cmd/ctl.h"
#include "role/dns_want.h"
#include "role/wire.h"

/* dns show|check|ask. `check` asks the zones' own servers, so that no cache answers with what was true yesterday. */

enum { ROOM = 32 << 20, SERVERS_MAX = 6, ZONES_MAX = 64, CNAMES_MAX = 4, WAIT_MS = 5000 };

struct zone { struct str name; struct str server[SERVERS_MAX]; size_t n; char why[120]; };
struct checking {
	struct call *c;
	struct ctl *ctl;
	struct ipc_peer *resolver;
	struct dns dns;
	struct arena *a;
	struct zone zone[ZONES_MAX]; size_t zone_n;
	struct dns_wants wants;
};

static enum status start(struct ctl *ctl, struct call *c, struct arena *a, struct checking *k)
{
	struct why why = { 0 };
	*k = (struct checking){ .c = c, .ctl = ctl, .a = a };
	if (ctl_peer(ctl, ROLE_RESOLVER, &k->resolver, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the resolver cannot be asked", why.text, "letterlock status");
	k->dns = dns_asker_at(k->resolver);
	return STATUS_OK;
}

static enum status clean(struct call *c, struct arena *a, struct str *out)
{
	char domain[256];
	struct why why = { 0 };
	if (domain_clean(c->args[0], domain, sizeof domain, &why) != RC_OK)
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

static void collect(struct checking *k, struct str domain)
{
	struct dns_answer v4, v6;
	struct dkim_row *keys = NULL;
	size_t n = 0;
	struct str host = ctl_config(k->ctl)->server_hostname;
	k->wants = (struct dns_wants){ 0 };
	dns_ask(&k->dns, DNS_A, host, k->a, &v4);
	dns_ask(&k->dns, DNS_AAAA, host, k->a, &v6);
	add_addresses(&k->wants, &v4);
	add_addresses(&k->wants, &v6);
	fetch_keys(k, domain, &keys, &n);
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

static void show_zone(struct checking *k, const struct dns_want *w, struct buf *b)
{
	bool comment = w->rule == RULE_ADDRESS;
	AUTO(buf_done) struct buf wrapped = { .max = 16384 };
	struct str v = value_of(w, true, b);
	buf_addf(&wrapped, v.n > 255 ? "( " : "");
	buf_add(&wrapped, v);
	if (v.n > 255)
		buf_add(&wrapped, STR(" )"));
	say("%s%.*s. 3600 IN %s %.*s", comment ? "; " : "", PSTR(w->name), dns_type_name(w->type), (int)wrapped.len, wrapped.p);
	(void)k;
}

static enum status show(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct checking k;
	AUTO(arena_done) struct arena a = { .max = ROOM };
	AUTO(buf_done) struct buf b = { .max = 8192 };
	struct str domain;
	enum status s = clean(c, &a, &domain);
	if (s != STATUS_OK || (s = start(ctl, c, &a, &k)) != STATUS_OK)
		return s;
	collect(&k, domain);
	bool zone = call_option(c, "zone"), split = call_option(c, "split");
	if (!zone && !c->json)
		say("  #  need  %-42s %-5s value", "name", "type");
	for (size_t i = 0; i < k.wants.n; i++) {
		const struct dns_want *w = &k.wants.w[i];
		if (c->json)
			say_json("{\"needed\":%s,\"name\":\"%s\",\"type\":\"%s\",\"value\":\"%s\"}", w->needed ? "true" : "false", json_text(&a, w->name), dns_type_name(w->type),
			         json_text(&a, w->value));
		else if (zone)
			show_zone(&k, w, &b);
		else
			say("%3zu  %-4s  %-42s %-5s %s", i + 1, w->needed ? "yes" : "-", text_z(&a, w->name), dns_type_name(w->type), text_z(&a, value_of(w, split, &b)));
	}
	return STATUS_OK;
}
enum status run_dns_show(struct call *c) { return ctl_verb(c, show); }

/* ---- check ---- */

static void find_servers(struct checking *k, struct zone *z, const struct dns_answer *ns)
{
	struct dns_answer x;
	static const unsigned types[] = { DNS_A, DNS_AAAA };
	for (size_t i = 0; i < ns->records; i++)
		for (size_t t = 0; t < 2; t++) {
			dns_ask(&k->dns, types[t], ns->record[i].name, k->a, &x);
			for (size_t j = 0; x.status == DNS_OK && j < x.records && z->n < SERVERS_MAX; j++)
				z->server[z->n++] = x.record[j].data;
		}
	if (!z->n)
		(void)snprintf(z->why, sizeof z->why, "no address of its name servers");
}

/* The zone that `name` lies in: the closest name above with NS records. */
static struct zone *zone_of(struct checking *k, struct str name)
{
	struct dns_answer ns;
	const char *why = "no zone was found";
	for (struct str at = name; at.n; at = str_skip(at, str_find(at, '.') + 1)) {
		for (size_t i = 0; i < k->zone_n; i++)
			if (str_ieq(k->zone[i].name, at) && (k->zone[i].n || at.p == name.p))
				return &k->zone[i];
		dns_ask(&k->dns, DNS_NS, at, k->a, &ns);
		bool here = ns.status == DNS_OK && str_ieq(ns.canonical, at);
		if (!here && (ns.status == DNS_OK || ns.status == DNS_NODATA || ns.status == DNS_NXDOMAIN))
			continue;
		if (k->zone_n == ZONES_MAX)
			return NULL;
		struct zone *z = &k->zone[k->zone_n++];
		*z = (struct zone){ .name = arena_str(k->a, at) };
		if (here)
			find_servers(k, z, &ns);
		else
			(void)snprintf(z->why, sizeof z->why, "%.110s", ns.why[0] ? ns.why : why);
		return z;
	}
	return NULL;
}

static void ask_server(struct checking *k, struct str server, unsigned type, struct str name, struct dns_answer *out)
{
	struct msg_RESOLVE_AT_answer answer;
	struct ipc_reply reply = { 0 };
	struct why why = { 0 };
	*out = (struct dns_answer){ .status = DNS_TEMPFAIL, .canonical = STR("") };
	enum rc rc = ipc_ask(k->resolver, MSG_RESOLVE_AT, &(struct msg_RESOLVE_AT){ .server = server, .type = type, .name = name }, &answer, &reply, &why);
	if (rc == RC_OK) {
		struct str copy = arena_str(k->a, answer.answer);
		ipc_reply_done(&reply);
		rc = k->a->full ? RC_NOMEM : dns_unpack(copy, k->a, out, &why);
	}
	if (rc != RC_OK)
		(void)snprintf(out->why, sizeof out->why, "%.110s", why.text[0] ? why.text : rc_name(rc));
}

/* From the first of the zone's servers that answers; CNAMEs into other zones are followed there. */
static void ask_zone(struct checking *k, unsigned type, struct str name, struct dns_answer *out)
{
	for (unsigned hops = 0; hops < CNAMES_MAX; hops++) {
		const struct zone *z = zone_of(k, name);
		*out = (struct dns_answer){ .status = DNS_TEMPFAIL, .canonical = name };
		(void)snprintf(out->why, sizeof out->why, "%s", z ? z->why : "no zone was found");
		for (size_t i = 0; z && i < z->n && out->status == DNS_TEMPFAIL; i++)
			ask_server(k, z->server[i], type, name, out);
		if (out->status == DNS_OK || out->status == DNS_TEMPFAIL || !out->canonical.n || str_ieq(out->canonical, name))
			return;
		name = out->canonical;
	}
}

static enum dns_check check_one(struct checking *k, const struct dns_want *w, struct str *is)
{
	struct dns_answer x;
	ask_zone(k, w->type, w->name, &x);
	if ((w->rule == RULE_ALIAS || w->rule == RULE_ADDRESS) && x.status == DNS_NODATA)
		ask_zone(k, w->rule == RULE_ALIAS ? DNS_A : DNS_AAAA, w->name, &x);
	return dns_compare(&k->wants, w, &x, k->a, is);
}

static void say_check(struct checking *k, const struct dns_want *w, enum dns_check r, struct str is)
{
	if (k->c->json) {
		say_json("{\"result\":\"%s\",\"needed\":%s,\"name\":\"%s\",\"type\":\"%s\",\"is\":\"%s\",\"should_be\":\"%s\"}", dns_check_name(r), w->needed ? "true" : "false",
		         json_text(k->a, w->name), dns_type_name(w->type), r == DNS_UNCHECKED ? "" : json_text(k->a, is), json_text(k->a, w->value));
		return;
	}
	say("%-15s %-4s %-42s %s", dns_check_name(r), w->needed ? "need" : "", text_z(k->a, w->name), dns_type_name(w->type));
	if (r == DNS_UNCHECKED)
		say("                     because    %s", text_z(k->a, is));
	else if (r != DNS_RIGHT && is.n)
		say("                     is         %s", text_z(k->a, is));
	if (r == DNS_MISSING || r == DNS_DIFFERENT || r == DNS_EXTRA)
		say("                     should be  %s", text_z(k->a, w->value));
}

/* How many needed records are not right. An extra record beside the right one does no harm to what is needed, but is said. */
static size_t check_all(struct checking *k, struct str domain, bool quiet)
{
	size_t wrong = 0;
	collect(k, domain);
	k->zone_n = 0;
	for (size_t i = 0; i < k->wants.n; i++) {
		struct str is;
		enum dns_check r = check_one(k, &k->wants.w[i], &is);
		wrong += k->wants.w[i].needed && r != DNS_RIGHT && r != DNS_EXTRA;
		if (!quiet)
			say_check(k, &k->wants.w[i], r, is);
	}
	return wrong;
}

static enum status check(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct checking k;
	size_t wrong;
	for (bool first = true;; first = false) {
		AUTO(arena_done) struct arena a = { .max = ROOM };
		struct str domain;
		enum status s = clean(c, &a, &domain);
		if (s != STATUS_OK || (s = start(ctl, c, &a, &k)) != STATUS_OK)
			return s;
		wrong = check_all(&k, domain, !first);
		if (!wrong && !first)
			(void)check_all(&k, domain, false);
		if (!wrong || !call_option(c, "wait"))
			break;
		if (!c->json)
			say("waiting: %zu needed record%s not right yet", wrong, wrong == 1 ? " is" : "s are");
		if (fiber_sleep(WAIT_MS) != RC_OK)
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
	AUTO(arena_done) struct arena a = { .max = ROOM };
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
