#include "role/access.h"

#include "base/log.h"
#include "base/mem.h"
#include "pop3/session.h"
#include "role/wire.h"

/* A message's body on its way: its key and place are known, perhaps it is open already. */
struct pop3_message { size_t index; bool known; struct body_reader body; };

/* POP3's hooks: the INBOX as it is at login; bodies in UID order are read one chunk of rows ahead. */
struct pop3_visit {
	struct door_visit *v;
	struct owner *o;
	uint64_t inbox;
	struct pop3_entry *entries; size_t n;
	struct reading *reading;
	struct reading_row row;
	size_t at;                        /* entry that `row` is; n = none */
	struct pop3_message ahead[POP3_AHEAD]; /* the last entries that were `row`, each in its place */
	struct stretch stretch;
	bool ahead_made;
};

enum { ENTRIES_MAX = 4000000 };

static enum rc on_connect(void *house, const struct stream_facts *facts, struct why *why)
{
	(void)house, (void)facts, (void)why;
	return RC_OK; /* limits were kept at the door */
}

static enum rc on_login(void *house, struct str user, struct str password, struct why *why)
{
	struct pop3_visit *s = house;
	return owner_login(s->v, user, password, "pop3", &s->o, why);
}

static void on_logout(void *house)
{
	struct pop3_visit *s = house;
	reading_close(&s->reading);
	secret_done(&s->row.secret.body_key);
	for (size_t i = 0; s->ahead_made && i < POP3_AHEAD; i++)
		body_reader_done(&s->ahead[i].body);
	if (s->ahead_made)
		stretch_done(&s->stretch);
	s->ahead_made = false;
	mem_free(s->entries);
	s->entries = NULL;
	s->n = s->at = 0;
	if (s->o) {
		guests_leave(s->o);
		access_leave_account(s->v->e, s->o->account);
	}
	owner_unref(&s->o);
}

static enum rc find_inbox(struct pop3_visit *s, uint32_t *out_exists, uint32_t *out_uidvalidity, struct why *why)
{
	struct msg_BOXES_answer answer;
	struct ipc_reply reply = { 0 };
	struct arena a;
	struct box_info *list = NULL;
	size_t n = 0;
	TRY(ipc_ask_role(s->v->e->node, ROLE_READER, MSG_BOXES, &(struct msg_BOXES){ .account = s->o->account }, &answer, &reply, true, why));
	arena_init(&a, 64 << 20);
	enum rc rc = wire_get_boxes(answer.boxes, &a, &list, &n);
	for (size_t i = 0; rc == RC_OK && i < n; i++)
		if (str_eq(list[i].name, STR("INBOX"))) {
			s->inbox = list[i].id;
			*out_exists = list[i].exists;
			*out_uidvalidity = list[i].uidvalidity;
		}
	arena_done(&a);
	ipc_reply_done(&reply);
	return rc;
}

static const struct uid_range everything = { 1, UINT32_MAX };

static enum rc on_list(void *house, const struct pop3_entry **out, size_t *out_n, uint32_t *out_uidvalidity, struct why *why)
{
	struct pop3_visit *s = house;
	struct reading *r = NULL;
	uint32_t exists = 0;
	size_t cap;
	TRY(find_inbox(s, &exists, out_uidvalidity, why));
	cap = exists < ENTRIES_MAX ? exists : ENTRIES_MAX;
	s->entries = mem_new((cap + 1) * sizeof *s->entries);
	if (!s->entries)
		FAIL(why, RC_NOMEM, "no memory for the list");
	TRY(reading_open(s->o, s->inbox, &everything, 1, ROW_STATE, &r, why));
	enum rc rc = RC_OK;
	while (s->n < cap && ((rc = reading_next(r, &s->row, why)) == RC_OK || rc == RC_DAMAGED))
		if (rc == RC_OK)
			s->entries[s->n++] = (struct pop3_entry){ s->row.row.uid, (uint32_t)s->row.row.size };
	reading_close(&r);
	s->at = s->n;
	if (s->n < cap && rc != RC_NOTFOUND)
		return rc;
	*out = s->entries;
	*out_n = s->n;
	return RC_OK;
}

