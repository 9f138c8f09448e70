#include "base/codec.h"
#include "base/mem.h"
#include "cmd/address.h"
#include "cmd/directory.h"
#include "role/wire.h"

#include <inttypes.h>

/* account add|list|show|password|remove; the others are in cmd_account_rules.c. The vault makes the keys, the store the account: in that order, so that no account is ever
 * there without its keys; keys without an account are dropped again. */

enum { PASSWORD_MAX = 1024, LIST_MAX = 16 << 20 };
#define DOWN "letterlock status"

static const char *id_text(uint64_t id, char out[17])
{
	(void)snprintf(out, 17, "%016" PRIx64, id);
	return out;
}

/* ---- add ---- */

struct new_account {
	struct account account;
	bool private_mode;
	struct str password;
	char recovery[129];
};

static enum rc store_account(struct ctl *ctl, const struct account *a, struct why *why)
{
	AUTO(buf_done) struct buf packed = { .max = 4096 };
	wire_put_account(&packed, a);
	if (packed.failed)
		FAIL(why, RC_LIMIT, "the name is too long");
	return ctl_ask(ctl, ROLE_STORE, MSG_ACCOUNT_ADD, &(struct msg_ACCOUNT_ADD){ .account = buf_str(&packed) }, NULL, NULL, why);
}

static enum rc make_account(struct ctl *ctl, struct new_account *n, struct why *why)
{
	struct msg_ACCOUNT_KEYS ask = { .mode = n->private_mode, .password = n->password };
	struct msg_ACCOUNT_KEYS_answer keys;
	struct ipc_reply reply = { 0 };
	TRY(ctl_ask(ctl, ROLE_VAULT, MSG_ACCOUNT_KEYS, &ask, &keys, &reply, why));
	n->account.id = keys.account;
	n->account.private_mode = n->private_mode;
	n->account.created_ms = wall_ms();
	if (keys.public_key.n == PUB_LEN)
		memcpy(n->account.public_key, keys.public_key.p, PUB_LEN);
	(void)snprintf(n->recovery, sizeof n->recovery, "%.*s", PSTR(keys.recovery));
	ipc_reply_done(&reply);
	enum rc rc = store_account(ctl, &n->account, why);
	if (rc != RC_OK) {
		struct why unused;
		(void)!ctl_ask(ctl, ROLE_VAULT, MSG_KEYS_DROP, &(struct msg_KEYS_DROP){ .account = n->account.id }, NULL, NULL, &unused);
	}
	return rc;
}

static enum rc parse_quota(const char *text, uint64_t *out, struct why *why)
{
	const struct config_row *row = config_row_find(STR("account"), STR("quota"));
	struct config scratch;
	config_init(&scratch);
	enum rc rc = config_set(&scratch, row, str_z(text), why);
	*out = scratch.account_quota;
	config_done(&scratch);
	return rc;
}

static enum status add_failed(const struct call *c, enum rc rc, const char *address, const char *why)
{
	char what[400], act[400];
	const char *at = strchr(address, '@');
	(void)snprintf(what, sizeof what, "%s was not made", address);
	if (rc == RC_NOTFOUND)
		(void)snprintf(act, sizeof act, "letterlock domain add %s", at ? at + 1 : "DOMAIN");
	else if (rc == RC_EXISTS)
		(void)snprintf(act, sizeof act, "letterlock account show %s", address);
	else
		(void)snprintf(act, sizeof act, "%s", DOWN);
	return say_error(c, STATUS_FAILED, what, why, act);
}

static void said_account(const struct call *c, const struct new_account *n, const char *address)
{
	char id[17];
	const char *mode = n->private_mode ? "private" : "organisation";
	if (c->json) {
		say_json("{\"address\":\"%s\",\"id\":\"%s\",\"mode\":\"%s\",\"quota\":%" PRIu64 ",\"recovery\":\"%s\"}", address, id_text(n->account.id, id), mode,
		         n->account.quota, n->recovery);
		return;
	}
	say("%s is there, sealed in mode %s", address, mode);
	say("Recovery key, shown once, opens the mail when the password is lost. Print it and keep it away from this machine:");
	say("  %s", n->recovery);
}

