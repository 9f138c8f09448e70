#include "cmd/dns_check.h"

/* The zones' own servers are asked, all of them, so that no cache answers with what was true yesterday and no secondary lags unseen. */

enum { CNAMES_MAX = 4, SILENT_MAX = 2 /* then a server is not asked again in this run: each time costs its three tries */ };

/* ---- whom to ask ---- */

static void find_servers(struct checking *k, struct zone *z, const struct dns_answer *ns)
{
	struct dns_answer x;
	static const unsigned types[] = { DNS_A, DNS_AAAA };
	for (size_t i = 0; i < ns->records; i++)
		for (size_t t = 0; t < 2; t++) {
			dns_ask(&k->dns, types[t], ns->record[i].name, k->a, &x);
			for (size_t j = 0; x.status == DNS_OK && j < x.records && z->n < SERVERS_MAX; j++)
				z->server[z->n++] = (struct zone_server){ .address = x.record[j].data, .name = ns->record[i].name };
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

static void no_answer(struct dns_answer *out, struct str name, const char *why)
{
	*out = (struct dns_answer){ .status = DNS_TEMPFAIL, .canonical = name };
	(void)snprintf(out->why, sizeof out->why, "%.110s", why);
}

static void ask_server(struct checking *k, struct zone_server *server, unsigned type, struct str name, struct dns_answer *out)
{
	struct msg_RESOLVE_AT_answer answer;
	struct ipc_reply reply = { 0 };
	struct why why = { 0 };
	no_answer(out, name, "no answer in three tries, twice");
	if (server->silent >= SILENT_MAX)
		return;
	enum rc rc = ipc_ask(k->resolver, MSG_RESOLVE_AT, &(struct msg_RESOLVE_AT){ .server = server->address, .type = type, .name = name }, &answer, &reply, &why);
	if (rc == RC_OK) {
		struct str copy = arena_str(k->a, answer.answer);
		ipc_reply_done(&reply);
		rc = k->a->full ? RC_NOMEM : dns_unpack(copy, k->a, out, &why);
	}
	if (rc != RC_OK)
		no_answer(out, name, why.text[0] ? why.text : rc_name(rc));
	server->silent = out->status == DNS_TEMPFAIL ? server->silent + 1 : 0;
}

/* CNAMEs into other zones are followed there, at the first server that answers. */
static void follow(struct checking *k, unsigned type, struct dns_answer *out)
{
	for (unsigned hops = 0; hops < CNAMES_MAX && out->status == DNS_NODATA; hops++) {
		struct str name = out->canonical;
		struct zone *z = zone_of(k, name);
		no_answer(out, name, z ? z->why : "no zone was found");
		for (size_t i = 0; z && i < z->n && out->status == DNS_TEMPFAIL; i++)
			ask_server(k, &z->server[i], type, name, out);
		if (str_ieq(out->canonical, name))
			return;
	}
}

static void ask_at(struct checking *k, struct zone_server *server, unsigned type, struct str name, struct dns_answer *out)
{
	ask_server(k, server, type, name, out);
	if (out->status == DNS_NODATA && out->canonical.n && !str_ieq(out->canonical, name))
		follow(k, type, out);
}

/* ---- one record ---- */

static enum dns_check ask_and_compare(struct checking *k, const struct dns_want *w, struct zone_server *server, struct str *is, struct str *should)
{
	struct dns_answer x;
	ask_at(k, server, w->type, w->name, &x);
	if ((w->rule == RULE_ALIAS || w->rule == RULE_ADDRESS) && x.status == DNS_NODATA)
		ask_at(k, server, w->rule == RULE_ALIAS ? DNS_A : DNS_AAAA, w->name, &x);
	return dns_compare(&k->wants, w, &x, k->a, is, should);
}

static bool is_worse(const struct dns_found *f, enum dns_check r) { return f->answered == 0 || r > f->result; }

/* RFC 7672 2.1.1: TLSA records that are not signed are not used. */
static void look_at_dnssec(struct checking *k, const struct dns_want *w, struct dns_found *f)
{
	struct dns_answer x;
	if (w->type != DNS_TLSA || f->result != DNS_RIGHT)
		return;
	dns_ask(&k->dns, w->type, w->name, k->a, &x);
	if (x.status == DNS_OK && !x.secure)
		f->note = "its zone is not signed with DNSSEC, or nobody vouches for it: senders will not use it";
}

void dns_check_one(struct checking *k, const struct dns_want *w, struct dns_found *f)
{
	struct zone *z = zone_of(k, w->name);
	bool differ = false;
	*f = (struct dns_found){ .result = DNS_UNCHECKED, .should = w->value, .is = arena_str(k->a, str_z(z ? z->why : "no zone was found")), .servers = z ? z->n : 0 };
	for (size_t i = 0; z && i < z->n; i++) {
		struct str is, should;
		enum dns_check r = ask_and_compare(k, w, &z->server[i], &is, &should);
		if (r == DNS_UNCHECKED) {
			f->mute = &z->server[i];
			if (!f->answered)
				f->is = is;
			continue;
		}
		differ = differ || (f->answered && r != f->result);
		if (is_worse(f, r)) {
			f->result = r;
			f->is = is;
			f->should = should;
			f->at = &z->server[i];
		}
		f->answered++;
	}
	if (!differ)
		f->at = NULL;
	look_at_dnssec(k, w, f);
}

/* ---- said ---- */

static const char *server_text(struct checking *k, const struct zone_server *s)
{
	AUTO(buf_done) struct buf b = { .max = 400 };
	struct dns_record r = { .data = s->address, .name = STR("") };
	buf_addf(&b, "%.*s (", PSTR(s->name));
	dns_record_text(s->address.n == 4 ? DNS_A : DNS_AAAA, &r, &b);
	buf_byte(&b, ')');
	return text_z(k->a, buf_str(&b));
}

static void say_row(struct checking *k, const struct dns_want *w, const struct dns_found *f)
{
	enum dns_check r = f->result;
	say("%-15s %-4s %-42s %s", dns_check_name(r), w->needed ? "need" : "", text_z(k->a, w->name), dns_type_name(w->type));
	if (r == DNS_UNUSED)
		say("                     because    %s", w->unused);
	else if (r == DNS_UNCHECKED)
		say("                     because    %s", text_z(k->a, f->is));
	else if (r != DNS_RIGHT && f->is.n)
		say("                     is         %s", text_z(k->a, f->is));
	if (r == DNS_EXTRA && w->unused)
		say("                     but        %s", w->unused);
	else if (r == DNS_MISSING || r == DNS_DIFFERENT || r == DNS_EXTRA)
		say("                     should be  %s", text_z(k->a, f->should));
	if (f->at)
		say("                     says       %s; others of the zone's servers say otherwise", server_text(k, f->at));
	if (f->mute && f->answered)
		say("                     no answer  from %s", server_text(k, f->mute));
	if (f->note)
		say("                     note       %s", f->note);
}

void dns_check_say(struct checking *k, const struct dns_want *w, const struct dns_found *f)
{
	if (!k->c->json) {
		say_row(k, w, f);
		return;
	}
	const char *because = f->result == DNS_UNCHECKED ? json_text(k->a, f->is) : w->unused ? w->unused : "";
	say_json("{\"result\":\"%s\",\"needed\":%s,\"name\":\"%s\",\"type\":\"%s\",\"is\":\"%s\",\"should_be\":\"%s\",\"because\":\"%s\",\"servers\":%zu,\"answered\":%zu,"
	         "\"at\":\"%s\",\"note\":\"%s\"}",
	         dns_check_name(f->result), w->needed ? "true" : "false", json_text(k->a, w->name), dns_type_name(w->type),
	         f->result == DNS_UNCHECKED ? "" : json_text(k->a, f->is), json_text(k->a, f->should), because, f->servers, f->answered,
	         f->at ? server_text(k, f->at) : "", f->note ? f->note : "");
}
