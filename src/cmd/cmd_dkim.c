#include "cmd/address.h"
#include "cmd/ctl.h"
#include "role/dkim_wire.h"
#include "role/wire.h"
#include <time.h>

/* dkim list|rotate|retire|revoke. */

enum { ROOM = 32 << 20, STRING_MAX_ = 255 };

static const char *const kinds[] = { [VAULT_DKIM_RSA] = "rsa", [VAULT_DKIM_ED25519] = "ed25519" };
static const char *const seen[] = { [DKIM_UNASKED] = "not looked yet", [DKIM_SEEN] = "seen", [DKIM_ABSENT] = "absent" };

static const char *time_text(int64_t ms, char out[24])
{
	time_t t = (time_t)(ms / 1000);
	struct tm tm;
	if (ms == 0 || !gmtime_r(&t, &tm) || !strftime(out, 24, "%Y-%m-%dT%H:%M:%SZ", &tm))
		out[0] = 0;
	return out;
}

/* ---- list ---- */

static void list_json(struct arena *a, const struct dkim_row *r)
{
	char at[VAULT_DKIM_STATES][24];
	AUTO(buf_done) struct buf b = { .max = 4096 };
	buf_addf(&b, "{\"domain\":\"%s\",\"selector\":\"%s\",\"kind\":\"%s\",\"state\":\"%s\",\"dns\":\"%s\"", json_text(a, r->domain),
	         json_text(a, r->selector), kinds[r->kind], vault_dkim_state_name(r->state), r->dns == DKIM_UNASKED ? "unknown" : seen[r->dns]);
	for (unsigned i = 1; i < VAULT_DKIM_STATES; i++)
		if (r->at_ms[i])
			buf_addf(&b, ",\"%s\":\"%s\"", vault_dkim_state_name(i), time_text(r->at_ms[i], at[i]));
	buf_addf(&b, ",\"name\":\"%s._domainkey.%s\"", json_text(a, r->selector), json_text(a, r->domain));
	say_json("%.*s,\"record\":\"%s\"}", PSTR(buf_str(&b)), json_text(a, r->record));
}

/* A line of a zone file; RFC 1035 3.3: a character-string has at most 255 octets. */
static void say_record(struct arena *a, const struct dkim_row *r)
{
	AUTO(buf_done) struct buf b = { .max = 4096 };
	for (struct str left = r->record; left.n; left = str_skip(left, STRING_MAX_))
		buf_addf(&b, " \"%.*s\"", PSTR(str_head(left, STRING_MAX_)));
	say("  %s._domainkey.%s. IN TXT (%.*s )", text_z(a, r->selector), text_z(a, r->domain), PSTR(buf_str(&b)));
}

static void list_text(struct arena *a, const struct dkim_row *r)
{
	char since[24];
	say("%-24s %-16s %-8s %-10s %s  %s", text_z(a, r->domain), text_z(a, r->selector), kinds[r->kind], vault_dkim_state_name(r->state),
	    time_text(r->at_ms[r->state], since), r->state == VAULT_DKIM_REVOKED ? "" : seen[r->dns]);
	if (r->state <= VAULT_DKIM_PUBLISHED || r->dns == DKIM_ABSENT)
		say_record(a, r);
}

static enum rc fetch(struct ctl *ctl, struct str domain, struct arena *a, struct dkim_row **out, size_t *out_n, struct why *why)
{
	struct msg_DKIM_LIST_answer answer;
	struct ipc_reply reply = { 0 };
	TRY(ctl_ask(ctl, ROLE_VAULT, MSG_DKIM_LIST, &(struct msg_DKIM_LIST){ .domain = domain }, &answer, &reply, why));
	struct str kept = arena_str(a, answer.keys);
	ipc_reply_done(&reply);
	return a->full ? RC_NOMEM : dkim_wire_get(kept, a, out, out_n);
}

