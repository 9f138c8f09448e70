#include "base/log.h"
#include "base/map.h"
#include "os/file.h"
#include "role/edge_session.h"
#include "role/suppress.h"
#include "role/wire.h"
#include "role/wire_queue.h"

/* Who was refused for good before is not written to again, also where an address of ours leads there. Nobody can be told at RCPT: the address that was written to is a sound
 * one. So those places are taken out before the letters are made, and the history says so. */

enum { ONE_BY_ONE = 16 /* more are looked for in the whole list, which is short */ };

/* ---- the list ---- */

static enum rc ask(struct role_env *e, struct str prefix, struct str after, struct msg_NOTES_answer *a, struct ipc_reply *reply)
{
	struct why why = { 0 };
	return ipc_ask_role(e->node, ROLE_READER, MSG_NOTES, &(struct msg_NOTES){ .prefix = prefix, .after = after }, a, reply, true, &why);
}

static enum rc has_note(struct role_env *e, const char *key, bool *out)
{
	struct msg_NOTES_answer a;
	struct ipc_reply reply = { 0 };
	enum rc rc = ask(e, str_z(key), STR(""), &a, &reply);
	if (rc == RC_OK)
		*out = a.notes.n > 0;
	ipc_reply_done(&reply);
	return rc;
}

enum rc edge_is_suppressed(struct role_env *e, const struct edge_house *h, struct str address, bool *out)
{
	char key[SUPPRESS_KEY];
	suppress_key(h->hash_key, address, key);
	return has_note(e, key, out);
}

struct wanted { char key[SUPPRESS_KEY]; bool there; };

/* A page of the whole list; *next: where to go on, "" = that was all. */
static enum rc mark_page(struct role_env *e, const struct map *wanted, char next[SUPPRESS_KEY])
{
	struct msg_NOTES_answer a;
	struct ipc_reply reply = { 0 };
	struct str key = STR(""), value;
	enum rc rc = ask(e, STR("sup/"), str_z(next), &a, &reply);
	next[0] = '\0';
	if (rc == RC_OK) {
		struct cursor c = cursor_of(a.notes);
		while ((rc = wire_next_note(&c, &key, &value)) == RC_OK) {
			struct wanted *w = map_get(wanted, key);
			if (w)
				w->there = true;
		}
		rc = rc == RC_NOTFOUND ? RC_OK : rc;
		if (rc == RC_OK && a.more && key.n < SUPPRESS_KEY)
			(void)snprintf(next, SUPPRESS_KEY, "%.*s", PSTR(key));
	}
	ipc_reply_done(&reply);
	return rc;
}

static enum rc mark(struct role_env *e, const struct map *wanted)
{
	char next[SUPPRESS_KEY] = "";
	size_t at = 0;
	if (wanted->n <= ONE_BY_ONE) {
		for (struct wanted *w; (w = map_next(wanted, &at));)
			TRY(has_note(e, w->key, &w->there));
		return RC_OK;
	}
	do
		TRY(mark_page(e, wanted, next));
	while (next[0]);
	return RC_OK;
}

/* ---- the places ---- */

static bool leads_away(const struct route_target *t) { return t->remote && t->via.n; }

static size_t count_away(const struct edge_post *p)
{
	size_t n = 0;
	for (size_t i = 0; i < p->rcpt_n; i++)
		for (size_t k = 0; k < p->rcpts[i].place_n; k++)
			n += leads_away(&p->rcpts[i].places[k]);
	return n;
}

/* One for each place that leads away, in their order. */
static enum rc collect(struct edge_post *p, struct wanted *list, struct map *wanted)
{
	struct wanted *w = list;
	for (size_t i = 0; i < p->rcpt_n; i++)
		for (size_t k = 0; k < p->rcpts[i].place_n; k++) {
			const struct route_target *t = &p->rcpts[i].places[k];
			if (!leads_away(t))
				continue;
			suppress_key(p->h->hash_key, t->address, w->key);
			TRY(map_put(wanted, str_z(w->key), w));
			w++;
		}
	return RC_OK;
}

static enum rc home_of(struct role_env *e, struct arena *a, struct str address, struct route_target *out)
{
	struct msg_ADDRESS_answer answer;
	struct ipc_reply reply = { 0 };
	struct account acct;
	struct why why = { 0 };
	if (!address.n)
		return RC_NOTFOUND;
	TRY(ipc_ask_role(e->node, ROLE_READER, MSG_ADDRESS, &(struct msg_ADDRESS){ .address = address }, &answer, &reply, true, &why));
	struct cursor c = cursor_of(answer.account);
	enum rc rc = wire_get_account(&c, a, &acct);
	if (rc == RC_OK && acct.disabled)
		rc = RC_NOTFOUND;
	if (rc == RC_OK) {
		*out = (struct route_target){ .account = acct.id, .box = answer.box, .quota = acct.quota, .used = acct.used, .address = acct.address, .via = STR(""), .group_owner = STR("") };
		memcpy(out->public_key, acct.public_key, PUB_LEN);
	}
	ipc_reply_done(&reply);
	return rc;
}

