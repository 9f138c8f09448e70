#include "role/report_edge.h"

#include "base/codec.h"
#include "base/cursor.h"
#include "base/log.h"
#include "origin/dkim.h"
#include "origin/report.h"
#include "mail/header.h"
#include "role/dkim_wire.h"
#include "role/edge_address.h"
#include "role/report_rules.h"

/* ---- in ---- */

static void say_bad(struct role_env *e, const struct report_came *r, enum rc rc, const char *why)
{
	count_add(e, M_REPORTS_BAD, 1);
	log_event(LEVEL_WARN, EV_REPORT_BAD, F("mid", r->mid), F("from", str_head(r->sender, 320)), F("dom", r->verified), F("reason", why[0] ? why : rc_name(rc)));
}

/* Is that domain, or one that it lies in, ours or named in reports.also? Anybody can prove to be himself and report about anybody. */
static bool is_ours(struct role_env *e, struct map *addresses, struct str domain)
{
	enum { PARENTS = 8, ALSO = 256 };
	for (int i = 0; i < PARENTS && domain.n; i++) {
		struct str also[ALSO];
		size_t n = report_words(e->config->reports_also, also, ALSO); /* anew each time: a reload replaces the configuration */
		char room[320];
		struct buf address = { .p = room, .cap = sizeof room, .max = sizeof room };
		const struct edge_known *k;
		struct why unused = { 0 };
		for (size_t w = 0; w < n; w++)
			if (str_ieq(also[w], domain))
				return true;
		buf_addf(&address, "postmaster@%.*s", PSTR(str_head(domain, 255)));
		for (size_t c = 0; c < address.len; c++)
			room[c] = ascii_lower(room[c]);
		enum rc rc = edge_address_find(e, addresses, buf_str(&address), &k, &unused);
		if (rc == RC_OK || rc == RC_NOTFOUND)
			return true;
		domain = str_skip(domain, str_find(domain, '.') + 1);
	}
	return false;
}

static enum rc keep(struct role_env *e, const struct report_came *r, const struct msg_REPORT_READ_answer *read, struct why *why)
{
	struct why inner = { 0 };
	struct msg_REPORT_IN q = { .at_ms = (uint64_t)wall_ms(), .mid = r->mid, .verified = r->verified, .sender = str_head(r->sender, 320), .report = read->report };
	struct msg_REPORT_IN_answer a = { 0 };
	enum rc rc = ipc_ask_role(e->node, ROLE_LEDGER, MSG_REPORT_IN, &q, &a, NULL, true, &inner);
	if (rc == RC_OK || rc == RC_EXISTS) {
		static const char *const kinds[] = { [REPORT_DMARC] = "dmarc", [REPORT_FAILURE] = "failure", [REPORT_TLS] = "tls" };
		count_add(e, rc == RC_OK ? M_REPORTS_IN : M_REPORTS_AGAIN, 1);
		log_event(LEVEL_INFO, EV_REPORT_IN, F("mid", r->mid), F("kind", read->kind <= REPORT_TLS && kinds[read->kind] ? kinds[read->kind] : "?"), F("dom", r->verified),
		          F("rows", a.rows), F("again", rc == RC_EXISTS));
		return RC_OK;
	}
	if (rc == RC_SYNTAX || rc == RC_LIMIT || rc == RC_NOMEM) {
		say_bad(e, r, rc, inner.text);
		return RC_OK;
	}
	FAIL(why, RC_BUSY, "4.3.0 reports cannot be kept now, try again");
}

/* Twice, for its process may have ended for another's sake. RC_BUSY: nobody is there to read it. */
static enum rc read_it(struct role_env *e, struct str message, struct msg_REPORT_READ_answer *out, struct ipc_reply *reply, struct why *why)
{
	enum { FIND_MS = 5000 };
	enum rc rc = RC_CLOSED;
	for (int tries = 0; tries < 2 && rc == RC_CLOSED; tries++) {
		struct ipc_peer *scan;
		if (ipc_find(e->node, ROLE_SCAN, FIND_MS, &scan) != RC_OK)
			return RC_BUSY;
		rc = ipc_ask(scan, MSG_REPORT_READ, &(struct msg_REPORT_READ){ .message = message }, out, reply, why);
	}
	return rc == RC_CLOSED && fiber_cancelled() ? RC_BUSY : rc;
}

