#include "role/edge_session.h"

#include "base/log.h"
#include "os/file.h"
#include "role/auth_fact.h"
#include "role/edge_submit.h"
#include "role/letter.h"
#include "role/report_edge.h"
#include "role/report_rules.h"

/* Mail from strangers: who really sent it, may it come in, and what became of each recipient's copy. */

enum { USE_JUNK = 4 };

/* From the first recipient that we take: a stranger who finds nobody here costs no question. */
enum rc edge_begin_auth(struct edge_session *s, struct why *why)
{
	struct auth_client c = { .ip = stream_facts(s->v->stream)->peer_ip, .helo = str_z(s->helo), .local = s->from_local, .domain = s->from_domain };
	if (s->auth || (s->v->proto == LISTEN_LMTP && !s->v->e->config->authentication_lmtp))
		return RC_OK;
	if (auth_check_new(s->h->auth, &c, &s->auth) != RC_OK)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	return RC_OK;
}

/* Read once, however many of the reporting addresses it came to. */
void edge_read_reports(struct edge_session *s, struct smtp_result *results)
{
	const struct smtp_result *first = NULL;
	for (size_t i = 0; i < s->rcpt_n; i++) {
		struct smtp_result *out = &results[i];
		if (!s->rcpts[i].report)
			continue;
		if (first) {
			*out = *first;
			continue;
		}
		struct report_came came = { .message = s->message, .mid = str_z(s->mid), .sender = s->from, .verified = s->verified };
		out->rc = report_edge_read(s->v->e, &s->h->addresses, &came, &out->why);
		first = out;
	}
}

static bool is_for_reports(const struct edge_session *s)
{
	for (size_t i = 0; i < s->rcpt_n; i++)
		if (s->rcpts[i].report)
			return true;
	return false;
}

/* For the aggregate reports, which go out once a day. */
static void note_dmarc(struct edge_session *s, const struct auth_evidence *e, const struct auth_verdict *v)
{
	char room[2400];
	struct buf scratch = { .p = room, .cap = sizeof room, .max = sizeof room };
	struct msg_DMARC_RESULT m;
	/* Never about reports: two servers would go on reporting about each other's for ever. A forgery in a report's clothes is counted. */
	if (is_for_reports(s) || (e->dmarc && e->dmarc->result == AUTH_PASS && report_is_one(s->v->e->config, str_head(edge_raw(s), s->header))))
		return;
	struct auth_fact_in in = { .mid = str_z(s->mid), .source = str_z(stream_facts(s->v->stream)->peer_ip), .envelope_from = s->from_domain,
		.envelope_to = report_domain_of(s->rcpts[0].address), .at_ms = wall_ms() };
	if (auth_fact_make(e, v, &in, &scratch, &m))
		edge_tell(s->v->e, &s->h->facts, MSG_DMARC_RESULT, &m, EDGE_FACT_MOST);
}

static enum rc submit(struct role_env *e, struct str from, struct str to, struct str message, struct why *why)
{
	char mid[9];
	return edge_submit(e, &(struct msg_SUBMIT){ .kind = LETTER_REPORT, .from = from, .to = to, .message = message }, mid, why);
}

static void tell_failure(struct edge_session *s, const struct auth_evidence *e, const struct auth_verdict *v)
{
	struct edge_failure m = { .mid = str_z(s->mid), .source_ip = str_z(stream_facts(s->v->stream)->peer_ip), .mail_from = s->from, .header = str_head(edge_raw(s), s->header),
		.to_reports = is_for_reports(s) };
	struct dns dns = auth_house_dns(s->h->auth);
	edge_failure_tell(s->v->e, &s->h->failures, &dns, &m, e, v, submit);
}

static void log_sender(struct edge_session *s, const struct auth_evidence *e, const struct auth_verdict *v)
{
	static const char *const actions[] = { [AUTH_ACCEPT] = "accepted", [AUTH_JUNK] = "junk", [AUTH_REFUSE] = "refused", [AUTH_DEFER] = "deferred" };
	if (v->action == AUTH_ACCEPT && !v->override[0])
		return;
	log_event(LEVEL_INFO, EV_SMTP_SENDER, F("mid", s->mid), F("sid", s->v->sid), F("ip", stream_facts(s->v->stream)->peer_ip),
	          F("dom", e->dmarc ? e->dmarc->from : STR("")), F("spf", e->spf ? auth_name(e->spf->result) : "-"),
	          F("dkim", e->dkim && e->dkim->n ? auth_name(e->dkim->signature[0].result) : "none"),
	          F("dmarc", e->dmarc ? auth_name(e->dmarc->result) : "-"), F("action", actions[v->action]),
	          F("reason", v->override[0] ? str_z(v->comment) : e->dmarc ? e->dmarc->why : STR("")));
}

