#include "imap/internal.h"

#include "mail/header.h"
#include "os/loop.h"

/* APPEND (RFC 3501 6.3.11): its message is a stream with a remaining count, written through to the house as it comes. */

struct append {
	struct str mailbox;
	struct flag_list list;
	int64_t internal_ms;
};

static void take_append(struct args *a, struct append *out)
{
	args_space(a);
	out->mailbox = args_mailbox(a);
	args_space(a);
	if (args_next_is(a, '(')) {
		out->list = args_flags(a, true);
		args_space(a);
	}
	out->internal_ms = wall_ms();
	if (args_next_is(a, '"')) {
		struct str date = args_string(a);
		if (args_fine(a) && imap_date_parse(date, &out->internal_ms) != RC_OK)
			args_fail(a, "a date-time like \"17-Jul-2026 02:44:25 +0200\"");
		args_space(a);
	}
	/* What is left is the announcement of the message, which read_command has understood already. */
	if (!args_next_is(a, '{') || str_find(a->in, '}') != a->in.n - 1)
		args_fail(a, "the message as a literal");
}

static enum rc write_message(struct session *s, uint64_t left, enum rc *out_house, struct why *why)
{
	while (left) {
		struct str piece;
		TRY(stream_some(s->io, left < 65536 ? left : 65536, &piece));
		left -= piece.n;
		if (*out_house == RC_OK)
			*out_house = s->hooks->append_write(s->hooks->house, piece, why);
	}
	return RC_OK;
}

/* The line after the message must be empty: MULTIAPPEND and CATENATE are not offered. What else stands there may go on
 * with a literal, whose octets must never be taken for commands: the connection ends. */
static bool ends_well(struct session *s)
{
	struct str line;
	if (stream_line(s->io, LINE_MAX_OCTETS, &line) == RC_OK && line.n == 0)
		return true;
	answer_bad(s, "expected the end of the command after the message");
	session_lost_track(s);
	return false;
}

static void append_message(struct session *s, const struct append *ap)
{
	struct why why = { 0 };
	uint32_t uid = 0, uidvalidity = 0;
	enum rc house = RC_OK;
	if (s->message.is_sync)
		stream_write(s->io, STR("+ go on\r\n"));
	if (write_message(s, s->message.size, &house, &why) != RC_OK) {
		s->hooks->append_abort(s->hooks->house);
		s->is_cut = s->is_over = true; /* the client went away, or nearly so */
		return;
	}
	s->message.is_pending = false;
	if (!ends_well(s)) {
		s->hooks->append_abort(s->hooks->house);
		return;
	}
	if (house == RC_OK) {
		house = s->hooks->append_end(s->hooks->house, ap->list.flags, ap->list.keywords, ap->list.keyword_n, ap->internal_ms, &uid,
		                             &uidvalidity, &why);
		if (house == RC_OK) {
			answer_ok(s, "[APPENDUID %u %u] stored", (unsigned)uidvalidity, (unsigned)uid);
			return;
		}
	}
	s->hooks->append_abort(s->hooks->house);
	answer_failure(s, house, &why, "not stored");
}

/* Everything that can be said before the message is read. False: it has been answered. */
static bool may_append(struct session *s, struct imap_folder *folder, const struct append *ap)
{
	struct why why = { 0 };
	if (s->config->max_append && s->message.size > s->config->max_append) {
		/* RFC 4469 5, RFC 7889 4 */
		answer_no(s, "[TOOBIG] a message may have %llu octets", (unsigned long long)s->config->max_append);
		return false;
	}
	if (!s->message.size) {
		answer_no(s, "[CANNOT] a message without an octet is none");
		return false;
	}
	enum rc rc = folder_find(s, ap->mailbox, folder, &why);
	if (rc == RC_NOTFOUND)
		answer_no(s, "[TRYCREATE] no such mailbox");
	else if (rc == RC_OK && !folder->selectable)
		answer_no(s, "[CANNOT] that mailbox holds no messages");
	else if (rc != RC_OK || (rc = s->hooks->append_begin(s->hooks->house, folder->id, s->message.size, &why)) != RC_OK)
		answer_failure(s, rc, &why, "not now");
	else
		return true;
	return false;
}

/* RFC 7888 4: a message that comes without having been asked for is read away, or the connection ends. */
static void drop_message(struct session *s)
{
	struct str line;
	uint64_t most = s->config->max_append ? s->config->max_append : 64 << 20;
	bool comes = s->message.is_pending && !s->message.is_sync;
	s->message.is_pending = false;
	if (!comes) /* none was announced, or the client waits for a "+" that it does not get */
		return;
	if (s->message.size > most) {
		answer_send(s);
		bye(s, "[TOOBIG] literal larger than we take");
		s->is_cut = true; /* answered already */
	} else if (session_drop(s, s->message.size) != RC_OK || stream_line(s->io, LINE_MAX_OCTETS, &line) != RC_OK || line.n) {
		session_lost_track(s);
	}
}

void do_append(struct session *s, struct args *a)
{
	struct append ap = { 0 };
	struct imap_folder folder;
	take_append(a, &ap);
	if (args_fine(a) && !s->message.is_pending)
		args_fail(a, "the message as a literal");
	if (!args_fine(a)) {
		answer_syntax(s, a);
		drop_message(s);
	} else if (may_append(s, &folder, &ap)) {
		append_message(s, &ap);
	} else {
		drop_message(s);
	}
}