/* Clients read in order: the reading goes on from where it stands, and starts anew only for a jump. */
static enum rc go_to(struct pop3_visit *s, size_t i, struct why *why)
{
	if (s->reading && s->at == i)
		return RC_OK;
	if (!s->reading || s->at + 1 != i) {
		struct uid_range from = { s->entries[i].uid, UINT32_MAX };
		reading_close(&s->reading);
		TRY(reading_open(s->o, s->inbox, &from, 1, ROW_STATE | ROW_HEAD | ROW_PLACE, &s->reading, why));
	}
	s->at = s->n;
	do {
		enum rc rc = reading_next(s->reading, &s->row, why);
		if (rc == RC_DAMAGED && s->row.row.uid < s->entries[i].uid)
			continue;
		if (rc == RC_NOTFOUND)
			FAIL(why, RC_NOTFOUND, "the message was removed by another session");
		TRY(rc);
	} while (s->row.row.uid < s->entries[i].uid);
	if (s->row.row.uid != s->entries[i].uid) {
		reading_close(&s->reading);
		FAIL(why, RC_NOTFOUND, "the message was removed by another session");
	}
	s->at = i;
	return RC_OK;
}

/* Entry `i`'s body; it stays in its place until another POP3_AHEAD entries away is wanted. */
static enum rc find_message(struct pop3_visit *s, size_t i, struct body_reader **out, struct why *why)
{
	struct pop3_message *m = &s->ahead[i % POP3_AHEAD];
	struct segment_files *files = &((struct access_house *)s->v->e->state)->files;
	if (!s->ahead_made)
		stretch_init(&s->stretch);
	for (size_t k = 0; !s->ahead_made && k < POP3_AHEAD; k++) {
		body_reader_init(&s->ahead[k].body, s->v->e->node, files);
		s->ahead[k].body.stretch = &s->stretch;
		s->ahead[k].known = false;
	}
	s->ahead_made = true;
	*out = &m->body;
	if (m->known && m->index == i)
		return RC_OK;
	m->known = false;
	TRY(go_to(s, i, why));
	body_reader_set(&m->body, &s->row.clear.blob, &s->row.secret.body_key, &s->row.row.place);
	m->index = i;
	m->known = true;
	return RC_OK;
}

static enum rc on_read(void *house, size_t i, uint64_t offset, struct str *out, struct why *why)
{
	struct pop3_visit *s = house;
	struct body_reader *b;
	TRY(find_message(s, i, &b, why));
	enum rc rc = body_reader_read(b, offset, BLOB_CHUNK, out, why);
	if (rc == RC_DAMAGED)
		log_event(LEVEL_ERROR, EV_STORE_DAMAGE, F("what", "body"), F("acct", (int64_t)s->o->account), F("segment", (int64_t)b->place.segment));
	return rc;
}

static void on_ahead(void *house, size_t i)
{
	struct pop3_visit *s = house;
	struct why why;
	struct str unused;
	struct body_reader *b;
	if (find_message(s, i, &b, &why) == RC_OK && s->entries[i].size <= BLOB_CHUNK)
		(void)!body_reader_read(b, 0, BLOB_CHUNK, &unused, &why);
}

static enum rc on_expunge(void *house, const size_t *index, size_t n, struct why *why)
{
	struct pop3_visit *s = house;
	struct buf set;
	struct uid_range *r = mem_new((n + 1) * sizeof *r);
	if (!r)
		FAIL(why, RC_NOMEM, "no memory");
	for (size_t i = 0; i < n; i++)
		r[i] = (struct uid_range){ s->entries[index[i]].uid, s->entries[index[i]].uid };
	buf_init(&set, 8 << 20);
	wire_put_ranges(&set, r, n);
	mem_free(r);
	struct msg_EXPUNGE q = { .account = s->o->account, .box = s->inbox, .ranges = buf_str(&set), .only_deleted = 0 };
	enum rc rc = set.failed ? RC_LIMIT : ipc_ask_role(s->v->e->node, ROLE_STORE, MSG_EXPUNGE, &q, NULL, NULL, true, why);
	buf_done(&set);
	return rc;
}

void access_serve_pop3(struct door_visit *v)
{
	const struct config *c = v->e->config;
	const struct stream_facts *f = stream_facts(v->stream);
	struct pop3_visit s = { .v = v };
	struct pop3_config pc = { .hostname = c->server_hostname, .plaintext_login = c->server_demo && f->loopback, .idle_ms = 600000,
		.max_errors = 20, .prelogin_ms = (unsigned)c->access_prelogin };
	struct pop3_hooks hooks = { .house = &s, .connect = on_connect, .login = on_login, .list = on_list, .read = on_read, .ahead = on_ahead, .expunge = on_expunge, .logout = on_logout };
	enum rc rc = pop3_serve(v->stream, &pc, &hooks);
	log_event(LEVEL_DEBUG, EV_CLOSE, F("sid", v->sid), F("proto", "pop3"), F("ip", f->peer_ip), F("reason", rc_name(rc)), F("dur_ms", loop_now(v->e->loop) - v->since));
	on_logout(&s);
}