enum rc report_edge_read(struct role_env *e, struct map *addresses, const struct report_came *r, struct why *why)
{
	struct msg_REPORT_READ_answer a;
	struct ipc_reply reply = { 0 };
	struct why inner = { 0 };
	enum rc rc = read_it(e, r->message, &a, &reply, &inner);
	if (rc == RC_OK) {
		struct report_came came = *r;
		if (!is_ours(e, addresses, a.domain))
			came.verified = STR("");
		rc = keep(e, &came, &a, why);
		ipc_reply_done(&reply);
		return rc;
	}
	if (rc == RC_BUSY)
		FAIL(why, RC_BUSY, "4.3.0 reports cannot be read now, try again");
	/* What ended the process that read it is taken as malformed: to ask for it again would end the next one. */
	say_bad(e, r, rc, inner.text);
	if (rc == RC_NOTFOUND && !r->verified.n)
		FAIL(why, RC_SYNTAX, "5.6.0 this address takes reports of programs only, and no report is in this message");
	return RC_OK;
}

/* ---- out ---- */

struct vault_key { struct role_env *e; struct str domain, selector; };
static enum rc sign_digest(void *house, const uint8_t digest[32], struct buf *out, struct why *why)
{
	const struct vault_key *k = house;
	struct msg_DKIM_SIGN q = { .domain = k->domain, .selector = k->selector, .digests = str_of(digest, 32) };
	struct msg_DKIM_SIGN_answer a;
	struct ipc_reply reply = { 0 };
	TRY(ipc_ask_role(k->e->node, ROLE_VAULT, MSG_DKIM_SIGN, &q, &a, &reply, true, why));
	struct cursor c = cursor_of(a.signatures);
	buf_add(out, cursor_run(&c, 1024));
	bool ok = cursor_at_end(&c) && !out->failed;
	ipc_reply_done(&reply);
	if (!ok)
		FAIL(why, RC_SYNTAX, "the vault's answer is no signature");
	return RC_OK;
}

static enum rc sign_with(struct role_env *e, struct str domain, const struct dkim_row *rows, size_t n, struct str message, struct buf *out, struct why *why)
{
	enum { KEYS = 4 };
	struct vault_key house[KEYS];
	struct dkim_key_ref key[KEYS];
	size_t keys = 0;
	for (size_t i = 0; i < n && keys < KEYS; i++) {
		if (rows[i].state != VAULT_DKIM_SIGNING)
			continue;
		house[keys] = (struct vault_key){ e, domain, rows[i].selector };
		key[keys] = (struct dkim_key_ref){ .domain = domain, .selector = rows[i].selector, .kind = rows[i].kind == VAULT_DKIM_ED25519 ? DKIM_ED25519 : DKIM_RSA,
			.sign = sign_digest, .house = &house[keys] };
		keys++;
	}
	struct dkim_sign_options o = { .header = DKIM_RELAXED, .body = DKIM_RELAXED, .identity = STR(""), .headers = STR(""), .now_s = wall_ms() / 1000 };
	return keys ? dkim_sign(message, key, keys, &o, out, why) : RC_OK;
}

enum rc report_edge_sign(struct role_env *e, struct str domain, struct str message, struct buf *out, struct why *why)
{
	struct msg_DKIM_LIST_answer list;
	struct ipc_reply reply = { 0 };
	struct arena a;
	struct dkim_row *rows;
	size_t n = 0;
	TRY(ipc_ask_role(e->node, ROLE_VAULT, MSG_DKIM_LIST, &(struct msg_DKIM_LIST){ .domain = domain }, &list, &reply, true, why));
	arena_init(&a, 4 << 20);
	enum rc rc = dkim_wire_get(list.keys, &a, &rows, &n);
	if (rc == RC_OK)
		rc = sign_with(e, domain, rows, n, message, out, why);
	ipc_reply_done(&reply);
	arena_done(&a);
	if (rc == RC_OK)
		buf_add(out, message);
	return rc == RC_OK && out->failed ? RC_NOMEM : rc;
}

