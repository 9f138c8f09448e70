#include "cmd/address.h"
#include "cmd/directory.h"

/* group add|list|show|set|remove|members. */

static const char *const rights[GROUP_RIGHTS_COUNT] = { "anyone", "organisation", "members", "owners" };

static enum rc ask_group(struct ctl *ctl, enum msg_type t, const struct group *g, struct why *why)
{
	AUTO(buf_done) struct buf packed = { .max = 4096 };
	wire_put_group(&packed, g);
	if (packed.failed)
		FAIL(why, RC_LIMIT, "the name is too long");
	if (t == MSG_GROUP_ADD)
		return ctl_ask(ctl, ROLE_STORE, t, &(struct msg_GROUP_ADD){ .group = buf_str(&packed) }, NULL, NULL, why);
	return ctl_ask(ctl, ROLE_STORE, t, &(struct msg_GROUP_SET){ .group = buf_str(&packed) }, NULL, NULL, why);
}

static enum rc load(struct ctl *ctl, const char *address, struct arena *a, struct group *out, struct str **out_members, size_t *out_n, struct why *why)
{
	struct msg_GROUP_GET_answer answer;
	struct ipc_reply reply = { 0 };
	TRY(ctl_ask(ctl, ROLE_READER, MSG_GROUP_GET, &(struct msg_GROUP_GET){ .address = str_z(address) }, &answer, &reply, why));
	enum rc rc = wire_get_group(answer.group, a, out);
	if (rc == RC_OK)
		rc = wire_get_strs(answer.members, a, out_members, out_n);
	ipc_reply_done(&reply);
	if (rc != RC_OK)
		FAIL(why, rc, "the group cannot be read");
	return RC_OK;
}

