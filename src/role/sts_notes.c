#include "role/sts_notes.h"

#include "base/cursor.h"

enum { VALUE_MAX = 256 << 10 };

enum rc sts_note_list(void *node, struct str prefix, struct str after, struct buf *out, bool *out_more, struct why *why)
{
	struct msg_NOTES_answer answer;
	struct ipc_reply reply = { 0 };
	TRY(ipc_ask_role(node, ROLE_READER, MSG_NOTES, &(struct msg_NOTES){ .prefix = prefix, .after = after }, &answer, &reply, true, why));
	buf_add(out, answer.notes);
	*out_more = answer.more;
	ipc_reply_done(&reply);
	return out->failed ? RC_NOMEM : RC_OK;
}

enum rc sts_note_get(void *node, struct str key, struct buf *out, struct why *why)
{
	struct msg_NOTES_answer answer;
	struct ipc_reply reply = { 0 };
	TRY(ipc_ask_role(node, ROLE_READER, MSG_NOTES, &(struct msg_NOTES){ .prefix = key, .after = STR("") }, &answer, &reply, true, why));
	struct cursor in = cursor_of(answer.notes);
	struct str name = cursor_run(&in, 200), value = cursor_run(&in, VALUE_MAX);
	enum rc rc = in.failed || !str_eq(name, key) ? RC_NOTFOUND : RC_OK;
	if (rc == RC_OK)
		buf_add(out, value);
	ipc_reply_done(&reply);
	return out->failed ? RC_NOMEM : rc;
}

enum rc sts_note_put(void *node, struct str key, struct str value, struct why *why)
{
	return ipc_ask_role(node, ROLE_STORE, MSG_NOTE_PUT, &(struct msg_NOTE_PUT){ .key = key, .value = value }, NULL, NULL, true, why);
}
