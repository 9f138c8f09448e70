#include "cmd/address.h"
#include "cmd/ctl.h"
#include "role/dkim_wire.h"
#include "role/wire.h"

/* domain add|list|remove|catch-all. */

enum { DOMAINS_MAX = 4 << 20 };

static enum status done(const struct call *c, const char *domain, const char *key, const char *text)
{
	if (c->json)
		say_json("{\"domain\":\"%s\",\"%s\":true}", domain, key);
	else
		say("%s %s", domain, text);
	return STATUS_OK;
}

static enum rc dkim_op(struct ctl *ctl, uint8_t op, const char *domain, struct why *why)
{
	return ctl_ask(ctl, ROLE_VAULT, MSG_DKIM_KEYS, &(struct msg_DKIM_KEYS){ .op = op, .domain = str_z(domain), .selector = STR("") }, NULL, NULL, why);
}

static enum status add(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	char domain[256];
	if (domain_clean_ours(c->args[0], domain, sizeof domain, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	enum rc rc = ctl_ask(ctl, ROLE_STORE, MSG_DOMAIN_ADD, &(struct msg_DOMAIN_ADD){ .domain = str_z(domain) }, NULL, NULL, &why);
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the domain was not added", why.text, rc == RC_EXISTS ? "letterlock domain list" : "letterlock status");
	ctl_audit(ctl, "domain add", STR(""), str_z(domain));
	rc = dkim_op(ctl, DKIM_OP_FIRST, domain, &why);
	if (rc != RC_OK && rc != RC_EXISTS) /* the domain works without them; the first `dkim rotate` makes them */
		(void)say_error(c, STATUS_OK, "no DKIM keys were made", why.text, "letterlock dkim rotate DOMAIN");
	return done(c, domain, "added", "is ours now; next: letterlock account add NAME@DOMAIN");
}
enum status run_domain_add(struct call *c) { return ctl_verb(c, add); }

static enum status drop(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	char domain[256], question[400];
	if (domain_clean(c->args[0], domain, sizeof domain, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	(void)snprintf(question, sizeof question, "Refuse all mail for %s from now on?", domain);
	if (!ask_yes(c, question))
		return STATUS_FAILED;
	fiber_yield(); /* the question took its time: let the loop's clock catch up */
	enum rc rc = ctl_ask(ctl, ROLE_STORE, MSG_DOMAIN_REMOVE, &(struct msg_DOMAIN_REMOVE){ .domain = str_z(domain) }, NULL, NULL, &why);
	if (rc == RC_NOTFOUND)
		return say_error(c, STATUS_NOTHING, "that domain is not ours", why.text, "letterlock domain list");
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the domain was not removed", why.text, rc == RC_DENIED ? "letterlock account list DOMAIN" : "letterlock status");
	ctl_audit(ctl, "domain remove", str_z(domain), STR(""));
	rc = dkim_op(ctl, DKIM_OP_FORGET, domain, &why);
	if (rc != RC_OK && rc != RC_NOTFOUND)
		(void)say_error(c, STATUS_OK, "its DKIM keys were not destroyed", why.text, "letterlock dkim list");
	return done(c, domain, "removed", "is no longer ours");
}
enum status run_domain_remove(struct call *c) { return ctl_verb(c, drop); }

static enum status list(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	struct msg_DOMAINS_answer answer;
	struct ipc_reply reply = { 0 };
	AUTO(arena_done) struct arena a = { .max = DOMAINS_MAX };
	struct str *domains = NULL, *to = NULL;
	size_t n = 0, to_n = 0;
	enum rc rc = ctl_ask(ctl, ROLE_READER, MSG_DOMAINS, &(struct msg_DOMAINS){ 0 }, &answer, &reply, &why);
	if (rc == RC_OK) {
		rc = wire_get_strs(answer.domains, &a, &domains, &n);
		if (rc == RC_OK)
			rc = wire_get_strs(answer.catch_alls, &a, &to, &to_n);
		ipc_reply_done(&reply);
	}
	if (rc != RC_OK || n != to_n)
		return say_error(c, STATUS_FAILED, "the domains cannot be listed", why.text, "letterlock status");
	for (size_t i = 0; i < n; i++) {
		if (c->json)
			say_json("{\"domain\":\"%s\",\"catch_all\":\"%s\"}", json_text(&a, domains[i]), json_text(&a, to[i]));
		else
			say("%s%s%s", text_z(&a, domains[i]), to[i].n ? "  everything else goes to " : "", text_z(&a, to[i]));
	}
	return n ? STATUS_OK : say_error(c, STATUS_NOTHING, "there is no domain", NULL, "letterlock domain add example.org");
}
enum status run_domain_list(struct call *c) { return ctl_verb(c, list); }

static enum status catch_all(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	char domain[256], address[WIRE_ADDRESS_MAX + 1] = "";
	bool off = call_option(c, "off");
	if (domain_clean(c->args[0], domain, sizeof domain, &why) != RC_OK || (c->arg_n == 2 && address_clean(c->args[1], address, sizeof address, &why) != RC_OK))
		return say_usage(c, "%s", why.text);
	if (off == (c->arg_n == 2))
		return say_usage(c, "an address that gets the mail to all others, or --off");
	struct msg_DOMAIN_CATCH_ALL ask = { .domain = str_z(domain), .address = str_z(address) };
	enum rc rc = ctl_ask(ctl, ROLE_STORE, MSG_DOMAIN_CATCH_ALL, &ask, NULL, NULL, &why);
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the catch-all is as it was", why.text, rc == RC_NOTFOUND ? "letterlock domain list; letterlock alias who ADDRESS" : "letterlock status");
	char after[600];
	(void)snprintf(after, sizeof after, "%s: %s", domain, off ? "none" : address);
	ctl_audit(ctl, "domain catch-all", STR(""), str_z(after));
	if (c->json)
		say_json("{\"domain\":\"%s\",\"catch_all\":\"%s\"}", domain, address);
	else if (off)
		say("Mail to addresses of %s that nobody has is refused", domain);
	else
		say("Mail to addresses of %s that nobody has goes to %s", domain, address);
	return STATUS_OK;
}
enum status run_domain_catch_all(struct call *c) { return ctl_verb(c, catch_all); }
