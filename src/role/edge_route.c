#include "role/edge_session.h"

#include "base/log.h"
#include "origin/srs.h"
#include "role/report_rules.h"

/* RCPT: whom a message is for. */

/* RFC 5321 4.5.1: "postmaster" is somebody at every domain that is ours: the admin, where no account has the address. */
static enum rc look_up_admin(struct role_env *e, const struct edge_known **out)
{
	struct str admin = e->config->server_admin;
	char room[320];
	struct why why = { 0 };
	if (!admin.n || admin.n > sizeof room)
		return RC_NOTFOUND;
	for (size_t i = 0; i < admin.n; i++)
		room[i] = ascii_lower(admin.p[i]);
	return edge_address_find(e, &((struct edge_house *)e->state)->addresses, str_of(room, admin.n), out, &why);
}

static struct edge_rcpt *rcpt_new(struct edge_session *s)
{
	if (s->rcpt_n == s->rcpt_cap) {
		size_t cap = s->rcpt_cap ? s->rcpt_cap * 2 : 4;
		struct edge_rcpt *r = arena_new(&s->a, cap * sizeof *r);
		if (!r)
			return NULL;
		if (s->rcpt_n)
			memcpy(r, s->rcpts, s->rcpt_n * sizeof *r);
		s->rcpts = r;
		s->rcpt_cap = cap;
	}
	return &s->rcpts[s->rcpt_n];
}

/* A list that says nothing in time lists nobody. RFC 5321 4.5.1: postmaster is reachable, for who is listed by mistake has to ask somebody. */
static enum rc ask_blocklists(struct edge_session *s, struct str local, struct why *why)
{
	const char *ip = stream_facts(s->v->stream)->peer_ip;
	bool stranger = s->v->proto == LISTEN_SMTP || s->v->proto == LISTEN_SMTPS;
	if (!s->blocklists_begun && stranger && blocklist_new(s->h->auth, s->v->e, ip, s->v->sid, &s->blocklists) != RC_OK)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	s->blocklists_begun = true;
	const struct blocklist_found *f = s->blocklists ? blocklist_wait(s->blocklists) : NULL;
	if (!f || !f->refuse || str_ieq(local, STR("postmaster")))
		return RC_OK;
	const struct dnsbl_listing *l = &f->listing[0];
	FAIL(why, RC_DENIED, "5.7.1 %s is listed by %.*s%s%.*s", ip, PSTR(str_head(l->zone, 60)), l->reason.n ? ": " : "", PSTR(str_head(l->reason, 75)));
}

/* Takes the recipient: its places are copied, for what is known of addresses may be forgotten at any wait. */
static enum rc add_rcpt(struct edge_session *s, const struct smtp_rcpt *to, struct str address, const struct route_target *places, size_t n, bool report,
                        struct why *why)
{
	struct edge_rcpt *r = rcpt_new(s);
	struct route_target *copy = arena_new(&s->a, (n + 1) * sizeof *copy);
	if (!r || !copy)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	*r = (struct edge_rcpt){ .address = arena_str(&s->a, address), .places = copy, .place_n = n, .report = report, .notify = to->notify,
		.orcpt_type = arena_str(&s->a, to->orcpt_type), .orcpt = arena_str(&s->a, to->orcpt) };
	for (size_t i = 0; i < n; i++) {
		copy[i] = places[i];
		copy[i].address = arena_str(&s->a, places[i].address);
		copy[i].via = arena_str(&s->a, places[i].via);
		copy[i].group_owner = arena_str(&s->a, places[i].group_owner);
		if (!r->account && !places[i].remote)
			r->account = places[i].account;
	}
	if (s->a.full)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	s->rcpt_n++;
	return RC_OK;
}

/* ---- an address of ours ---- */

static bool may_write(const struct edge_session *s, const struct route *r)
{
	if (r->rights == GROUP_ANYONE || s->is_system)
		return true;
	if (!s->submission)
		return false;
	if (r->rights == GROUP_ORGANISATION)
		return true;
	for (size_t i = 0; i < r->may_write_n; i++)
		if (r->may_write[i] == s->account)
			return true;
	return false;
}

