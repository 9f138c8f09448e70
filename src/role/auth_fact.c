#include "role/auth_fact.h"

#include "base/cursor.h"

enum { DISPOSED_NONE, DISPOSED_QUARANTINE, DISPOSED_REJECT, DISPOSED };
static const struct str dispositions[DISPOSED] = { STR_INIT("none"), STR_INIT("quarantine"), STR_INIT("reject") };

static uint8_t disposition_of(const char *name)
{
	return name[0] == 'r' ? DISPOSED_REJECT : name[0] == 'q' ? DISPOSED_QUARANTINE : DISPOSED_NONE;
}

/* Those that passed come first, for a row has room for eight; of one that names no domain there is nothing to say to anybody. */
static void put_dkim(const struct dkim_result *dkim, struct buf *out)
{
	size_t n = 0;
	for (unsigned round = 0; round < 2; round++)
		for (size_t i = 0; i < dkim->n && n < 8; i++) {
			const struct dkim_signature *s = &dkim->signature[i];
			if (s->domain.n == 0 || (s->result == AUTH_PASS) != (round == 0))
				continue;
			n++;
			buf_u8(out, (uint8_t)s->result);
			buf_run(out, str_head(s->domain, 255));
			buf_run(out, str_head(s->selector, 200));
		}
}

bool auth_fact_make(const struct auth_evidence *e, const struct auth_verdict *v, const struct auth_fact_in *in, struct buf *scratch, struct msg_DMARC_RESULT *out)
{
	const struct dmarc_result *d = e->dmarc;
	if (!d || !d->record.found || !v->disposition || v->action == AUTH_DEFER || d->record.text.n > 4096)
		return false;
	*out = (struct msg_DMARC_RESULT){ .at_ms = (uint64_t)in->at_ms, .mid = in->mid, .source = in->source, .at = d->record.at, .record = d->record.text,
		.published = (uint8_t)d->published, .disposition = disposition_of(v->disposition), .spf_aligned = d->spf_aligned, .dkim_aligned = d->dkim_aligned,
		.override = str_z(v->override), .comment = str_z(v->comment), .header_from = d->from, .envelope_from = str_head(in->envelope_from, 255),
		.envelope_to = str_head(in->envelope_to, 255), .spf_domain = STR(""), .dkim = STR("") };
	if (e->spf) {
		out->spf = (uint8_t)e->spf->result;
		out->spf_helo = e->spf->of_helo;
		out->spf_domain = str_head(e->spf->domain, 255);
	}
	if (e->dkim)
		put_dkim(e->dkim, scratch);
	if (!scratch->failed)
		out->dkim = buf_str(scratch);
	return true;
}

static enum rc get_dkim(struct str packed, struct report_row *row, struct why *why)
{
	struct cursor c = cursor_of(packed);
	while (c.in.n && !c.failed && row->auth_dkims < sizeof row->auth_dkim / sizeof *row->auth_dkim) {
		uint8_t result = cursor_u8(&c);
		struct report_auth *one = &row->auth_dkim[row->auth_dkims++];
		if (result > AUTH_PERMERROR)
			FAIL(why, RC_SYNTAX, "DMARC_RESULT: no such DKIM result");
		one->result = str_z(auth_name((enum auth)result));
		one->domain = cursor_run(&c, 255);
		one->selector = cursor_run(&c, 255);
		one->scope = STR("");
	}
	if (!cursor_at_end(&c))
		FAIL(why, RC_SYNTAX, "DMARC_RESULT: broken DKIM results");
	return RC_OK;
}

enum rc auth_fact_row(const struct msg_DMARC_RESULT *m, struct arena *a, struct report_aggregate *out, struct report_row *out_row, struct str *out_rua,
                      struct why *why)
{
	struct dmarc_record r;
	static const struct str no = STR_INIT("");
	if (m->disposition >= DISPOSED || m->published > DMARC_REJECT || m->spf > AUTH_PERMERROR || m->at.n == 0)
		FAIL(why, RC_SYNTAX, "DMARC_RESULT: a value out of range");
	TRY(dmarc_record_parse(m->record, a, &r, why));
	*out = (struct report_aggregate){ .org = no, .email = no, .extra = no, .id = no, .domain = m->at, .p = str_z(dmarc_policy_name(r.p)),
		.sp = str_z(dmarc_policy_name(r.sp)), .np = str_z(dmarc_policy_name(r.np)), .adkim = r.strict_dkim ? STR("s") : STR("r"),
		.aspf = r.strict_spf ? STR("s") : STR("r"), .fo = r.fo, .pct = r.pct, .testing = r.testing, .discovery = STR("treewalk"), .rfc9990 = true };
	*out_row = (struct report_row){ .source_ip = m->source, .count = 1, .disposition = dispositions[m->disposition],
		.dkim = m->dkim_aligned ? STR("pass") : STR("fail"), .spf = m->spf_aligned ? STR("pass") : STR("fail"), .override = m->override,
		.override_comment = m->comment, .header_from = m->header_from, .envelope_from = m->envelope_from, .envelope_to = m->envelope_to,
		.auth_spf = { no, no, str_z(auth_name((enum auth)m->spf)), m->spf_helo ? STR("helo") : STR("mfrom") } };
	for (size_t i = 0; i < sizeof out_row->auth_dkim / sizeof *out_row->auth_dkim; i++)
		out_row->auth_dkim[i] = (struct report_auth){ no, no, no, no };
	out_row->auth_spf.domain = m->spf_domain;
	*out_rua = r.rua;
	return get_dkim(m->dkim, out_row, why);
}