static bool is_here(const struct edge_rcpt *r, uint64_t account)
{
	for (size_t i = 0; i < r->place_n; i++)
		if (!r->places[i].remote && r->places[i].account == account)
			return true;
	return false;
}

enum rc edge_turn_home(struct role_env *e, struct arena *a, struct edge_rcpt *r, const struct route_target *lost, struct route_target *out_home)
{
	TRY(home_of(e, a, lost->forwarder ? lost->via : lost->group_owner, out_home));
	if (is_here(r, out_home->account))
		return RC_OK;
	r->places[r->place_n++] = *out_home;
	r->account = r->account ? r->account : out_home->account;
	return RC_OK;
}

static bool reaches_others(const struct edge_rcpt *r, const struct route_target *lost)
{
	for (size_t i = 0; i < r->place_n; i++) {
		const struct route_target *t = &r->places[i];
		if (t->forwarder == lost->forwarder && str_eq(t->via, lost->via))
			return true;
	}
	return false;
}

/* As view_route() has it: who only forwards keeps a copy where that reaches nobody, and a group that reaches nobody goes to its owner. */
static enum rc bring_home(struct edge_post *p, struct edge_rcpt *r, const struct route_target *lost)
{
	struct route_target home;
	enum rc rc = edge_turn_home(p->e, p->a, r, lost, &home);
	return rc == RC_NOTFOUND || rc == RC_DENIED ? RC_OK : rc;
}

/* `w`: the next of collect()'s. */
static enum rc sift(struct edge_post *p, struct edge_rcpt *r, const struct map *wanted, const struct wanted **w)
{
	size_t keep = 0, first = p->left_out_n;
	for (size_t i = 0; i < r->place_n; i++) {
		const struct wanted *known = leads_away(&r->places[i]) ? map_get(wanted, str_z((*w)++->key)) : NULL;
		if (known && known->there)
			p->left_out[p->left_out_n++] = r->places[i];
		else
			r->places[keep++] = r->places[i];
	}
	r->place_n = keep;
	for (size_t i = first; i < p->left_out_n; i++)
		if (!reaches_others(r, &p->left_out[i]))
			TRY(bring_home(p, r, &p->left_out[i]));
	if (r->place_n == 0 && p->left_out_n > first)
		r->refused = "5.1.1 everybody whom this address leads to has been refused for good by another server";
	return RC_OK;
}

enum rc edge_post_suppress(struct edge_post *p)
{
	struct map wanted;
	size_t n = count_away(p);
	if (!n)
		return RC_OK;
	struct wanted *list = arena_new(p->a, n * sizeof *list);
	p->left_out = arena_new(p->a, n * sizeof *p->left_out);
	if (!list || !p->left_out)
		return RC_NOMEM;
	map_init(&wanted, n);
	enum rc rc = collect(p, list, &wanted);
	if (rc == RC_OK)
		rc = mark(p->e, &wanted);
	const struct wanted *w = list;
	for (size_t i = 0; i < p->rcpt_n && rc == RC_OK; i++)
		rc = sift(p, &p->rcpts[i], &wanted, &w);
	map_done(&wanted);
	return rc;
}

void edge_tell_left_out(const struct edge_post *p, const struct msg_EVENT *like)
{
	for (size_t i = 0; i < p->left_out_n; i++) {
		const struct route_target *t = &p->left_out[i];
		char reason[256];
		int n = snprintf(reason, sizeof reason, "not sent there by way of %.*s: refused for good before (queue suppressed)", PSTR(str_head(t->via, 150)));
		struct msg_EVENT m = *like;
		m.kind = STR("suppressed");
		m.recipient = str_head(t->address, 320);
		m.reason = str_of(reason, (size_t)n);
		m.account = t->forwarder;
		edge_tell(p->e, &p->h->events, MSG_EVENT, &m, EDGE_EVENT_MOST);
		log_event(LEVEL_INFO, EV_FORWARD, F("mid", m.mid), F("from", m.sender), F("via", t->via), F("to", t->address), F("reason", "5.1.1 refused for good before"));
	}
}