static enum rc check_route(struct edge_session *s, const struct smtp_mail *mail, struct str address, const struct route *r, struct why *why)
{
	static const char *const who[] = { [GROUP_ORGANISATION] = "people of this organisation", [GROUP_MEMBERS] = "its members", [GROUP_OWNERS] = "its owner" };
	const struct route_target *only = r->n == 1 ? &r->targets[0] : NULL;
	if (!may_write(s, r))
		FAIL(why, RC_DENIED, "5.7.1 only %s may write to %.*s", who[r->rights], PSTR(str_head(address, 120)));
	if (r->truncated)
		log_event(LEVEL_WARN, EV_ROUTE_CUT, F("sid", s->v->sid), F("address", str_head(address, 320)), F("places", r->n));
	if (r->n == 0 && r->truncated)
		FAIL(why, RC_CONFLICT, "5.4.6 %.*s leads round in circles", PSTR(str_head(address, 120)));
	if (only && only->disabled) /* RFC 3463 3.3: X.2.1, mailbox disabled, not accepting messages */
		FAIL(why, RC_NOTFOUND, "5.2.1 the account of %.*s is disabled", PSTR(str_head(address, 120)));
	if (r->n == 0)
		FAIL(why, RC_NOTFOUND, "5.1.1 no such address here: %.*s", PSTR(str_head(address, 120)));
	if (only && !only->remote && only->quota && only->used + mail->size >= only->quota)
		FAIL(why, RC_LIMIT, "5.2.2 the mailbox of %.*s is full", PSTR(str_head(address, 120)));
	/* RFC 4865 is about when a message leaves: what stays here is there at once. */
	for (size_t i = 0; i < r->n && mail->hold_until_ms; i++)
		if (!r->targets[i].remote)
			FAIL(why, RC_DENIED, "5.7.1 %.*s is here, and messages to people here are not held", PSTR(str_head(address, 120)));
	return RC_OK;
}

/* ---- a bounce to an address that was rewritten here (origin/srs.h) ---- */

static bool is_rewritten(struct str local) { return str_istarts(local, STR("SRS0=")) || str_istarts(local, STR("SRS1=")) || str_istarts(local, STR("SRS0-")) ||
	                                            str_istarts(local, STR("SRS0+")) || str_istarts(local, STR("SRS1-")) || str_istarts(local, STR("SRS1+")); }

static enum rc add_bounce(struct edge_session *s, const struct smtp_rcpt *to, struct str address, struct why *why)
{
	char room[512];
	struct buf back = { .p = room, .cap = sizeof room, .max = sizeof room };
	const struct edge_known *k;
	struct why inner = { 0 };
	enum rc rc = srs_reverse(s->h->srs, to->to.local, wall_ms() / 1000, &back);
	if (rc == RC_LATE)
		FAIL(why, RC_NOTFOUND, "5.1.6 this address was for bounces of an old message and has expired");
	if (rc != RC_OK)
		FAIL(why, RC_NOTFOUND, "5.1.1 no such address here: %.*s", PSTR(str_head(address, 120)));
	if (s->from.n) /* it exists for bounces alone: whoever else writes to it wants to be anonymous */
		FAIL(why, RC_DENIED, "5.7.1 this address takes bounces only");
	struct str original = arena_str(&s->a, buf_str(&back));
	TRY(ask_blocklists(s, to->to.local, why));
	for (size_t i = 0; i < back.len; i++)
		room[i] = ascii_lower(room[i]);
	rc = edge_address_find(s->v->e, &s->h->addresses, buf_str(&back), &k, &inner);
	if (rc == RC_OK)
		TRY(add_rcpt(s, to, address, k->route.targets, k->route.n, false, why));
	else if (rc == RC_DENIED)
		TRY(add_rcpt(s, to, address, &(struct route_target){ .remote = true, .address = original, .via = STR(""), .group_owner = STR("") }, 1, false, why));
	else if (rc == RC_NOTFOUND)
		FAIL(why, RC_NOTFOUND, "5.1.1 nobody is there any more");
	else
		FAIL(why, RC_BUSY, "4.3.0 the directory does not answer, try again");
	s->rcpts[s->rcpt_n - 1].bounce = true;
	return s->submission ? RC_OK : edge_begin_auth(s, why);
}