static enum status add(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	char address[WIRE_ADDRESS_MAX + 1];
	struct new_account n = { .account = { .quota = ctl_config(ctl)->account_quota, .name = str_z(call_option(c, "name")) } };
	const char *mode = call_option(c, "mode"), *quota = call_option(c, "quota");
	struct str wanted = mode ? str_z(mode) : ctl_config(ctl)->account_mode;
	if (address_clean(c->args[0], address, sizeof address, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	if (!str_eq(wanted, STR("private")) && !str_eq(wanted, STR("organisation")))
		return say_usage(c, "--mode is organisation or private");
	if (quota && parse_quota(quota, &n.account.quota, &why) != RC_OK)
		return say_usage(c, "--quota: %s", why.text);
	AUTO(buf_wipe) struct buf password = { .max = PASSWORD_MAX };
	if (ask_secret("Password", true, &password, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "no password", why.text, "type it, or give it as the first line of stdin");
	fiber_yield(); /* the prompt took its time: let the loop's clock catch up before anything has a deadline */
	n.private_mode = str_eq(wanted, STR("private"));
	n.password = buf_str(&password);
	n.account.address = str_z(address);
	enum rc rc = make_account(ctl, &n, &why);
	if (rc != RC_OK)
		return add_failed(c, rc, address, why.text);
	ctl_audit(ctl, "account add", STR(""), str_z(address));
	said_account(c, &n, address);
	mem_wipe(n.recovery, sizeof n.recovery);
	return STATUS_OK;
}
enum status run_account_add(struct call *c) { return ctl_verb(c, add); }

/* ---- list, show ---- */

static void show_account(const struct call *c, struct arena *a, const struct account *acc)
{
	char id[17], used[24], quota[24];
	if (c->json) {
		say_json("{\"address\":\"%s\",\"id\":\"%s\",\"name\":\"%s\",\"mode\":\"%s\",\"disabled\":%s,\"messages\":%" PRIu64 ",\"used\":%" PRIu64 ",\"quota\":%" PRIu64
		         ",\"created_ms\":%" PRId64 "}",
		         json_text(a, acc->address), id_text(acc->id, id), json_text(a, acc->name), acc->private_mode ? "private" : "organisation",
		         acc->disabled ? "true" : "false", acc->messages, acc->used, acc->quota, acc->created_ms);
		return;
	}
	say("%-36s %-12s %8" PRIu64 " %10s %10s%s", text_z(a, acc->address), acc->private_mode ? "private" : "organisation", acc->messages,
	    size_text(acc->used, used), acc->quota ? size_text(acc->quota, quota) : "-", acc->disabled ? "  disabled" : "");
}

/* One chunk after `*after`; answers how many came, in `a`. */
static enum rc next_accounts(struct ctl *ctl, struct buf *after, struct arena *a, struct account **out, size_t *out_n, struct why *why)
{
	struct msg_ACCOUNTS_answer answer;
	struct ipc_reply reply = { 0 };
	TRY(ctl_ask(ctl, ROLE_READER, MSG_ACCOUNTS, &(struct msg_ACCOUNTS){ .after = buf_str(after) }, &answer, &reply, why));
	enum rc rc = wire_get_accounts(answer.accounts, a, out, out_n);
	ipc_reply_done(&reply);
	if (rc != RC_OK)
		FAIL(why, rc, "the list of accounts cannot be read");
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
	const char *domain = c->arg_n ? c->args[0] : NULL;
	size_t shown = 0, n = 1;
	AUTO(buf_done) struct buf after = { .max = WIRE_ADDRESS_MAX };
	while (n) {
		AUTO(arena_done) struct arena a = { .max = LIST_MAX };
		struct account *some;
		if (next_accounts(ctl, &after, &a, &some, &n, &why) != RC_OK)
			return say_error(c, STATUS_FAILED, "the accounts cannot be listed", why.text, DOWN);
		for (size_t i = 0; i < n; i++) {
			if (!in_domain(some[i].address, domain))
				continue;
			if (!shown++ && !c->json)
				say("%-36s %-12s %8s %10s %10s", "address", "sealed for", "messages", "used", "quota");
			show_account(c, &a, &some[i]);
		}
	}
	return shown ? STATUS_OK : say_error(c, STATUS_NOTHING, "there is no account", domain, "letterlock account add ADDRESS");
}
enum status run_account_list(struct call *c) { return ctl_verb(c, list); }

static void show_boxes(const struct call *c, struct arena *a, const struct account *acc, const struct box_info *boxes, size_t n)
{
	char size[24];
	if (!c->json)
		say("  %-34s %8s %8s %10s", "folder", "messages", "unseen", "size");
	for (size_t i = 0; i < n; i++) {
		const struct box_info *b = &boxes[i];
		if (b->id == 0)
			continue; /* a subscription to a folder that is not there */
		if (c->json)
			say_json("{\"address\":\"%s\",\"folder\":\"%s\",\"messages\":%u,\"unseen\":%u,\"size\":%" PRIu64 ",\"uidvalidity\":%u,\"uidnext\":%u}",
			         json_text(a, acc->address), json_text(a, b->name), b->exists, b->unseen, b->size, b->uidvalidity, b->uidnext);
		else
			say("  %-34s %8u %8u %10s", text_z(a, b->name), b->exists, b->unseen, size_text(b->size, size));
	}
}

static enum status show(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	AUTO(arena_done) struct arena a = { .max = LIST_MAX };
	struct account acc;
	enum status s = account_find(ctl, c, c->args[0], &a, &acc);
	if (s != STATUS_OK)
		return s;
	struct msg_BOXES_answer answer;
	struct ipc_reply reply = { 0 };
	struct box_info *boxes;
	size_t n;
	enum rc rc = ctl_ask(ctl, ROLE_READER, MSG_BOXES, &(struct msg_BOXES){ .account = acc.id }, &answer, &reply, &why);
	if (rc == RC_OK) {
		rc = wire_get_boxes(answer.boxes, &a, &boxes, &n);
		ipc_reply_done(&reply);
	}
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the folders cannot be listed", why.text, DOWN);
	show_account(c, &a, &acc);
	show_boxes(c, &a, &acc, boxes, n);
	return STATUS_OK;
}
enum status run_account_show(struct call *c) { return ctl_verb(c, show); }

/* ---- password, remove ---- */

static enum rc set_password(struct ctl *ctl, uint64_t id, bool recover, struct why *why)
{
	AUTO(buf_wipe) struct buf recovery = { .max = 128 };
	AUTO(buf_wipe) struct buf password = { .max = PASSWORD_MAX };
	if (recover)
		TRY(ask_secret("Recovery key", false, &recovery, why));
	TRY(ask_secret("New password", true, &password, why));
	fiber_yield(); /* as above */
	if (!recover) {
		struct msg_PASSWORD_SET ask = { .account = id, .password = buf_str(&password) };
		return ctl_ask(ctl, ROLE_VAULT, MSG_PASSWORD_SET, &ask, NULL, NULL, why);
	}
	struct msg_PASSWORD_RECOVER ask = { .account = id, .recovery = buf_str(&recovery), .password = buf_str(&password) };
	return ctl_ask(ctl, ROLE_VAULT, MSG_PASSWORD_RECOVER, &ask, NULL, NULL, why);
}

static enum status password(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	struct account acc;
	enum status s = account_find(ctl, c, c->args[0], &a, &acc);
	if (s != STATUS_OK)
		return s;
	bool recover = call_option(c, "recovery");
	enum rc rc = set_password(ctl, acc.id, recover, &why);
	if (rc == RC_DENIED && !recover)
		return say_error(c, STATUS_FAILED, "the password is as it was", why.text, "for a private account: account password ADDRESS --recovery");
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, "the password is as it was", why.text, recover ? "type the recovery key as it was printed" : DOWN);
	ctl_audit(ctl, recover ? "account recover" : "account password", STR(""), acc.address);
	if (c->json)
		say_json("{\"address\":\"%s\",\"password\":\"set\"}", json_text(&a, acc.address));
	else
		say("%s has a new password", text_z(&a, acc.address));
	return STATUS_OK;
}
enum status run_account_password(struct call *c) { return ctl_verb(c, password); }

static enum status remove_account(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	AUTO(arena_done) struct arena a = { .max = 1 << 16 };
	struct account acc;
	char question[500];
	enum status s = account_find(ctl, c, c->args[0], &a, &acc);
	if (s != STATUS_OK)
		return s;
	(void)snprintf(question, sizeof question, "Remove %s and its %" PRIu64 " messages for good?", text_z(&a, acc.address), acc.messages);
	if (!ask_yes(c, question))
		return STATUS_FAILED;
	fiber_yield();
	if (ctl_ask(ctl, ROLE_STORE, MSG_ACCOUNT_REMOVE, &(struct msg_ACCOUNT_REMOVE){ .account = acc.id }, NULL, NULL, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the account was not removed", why.text, DOWN);
	if (ctl_ask(ctl, ROLE_VAULT, MSG_KEYS_DROP, &(struct msg_KEYS_DROP){ .account = acc.id }, NULL, NULL, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the mail is gone, but its keys are still in the vault", why.text, DOWN);
	ctl_audit(ctl, "account remove", acc.address, STR(""));
	if (c->json)
		say_json("{\"address\":\"%s\",\"removed\":true,\"messages\":%" PRIu64 "}", json_text(&a, acc.address), acc.messages);
	else
		say("%s is gone, with %" PRIu64 " messages and its keys", text_z(&a, acc.address), acc.messages);
	return STATUS_OK;
}
enum status run_account_remove(struct call *c) { return ctl_verb(c, remove_account); }