/* The group that the first argument names. */
static enum status find(struct ctl *ctl, const struct call *c, char address[WIRE_ADDRESS_MAX + 1], struct arena *a, struct group *out, struct str **out_members, size_t *out_n)
{
	struct why why = { 0 };
	if (address_clean(c->args[0], address, WIRE_ADDRESS_MAX + 1, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	enum rc rc = load(ctl, address, a, out, out_members, out_n, &why);
	if (rc == RC_NOTFOUND)
		return say_error(c, STATUS_NOTHING, "there is no such group", address, "letterlock group list");
	return rc == RC_OK ? STATUS_OK : say_error(c, STATUS_FAILED, "the server cannot look that up", why.text, SERVER_DOWN);
}

static void show_group(const struct call *c, struct arena *a, const struct group *g)
{
	if (c->json)
		say_json("{\"address\":\"%s\",\"name\":\"%s\",\"write\":\"%s\",\"owner\":\"%s\",\"members\":%u}", json_text(a, g->address), json_text(a, g->name),
		         rights[g->rights], json_text(a, g->owner), g->members);
	else
		say("%-30s %-12s %7u  %s", text_z(a, g->address), rights[g->rights], g->members, g->owner.n ? text_z(a, g->owner) : "-");
}

/* --name, --write, --owner onto what is there. */
static enum status apply(const struct call *c, struct group *g, char owner[WIRE_ADDRESS_MAX + 1])
{
	struct why why = { 0 };
	const char *name = call_option(c, "name"), *write = call_option(c, "write"), *who = call_option(c, "owner");
	if (name)
		g->name = str_z(name);
	if (who && strcmp(who, "none") == 0)
		g->owner = STR("");
	else if (who && address_clean_tagged(who, owner, WIRE_ADDRESS_MAX + 1, &why) != RC_OK)
		return say_usage(c, "--owner: %s", why.text);
	else if (who)
		g->owner = str_z(owner);
	if (!write)
		return STATUS_OK;
	for (size_t i = 0; i < GROUP_RIGHTS_COUNT; i++)
		if (strcmp(write, rights[i]) == 0) {
			g->rights = (uint8_t)i;
			return STATUS_OK;
		}
	return say_usage(c, "--write is anyone, organisation, members or owners");
}

static enum status add(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	char address[WIRE_ADDRESS_MAX + 1], owner[WIRE_ADDRESS_MAX + 1];
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	if (address_clean(c->args[0], address, sizeof address, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	struct group g = { .address = str_z(address), .name = STR(""), .owner = STR(""), .rights = GROUP_ORGANISATION };
	enum status s = apply(c, &g, owner);
	if (s != STATUS_OK)
		return s;
	enum rc rc = ask_group(ctl, MSG_GROUP_ADD, &g, &why);
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the group was not made", why.text,
		                 rc == RC_EXISTS ? "letterlock alias who ADDRESS" : rc == RC_NOTFOUND ? "letterlock domain list" : SERVER_DOWN);
	ctl_audit(ctl, "group add", STR(""), str_z(address));
	if (c->json)
		show_group(c, &a, &g);
	else
		say("%s is there; letterlock group members %s --add ADDRESS puts somebody in", address, address);
	return STATUS_OK;
}
enum status run_group_add(struct call *c) { return ctl_verb(c, add); }

static void described(const struct group *g, char *out, size_t size)
{
	(void)snprintf(out, size, "%.*s: write %s, owner %.*s, name %.*s", PSTR(g->address), rights[g->rights], PSTR(g->owner), PSTR(g->name));
}

static enum status set(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	char address[WIRE_ADDRESS_MAX + 1], owner[WIRE_ADDRESS_MAX + 1], before[2048], after[2048];
	AUTO(arena_done) struct arena a = { .max = DIRECTORY_LIST_MAX };
	struct group g;
	struct str *members;
	size_t n;
	if (c->given_n == 0)
		return say_usage(c, "nothing to change: --name, --write or --owner");
	enum status s = find(ctl, c, address, &a, &g, &members, &n);
	if (s != STATUS_OK)
		return s;
	described(&g, before, sizeof before);
	s = apply(c, &g, owner);
	if (s != STATUS_OK)
		return s;
	if (ask_group(ctl, MSG_GROUP_SET, &g, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the group is as it was", why.text, SERVER_DOWN);
	described(&g, after, sizeof after);
	ctl_audit(ctl, "group set", str_z(before), str_z(after));
	show_group(c, &a, &g);
	return STATUS_OK;
}
enum status run_group_set(struct call *c) { return ctl_verb(c, set); }

static enum rc next_groups(struct ctl *ctl, struct buf *after, struct arena *a, struct group **out, size_t *out_n, struct why *why)
{
	struct msg_GROUPS_answer answer;
	struct ipc_reply reply = { 0 };
	TRY(ctl_ask(ctl, ROLE_READER, MSG_GROUPS, &(struct msg_GROUPS){ .after = buf_str(after) }, &answer, &reply, why));
	enum rc rc = wire_get_groups(answer.groups, a, out, out_n);
	ipc_reply_done(&reply);
	if (rc != RC_OK)
		FAIL(why, rc, "the list of groups cannot be read");
	if (*out_n) {
		buf_clear(after);
		buf_add(after, (*out)[*out_n - 1].address);
	}
	return RC_OK;
}

static enum status list(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	size_t shown = 0, n = 1;
	const char *domain = c->arg_n ? c->args[0] : NULL;
	AUTO(buf_done) struct buf after = { .max = WIRE_ADDRESS_MAX };
	while (n) {
		AUTO(arena_done) struct arena a = { .max = DIRECTORY_LIST_MAX };
		struct group *some;
		if (next_groups(ctl, &after, &a, &some, &n, &why) != RC_OK)
			return say_error(c, STATUS_FAILED, "the groups cannot be listed", why.text, SERVER_DOWN);
		for (size_t i = 0; i < n; i++) {
			if (!in_domain(some[i].address, domain))
				continue;
			if (!shown++ && !c->json)
				say("%-30s %-12s %7s  %s", "group", "may write", "members", "owner");
			show_group(c, &a, &some[i]);
		}
	}
	return shown ? STATUS_OK : say_error(c, STATUS_NOTHING, "there is no group", domain, "letterlock group add ADDRESS");
}
enum status run_group_list(struct call *c) { return ctl_verb(c, list); }

static void show_members(const struct call *c, struct arena *a, const struct group *g, const struct str *members, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (c->json)
			say_json("{\"address\":\"%s\",\"member\":\"%s\"}", json_text(a, g->address), json_text(a, members[i]));
		else
			say("  %s", text_z(a, members[i]));
	}
}

static enum status show(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	char address[WIRE_ADDRESS_MAX + 1];
	AUTO(arena_done) struct arena a = { .max = DIRECTORY_LIST_MAX };
	struct group g;
	struct str *members;
	size_t n;
	enum status s = find(ctl, c, address, &a, &g, &members, &n);
	if (s != STATUS_OK)
		return s;
	if (!c->json && g.name.n)
		say("%s", text_z(&a, g.name));
	show_group(c, &a, &g);
	show_members(c, &a, &g, members, n);
	return STATUS_OK;
}
enum status run_group_show(struct call *c) { return ctl_verb(c, show); }

static enum status drop(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	char address[WIRE_ADDRESS_MAX + 1], question[500];
	AUTO(arena_done) struct arena a = { .max = DIRECTORY_LIST_MAX };
	struct group g;
	struct str *members;
	size_t n;
	enum status s = find(ctl, c, address, &a, &g, &members, &n);
	if (s != STATUS_OK)
		return s;
	(void)snprintf(question, sizeof question, "Remove the group %s with its %zu members? Mail to it is then refused.", address, n);
	if (!ask_yes(c, question))
		return STATUS_FAILED;
	fiber_yield();
	if (ctl_ask(ctl, ROLE_STORE, MSG_GROUP_REMOVE, &(struct msg_GROUP_REMOVE){ .address = str_z(address) }, NULL, NULL, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the group was not removed", why.text, SERVER_DOWN);
	ctl_audit(ctl, "group remove", str_z(address), STR(""));
	if (c->json)
		say_json("{\"address\":\"%s\",\"removed\":true,\"members\":%zu}", json_text(&a, str_z(address)), n);
	else
		say("%s is gone", address);
	return STATUS_OK;
}
enum status run_group_remove(struct call *c) { return ctl_verb(c, drop); }

/* ---- members ---- */

/* Each by itself: what cannot be done is said, the others are done. */
static enum status change(struct ctl *ctl, const struct call *c, struct arena *a, const char *address, const struct str *list, size_t n, bool put)
{
	enum status worst = STATUS_OK;
	for (size_t i = 0; i < n; i++) {
		struct why why = { 0 };
		char text[800];
		struct msg_GROUP_MEMBER ask = { .address = str_z(address), .member = list[i], .add = put };
		enum rc rc = ctl_ask(ctl, ROLE_STORE, MSG_GROUP_MEMBER, &ask, NULL, NULL, &why);
		if (rc != RC_OK) {
			(void)snprintf(text, sizeof text, "%s was not %s", text_z(a, list[i]), put ? "put in" : "taken out");
			worst = say_error(c, STATUS_FAILED, text, why.text, rc == RC_EXISTS || rc == RC_NOTFOUND ? "letterlock group members ADDRESS" : SERVER_DOWN);
			continue;
		}
		(void)snprintf(text, sizeof text, "%s: %.*s", address, PSTR(list[i]));
		ctl_audit(ctl, put ? "group member add" : "group member remove", put ? STR("") : str_z(text), put ? str_z(text) : STR(""));
		if (c->json)
			say_json("{\"address\":\"%s\",\"member\":\"%s\",\"%s\":true}", json_text(a, str_z(address)), json_text(a, list[i]), put ? "added" : "removed");
		else
			say("%s is %s %s", text_z(a, list[i]), put ? "in" : "no longer in", address);
	}
	return worst;
}

static enum status members(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	char address[WIRE_ADDRESS_MAX + 1];
	AUTO(arena_done) struct arena a = { .max = 4 * DIRECTORY_LIST_MAX };
	struct group g;
	struct str *there, *in, *out;
	size_t n, in_n, out_n;
	enum status s = option_list(c, "add", address_clean_tagged, &a, &in, &in_n), t;
	if (s == STATUS_OK)
		s = option_list(c, "remove", address_clean_tagged, &a, &out, &out_n);
	if (s != STATUS_OK)
		return s;
	fiber_yield(); /* stdin took its time */
	s = find(ctl, c, address, &a, &g, &there, &n);
	if (s != STATUS_OK)
		return s;
	if (c->given_n == 0) {
		show_members(c, &a, &g, there, n);
		return n ? STATUS_OK : say_error(c, STATUS_NOTHING, "nobody is in the group", address, "letterlock group members ADDRESS --add MEMBER");
	}
	s = change(ctl, c, &a, address, in, in_n, true);
	t = change(ctl, c, &a, address, out, out_n, false);
	return s != STATUS_OK ? s : t;
}
enum status run_group_members(struct call *c) { return ctl_verb(c, members); }
