#include "role/edge_submit.h"

#include "base/codec.h"
#include "mail/header.h"
#include "os/file.h"
#include "role/edge_session.h"
#include "role/edge_sign.h"
#include "role/report_edge.h"
#include "role/report_rules.h"

/* RFC 5321 4.4: the final delivery adds Return-Path, and each hop Received. The signature is the author's domain's: a bounce has no other. */
static enum rc dress(struct role_env *e, struct str sender, struct str message, const char *mid, struct buf *out, size_t *out_return_path, struct why *why)
{
	struct edge_head head;
	struct arena a;
	struct mail_mailbox *first = NULL;
	bool sound;
	size_t end = edge_header_end(message, 0);
	arena_init(&a, 65536);
	edge_head_read(str_head(message, end ? end : message.n), &head);
	enum rc rc = mail_list_parse(head.from_value, &a, &first, &sound);
	buf_addf(out, "Return-Path: <%.*s>\r\n", PSTR(str_head(sender, 320)));
	*out_return_path = out->len;
	if (rc == RC_OK && first)
		rc = edge_sign_dkim(e, first->domain, message, out, why);
	buf_addf(out, "Received: by %.*s (Letterlock) id %s;\r\n ", PSTR(str_head(e->config->server_hostname, 253)), mid);
	mail_date_format(wall_ms(), 0, out);
	buf_add(out, STR("\r\n"));
	buf_add(out, message);
	arena_done(&a);
	return rc != RC_OK ? RC_BUSY : out->failed ? RC_NOMEM : RC_OK;
}

struct own { struct role_env *e; struct str from, message; uint8_t kind; uint64_t delivery; const char *mid; };

static void fill_letters(const struct own *o, struct edge_post *p, struct arena *a, size_t return_path)
{
	struct edge_head head;
	size_t end = edge_header_end(o->message, 0);
	edge_head_read(str_head(o->message, end ? end : o->message.n), &head);
	for (size_t i = 0; i < p->bucket_n; i++) {
		p->letters[i].letter = (struct letter){ .mid = str_z(o->mid), .sender = o->from, .owner = STR(""), .kind = o->kind, .prefix = STR(""), .skip = (uint32_t)return_path,
			.envid = STR(""), .body_8bit = head.foreign || edge_has_8bit(str_skip(o->message, end)), .utf8_header = head.utf8, .smtputf8 = head.utf8,
			.tls_optional = o->kind == LETTER_REPORT /* RFC 8460 3: reports about TLS get through where TLS is broken */, .created_ms = wall_ms(),
			.subject = edge_subject(a, &head), .from = str_head(str_trim(head.from_value), 320) };
		edge_letter_times(o->e, &p->letters[i], 0);
		p->letters[i].flags = o->kind == LETTER_SUBMITTED ? 0 : QUEUE_ROW_SYSTEM;
	}
}

static enum rc post(const struct own *o, struct edge_rcpt *r, struct why *why)
{
	struct buf text AUTO(buf_done);
	struct arena a;
	size_t return_path = 0;
	buf_init(&text, o->message.n + 70000);
	arena_init(&a, EDGE_ARENA);
	struct edge_post p = { .e = o->e, .h = o->e->state, .a = &a, .rcpts = r, .rcpt_n = 1, .delivery = o->delivery };
	enum rc rc = dress(o->e, o->from, o->message, o->mid, &text, &return_path, why);
	if (rc == RC_OK && edge_post_suppress(&p) != RC_OK)
		rc = RC_BUSY;
	if (rc == RC_OK)
		rc = edge_post_plan(&p);
	if (rc == RC_OK) {
		fill_letters(o, &p, &a, return_path);
		rc = edge_post_commit(&p, buf_str(&text), why);
		rc = rc == RC_OK || rc == RC_LATE ? rc : RC_BUSY; /* late: nobody knows */
	}
	if (rc == RC_OK) {
		edge_tell_left_out(&p, &(struct msg_EVENT){ .at_ms = (uint64_t)wall_ms(), .mid = str_z(o->mid), .sender = str_head(o->from, 320), .client = STR(""), .helo = STR(""),
			.tls = STR(""), .size = text.len, .more = STR("") });
		rc = edge_post_outcome(&p, r);
		if (rc != RC_OK)
			rc = why_fail(why, rc == RC_NOTFOUND ? RC_NOTFOUND : RC_BUSY, 0, __FILE__, "not stored (%s)", rc_name(rc));
	}
	arena_done(&a);
	return rc;
}

