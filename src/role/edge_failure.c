#include "role/edge_failure.h"

#include "base/log.h"
#include "base/mem.h"
#include "dns/asker.h"
#include "mail/header.h"
#include "origin/report.h"
#include "role/report_rules.h"

enum { RECEIVERS = 3, AT_ONCE = 8, ALL_AN_HOUR = 500, DOMAINS_COUNTED = 2000, QUESTIONS = 12, ROOM = 1 << 20, FIELDS_MAX = 48 << 10, MAIL_MAX = 1 << 20 };

struct job {                           /* one report, owned by its fiber */
	struct role_env *e;
	struct edge_failures *f;
	struct dns_budget budget;
	edge_failure_submit *submit;
	struct arena a;
	struct report_failure facts;
	struct str mid, fields, from, ruf;
};

void edge_failures_init(struct edge_failures *f)
{
	*f = (struct edge_failures){ 0 };
	hourly_init(&f->told, DOMAINS_COUNTED);
}

void edge_failures_done(struct edge_failures *f) { hourly_done(&f->told); }

/* ---- is there something to tell, and may it be told? ---- */

static bool has(struct str fo, char c)
{
	struct str one, rest = fo.n ? fo : STR("0");
	while (rest.n) {
		(void)str_cut(rest, ':', &one, &rest);
		one = str_trim(one);
		if (one.n == 1 && ascii_lower(one.p[0]) == c)
			return true;
	}
	return false;
}

static const struct dkim_signature *failed_signature(const struct dkim_result *dkim)
{
	for (size_t i = 0; dkim && i < dkim->n; i++)
		if (dkim->signature[i].result == AUTH_FAIL)
			return &dkim->signature[i];
	return NULL;
}

const char *edge_failure_wanted(const struct dmarc_result *d, const struct dkim_result *dkim, const struct spf_result *spf)
{
	if (!d->record.found || !d->record.ruf.n || (d->result != AUTH_PASS && d->result != AUTH_FAIL))
		return NULL;
	const struct dkim_signature *broken = failed_signature(dkim);
	/* RFC 7489 6.3: 0 when all mechanisms fail to produce an aligned pass, 1 when any does; d and s whatever the alignment. */
	if ((d->result == AUTH_FAIL && has(d->record.fo, '0')) || (has(d->record.fo, '1') && !(d->spf_aligned && d->dkim_aligned)))
		return "dmarc";
	if (broken && has(d->record.fo, 'd'))
		return broken->body_ok ? "signature" : "bodyhash";
	return spf && has(d->record.fo, 's') && (spf->result == AUTH_FAIL || spf->result == AUTH_SOFTFAIL || spf->result == AUTH_PERMERROR) ? "spf" : NULL;
}

static bool within_the_hour(struct role_env *e, struct edge_failures *f, struct str domain)
{
	int64_t now = loop_now(e->loop);
	return hourly_take(&f->told, now, domain, e->config->reports_failures_per_domain) && hourly_take(&f->told, now, STR(""), ALL_AN_HOUR); /* "": all of them */
}

void edge_failure_fields(struct str header, struct buf *out)
{
	static const char *const told[] = { "Received", "DKIM-Signature", "ARC-Seal", "ARC-Message-Signature", "ARC-Authentication-Results", "From", "Sender", "Date", "Message-ID",
		                            "List-Id" };
	struct header_field f;
	size_t pos = 0;
	bool broken = false;
	while (header_next(header, &pos, &f, &broken) == RC_OK) {
		bool tell = false;
		for (size_t i = 0; i < sizeof told / sizeof *told; i++)
			tell = tell || str_ieq(f.name, str_z(told[i]));
		if (tell && out->len + f.raw.n < FIELDS_MAX)
			buf_add(out, f.raw);
	}
}

/* ---- the report ---- */

static void say(struct job *j, struct str to, const char *state, struct str reason)
{
	bool sent = state[0] == 's';
	count_add(j->e, sent ? M_REPORTS_SENT : M_REPORTS_UNSENT, 1);
	log_event(sent ? LEVEL_INFO : LEVEL_WARN, EV_REPORT_SENT, F("dom", j->facts.domain), F("kind", "failure"), F("to", str_head(to, 320)), F("state", state), F("messages", 1),
	          F("reason", reason));
}

static enum rc make_mail(struct job *j, struct str to, struct buf *out)
{
	char id[400];
	int n = snprintf(id, sizeof id, "<failure.%.*s.%x@%.*s>", PSTR(j->mid), (unsigned)to.n, PSTR(str_head(j->e->config->server_hostname, 253)));
	struct report_mail m = { .from = j->from, .to = to, .submitter = report_domain_of(j->from), .domain = j->facts.domain, .id = j->mid, .message_id = str_of(id, (size_t)n),
		.now_s = wall_ms() / 1000, .begin_s = j->facts.at_s, .end_s = j->facts.at_s, .key = STR("") };
	return report_mail_failure(&m, &j->facts, j->fields, true, out);
}