/* Who really sent it, and may it come in? *out_junk: only into the folder for such mail. */
static enum rc judge_sender(struct edge_session *s, bool *out_junk, struct why *why)
{
	const struct auth_verdict *v;
	struct auth_evidence e;
	if (!s->header && edge_feed_auth(s, STR(""), true) != RC_OK)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	if (!s->auth)
		return RC_OK;
	auth_check_end(s->auth, str_head(edge_raw(s), s->header), &v);
	auth_check_evidence(s->auth, &e);
	if (s->blocklists) {
		const struct blocklist_found *f = blocklist_wait(s->blocklists);
		auth_check_listings(s->auth, f->listing, f->n);
	}
	log_sender(s, &e, v);
	note_dmarc(s, &e, v);
	tell_failure(s, &e, v);
	if (e.dmarc && e.dmarc->result == AUTH_PASS)
		s->verified = arena_str(&s->a, e.dmarc->from);
	s->proved = s->verified.n || (e.spf && e.spf->result == AUTH_PASS);
	if (v->action == AUTH_REFUSE)
		FAIL(why, RC_DENIED, "%s %s", v->answer, s->mid);
	if (v->action == AUTH_DEFER)
		FAIL(why, RC_BUSY, "%s %s", v->answer, s->mid);
	*out_junk = s->disowned = v->action == AUTH_JUNK;
	return RC_OK;
}

/* Quarantined by its author's own wish: into each recipient's Junk; where there is no such folder, the keyword says it (RFC 9051 2.3.2). */
static void aim_at_junk(struct edge_session *s, struct seal_target *t, size_t n)
{
	static const struct str keyword = STR_INIT("$Junk");
	for (size_t i = 0; i < n; i++) {
		struct msg_BOX_SPECIAL_answer a;
		struct why why = { 0 };
		enum rc rc = ipc_ask_role(s->v->e->node, ROLE_READER, MSG_BOX_SPECIAL,
		                          &(struct msg_BOX_SPECIAL){ .account = t[i].account, .special_use = USE_JUNK }, &a, NULL, true, &why);
		t[i].keywords = &keyword;
		t[i].keyword_n = 1;
		if (rc == RC_OK)
			t[i].box = a.box;
	}
}

/* RFC 5321 6.3: "simple counting of the number of Received: header fields ... has proven to be an effective, although rarely optimal, method" */
static enum rc check_loop(struct edge_session *s, struct why *why)
{
	struct edge_head h;
	TRY(edge_check_lines(s, why));
	edge_head_read(str_head(edge_raw(s), s->header), &h);
	if (h.received > EDGE_RECEIVED_MAX)
		FAIL(why, RC_CONFLICT, "5.4.6 more than %d Received fields: this message goes round in circles. %s", EDGE_RECEIVED_MAX, s->mid);
	return RC_OK;
}

enum rc edge_in_commit(void *house, struct smtp_result *results, size_t n, char out_id[16], struct why *why)
{
	struct edge_session *s = house;
	bool junk = false;
	struct why inner = { 0 };
	struct edge_post p = { .e = s->v->e, .h = s->h, .a = &s->a };
	memcpy(out_id, s->mid, sizeof s->mid);
	enum rc rc = judge_sender(s, &junk, why);
	if (rc == RC_OK)
		rc = check_loop(s, why);
	if (rc != RC_OK) {
		count_add(s->v->e, rc == RC_BUSY || rc == RC_NOMEM ? M_SMTP_TEMP : M_SMTP_PERM, 1);
		return rc;
	}
	if (n != s->rcpt_n || edge_forward_review(s, junk) != RC_OK)
		FAIL(why, RC_BUSY, "4.3.0 no memory, or the directory does not answer");
	edge_take_out(s, edge_is_ours);
	TRY(edge_put_trace(s, STR(""), why));
	p.rcpts = s->rcpts;
	p.rcpt_n = s->rcpt_n;
	if (edge_post_suppress(&p) != RC_OK)
		FAIL(why, RC_BUSY, "4.3.0 no memory, or the directory does not answer");
	if (edge_post_plan(&p) != RC_OK)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	if (junk)
		aim_at_junk(s, p.targets, p.target_n);
	TRY(edge_forward_letters(s, &p, why));
	rc = edge_post_commit(&p, s->message, &inner);
	if (rc != RC_OK)
		return edge_commit_failed(s, rc, &inner, why);
	count_add(s->v->e, M_SMTP_OK, 1);
	edge_read_reports(s, results);
	edge_settle(s, &p, results);
	return RC_OK;
}
