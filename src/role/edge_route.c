#include "role/edge_session.h"

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

/* `k` NULL: a reporting address. */
static enum rc add_rcpt(struct edge_session *s, struct str address, const struct edge_known *k, struct why *why)
{
	struct edge_rcpt *r = rcpt_new(s);
	if (!r)
		FAIL(why, RC_NOMEM, "4.3.0 no memory");
	*r = (struct edge_rcpt){ .account = k ? k->account : 0, .box = k ? k->box : 0, .address = arena_str(&s->a, address), .report = !k };
	if (k)
		memcpy(r->public_key, k->public_key, sizeof r->public_key);
	s->rcpt_n++;
	return edge_begin_auth(s, why);
}

enum rc edge_on_rcpt(void *house, const struct smtp_mail *mail, const struct smtp_rcpt *to, struct why *why)
{
	struct edge_session *s = house;
	char room[1024];
	struct buf address = { .p = room, .cap = sizeof room, .max = sizeof room };
	const struct edge_known *k;
	struct why inner = { 0 };
	mail_address_format(&to->to, &address);
	if (to->to.domain.n == 0) { /* RFC 5321 4.1.1.3: "RCPT TO:<Postmaster>", no domain, is always somebody's */
		buf_clear(&address);
		buf_add(&address, s->v->e->config->server_admin.n ? s->v->e->config->server_admin : STR("postmaster@"));
		if (!s->v->e->config->server_admin.n)
			buf_add(&address, s->v->e->config->server_hostname);
	}
	if (address.failed)
		FAIL(why, RC_LIMIT, "5.1.3 address too long");
	for (size_t i = 0; i < address.len; i++)
		room[i] = ascii_lower(room[i]);
	struct str text = buf_str(&address);
	enum rc rc = edge_address_find(s->v->e, &s->h->addresses, text, &k, &inner);
	if (rc == RC_NOTFOUND && str_ieq(to->to.local, STR("postmaster")) && look_up_admin(s->v->e, &k) == RC_OK)
		rc = RC_OK;
	/* What comes to a reporting address is read, whoever else would get it; the domain is ours in both cases. */
	bool report = (rc == RC_OK || rc == RC_NOTFOUND) && report_address_is(s->v->e->config, to->to.local, to->to.domain);
	if (report) {
		TRY(ask_blocklists(s, to->to.local, why));
		return add_rcpt(s, text, NULL, why);
	}
	if (rc == RC_DENIED)
		FAIL(why, rc, "5.7.1 we do not relay for %.*s", PSTR(str_head(to->to.domain, 100)));
	if (rc == RC_NOTFOUND || (rc == RC_OK && k->disabled))
		FAIL(why, RC_NOTFOUND, "5.1.1 no such address here: %.*s", PSTR(str_head(text, 120)));
	if (rc != RC_OK)
		FAIL(why, RC_BUSY, "4.3.0 the directory does not answer, try again");
	if (k->quota && k->used + mail->size >= k->quota)
		FAIL(why, RC_LIMIT, "5.2.2 the mailbox of %.*s is full", PSTR(str_head(text, 120)));
	struct edge_known kept = *k; /* the lists may keep us waiting */
	TRY(ask_blocklists(s, to->to.local, why));
	return add_rcpt(s, text, &kept, why);
}