static void send_one(struct job *j, const struct dmarc_uri *uri)
{
	struct buf mail AUTO(buf_done);
	struct why why = { 0 };
	struct str unused;
	struct dns dns = dns_budget_dns(&j->budget);
	buf_init(&mail, MAIL_MAX);
	/* RFC 9991 5 as RFC 9990 4: who is elsewhere has to say that he wants them. */
	if (uri->address.n > 320 || !dmarc_report_allowed(&dns, j->facts.domain, report_domain_of(uri->address), &j->a, &unused)) {
		say(j, uri->address, "refused", STR("its receiver does not say in the DNS that it wants reports about this domain"));
		return;
	}
	enum rc rc = make_mail(j, uri->address, &mail);
	if (rc == RC_OK && uri->max_size && mail.len > uri->max_size)
		rc = why_fail(&why, RC_LIMIT, 0, __FILE__, "larger than its receiver takes");
	if (rc == RC_OK)
		rc = j->submit(j->e, j->from, uri->address, buf_str(&mail), &why);
	say(j, uri->address, rc == RC_OK ? "sent" : "not sent", rc == RC_OK ? STR("") : str_z(why.text[0] ? why.text : rc_name(rc)));
}

static void job_fiber(void *arg)
{
	struct job *j = arg;
	struct dmarc_uri uri[RECEIVERS];
	size_t n = dmarc_uris(j->ruf, &j->a, uri, RECEIVERS);
	for (size_t i = 0; i < n && !fiber_cancelled(); i++)
		send_one(j, &uri[i]);
	j->f->under_way--;
	arena_done(&j->a);
	mem_free(j);
}

static const char *delivery_of(const struct auth_verdict *v)
{
	return v->action == AUTH_REFUSE ? "reject" : v->action == AUTH_JUNK ? "spam" : "delivered";
}

static enum rc fill(struct job *j, const struct edge_failure *m, const struct auth_evidence *ev, const struct auth_verdict *v, const char *what)
{
	const struct dmarc_result *d = ev->dmarc;
	const struct dkim_signature *broken = failed_signature(ev->dkim);
	struct buf fields AUTO(buf_done);
	char room[400];
	buf_init(&fields, FIELDS_MAX + 1);
	edge_failure_fields(m->header, &fields);
	j->facts = (struct report_failure){ .domain = arena_str(&j->a, d->from), .source_ip = arena_str(&j->a, m->source_ip), .mail_from = arena_str(&j->a, str_head(m->mail_from, 1000)),
		.auth_failure = str_z(what), .dkim_domain = broken ? arena_str(&j->a, broken->domain) : STR(""), .dkim_selector = broken ? arena_str(&j->a, broken->selector) : STR(""),
		.spf_dns = STR(""), .delivery = str_z(delivery_of(v)), .original_headers = STR(""), .at_s = wall_ms() / 1000, .incidents = 1,
		.alignment = d->dkim_aligned && d->spf_aligned ? STR("dkim, spf") : d->dkim_aligned ? STR("dkim") : d->spf_aligned ? STR("spf") : STR("none") };
	j->mid = arena_str(&j->a, m->mid);
	j->fields = arena_str(&j->a, buf_str(&fields));
	j->from = arena_str(&j->a, report_from(j->e->config, room));
	j->ruf = arena_str(&j->a, d->record.ruf);
	return j->a.full || fields.failed ? RC_NOMEM : RC_OK;
}

void edge_failure_tell(struct role_env *e, struct edge_failures *f, const struct dns *dns, const struct edge_failure *m, const struct auth_evidence *ev,
                       const struct auth_verdict *v, edge_failure_submit *submit)
{
	if (!e->config->reports_send_failures || !ev->dmarc || v->action == AUTH_DEFER || m->to_reports || report_is_one(e->config, m->header))
		return;
	const char *what = edge_failure_wanted(ev->dmarc, ev->dkim, ev->spf);
	if (!what || f->under_way >= AT_ONCE || !within_the_hour(e, f, ev->dmarc->from))
		return;
	struct job *j = mem_new(sizeof *j);
	if (!j)
		return;
	*j = (struct job){ .e = e, .f = f, .budget = { .behind = *dns, .left = QUESTIONS }, .submit = submit };
	arena_init(&j->a, ROOM);
	f->under_way++;
	if (fill(j, m, ev, v, what) == RC_OK && fiber_start(e->loop, job_fiber, j, NULL) == RC_OK)
		return;
	f->under_way--;
	arena_done(&j->a);
	mem_free(j);
}
