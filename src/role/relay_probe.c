#include "role/relay.h"

#include "base/codec.h"
#include "mail/header.h"
#include "os/file.h"

/* `letterlock probe send`: one attempt that is looked at, outside of the queue: where it goes, what is asked of the connection, each line of the dialogue. */

enum { LINES_MOST = 4 << 20, ROOM = 8 << 20, AT_ONCE = 8 };
enum probe_line { LINE_NOTE = '#', LINE_SENT = '>', LINE_HEARD = '<', LINE_RESULT = '=' };

static void put(struct buf *out, char kind, struct str text)
{
	if (out->len + text.n + 16 > LINES_MOST) /* what a server says without end is cut, and the verdict still fits */
		return;
	buf_u8(out, (uint8_t)kind);
	buf_run(out, text);
}

static void line(void *arg, char direction, struct str text) { put(arg, direction == '>' ? LINE_SENT : LINE_HEARD, str_head(text, 2048)); }
static void note(void *arg, const char *text) { put(arg, LINE_NOTE, str_z(text)); }

static void write_message(const struct role_env *e, const struct msg_PROBE_SEND *m, const char *id, struct buf *out)
{
	buf_addf(out, "From: <%.*s>\r\nTo: <%.*s>\r\nSubject: Test message\r\nMessage-ID: <probe.%s@%.*s>\r\nDate: ", PSTR(m->from), PSTR(m->to), id, PSTR(str_head(e->config->server_hostname, 253)));
	mail_date_format(wall_ms(), 0, out);
	buf_addf(out, "\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
	              "This is a test of the way mail takes from %.*s.\r\nIt was sent by hand (letterlock probe send). Nothing needs to be done.\r\n",
	         PSTR(str_head(e->config->server_hostname, 253)));
}

static struct str domain_of(struct str address)
{
	size_t at = address.n;
	while (at && address.p[at - 1] != '@')
		at--;
	return str_skip(address, at);
}

static enum relay_what probe(struct relay_house *h, const struct msg_PROBE_SEND *m, struct buf *lines)
{
	struct buf text AUTO(buf_done);
	struct arena a;
	char id[9];
	uint64_t r = 0;
	struct relay_outcome o = { 0 };
	struct str host = STR("");
	struct relay_letter letter = { .l = { .mid = STR("probe"), .sender = m->from, .owner = STR(""), .prefix = STR(""), .envid = STR(""), .subject = STR(""), .from = m->from } };
	struct relay_row row = { .rcpt = { .address = m->to, .orcpt_type = STR(""), .orcpt = STR(""), .reply = STR(""), .host = STR(""), .tls = STR("") }, .readable = true };
	struct relay_watch watch = { line, note, lines };
	(void)!random_bytes(&r, sizeof r);
	short_id(r, id);
	buf_init(&text, 65536);
	arena_init(&a, ROOM);
	write_message(h->e, m, id, &text);
	letter.l.size = text.len;
	struct relay_try t = { .h = h, .letter = &letter, .rows = &row, .n = 1, .domain = domain_of(m->to), .a = &a, .out = &o, .host = &host, .no_data = m->no_data,
		.text = buf_str(&text), .watch = &watch };
	relay_try(&t);
	put(lines, LINE_RESULT, str_z(o.text));
	relay_conn_end(h, &t.conn);
	arena_done(&a);
	return o.what;
}

void relay_on_probe_send(void *env, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd)
{
	if (relay_is_early(env, call, &fd))
		return;
	struct role_env *e = env;
	const struct msg_PROBE_SEND *m = msg;
	struct relay_house *h = e->state;
	struct buf lines AUTO(buf_done);
	struct why why = { 0 };
	(void)from;
	fd_close(&fd);
	buf_init(&lines, LINES_MOST);
	if (h->probes >= AT_ONCE) {
		(void)why_fail(&why, RC_BUSY, 0, __FILE__, "%d such tests are under way", AT_ONCE);
		ipc_answer(call, RC_BUSY, &why, NULL);
		return;
	}
	h->probes++;
	enum relay_what what = probe(h, m, &lines);
	h->probes--;
	ipc_answer(call, lines.failed ? RC_NOMEM : RC_OK, NULL, &(struct msg_PROBE_SEND_answer){ .lines = buf_str(&lines), .outcome = (uint8_t)what });
}