static enum status domain_arg(struct call *c, char out[256])
{
	struct why why = { 0 };
	out[0] = 0;
	if (c->arg_n && domain_clean(c->args[0], out, 256, &why) != RC_OK)
		return say_usage(c, "%s", why.text);
	return STATUS_OK;
}

static enum status list(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	AUTO(arena_done) struct arena a = { .max = ROOM };
	struct dkim_row *rows;
	size_t n = 0;
	char domain[256];
	if (domain_arg(c, domain) != STATUS_OK)
		return STATUS_USAGE;
	if (fetch(ctl, str_z(domain), &a, &rows, &n, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the DKIM keys cannot be listed", why.text, "letterlock status");
	for (size_t i = 0; i < n; i++)
		(c->json ? list_json : list_text)(&a, &rows[i]);
	return n ? STATUS_OK : say_error(c, STATUS_NOTHING, "there are no DKIM keys", NULL, "letterlock dkim rotate DOMAIN");
}
enum status run_dkim_list(struct call *c) { return ctl_verb(c, list); }

/* ---- rotate ---- */

static enum status rotate_one(struct ctl *ctl, struct call *c, const char *domain)
{
	struct why why = { 0 };
	enum rc rc = ctl_ask(ctl, ROLE_VAULT, MSG_DKIM_KEYS, &(struct msg_DKIM_KEYS){ .op = DKIM_OP_ROTATE, .domain = str_z(domain), .selector = STR("") },
	                     NULL, NULL, &why);
	char what[320];
	(void)snprintf(what, sizeof what, "no new DKIM keys for %s", domain);
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, what, why.text, rc == RC_EXISTS ? "letterlock dkim list DOMAIN" : "letterlock status");
	ctl_audit(ctl, "dkim rotate", STR(""), str_z(domain));
	return STATUS_OK;
}

static enum status say_waiting(struct ctl *ctl, struct call *c, const char *domain)
{
	struct why why = { 0 };
	AUTO(arena_done) struct arena a = { .max = ROOM };
	struct dkim_row *rows;
	size_t n = 0;
	if (fetch(ctl, str_z(domain), &a, &rows, &n, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the DKIM keys cannot be listed", why.text, "letterlock status");
	if (!c->json)
		say("%s: publish these; they sign by themselves once they have been seen in the DNS", domain);
	for (size_t i = 0; i < n; i++) {
		if (rows[i].state != VAULT_DKIM_MADE)
			continue;
		if (c->json)
			list_json(&a, &rows[i]);
		else
			say_record(&a, &rows[i]);
	}
	return STATUS_OK;
}

/* RC_NOTFOUND: not ours; keys for a stranger's domain would be of no use. */
static enum rc our_domains(struct ctl *ctl, struct arena *a, struct str **out, size_t *out_n, struct why *why)
{
	struct msg_DOMAINS_answer answer;
	struct ipc_reply reply = { 0 };
	TRY(ctl_ask(ctl, ROLE_READER, MSG_DOMAINS, &(struct msg_DOMAINS){ 0 }, &answer, &reply, why));
	struct str kept = arena_str(a, answer.domains);
	ipc_reply_done(&reply);
	return a->full ? RC_NOMEM : wire_get_strs(kept, a, out, out_n);
}

static enum status rotate(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	struct why why = { 0 };
	AUTO(arena_done) struct arena a = { .max = ROOM };
	struct str *ours;
	size_t n = 0, done = 0;
	char domain[256];
	enum status worst = STATUS_OK;
	if (domain_arg(c, domain) != STATUS_OK)
		return STATUS_USAGE;
	if (our_domains(ctl, &a, &ours, &n, &why) != RC_OK)
		return say_error(c, STATUS_FAILED, "the domains cannot be listed", why.text, "letterlock status");
	for (size_t i = 0; i < n; i++) {
		char name[256];
		(void)snprintf(name, sizeof name, "%.*s", PSTR(str_head(ours[i], 255)));
		if (domain[0] && strcmp(domain, name) != 0)
			continue;
		done++;
		enum status s = rotate_one(ctl, c, name);
		if (s == STATUS_OK)
			s = say_waiting(ctl, c, name);
		worst = s > worst ? s : worst;
	}
	return done ? worst : say_error(c, STATUS_NOTHING, "that domain is not ours", NULL, "letterlock domain list");
}
enum status run_dkim_rotate(struct call *c) { return ctl_verb(c, rotate); }

/* ---- retire, revoke ---- */

static enum status end_key(struct ctl *ctl, struct call *c, uint8_t op, const char *done)
{
	struct why why = { 0 };
	char domain[256], what[400];
	if (domain_arg(c, domain) != STATUS_OK)
		return STATUS_USAGE;
	enum rc rc = ctl_ask(ctl, ROLE_VAULT, MSG_DKIM_KEYS, &(struct msg_DKIM_KEYS){ .op = op, .domain = str_z(domain), .selector = str_z(c->args[1]) },
	                     NULL, NULL, &why);
	if (rc == RC_NOTFOUND)
		return say_error(c, STATUS_NOTHING, why.text, NULL, "letterlock dkim list");
	(void)snprintf(what, sizeof what, "%.60s of %s was not %s", c->args[1], domain, done);
	if (rc != RC_OK)
		return say_error(c, STATUS_FAILED, what, why.text, "letterlock dkim list");
	(void)snprintf(what, sizeof what, "%.32s._domainkey.%s", c->args[1], domain);
	ctl_audit(ctl, op == DKIM_OP_RETIRE ? "dkim retire" : "dkim revoke", str_z(what), STR(""));
	if (c->json)
		say_json("{\"domain\":\"%s\",\"selector\":\"%s\",\"state\":\"%s\"}", domain, c->args[1], done);
	else
		say("%s of %s is %s", c->args[1], domain, done);
	return STATUS_OK;
}

/* Is this the only key that signs for its domain? Without one, all its mail goes out unsigned. */
static bool signs_alone(struct ctl *ctl, const struct call *c)
{
	AUTO(arena_done) struct arena a = { .max = ROOM };
	struct dkim_row *rows;
	struct why why = { 0 };
	size_t n = 0;
	char domain[256];
	bool it = false, others = false;
	if (domain_clean(c->args[0], domain, sizeof domain, &why) != RC_OK || fetch(ctl, str_z(domain), &a, &rows, &n, &why) != RC_OK)
		return false; /* end_key() will say what is wrong */
	for (size_t i = 0; i < n; i++) {
		bool same = str_eq(rows[i].selector, str_z(c->args[1])), signs = rows[i].state == VAULT_DKIM_SIGNING;
		it |= same && signs;
		others |= !same && signs;
	}
	return it && !others;
}

static enum status retire(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	char question[300];
	(void)snprintf(question, sizeof question, "Nothing else signs for %.100s: its mail will go out unsigned until a key of \"letterlock dkim rotate\" does. Retire %.32s?", c->args[0],
	               c->args[1]);
	if (signs_alone(ctl, c)) {
		if (!ask_yes(c, question))
			return STATUS_FAILED;
		fiber_yield(); /* the question took its time: let the loop's clock catch up */
	}
	return end_key(ctl, c, DKIM_OP_RETIRE, "retired");
}
enum status run_dkim_retire(struct call *c) { return ctl_verb(c, retire); }

static enum status revoke(struct ctl *ctl, void *arg)
{
	struct call *c = arg;
	char question[300];
	(void)snprintf(question, sizeof question, "%sDestroy the private half of %.32s of %.100s for good?", signs_alone(ctl, c) ? "Nothing else signs for this domain: its mail will go out unsigned. " : "",
	               c->args[1], c->args[0]);
	if (!ask_yes(c, question))
		return STATUS_FAILED;
	fiber_yield(); /* the question took its time: let the loop's clock catch up */
	return end_key(ctl, c, DKIM_OP_REVOKE, "revoked");
}
enum status run_dkim_revoke(struct call *c) { return ctl_verb(c, revoke); }
