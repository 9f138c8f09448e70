#include "cmd/address.h"
#include "cmd/directory.h"
#include "role/way_seal.h"

/* route add|list|remove: smarthosts, and how TLS is asked for, per destination or sender. */

static const char *const tls_names[ROUTE_TLS_COUNT] = { "default", "verified", "encrypted", "none" };

/* "*", a domain, ".domain", "@domain" or an address. */
static enum rc clean_key(const char *text, char *out, size_t size, struct why *why)
{
	bool marked = text[0] == '.' || text[0] == '@';
	if (strcmp(text, "*") == 0) {
		(void)snprintf(out, size, "*");
		return RC_OK;
	}
	if (!marked && strchr(text, '@'))
		return address_clean(text, out, size, why);
	out[0] = text[0];
	return domain_clean(text + marked, out + marked, size - marked, why);
}

/* HOST, HOST:PORT, [ADDRESS] or [ADDRESS]:PORT. */
static enum rc take_host(const char *text, struct way *w, struct why *why)
{
	struct str host, port = STR(""), all = str_z(text);
	uint64_t n = 0;
	if (str_starts(all, STR("["))) {
		size_t end = str_find(all, ']');
		host = str_head(str_skip(all, 1), end - 1);
		port = str_skip(all, end + 1);
		if (end == all.n || (port.n && port.p[0] != ':'))
			FAIL(why, RC_SYNTAX, "--host is HOST:PORT, or [ADDRESS]:PORT");
		port = str_skip(port, 1);
	} else {
		(void)str_cut(all, ':', &host, &port);
		if (host.n + 1 == all.n && port.n == 0)
			FAIL(why, RC_SYNTAX, "--host has a colon without a port");
	}
	if (host.n == 0 || (port.n && (!str_u64(port, 65535, &n) || n == 0)))
		FAIL(why, RC_SYNTAX, "--host is HOST:PORT; \"%.100s\" is not", text);
	w->host = host;
	w->port = (uint16_t)n;
	return RC_OK;
}