static enum rc new_mid(char out[9])
{
	uint64_t id = 0;
	TRY(random_bytes(&id, sizeof id));
	short_id(id, out);
	return RC_OK;
}

enum rc edge_submit_here(struct role_env *e, const struct route_target *to, struct str message, char out_mid[9], struct why *why)
{
	struct route_target place = *to;
	struct edge_rcpt r = { .address = to->address, .places = &place, .place_n = 1, .orcpt_type = STR(""), .orcpt = STR("") };
	TRY(new_mid(out_mid));
	return post(&(struct own){ e, STR(""), message, LETTER_SUBMITTED, 0, out_mid }, &r, why);
}

/* What is known of addresses may go at the next wait. */
static enum rc copy_places(const struct route *route, struct arena *a, struct edge_rcpt *r)
{
	r->places = arena_new(a, (route->n + 1) * sizeof *r->places);
	for (size_t i = 0; r->places && i < route->n; i++) {
		struct route_target *t = &r->places[r->place_n++];
		*t = route->targets[i];
		t->address = arena_str(a, t->address);
		t->via = arena_str(a, t->via);
		t->group_owner = arena_str(a, t->group_owner);
	}
	return a->full ? RC_NOMEM : RC_OK;
}

static enum rc submit_to(struct role_env *e, const struct msg_SUBMIT *m, struct str low, struct arena *a, const char *mid, struct why *why)
{
	struct route_target elsewhere = { .remote = true, .address = m->to, .via = STR(""), .group_owner = STR("") };
	struct edge_rcpt r = { .address = m->to, .places = &elsewhere, .place_n = 1, .orcpt_type = STR(""), .orcpt = STR("") };
	struct edge_house *h = e->state;
	const struct edge_known *k;
	struct why inner = { 0 };
	struct str domain = report_domain_of(low);
	enum rc rc = edge_address_find(e, &h->addresses, low, &k, &inner);
	if ((rc == RC_OK || rc == RC_NOTFOUND) && report_address_is(e->config, str_head(low, low.n - domain.n - 1), domain))
		return report_edge_read(e, &h->addresses, &(struct report_came){ m->message, str_z(mid), m->from, report_domain_of(m->from) }, why);
	if (rc == RC_NOTFOUND || (rc == RC_OK && (k->route.n == 0 || (k->route.n == 1 && k->route.targets[0].disabled))))
		FAIL(why, RC_NOTFOUND, "no such address here");
	if (rc != RC_OK && rc != RC_DENIED)
		FAIL(why, RC_BUSY, "the directory does not answer");
	if (rc == RC_OK) {
		r.place_n = 0;
		TRY(copy_places(&k->route, a, &r));
	}
	return post(&(struct own){ e, m->from, m->message, m->kind, m->delivery, mid }, &r, why);
}

enum rc edge_submit(struct role_env *e, const struct msg_SUBMIT *m, char out_mid[9], struct why *why)
{
	char low[320];
	struct arena a;
	/* A bounce has no sender; everything else has one. */
	if (!e->state || !((struct edge_house *)e->state)->sealer)
		return RC_BUSY;
	if (m->to.n == 0 || m->to.n > sizeof low || !report_domain_of(m->to).n || m->kind >= LETTER_KINDS || (m->from.n && !report_domain_of(m->from).n))
		FAIL(why, RC_SYNTAX, "no address");
	for (size_t i = 0; i < m->to.n; i++)
		low[i] = ascii_lower(m->to.p[i]);
	TRY(new_mid(out_mid));
	arena_init(&a, EDGE_ARENA);
	enum rc rc = submit_to(e, m, str_of(low, m->to.n), &a, out_mid, why);
	arena_done(&a);
	if (rc != RC_OK)
		return rc;
	struct msg_EVENT ev = { .at_ms = (uint64_t)wall_ms(), .mid = str_z(out_mid), .kind = STR("submitted"), .sender = m->from, .recipient = m->to, .client = STR(""),
		.helo = STR(""), .tls = STR(""), .reason = m->kind == LETTER_REPORT ? STR("a report of ours") : STR("of our own"), .size = m->message.n, .more = STR("") };
	edge_tell(e, &((struct edge_house *)e->state)->events, MSG_EVENT, &ev, EDGE_EVENT_MOST);
	return RC_OK;
}
