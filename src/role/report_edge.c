#include "role/report_edge.h"

#include "base/codec.h"
#include "base/cursor.h"
#include "base/log.h"
#include "origin/report.h"
#include "role/edge_address.h"
#include "role/report_rules.h"

static void say_bad(struct role_env *e, const struct report_came *r, enum rc rc, struct str why)
{
	count_add(e, M_REPORTS_BAD, 1);
	log_event(LEVEL_WARN, EV_REPORT_BAD, F("mid", r->mid), F("from", str_head(r->sender, 320)), F("dom", r->verified), F("reason", why.n ? why : str_z(rc_name(rc))));
}

/* Is that domain, or one that it lies in, ours or named in reports.also? Anybody can prove to be himself and report about anybody. */
static bool is_ours(struct role_env *e, struct edge_addresses *addresses, struct str domain)
{
	enum { PARENTS = 8, ALSO = 256 };
	for (int i = 0; i < PARENTS && domain.n; i++) {
		struct str also[ALSO];
		size_t n = str_words(e->config->reports_also, also, ALSO); /* anew each time: a reload replaces the configuration */
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

static enum rc keep(struct role_env *e, const struct report_came *r, unsigned kind, struct str report, struct why *why)
{
	struct why inner = { 0 };
	struct msg_REPORT_IN q = { .at_ms = (uint64_t)wall_ms(), .mid = r->mid, .verified = r->verified, .sender = str_head(r->sender, 320), .report = report };
	struct msg_REPORT_IN_answer a = { 0 };
	enum rc rc = ipc_ask_role(e->node, ROLE_LEDGER, MSG_REPORT_IN, &q, &a, NULL, true, &inner);
	if (rc == RC_OK || rc == RC_EXISTS) {
		static const char *const kinds[] = { [REPORT_DMARC] = "dmarc", [REPORT_FAILURE] = "failure", [REPORT_TLS] = "tls" };
		count_add(e, rc == RC_OK ? M_REPORTS_IN : M_REPORTS_AGAIN, 1);
		log_event(LEVEL_INFO, EV_REPORT_IN, F("mid", r->mid), F("kind", kind <= REPORT_TLS && kinds[kind] ? kinds[kind] : "?"), F("dom", r->verified),
		          F("rows", a.rows), F("again", rc == RC_EXISTS));
		return RC_OK;
	}
	if (rc == RC_SYNTAX || rc == RC_LIMIT || rc == RC_NOMEM) {
		say_bad(e, r, rc, str_z(inner.text));
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

/* Each is kept or said to be unreadable. The mail is taken back where one cannot be kept now: those that were are known when they come again. */
static enum rc keep_all(struct role_env *e, struct edge_addresses *addresses, const struct report_came *r, struct str reports, struct why *why)
{
	struct cursor c = cursor_of(reports);
	for (unsigned i = 0; i < REPORT_FILES_MAX && c.in.n; i++) {
		struct report_came came = *r;
		unsigned kind = cursor_u8(&c);
		struct str domain = cursor_run(&c, 255), report = cursor_run(&c, c.in.n);
		if (c.failed || kind == REPORT_UNKNOWN) {
			say_bad(e, r, RC_SYNTAX, report);
			continue;
		}
		if (!is_ours(e, addresses, domain))
			came.verified = STR("");
		TRY(keep(e, &came, kind, report, why));
	}
	return RC_OK;
}

enum rc report_edge_read(struct role_env *e, struct edge_addresses *addresses, const struct report_came *r, struct why *why)
{
	struct msg_REPORT_READ_answer a;
	struct ipc_reply reply = { 0 };
	struct why inner = { 0 };
	enum rc rc = read_it(e, r->message, &a, &reply, &inner);
	if (rc == RC_OK) {
		rc = keep_all(e, addresses, r, a.reports, why);
		ipc_reply_done(&reply);
		return rc;
	}
	if (rc == RC_BUSY)
		FAIL(why, RC_BUSY, "4.3.0 reports cannot be read now, try again");
	/* What ended the process that read it is taken as malformed: to ask for it again would end the next one. */
	say_bad(e, r, rc, str_z(inner.text));
	if (rc == RC_NOTFOUND && !r->verified.n)
		FAIL(why, RC_SYNTAX, "5.6.0 this address takes reports of programs only, and no report is in this message");
	return RC_OK;
}