/* ---- somebody elsewhere ---- */

/* After a hard bounce an address is not written to until somebody releases it. */
static enum rc check_suppressed(struct edge_session *s, struct str address, struct why *why)
{
	bool there = false;
	if (edge_is_suppressed(s->v->e, s->h, address, &there) != RC_OK)
		FAIL(why, RC_BUSY, "4.3.0 the directory does not answer, try again");
	if (there)
		FAIL(why, RC_NOTFOUND, "5.1.1 %.*s was refused for good before; to try it again: letterlock queue suppressed release %.*s", PSTR(str_head(address, 60)),
		     PSTR(str_head(address, 60)));
	return RC_OK;
}

static enum rc add_remote(struct edge_session *s, const struct smtp_rcpt *to, struct str as_said, struct str low, struct why *why)
{
	if (!s->submission)
		FAIL(why, RC_DENIED, "5.7.1 we do not relay for %.*s", PSTR(str_head(to->to.domain, 100)));
	TRY(check_suppressed(s, low, why));
	return add_rcpt(s, to, low, &(struct route_target){ .remote = true, .address = as_said, .via = STR(""), .group_owner = STR("") }, 1, false, why);
}

/* ---- RCPT ---- */

static void full_address(const struct role_env *e, const struct smtp_rcpt *to, struct buf *out)
{
	if (to->to.domain.n) {
		mail_address_format(&to->to, out);
		return;
	}
	/* RFC 5321 4.1.1.3: "RCPT TO:<Postmaster>", no domain, is always somebody's */
	buf_add(out, e->config->server_admin.n ? e->config->server_admin : STR("postmaster@"));
	if (!e->config->server_admin.n)
		buf_add(out, e->config->server_hostname);
}

static enum rc look_up(struct edge_session *s, const struct smtp_rcpt *to, struct str low, const struct edge_known **out)
{
	struct why why = { 0 };
	enum rc rc = edge_address_find(s->v->e, &s->h->addresses, low, out, &why);
	return rc == RC_NOTFOUND && str_ieq(to->to.local, STR("postmaster")) ? look_up_admin(s->v->e, out) : rc;
}

enum rc edge_on_rcpt(void *house, const struct smtp_mail *mail, const struct smtp_rcpt *to, struct why *why)
{
	struct edge_session *s = house;
	char room[1024], low_room[1024];
	struct buf address = { .p = room, .cap = sizeof room, .max = sizeof room };
	const struct edge_known *k;
	full_address(s->v->e, to, &address);
	if (address.failed || address.len > 320)
		FAIL(why, RC_LIMIT, "5.1.3 address too long");
	for (size_t i = 0; i < address.len; i++)
		low_room[i] = ascii_lower(room[i]);
	struct str low = str_of(low_room, address.len);
	enum rc rc = look_up(s, to, low, &k);
	bool ours = rc == RC_OK || rc == RC_NOTFOUND;
	/* What comes to a reporting address is read, whoever else would get it. */
	bool report = ours && report_address_is(s->v->e->config, to->to.local, to->to.domain);
	if (rc == RC_DENIED)
		return add_remote(s, to, buf_str(&address), low, why);
	if (ours && !report && is_rewritten(to->to.local))
		return add_bounce(s, to, buf_str(&address), why);
	if (rc == RC_NOTFOUND && !report)
		FAIL(why, RC_NOTFOUND, "5.1.1 no such address here: %.*s", PSTR(str_head(low, 120)));
	if (rc != RC_OK && !report)
		FAIL(why, RC_BUSY, "4.3.0 the directory does not answer, try again");
	if (!report)
		TRY(check_route(s, mail, low, &k->route, why));
	if (!s->submission)
		TRY(ask_blocklists(s, to->to.local, why)); /* may keep us waiting: what was found is forgotten meanwhile */
	if (!report && !s->submission && look_up(s, to, low, &k) != RC_OK)
		FAIL(why, RC_BUSY, "4.3.0 the directory does not answer, try again");
	TRY(add_rcpt(s, to, low, report ? NULL : k->route.targets, report ? 0 : k->route.n, report, why));
	return s->submission ? RC_OK : edge_begin_auth(s, why);
}
