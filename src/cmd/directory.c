#include "cmd/directory.h"

#include "base/mem.h"
#include "cmd/address.h"

enum status account_find(struct ctl *ctl, const struct call *c, const char *typed, struct arena *a, struct account *out)
{
	struct why why = { 0 };
	char address[WIRE_ADDRESS_MAX + 1];
	struct msg_ADDRESS_answer answer;
	struct ipc_reply reply = { 0 };
	if (address_clean(typed, address, sizeof address, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	enum rc rc = ctl_ask(ctl, ROLE_READER, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = str_z(address) }, &answer, &reply, &why);
	if (rc == RC_OK) {
		struct cursor in = cursor_of(answer.account);
		rc = wire_get_account(&in, a, out);
		ipc_reply_done(&reply);
		if (rc == RC_OK && !str_eq(out->address, str_z(address)))
			rc = why_fail(&why, RC_NOTFOUND, 0, __FILE__, "%s goes to %.*s", address, PSTR(str_head(out->address, 100)));
	}
	if (rc == RC_OK)
		return STATUS_OK;
	char what[400];
	(void)snprintf(what, sizeof what, "there is no account %s", address);
	if (rc == RC_NOTFOUND || rc == RC_DENIED)
		return say_error(c, STATUS_NOTHING, what, why.text, "letterlock account list");
	return say_error(c, STATUS_FAILED, "the server cannot look that up", why.text, SERVER_DOWN);
}

enum rc account_save(struct ctl *ctl, const struct account *a, struct why *why)
{
	AUTO(buf_done) struct buf packed = { .max = 4096 };
	wire_put_account(&packed, a);
	if (packed.failed)
		FAIL(why, RC_LIMIT, "the name is too long");
	return ctl_ask(ctl, ROLE_STORE, MSG_ACCOUNT_SET, &(struct msg_ACCOUNT_SET){ .account = buf_str(&packed) }, NULL, NULL, why);
}

enum rc rules_load(struct ctl *ctl, uint64_t account, struct arena *a, struct account_rules *out, struct why *why)
{
	struct msg_RULES_answer answer;
	struct ipc_reply reply = { 0 };
	TRY(ctl_ask(ctl, ROLE_READER, MSG_RULES, &(struct msg_RULES){ .account = account }, &answer, &reply, why));
	enum rc rc = wire_get_rules(answer.rules, a, out);
	ipc_reply_done(&reply);
	if (rc != RC_OK)
		FAIL(why, rc, "the account's rules cannot be read");
	return RC_OK;
}

enum rc rules_save(struct ctl *ctl, const struct account_rules *r, struct why *why)
{
	AUTO(buf_done) struct buf packed = { .max = 262144 };
	wire_put_rules(&packed, r);
	if (packed.failed)
		FAIL(why, RC_LIMIT, "an account has at most %d forwards and %d grants", FORWARDS_MAX, GRANTS_MAX);
	return ctl_ask(ctl, ROLE_STORE, MSG_RULES_SET, &(struct msg_RULES_SET){ .rules = buf_str(&packed) }, NULL, NULL, why);
}

enum rc aliases_next(struct ctl *ctl, uint64_t account, struct buf *after, struct arena *a, struct alias **out, size_t *out_n, struct why *why)
{
	struct msg_ADDRESSES_answer answer;
	struct ipc_reply reply = { 0 };
	TRY(ctl_ask(ctl, ROLE_READER, MSG_ADDRESSES, &(struct msg_ADDRESSES){ .account = account, .after = buf_str(after) }, &answer, &reply, why));
	enum rc rc = wire_get_aliases(answer.addresses, a, out, out_n);
	ipc_reply_done(&reply);
	if (rc != RC_OK)
		FAIL(why, rc, "the list of addresses cannot be read");
	if (*out_n) {
		buf_clear(after);
		buf_add(after, (*out)[*out_n - 1].address);
	}
	return RC_OK;
}

bool in_domain(struct str address, const char *domain)
{
	return !domain || str_ieq(str_skip(address, str_find(address, '@') + 1), str_z(domain));
}

/* ---- lists ---- */

struct texts { struct arena *a; struct str *list; size_t n, cap; };

static bool add_text(struct texts *t, const char *text)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 16;
		struct str *more = arena_new(t->a, cap * sizeof *more);
		if (!more)
			return false;
		if (t->n)
			memcpy(more, t->list, t->n * sizeof *more);
		t->list = more;
		t->cap = cap;
	}
	t->list[t->n++] = arena_str(t->a, str_z(text));
	return !t->a->full;
}

static enum status take_text(const struct call *c, const char *typed, clean_text *clean, struct texts *t)
{
	char text[WIRE_ADDRESS_MAX + 1];
	struct why why = { 0 };
	if (clean(typed, text, sizeof text, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	return add_text(t, text) ? STATUS_OK : say_error(c, STATUS_FAILED, "the list is too long", NULL, "give fewer at once");
}

static enum status take_lines(const struct call *c, clean_text *clean, struct texts *t)
{
	char line[1024];
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\r\n")] = 0;
		enum status s = *line ? take_text(c, line, clean, t) : STATUS_OK;
		if (s != STATUS_OK)
			return s;
	}
	return STATUS_OK;
}

enum status option_list(const struct call *c, const char *option, clean_text *clean, struct arena *a, struct str **out, size_t *out_n)
{
	struct texts t = { .a = a };
	const char *typed;
	for (int i = 0; (typed = call_option_nth(c, option, i)); i++) {
		enum status s = strcmp(typed, "-") == 0 ? take_lines(c, clean, &t) : take_text(c, typed, clean, &t);
		if (s != STATUS_OK)
			return s;
	}
	*out = t.list;
	*out_n = t.n;
	return STATUS_OK;
}

const char *joined(const struct str *list, size_t n, char *out, size_t size)
{
	struct buf b = { .p = out, .cap = size, .max = size - 1 };
	for (size_t i = 0; i < n; i++) {
		if (b.len + list[i].n + 8 > size) {
			buf_add(&b, STR(", ..."));
			break;
		}
		if (i)
			buf_add(&b, STR(", "));
		buf_add(&b, list[i]);
	}
	out[b.len] = 0;
	return out;
}

const char *json_list(struct arena *a, const struct str *list, size_t n)
{
	AUTO(buf_done) struct buf b = { .max = 1 << 24 };
	buf_add(&b, STR("["));
	for (size_t i = 0; i < n; i++) {
		buf_add(&b, i ? STR(",\"") : STR("\""));
		buf_add(&b, str_z(json_text(a, list[i])));
		buf_add(&b, STR("\""));
	}
	buf_add(&b, STR("]"));
	return arena_str(a, buf_str(&b)).p;
}