/* RFC 5321 4.4: the final delivery adds Return-Path, and each hop Received. */
static enum rc dress(struct role_env *e, const struct msg_SUBMIT *m, const char *mid, struct buf *out, struct why *why)
{
	struct buf signed_mail AUTO(buf_done);
	buf_init(&signed_mail, m->message.n + 65536);
	if (report_edge_sign(e, report_domain_of(m->from), m->message, &signed_mail, why) != RC_OK)
		return RC_BUSY;
	buf_addf(out, "Return-Path: <%.*s>\r\nReceived: by %.*s (Letterlock) id %s;\r\n ", PSTR(m->from), PSTR(str_head(e->config->server_hostname, 253)), mid);
	mail_date_format(wall_ms(), 0, out);
	buf_add(out, STR("\r\n"));
	buf_add(out, buf_str(&signed_mail));
	return out->failed ? RC_NOMEM : RC_OK;
}

static enum rc deliver(struct role_env *e, struct sealer *s, const struct edge_known *k, const struct msg_SUBMIT *m, const char *mid, struct why *why)
{
	struct buf message AUTO(buf_done);
	struct seal_target t = { .account = k->account, .box = k->box };
	struct store_copy_result got = { 0 };
	uint32_t defects = 0;
	buf_init(&message, m->message.n + 70000);
	memcpy(t.public_key, k->public_key, PUB_LEN);
	if (k->disabled)
		FAIL(why, RC_NOTFOUND, "its receiver's account is disabled");
	if (k->quota && k->used + m->message.n >= k->quota)
		FAIL(why, RC_BUSY, "its receiver's mailbox is full");
	TRY(dress(e, m, mid, &message, why));
	enum rc rc = sealer_deliver(s, buf_str(&message), wall_ms(), &t, 1, &got, &defects, why);
	if (rc != RC_OK)
		return rc == RC_LATE ? RC_LATE : RC_BUSY; /* late: nobody knows */
	if (got.rc != RC_OK)
		FAIL(why, got.rc == RC_NOTFOUND ? RC_NOTFOUND : RC_BUSY, "not stored (%s)", rc_name(got.rc));
	return RC_OK;
}

enum rc report_edge_submit(struct role_env *e, struct map *addresses, struct sealer *s, const struct msg_SUBMIT *m, char out_mid[9], struct why *why)
{
	char low[320];
	uint64_t id = 0;
	const struct edge_known *k;
	struct why inner = { 0 };
	struct str domain = report_domain_of(m->to), to = str_of(low, m->to.n);
	if (m->to.n == 0 || m->to.n > sizeof low || !domain.n || !report_domain_of(m->from).n)
		FAIL(why, RC_SYNTAX, "no address");
	for (size_t i = 0; i < m->to.n; i++)
		low[i] = ascii_lower(m->to.p[i]);
	TRY(random_bytes(&id, sizeof id));
	short_id(id, out_mid);
	enum rc rc = edge_address_find(e, addresses, to, &k, &inner);
	if (rc == RC_DENIED)
		FAIL(why, RC_DENIED, "its receiver is on another server, and mail to other servers is not sent yet");
	if ((rc == RC_OK || rc == RC_NOTFOUND) && report_address_is(e->config, str_head(to, to.n - domain.n - 1), report_domain_of(to)))
		return report_edge_read(e, addresses, &(struct report_came){ m->message, str_z(out_mid), m->from, report_domain_of(m->from) }, why);
	if (rc == RC_NOTFOUND)
		FAIL(why, RC_NOTFOUND, "no such address here");
	if (rc != RC_OK)
		FAIL(why, RC_BUSY, "the directory does not answer");
	return deliver(e, s, k, m, out_mid, why);
}
