#include "role/login_name.h"

#include "role/wire.h"

struct str login_full_name(const struct config *c, struct str user, struct buf *out)
{
	for (size_t i = 0; i < user.n && user.n <= LOGIN_USER_MAX; i++)
		buf_byte(out, ascii_lower(user.p[i]));
	if (str_find(user, '@') == user.n && c->login_default_domain.n) {
		buf_byte(out, '@');
		buf_add(out, c->login_default_domain);
	}
	return out->failed ? STR("") : buf_str(out);
}

enum rc login_find(struct role_env *e, struct str full, struct arena *a, uint64_t *out_account, struct str *out_address, struct why *why)
{
	struct msg_ADDRESS_answer answer;
	struct ipc_reply reply = { 0 };
	struct account acct;
	if (full.n == 0 || full.n > LOGIN_USER_MAX)
		return RC_NOTFOUND;
	enum rc rc = ipc_ask_role(e->node, ROLE_READER, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = full }, &answer, &reply, true, why);
	if (rc == RC_DENIED || rc == RC_SYNTAX)
		return RC_NOTFOUND;
	TRY(rc);
	struct cursor c = cursor_of(answer.account);
	rc = wire_get_account(&c, a, &acct);
	if (rc == RC_OK && (answer.tag.n || acct.disabled))
		rc = RC_NOTFOUND;
	if (rc == RC_OK) {
		*out_account = acct.id;
		*out_address = acct.address;
	}
	ipc_reply_done(&reply);
	return rc;
}
