#include "cmd/address.h"
#include "cmd/directory.h"

/* alias add|list|remove|who. */

static enum status failed(const struct call *c, enum rc rc, const char *what, const char *why, const char *address)
{
	char act[400];
	const char *at = strchr(address, '@');
	(void)snprintf(act, sizeof act, rc == RC_EXISTS ? "letterlock alias who %s" : rc == RC_NOTFOUND ? "letterlock domain add %s" : SERVER_DOWN,
	               rc == RC_NOTFOUND && at ? at + 1 : address);
	return say_error(c, STATUS_FAILED, what, why, act);
}

static enum rc set_alias(struct ctl *ctl, uint64_t account, const char *address, bool add, struct why *why)
{
	struct msg_ACCOUNT_ALIAS ask = { .account = account, .address = str_z(address), .add = add };
	return ctl_ask(ctl, ROLE_STORE, MSG_ACCOUNT_ALIAS, &ask, NULL, NULL, why);
}

static enum status add(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	char address[WIRE_ADDRESS_MAX + 1];
	struct account acc;
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	if (address_clean_tagged(c->args[0], address, sizeof address, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	enum status s = account_find(ctl, c, c->args[1], &a, &acc);
	if (s != STATUS_OK)
		return s;
	enum rc rc = set_alias(ctl, acc.id, address, true, &why);
	if (rc != RC_OK)
		return failed(c, rc, "the alias was not made", why.text, address);
	char after[700];
	(void)snprintf(after, sizeof after, "%s -> %.*s", address, PSTR(acc.address));
	ctl_audit(ctl, "alias add", STR(""), str_z(after));
	if (c->json)
		say_json("{\"address\":\"%s\",\"account\":\"%s\",\"added\":true}", json_text(&a, str_z(address)), json_text(&a, acc.address));
	else
		say("%s goes to %s", address, text_z(&a, acc.address));
	return STATUS_OK;
}
enum status run_alias_add(struct call *c) { return ctl_verb(c, add); }

static void show(const struct call *c, struct arena *a, const struct alias *l)
{
	if (c->json)
		say_json("{\"address\":\"%s\",\"account\":\"%s\"}", json_text(a, l->address), json_text(a, l->account));
	else
		say("%-39s %s", text_z(a, l->address), text_z(a, l->account));
}

static enum status list(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	struct account acc = { 0 };
	size_t shown = 0, n = 1;
	AUTO(buf_done) struct buf after = { .max = WIRE_ADDRESS_MAX };
	AUTO(arena_done) struct arena mine = { .max = 1 << 16 };
	enum status s = c->arg_n ? account_find(ctl, c, c->args[0], &mine, &acc) : STATUS_OK;
	while (s == STATUS_OK && n) {
		AUTO(arena_done) struct arena a = { .max = DIRECTORY_LIST_MAX };
		struct alias *some;
		if (aliases_next(ctl, acc.id, &after, &a, &some, &n, &why) != RC_OK)
			return say_error(c, STATUS_FAILED, "the aliases cannot be listed", why.text, SERVER_DOWN);
		for (size_t i = 0; i < n; i++) {
			if (str_eq(some[i].address, some[i].account))
				continue;
			if (!shown++ && !c->json)
				say("%-39s %s", "alias", "account");
			show(c, &a, &some[i]);
		}
	}
	return s != STATUS_OK || shown ? s : say_error(c, STATUS_NOTHING, "there is no alias", NULL, "letterlock alias add ADDRESS ACCOUNT");
}
enum status run_alias_list(struct call *c) { return ctl_verb(c, list); }

static enum status drop(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	char address[WIRE_ADDRESS_MAX + 1];
	struct account acc;
	struct msg_ADDRESS_answer answer;
	struct ipc_reply reply = { 0 };
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	if (address_clean_tagged(c->args[0], address, sizeof address, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	enum rc rc = ctl_ask(ctl, ROLE_READER, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = str_z(address) }, &answer, &reply, &why);
	if (rc == RC_OK) {
		struct cursor in = cursor_of(answer.account);
		rc = wire_get_account(&in, &a, &acc);
		ipc_reply_done(&reply);
	}
	if (rc == RC_OK)
		rc = set_alias(ctl, acc.id, address, false, &why);
	if (rc == RC_NOTFOUND || rc == RC_DENIED)
		return say_error(c, STATUS_NOTHING, "there is no such alias", why.text, "letterlock alias list");
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the alias was not removed", why.text, SERVER_DOWN);
	char before[700];
	(void)snprintf(before, sizeof before, "%s -> %.*s", address, PSTR(acc.address));
	ctl_audit(ctl, "alias remove", str_z(before), STR(""));
	if (c->json)
		say_json("{\"address\":\"%s\",\"account\":\"%s\",\"removed\":true}", json_text(&a, str_z(address)), json_text(&a, acc.address));
	else
		say("%s no longer goes to %s", address, text_z(&a, acc.address));
	return STATUS_OK;
}
enum status run_alias_remove(struct call *c) { return ctl_verb(c, drop); }

/* ---- who ---- */

static const char *const writers[GROUP_RIGHTS_COUNT] = { "anyone", "organisation", "members", "owners" };

static void show_target(const struct call *c, struct arena *a, const char *asked, const struct route_target *t)
{
	const char *where = t->remote ? "elsewhere" : t->disabled ? "disabled" : t->box ? "a folder" : "here";
	if (c->json)
		say_json("{\"address\":\"%s\",\"target\":\"%s\",\"remote\":%s,\"folder\":%s,\"disabled\":%s,\"via\":\"%s\",\"forwarded\":%s,\"group_owner\":\"%s\"}", asked,
		         json_text(a, t->address), t->remote ? "true" : "false", t->box ? "true" : "false", t->disabled ? "true" : "false", json_text(a, t->via),
		         t->forwarder ? "true" : "false", json_text(a, t->group_owner));
	else
		say("%-36s %-10s%s%s", text_z(a, t->address), where, t->via.n ? t->forwarder ? " forwarded by " : " through " : "", text_z(a, t->via));
}

static void show_route(const struct call *c, struct arena *a, const char *asked, const struct route *r)
{
	for (size_t i = 0; i < r->n; i++)
		show_target(c, a, asked, &r->targets[i]);
	if (c->json) {
		say_json("{\"address\":\"%s\",\"targets\":%zu,\"write\":\"%s\",\"writers\":%zu,\"truncated\":%s}", asked, r->n, writers[r->rights], r->may_write_n,
		         r->truncated ? "true" : "false");
		return;
	}
	if (r->rights == GROUP_ORGANISATION)
		say("Only people of the organisation may write to it, after they have logged in.");
	if (r->rights > GROUP_ORGANISATION)
		say("Only %s may write to it: %zu accounts.", writers[r->rights], r->may_write_n);
	if (r->truncated)
		say("Not all of it: a ring, a forward into a group that its sender may not write to, or more than %d steps or %d targets were cut.", ROUTE_DEPTH_MAX,
		    ROUTE_TARGETS_MAX);
}

static enum status who(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	char address[WIRE_ADDRESS_MAX + 1];
	struct msg_ROUTE_answer answer;
	struct ipc_reply reply = { 0 };
	struct route r;
	AUTO(arena_done) struct arena a = { .max = 4 * DIRECTORY_LIST_MAX };
	if (address_clean_tagged(c->args[0], address, sizeof address, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	enum rc rc = ctl_ask(ctl, ROLE_READER, MSG_ROUTE, &(struct msg_ROUTE){ .address = str_z(address) }, &answer, &reply, &why);
	if (rc == RC_OK) {
		rc = wire_get_route(answer.route, &a, &r);
		ipc_reply_done(&reply);
	}
	if (rc == RC_NOTFOUND || rc == RC_DENIED)
		return say_error(c, STATUS_NOTHING, "that address leads to nobody", why.text, rc == RC_DENIED ? "letterlock domain list" : "letterlock alias list");
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the server cannot look that up", why.text, SERVER_DOWN);
	show_route(c, &a, json_text(&a, str_z(address)), &r);
	return r.n ? STATUS_OK : say_error(c, STATUS_NOTHING, "the group reaches nobody", NULL, "letterlock group members ADDRESS --add MEMBER");
}
enum status run_alias_who(struct call *c) { return ctl_verb(c, who); }
