#include "base/mem.h"
#include "cmd/address.h"
#include "cmd/directory.h"

/* account disable|enable|rename|forward|grant|limits. */

/* ---- the account itself ---- */

static enum status saved(struct ctl *ctl, const struct call *c, const struct account *acc, const char *what, struct str before, struct str after)
{
	struct why why = { 0 };
	if (account_save(ctl, acc, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the account is as it was", why.text, SERVER_DOWN);
	ctl_audit(ctl, what, before, after);
	return STATUS_OK;
}

static enum status switch_account(struct ctl *ctl, struct call *c, bool disabled)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	struct account acc;
	enum status s = account_find(ctl, c, c->args[0], &a, &acc);
	if (s != STATUS_OK)
		return s;
	acc.disabled = disabled;
	s = saved(ctl, c, &acc, disabled ? "account disable" : "account enable", STR(""), acc.address);
	if (s != STATUS_OK)
		return s;
	if (c->json)
		say_json("{\"address\":\"%s\",\"disabled\":%s}", json_text(&a, acc.address), disabled ? "true" : "false");
	else
		say(disabled ? "%s is disabled: nobody logs in, and mail to it is refused; what is there stays" : "%s works again", text_z(&a, acc.address));
	return STATUS_OK;
}

static enum status disable(struct ctl *ctl, void *arg) { return switch_account(ctl, arg, true); }
static enum status enable(struct ctl *ctl, void *arg) { return switch_account(ctl, arg, false); }
enum status run_account_disable(struct call *c) { return ctl_verb(c, disable); }
enum status run_account_enable(struct call *c) { return ctl_verb(c, enable); }

static enum status rename_person(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	struct account acc;
	char before[1400], after[1400];
	if (strchr(c->args[1], '@'))
		return say_usage(c, "an account keeps its address, which its mail is sealed under; another one is an alias: letterlock alias add");
	enum status s = account_find(ctl, c, c->args[0], &a, &acc);
	if (s != STATUS_OK)
		return s;
	(void)snprintf(before, sizeof before, "%.*s: %.*s", PSTR(acc.address), PSTR(acc.name));
	acc.name = str_z(c->args[1]);
	(void)snprintf(after, sizeof after, "%.*s: %.1000s", PSTR(acc.address), c->args[1]);
	s = saved(ctl, c, &acc, "account rename", str_z(before), str_z(after));
	if (s != STATUS_OK)
		return s;
	if (c->json)
		say_json("{\"address\":\"%s\",\"name\":\"%s\"}", json_text(&a, acc.address), json_text(&a, acc.name));
	else
		say("%s is %s", text_z(&a, acc.address), text_z(&a, acc.name));
	return STATUS_OK;
}
enum status run_account_rename(struct call *c) { return ctl_verb(c, rename_person); }

/* ---- its rules: each verb reads them, changes its part, and writes them back ---- */

struct edit { struct arena a; struct account acc; struct account_rules rules; };

static enum status edit_begin(struct ctl *ctl, const struct call *c, struct edit *e)
{
	struct why why = { 0 };
	arena_init(&e->a, DIRECTORY_LIST_MAX);
	enum status s = account_find(ctl, c, c->args[0], &e->a, &e->acc);
	if (s != STATUS_OK)
		return s;
	if (rules_load(ctl, e->acc.id, &e->a, &e->rules, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the account's rules cannot be read", why.text, SERVER_DOWN);
	return STATUS_OK;
}

static void edit_done(struct edit *e) { arena_done(&e->a); }

static enum status edit_save(struct ctl *ctl, const struct call *c, struct edit *e, const char *verb, const char *before, const char *after)
{
	struct why why = { 0 };
	char was[2048], now[2048];
	enum rc rc = rules_save(ctl, &e->rules, &why);
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the account's rules are as they were", why.text,
		                 rc == RC_NOTFOUND ? "letterlock alias who ADDRESS" : rc == RC_SYNTAX || rc == RC_LIMIT ? "letterlock help account" : SERVER_DOWN);
	(void)snprintf(was, sizeof was, "%.*s: %.1600s", PSTR(e->acc.address), before);
	(void)snprintf(now, sizeof now, "%.*s: %.1600s", PSTR(e->acc.address), after);
	ctl_audit(ctl, verb, str_z(was), str_z(now));
	return STATUS_OK;
}

/* ---- forward ---- */

static void show_forwards(const struct call *c, struct edit *e)
{
	const struct account_rules *r = &e->rules;
	if (c->json) {
		say_json("{\"address\":\"%s\",\"forwards\":%s,\"copy\":%s}", json_text(&e->a, e->acc.address), json_list(&e->a, r->forwards, r->forward_n),
		         r->forward_only ? "false" : "true");
		return;
	}
	if (r->forward_n == 0)
		say("%s forwards nothing", text_z(&e->a, e->acc.address));
	for (size_t i = 0; i < r->forward_n; i++)
		say("%s forwards to %s%s", text_z(&e->a, e->acc.address), text_z(&e->a, r->forwards[i]), r->forward_only ? ", without a copy" : "");
}

static enum status forward(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	char before[1600], after[1600];
	AUTO(edit_done) struct edit e = { 0 };
	struct str *to = NULL;
	size_t n = 0;
	bool off = call_option(c, "off"), only = call_option(c, "only");
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	enum status s = option_list(c, "to", address_clean_tagged, &a, &to, &n);
	if (s != STATUS_OK)
		return s;
	if (off && (n || only))
		return say_usage(c, "--off ends all forwarding; it goes with no other option");
	s = edit_begin(ctl, c, &e);
	if (s != STATUS_OK)
		return s;
	if (c->given_n) {
		(void)joined(e.rules.forwards, e.rules.forward_n, before, sizeof before);
		if (n || off) {
			e.rules.forwards = to;
			e.rules.forward_n = n;
		}
		e.rules.forward_only = only;
		(void)joined(e.rules.forwards, e.rules.forward_n, after, sizeof after);
		s = edit_save(ctl, c, &e, "account forward", before, after);
	}
	if (s == STATUS_OK)
		show_forwards(c, &e);
	return s;
}
enum status run_account_forward(struct call *c) { return ctl_verb(c, forward); }

/* ---- grant ---- */

static enum rc clean_grant(const char *text, char *out, size_t size, struct why *why)
{
	if (text[0] != '@')
		return address_clean(text, out, size, why);
	out[0] = '@';
	return domain_clean(text + 1, out + 1, size - 1, why);
}

static void show_grants(const struct call *c, struct edit *e)
{
	const struct account_rules *r = &e->rules;
	if (c->json)
		say_json("{\"address\":\"%s\",\"grants\":%s}", json_text(&e->a, e->acc.address), json_list(&e->a, r->grants, r->grant_n));
	else if (r->grant_n == 0)
		say("%s sends as its own addresses alone", text_z(&e->a, e->acc.address));
	for (size_t i = 0; i < r->grant_n && !c->json; i++)
		say("%s may send as %s", text_z(&e->a, e->acc.address), text_z(&e->a, r->grants[i]));
}

/* The list without `who`, and with it at the end unless it is to go. */
static enum status change_grants(const struct call *c, struct edit *e, struct str who, bool remove)
{
	struct account_rules *r = &e->rules;
	struct str *list = arena_new(&e->a, (r->grant_n + 1) * sizeof *list);
	size_t n = 0;
	if (!list)
		return say_error(c, STATUS_FAILED, "no memory", NULL, NULL);
	for (size_t i = 0; i < r->grant_n; i++)
		if (!str_eq(r->grants[i], who))
			list[n++] = r->grants[i];
	if (remove && n == r->grant_n)
		return say_error(c, STATUS_NOTHING, "there is no such grant", c->args[1], "letterlock account grant ADDRESS");
	if (!remove)
		list[n++] = who;
	r->grants = list;
	r->grant_n = n;
	return STATUS_OK;
}

static enum status grant(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	char who[WIRE_ADDRESS_MAX + 2] = "";
	bool remove = call_option(c, "remove");
	AUTO(edit_done) struct edit e = { 0 };
	if (c->arg_n == 2 && clean_grant(c->args[1], who, sizeof who, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	if (c->arg_n == 1 && remove)
		return say_usage(c, "--remove needs the address or @DOMAIN that is taken back");
	enum status s = edit_begin(ctl, c, &e);
	if (s == STATUS_OK && c->arg_n == 2)
		s = change_grants(c, &e, str_z(who), remove);
	if (s == STATUS_OK && c->arg_n == 2)
		s = edit_save(ctl, c, &e, "account grant", remove ? who : "", remove ? "" : who);
	if (s == STATUS_OK)
		show_grants(c, &e);
	return s;
}
enum status run_account_grant(struct call *c) { return ctl_verb(c, grant); }

/* ---- limits ---- */

/* A number; "default" and 0 are the configuration's. */
static bool take_limit(const struct call *c, const char *option, uint32_t *out, enum status *s)
{
	const char *text = call_option(c, option);
	uint64_t v = 0;
	if (!text)
		return true;
	if (strcmp(text, "default") != 0 && !str_u64(str_z(text), UINT32_MAX, &v)) {
		*s = say_usage(c, "--%s is a number, or default", option);
		return false;
	}
	*out = (uint32_t)v;
	return true;
}

static bool take_undo(const struct call *c, uint32_t *out, enum status *s)
{
	const char *text = call_option(c, "undo");
	if (!text)
		return true;
	struct str number = str_z(text);
	uint64_t unit = 1000, v;
	if (number.n && (str_ends(number, STR("s")) || str_ends(number, STR("m")))) {
		unit = str_ends(number, STR("m")) ? 60000 : 1000;
		number.n--;
	}
	if (!str_u64(number, UNDO_MS_MAX / unit, &v)) {
		*s = say_usage(c, "--undo is a time up to 10m, such as 30s; 0 = none");
		return false;
	}
	*out = (uint32_t)(v * unit);
	return true;
}

static const char *limit_text(uint32_t v, char out[16])
{
	(void)snprintf(out, 16, v ? "%u" : "default", v);
	return out;
}

static void limits_text(const struct account_rules *r, char *out, size_t size)
{
	char m[16], n[16], f[16], w[16];
	(void)snprintf(out, size, "%s messages, %s recipients, %s first-time recipients a day; %s recipients waiting; %u s to undo", limit_text(r->max_messages, m),
	               limit_text(r->max_recipients, n), limit_text(r->max_first, f), limit_text(r->max_waiting, w), r->undo_ms / 1000);
}

static enum status limits(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	char before[200], after[200];
	AUTO(edit_done) struct edit e = { 0 };
	enum status s = edit_begin(ctl, c, &e);
	struct account_rules *r = &e.rules;
	if (s != STATUS_OK)
		return s;
	limits_text(r, before, sizeof before);
	if (!take_limit(c, "messages", &r->max_messages, &s) || !take_limit(c, "recipients", &r->max_recipients, &s) || !take_limit(c, "first", &r->max_first, &s) ||
	    !take_limit(c, "waiting", &r->max_waiting, &s) || !take_undo(c, &r->undo_ms, &s))
		return s;
	limits_text(r, after, sizeof after);
	if (c->given_n)
		s = edit_save(ctl, c, &e, "account limits", before, after);
	if (s != STATUS_OK)
		return s;
	if (c->json)
		say_json("{\"address\":\"%s\",\"messages\":%u,\"recipients\":%u,\"first\":%u,\"waiting\":%u,\"undo_ms\":%u}", json_text(&e.a, e.acc.address), r->max_messages, r->max_recipients,
		         r->max_first, r->max_waiting, r->undo_ms);
	else
		say("%s: %s", text_z(&e.a, e.acc.address), after);
	return STATUS_OK;
}
enum status run_account_limits(struct call *c) { return ctl_verb(c, limits); }