static enum status take_options(const struct call *c, struct way *w)
{
	struct why why = { 0 };
	const char *host = call_option(c, "host"), *tls = call_option(c, "tls"), *user = call_option(c, "user"), *connections = call_option(c, "connections"), *rate = call_option(c, "rate");
	uint64_t n = 0;
	if (host && take_host(host, w, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	for (w->tls = 0; tls && w->tls < ROUTE_TLS_COUNT && strcmp(tls, tls_names[w->tls]) != 0; w->tls++) {
	}
	if (w->tls == ROUTE_TLS_COUNT)
		return say_usage(c, "--tls is default, verified, encrypted or none");
	if (connections && (!str_u64(str_z(connections), 1000, &n) || n == 0))
		return say_usage(c, "--connections is 1 to 1000");
	w->max_connections = (uint32_t)n;
	if (rate && !rate_parse(str_z(rate), &w->rate))
		return say_usage(c, "--rate is N/s, N/min or N/h (30/min), or 0: no limit");
	w->user = str_z(user);
	if (user && (!host || w->tls == ROUTE_TLS_NONE))
		return say_usage(c, host ? "a password is not sent without TLS" : "--user is a user of --host");
	return c->given_n ? STATUS_OK : say_usage(c, "a route says something: --host, --tls, --connections or --rate");
}

/* Sealed here, to the key that the relay alone is given: neither the store nor a later reader of the directory sees it. */
static enum rc seal_password(struct ctl *ctl, struct buf *out, struct why *why)
{
	struct msg_QUEUE_PUBLIC_answer answer;
	struct ipc_reply reply = { 0 };
	AUTO(buf_wipe) struct buf password = { .max = WAY_SECRET_MAX };
	TRY(ask_secret("Password of the smarthost", true, &password, why));
	fiber_yield(); /* the prompt took its time */
	TRY(ctl_ask(ctl, ROLE_VAULT, MSG_QUEUE_PUBLIC, &(struct msg_QUEUE_PUBLIC){ 0 }, &answer, &reply, why));
	enum rc rc = answer.public_key.n == PUB_LEN ? way_seal((const uint8_t *)answer.public_key.p, buf_str(&password), out) : RC_DAMAGED;
	ipc_reply_done(&reply);
	if (rc != RC_OK)
		FAIL(why, rc, "the password cannot be sealed");
	return RC_OK;
}

static const char *host_text(struct arena *a, const struct way *w, char out[300])
{
	const char *host = text_z(a, w->host);
	bool v6 = strchr(host, ':');
	if (!w->host.n)
		return "by MX";
	(void)snprintf(out, 300, w->port ? "%s%s%s:%u" : "%s%s%s", v6 ? "[" : "", host, v6 ? "]" : "", w->port);
	return out;
}

static void show(const struct call *c, struct arena *a, const struct way *w)
{
	char host[300], connections[16] = "", rate[RATE_TEXT];
	rate_text(&w->rate, rate);
	if (c->json) {
		say_json("{\"key\":\"%s\",\"host\":\"%s\",\"port\":%u,\"tls\":\"%s\",\"user\":\"%s\",\"connections\":%u,\"rate\":\"%s\"}", json_text(a, w->key), json_text(a, w->host), w->port,
		         tls_names[w->tls], json_text(a, w->user), w->max_connections, rate);
		return;
	}
	if (w->max_connections)
		(void)snprintf(connections, sizeof connections, "%u", w->max_connections);
	say("%-26s %-26s %-10s %-5s %-9s %s", text_z(a, w->key), host_text(a, w, host), tls_names[w->tls], connections, rate, text_z(a, w->user));
}

static enum status add(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	char key[WIRE_ADDRESS_MAX + 1], after[800], host[300];
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	AUTO(buf_done) struct buf sealed = { .max = WAY_PASSWORD_MAX }, packed = { .max = 4096 };
	if (clean_key(c->args[0], key, sizeof key, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	struct way w = { .key = str_z(key), .host = STR(""), .user = STR(""), .password_sealed = STR("") };
	enum status s = take_options(c, &w);
	if (s != STATUS_OK)
		return s;
	if (w.user.n && seal_password(ctl, &sealed, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "no password", why.text, "type it, or give it as the first line of stdin");
	w.password_sealed = buf_str(&sealed);
	wire_put_way(&packed, &w);
	enum rc rc = packed.failed ? why_fail(&why, RC_LIMIT, 0, __FILE__, "too long") :
	                             ctl_ask(ctl, ROLE_STORE, MSG_WAY_SET, &(struct msg_WAY_SET){ .way = buf_str(&packed) }, NULL, NULL, &why);
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the route was not made", why.text, rc == RC_SYNTAX || rc == RC_LIMIT ? "letterlock help route add" : SERVER_DOWN);
	(void)snprintf(after, sizeof after, "%s: %s, tls %s%s", key, host_text(&a, &w, host), tls_names[w.tls], w.user.n ? ", with a password" : "");
	ctl_audit(ctl, "route add", STR(""), str_z(after));
	show(c, &a, &w);
	return STATUS_OK;
}
enum status run_route_add(struct call *c) { return ctl_verb(c, add); }

static enum status list(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	struct msg_WAYS_answer answer;
	struct ipc_reply reply = { 0 };
	struct way *ways = NULL;
	size_t n = 0;
	AUTO(arena_done) struct arena a = { .max = DIRECTORY_LIST_MAX };
	enum rc rc = ctl_ask(ctl, ROLE_READER, MSG_WAYS, &(struct msg_WAYS){ 0 }, &answer, &reply, &why);
	if (rc == RC_OK) {
		rc = wire_get_ways(answer.ways, &a, &ways, &n);
		ipc_reply_done(&reply);
	}
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the routes cannot be listed", why.text, SERVER_DOWN);
	if (n && !c->json)
		say("%-26s %-26s %-10s %-5s %-9s %s", "to or from", "way", "tls", "most", "rate", "user");
	for (size_t i = 0; i < n; i++)
		show(c, &a, &ways[i]);
	return n ? STATUS_OK : say_error(c, STATUS_NOTHING, "there is no route: all mail goes by MX", NULL, "letterlock route add KEY --host HOST:PORT");
}
enum status run_route_list(struct call *c) { return ctl_verb(c, list); }

static enum status drop(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	char key[WIRE_ADDRESS_MAX + 1];
	if (clean_key(c->args[0], key, sizeof key, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	enum rc rc = ctl_ask(ctl, ROLE_STORE, MSG_WAY_REMOVE, &(struct msg_WAY_REMOVE){ .key = str_z(key) }, NULL, NULL, &why);
	if (rc == RC_NOTFOUND)
		return say_error(c, STATUS_NOTHING, "there is no such route", key, "letterlock route list");
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the route was not removed", why.text, SERVER_DOWN);
	ctl_audit(ctl, "route remove", str_z(key), STR(""));
	if (c->json)
		say_json("{\"key\":\"%s\",\"removed\":true}", key);
	else
		say("%s is gone", key);
	return STATUS_OK;
}
enum status run_route_remove(struct call *c) { return ctl_verb(c, drop); }
