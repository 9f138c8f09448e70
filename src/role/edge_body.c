#include "role/edge_session.h"

#include "base/codec.h"
#include "os/file.h"
#include "smtp/received.h"

/* A message while it is in memory, and what is put in front of it. */

enum { GROW = 65536, BODY_GUESS_MAX = 32 << 10 };

/* 80 % of the process's byte budget is the end of new messages; what is under way may finish. */
static bool over_budget(struct edge_session *s, uint64_t more)
{
	return s->h->held + more > s->v->e->config->process_memory / 10 * 8;
}

static void hold(struct edge_session *s)
{
	s->h->held += s->body.cap - s->counted;
	s->counted = s->body.cap;
}

enum rc edge_on_body_begin(void *house, const struct smtp_mail *mail, struct why *why)
{
	struct edge_session *s = house;
	uint64_t id = 0;
	if (over_budget(s, mail->size))
		FAIL(why, RC_FULL, "4.3.1 too many messages under way, try again");
	TRY(random_bytes(&id, sizeof id));
	short_id(id, s->mid);
	s->header = 0;
	buf_init(&s->body, s->v->e->config->inbound_max_size + EDGE_TRACE_MAX + GROW);
	/* RFC 1870: what was announced is asked for at once, within reason: nobody holds much by announcing. */
	if (!buf_room(&s->body, EDGE_GAP + (mail->size < BODY_GUESS_MAX ? (size_t)mail->size + 16 : BODY_GUESS_MAX)))
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	s->body.len = s->start = EDGE_GAP;
	hold(s);
	return RC_OK;
}

struct str edge_raw(const struct edge_session *s) { return str_skip(buf_str(&s->body), EDGE_GAP); }
struct str edge_now(const struct edge_session *s) { return str_skip(buf_str(&s->body), s->start); }

static bool is_for_reports_only(const struct edge_session *s)
{
	for (size_t i = 0; i < s->rcpt_n; i++)
		if (!s->rcpts[i].report)
			return false;
	return s->rcpt_n > 0;
}

/* Some more of the message has come: the header to those who wait for it, the body to those who hash it. */
enum rc edge_feed_auth(struct edge_session *s, struct str bytes, bool last)
{
	struct str raw = edge_raw(s);
	if (s->header) {
		if (s->auth)
			auth_check_body(s->auth, bytes);
		return RC_OK;
	}
	s->header = edge_header_end(raw, raw.n - bytes.n);
	if (!s->header && !last)
		return RC_OK;
	if (!s->header)
		s->header = raw.n; /* a message without a body */
	if (!s->auth)
		return RC_OK;
	TRY(auth_check_header(s->auth, str_head(raw, s->header), is_for_reports_only(s)));
	auth_check_body(s->auth, str_skip(raw, s->header));
	return RC_OK;
}

enum rc edge_on_body_write(void *house, struct str bytes, struct why *why)
{
	struct edge_session *s = house;
	if (s->body.len + bytes.n > s->body.cap && over_budget(s, s->body.cap))
		FAIL(why, RC_FULL, "4.3.1 too many messages under way, try again");
	buf_add(&s->body, bytes);
	hold(s);
	if (s->body.failed || edge_feed_auth(s, bytes, false) != RC_OK)
		FAIL(why, RC_FULL, "4.3.1 no memory for the message, try again");
	return RC_OK;
}

enum rc edge_check_lines(struct edge_session *s, struct why *why)
{
	if (!edge_lines_ok(str_head(edge_raw(s), s->header)))
		FAIL(why, RC_SYNTAX, "5.6.0 bare CR or LF in the header; lines end with CR LF");
	return RC_OK;
}

void edge_take_out(struct edge_session *s, bool (*drop)(const void *arg, struct str field))
{
	struct str name = s->v->e->config->server_hostname;
	s->start = EDGE_GAP + edge_strip(s->body.p + EDGE_GAP, s->header, drop, &name);
}

/* Into the gap before the message. Where the fields are longer than it, the message moves. */
enum rc edge_prepend(struct edge_session *s, struct str fields)
{
	size_t more = fields.n > s->start ? fields.n - s->start : 0;
	if (!buf_room(&s->body, more))
		return RC_NOMEM;
	if (more) {
		memmove(s->body.p + s->start + more, s->body.p + s->start, s->body.len - s->start);
		s->body.len += more;
		s->start += more;
	}
	s->start -= fields.n;
	memcpy(s->body.p + s->start, fields.p, fields.n);
	return RC_OK;
}

static void add_received(const struct edge_session *s, struct buf *out)
{
	const struct stream_facts *f = stream_facts(s->v->stream);
	const struct config *c = s->v->e->config;
	struct smtp_received r = { .helo = str_z(s->helo), .peer_ip = str_z(f->peer_ip), .by = c->server_hostname, .id = str_z(s->mid),
		.only_rcpt = s->rcpt_n == 1 ? s->rcpts[0].address : STR(""), .tls_version = str_z(f->tls_version), .tls_cipher = str_z(f->tls_cipher),
		.lmtp = s->v->proto == LISTEN_LMTP, .esmtp = s->esmtp, .auth = s->submission && !s->v->has_uid, .utf8 = s->utf8,
		.no_client = s->submission && !c->submission_client_address, .wall_ms = wall_ms() };
	smtp_received_format(&r, out);
}

enum rc edge_put_trace(struct edge_session *s, struct str more, struct why *why)
{
	struct buf trace AUTO(buf_done);
	buf_init(&trace, EDGE_TRACE_MAX + more.n);
	/* RFC 5321 4.4: "the delivery SMTP system inserts a return-path line at the beginning of the mail data" */
	buf_add(&trace, STR("Return-Path: <"));
	buf_add(&trace, s->from);
	buf_add(&trace, STR(">\r\n"));
	s->return_path = trace.len;
	if (s->auth)
		auth_check_fields(s->auth, &trace);
	buf_add(&trace, more);
	add_received(s, &trace);
	if (trace.failed || edge_prepend(s, buf_str(&trace)) != RC_OK)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	s->message = edge_now(s);
	return RC_OK;
}

void edge_drop_body(struct edge_session *s)
{
	s->h->held -= s->counted;
	s->counted = 0;
	buf_done(&s->body);
}
