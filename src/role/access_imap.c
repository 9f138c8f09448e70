#include "role/access.h"

#include "base/codec.h"
#include "base/log.h"
#include "base/mem.h"
#include "imap/session.h"
#include "mail/digest.h"
#include "role/wire.h"

/* IMAP's hooks: questions to the reader, verbs of the store, bodies from the segments. */

struct imap_visit {
	struct door_visit *v;
	struct owner *o;
	struct visitor watch;
	bool watching;
	struct reading_row row;
	struct buf message;               /* of an APPEND under way */
	uint64_t append_box;
};

static struct access_house *house_of(struct imap_visit *s) { return s->v->e->state; }
static struct ipc_node *node_of(struct imap_visit *s) { return s->v->e->node; }

static enum rc on_connect(void *house, const struct stream_facts *facts, struct why *why)
{
	(void)house, (void)facts, (void)why;
	return RC_OK; /* limits were kept at the door */
}

static enum rc on_login(void *house, struct str user, struct str password, struct why *why)
{
	struct imap_visit *s = house;
	return owner_login(s->v, user, password, "imap", &s->o, why);
}

static void stop_watch(struct imap_visit *s)
{
	if (s->watching)
		watch_drop(s->o, &s->watch);
	s->watching = false;
}

static void on_logout(void *house)
{
	struct imap_visit *s = house;
	stop_watch(s);
	if (s->o) {
		guests_leave(s->o);
		access_leave_account(s->v->e, s->o->account);
	}
	owner_unref(&s->o);
}

/* ---- folders ---- */

static enum rc on_folders(void *house, struct arena *a, struct imap_folder **out, size_t *out_n, struct why *why)
{
	struct imap_visit *s = house;
	struct msg_BOXES_answer answer;
	struct ipc_reply reply = { 0 };
	struct box_info *list;
	size_t n;
	if (!folders_known(house_of(s), s->o->account, &answer.boxes)) {
		uint64_t mark = folders_mark(house_of(s), s->o->account);
		TRY(ipc_ask_role(node_of(s), ROLE_READER, MSG_BOXES, &(struct msg_BOXES){ .account = s->o->account }, &answer, &reply, true, why));
		folders_learn(house_of(s), s->o->account, mark, answer.boxes);
	}
	enum rc rc = wire_get_boxes(answer.boxes, a, &list, &n);
	ipc_reply_done(&reply);
	TRY(rc);
	struct imap_folder *f = arena_new(a, (n + 1) * sizeof *f);
	if (!f)
		FAIL(why, RC_NOMEM, "no memory");
	for (size_t i = 0; i < n; i++)
		f[i] = (struct imap_folder){ list[i].name, list[i].id, list[i].special_use, list[i].subscribed, list[i].selectable, list[i].id != 0 };
	*out = f;
	*out_n = n;
	return RC_OK;
}

static void to_imap_box(const struct box_info *b, struct imap_box *out)
{
	*out = (struct imap_box){ .id = b->id, .uidvalidity = b->uidvalidity, .uidnext = b->uidnext, .exists = b->exists, .unseen = b->unseen,
		.first_unseen_uid = b->first_unseen_uid, .recent_from = b->recent_from, .highestmodseq = b->highestmodseq, .size = b->size };
	for (size_t i = 0; i < 64; i++)
		out->keywords[i] = b->keywords[i].p ? b->keywords[i] : STR("");
}

static enum rc take_box(struct imap_visit *s, struct str packed, struct arena *a, struct imap_box *out)
{
	struct box_info *info = arena_new(a, sizeof *info);
	struct cursor c = cursor_of(packed);
	if (!info)
		return RC_NOMEM;
	TRY(wire_get_box(&c, a, info));
	to_imap_box(info, out);
	uint32_t given = watch_given(house_of(s), s->o->account, info->id);
	if (given > out->recent_from)
		out->recent_from = given;
	return RC_OK;
}

static enum rc on_status(void *house, uint64_t box, struct arena *a, struct imap_box *out, struct why *why)
{
	struct imap_visit *s = house;
	struct msg_BOX_STATUS_answer answer;
	struct ipc_reply reply = { 0 };
	TRY(ipc_ask_role(node_of(s), ROLE_READER, MSG_BOX_STATUS, &(struct msg_BOX_STATUS){ s->o->account, box, { 0 } }, &answer, &reply, true, why));
	enum rc rc = take_box(s, answer.box_info, a, out);
	ipc_reply_done(&reply);
	return rc;
}

/* Our own change is told as well, but the next command must not depend on which comes first. */
static enum rc changed_folders(struct imap_visit *s, enum rc rc)
{
	folders_forget(house_of(s), s->o->account);
	return rc;
}

static enum rc on_create(void *house, struct str name, uint32_t special_use, struct why *why)
{
	struct imap_visit *s = house;
	struct msg_BOX_CREATE q = { .account = s->o->account, .name = name, .special_use = special_use };
	return changed_folders(s, ipc_ask_role(node_of(s), ROLE_STORE, MSG_BOX_CREATE, &q, NULL, NULL, false, why));
}

static enum rc on_remove(void *house, struct str name, struct why *why)
{
	struct imap_visit *s = house;
	struct msg_BOX_REMOVE q = { .account = s->o->account, .name = name };
	return changed_folders(s, ipc_ask_role(node_of(s), ROLE_STORE, MSG_BOX_REMOVE, &q, NULL, NULL, false, why));
}

static enum rc on_rename(void *house, struct str from, struct str to, struct why *why)
{
	struct imap_visit *s = house;
	struct msg_BOX_RENAME q = { .account = s->o->account, .from = from, .to = to };
	return changed_folders(s, ipc_ask_role(node_of(s), ROLE_STORE, MSG_BOX_RENAME, &q, NULL, NULL, false, why));
}

static enum rc on_subscribe(void *house, struct str name, bool on, struct why *why)
{
	struct imap_visit *s = house;
	struct msg_BOX_SUBSCRIBE q = { .account = s->o->account, .name = name, .on = on };
	return changed_folders(s, ipc_ask_role(node_of(s), ROLE_STORE, MSG_BOX_SUBSCRIBE, &q, NULL, NULL, true, why));
}

/* ---- the selected mailbox ---- */

/* The watch stands before the list is read: no change falls between the two. */
static enum rc on_open(void *house, uint64_t box, bool readonly, struct arena *a, struct imap_box *out, struct why *why)
{
	struct imap_visit *s = house;
	struct msg_BOX_OPEN_answer answer;
	struct ipc_reply reply = { 0 };
	struct uid_range *runs;
	size_t n;
	stop_watch(s);
	s->watch = (struct visitor){ .box = box, .stream = s->v->stream };
	TRY(watch_add(s->o, &s->watch, why));
	s->watching = true;
	enum rc rc = ipc_ask_role(node_of(s), ROLE_READER, MSG_BOX_OPEN, &(struct msg_BOX_OPEN){ s->o->account, box, { 0 } }, &answer, &reply, true, why);
	if (rc == RC_OK)
		rc = take_box(s, answer.box_info, a, out);
	if (rc == RC_OK)
		rc = wire_get_ranges(answer.runs, a, &runs, &n);
	ipc_reply_done(&reply);
	if (rc != RC_OK) {
		stop_watch(s);
		return rc;
	}
	struct imap_range *r = arena_new(a, (n + 1) * sizeof *r);
	if (!r)
		FAIL(why, RC_NOMEM, "no memory");
	for (size_t i = 0; i < n; i++)
		r[i] = (struct imap_range){ runs[i].first, runs[i].last };
	out->runs = r;
	out->run_count = n;
	out->readonly = readonly;
	return RC_OK;
}

static void on_close(void *house, uint64_t box)
{
	(void)box;
	stop_watch(house);
}

static enum rc on_changes(void *house, uint64_t box, uint64_t since, struct arena *a, struct imap_change **out, size_t *out_n,
                          uint64_t *out_modseq, bool *out_more, struct why *why)
{
	struct imap_visit *s = house;
	struct msg_CHANGES_answer answer;
	struct ipc_reply reply = { 0 };
	struct box_change *list;
	size_t n;
	TRY(ipc_ask_role(node_of(s), ROLE_READER, MSG_CHANGES, &(struct msg_CHANGES){ s->o->account, box, since, { 0 } }, &answer, &reply, true, why));
	enum rc rc = wire_get_changes(answer.changes, a, &list, &n);
	*out_modseq = answer.modseq;
	*out_more = answer.more;
	ipc_reply_done(&reply);
	TRY(rc);
	struct imap_change *c = arena_new(a, (n + 1) * sizeof *c);
	if (!c)
		FAIL(why, RC_NOMEM, "no memory");
	for (size_t i = 0; i < n; i++)
		c[i] = (struct imap_change){ list[i].uid, list[i].expunged, list[i].flags, list[i].keywords, list[i].modseq };
	*out = c;
	*out_n = n;
	return RC_OK;
}

/* The store decides: what the reader says may be some seconds old, and other processes have sessions, too. */
static enum rc on_recent(void *house, uint64_t box, uint32_t before, uint32_t *out_first, struct why *why)
{
	struct imap_visit *s = house;
	struct msg_RECENT_answer answer = { 0 };
	uint32_t given = watch_given(house_of(s), s->o->account, box);
	if (before && given >= before) {
		*out_first = given;
		return RC_OK;
	}
	struct msg_RECENT q = { .account = s->o->account, .box = box, .before = before };
	TRY(ipc_ask_role(node_of(s), ROLE_STORE, MSG_RECENT, &q, &answer, NULL, true, why));
	watch_gave(house_of(s), s->o->account, box, answer.first > before ? answer.first : before);
	*out_first = answer.first;
	return RC_OK;
}

/* ---- reading ---- */

static const struct uid_range *as_uids(const struct imap_range *r)
{
	_Static_assert(sizeof(struct uid_range) == sizeof(struct imap_range), "the same two numbers");
	return (const struct uid_range *)(const void *)r;
}

static enum rc on_fetch_open(void *house, uint64_t box, const struct imap_range *ranges, size_t n, unsigned want, void **out, struct why *why)
{
	struct imap_visit *s = house;
	unsigned rows = ROW_STATE;
	if (want & (WANT_HEAD | WANT_GRAMS | WANT_BODY))
		rows |= ROW_HEAD;
	if (want & WANT_RECORD)
		rows |= ROW_RECORD;
	if (want & WANT_GRAMS)
		rows |= ROW_GRAMS;
	if (want & WANT_BODY)
		rows |= ROW_PLACE;
	struct reading *r;
	TRY(reading_open(s->o, box, as_uids(ranges), n, rows, &r, why));
	if (want & WANT_BODY)
		reading_for_bodies(r);
	*out = r;
	return RC_OK;
}

static enum rc on_fetch_next(void *house, void *cursor, struct imap_row *out, struct why *why)
{
	struct imap_visit *s = house;
	struct reading_row *r = &s->row;
	memset(&r->secret, 0, sizeof r->secret);
	enum rc rc = reading_next(cursor, r, why);
	out->uid = r->row.uid;
	TRY(rc);
	*out = (struct imap_row){ .uid = r->row.uid, .flags = r->row.flags, .keywords = r->row.keywords, .modseq = r->row.modseq, .size = r->row.size,
		.internal_ms = r->clear.internal_ms, .save_ms = r->clear.save_ms, .envelope = r->secret.envelope, .structure = r->secret.structure,
		.parts = r->secret.parts, .preview = r->secret.preview, .fields = r->secret.fields, .grams = r->grams, .handle = cursor };
	return RC_OK;
}

static void on_fetch_close(void *house, void *cursor)
{
	struct imap_visit *s = house;
	struct reading *r = cursor;
	reading_close(&r);
	secret_done(&s->row.secret.body_key);
}

static enum rc on_body_read(void *house, const struct imap_row *row, uint64_t offset, uint64_t max, struct str *out, struct why *why)
{
	(void)house;
	return reading_body(row->handle, offset, max, out, why);
}

/* ---- writing ---- */

static enum rc pack_set(const struct imap_range *r, size_t n, struct buf *out)
{
	buf_init(out, 8 << 20);
	wire_put_ranges(out, as_uids(r), n);
	return out->failed ? RC_NOMEM : RC_OK;
}

static enum rc on_store(void *house, uint64_t box, const struct imap_range *ranges, size_t n, enum imap_flag_mode mode, uint32_t flags,
                        const struct str *keywords, size_t keyword_n, struct why *why)
{
	struct imap_visit *s = house;
	struct buf set, words;
	buf_init(&words, 65536);
	wire_put_strs(&words, keywords, keyword_n);
	enum rc rc = pack_set(ranges, n, &set);
	struct msg_FLAGS q = { .account = s->o->account, .box = box, .ranges = buf_str(&set), .mode = (uint8_t)mode, .flags = flags, .keywords = buf_str(&words) };
	if (rc == RC_OK && words.failed)
		rc = RC_LIMIT;
	if (rc == RC_OK)
		rc = ipc_ask_role(node_of(s), ROLE_STORE, MSG_FLAGS, &q, NULL, NULL, true, why);
	buf_done(&set);
	buf_done(&words);
	return rc;
}

static enum rc on_expunge(void *house, uint64_t box, const struct imap_range *ranges, size_t n, struct why *why)
{
	static const struct imap_range all = { 1, UINT32_MAX };
	struct imap_visit *s = house;
	struct buf set;
	enum rc rc = pack_set(ranges ? ranges : &all, ranges ? n : 1, &set);
	struct msg_EXPUNGE q = { .account = s->o->account, .box = box, .ranges = buf_str(&set), .only_deleted = 1 };
	if (rc == RC_OK)
		rc = ipc_ask_role(node_of(s), ROLE_STORE, MSG_EXPUNGE, &q, NULL, NULL, true, why);
	buf_done(&set);
	return rc;
}

static enum rc take_pairs(const struct msg_COPY_answer *answer, struct arena *a, struct imap_range **out_src, struct imap_range **out_dst, size_t *out_n)
{
	struct uid_range *src, *dst;
	size_t src_n, dst_n;
	TRY(wire_get_ranges(answer->src, a, &src, &src_n));
	TRY(wire_get_ranges(answer->dst, a, &dst, &dst_n));
	if (src_n != dst_n)
		return RC_SYNTAX;
	*out_src = (struct imap_range *)(void *)src;
	*out_dst = (struct imap_range *)(void *)dst;
	*out_n = src_n;
	return RC_OK;
}

static enum rc on_copy(void *house, uint64_t box, const struct imap_range *ranges, size_t n, uint64_t to, bool move, struct arena *a,
                       struct imap_range **out_src, struct imap_range **out_dst, size_t *out_n, uint32_t *out_uidvalidity, struct why *why)
{
	struct imap_visit *s = house;
	struct msg_COPY_answer answer;
	struct ipc_reply reply = { 0 };
	struct buf set;
	enum rc rc = pack_set(ranges, n, &set);
	struct msg_COPY q = { .account = s->o->account, .box = box, .ranges = buf_str(&set), .to = to, .move = move };
	if (rc == RC_OK)
		rc = ipc_ask_role(node_of(s), ROLE_STORE, MSG_COPY, &q, &answer, &reply, false, why);
	if (rc == RC_OK) {
		*out_uidvalidity = answer.uidvalidity;
		rc = take_pairs(&answer, a, out_src, out_dst, out_n);
	}
	ipc_reply_done(&reply);
	buf_done(&set);
	return rc;
}

/* ---- APPEND ---- */

static enum rc on_append_begin(void *house, uint64_t box, uint64_t size, struct why *why)
{
	struct imap_visit *s = house;
	if (size > s->v->e->config->inbound_max_size)
		FAIL(why, RC_LIMIT, "the message is larger than %llu octets", (unsigned long long)s->v->e->config->inbound_max_size);
	s->append_box = box;
	buf_init(&s->message, size);
	return RC_OK;
}

static enum rc on_append_write(void *house, struct str bytes, struct why *why)
{
	struct imap_visit *s = house;
	buf_add(&s->message, bytes);
	if (s->message.failed)
		FAIL(why, RC_NOMEM, "no memory for the message");
	return RC_OK;
}

static void on_append_abort(void *house) { buf_done(&((struct imap_visit *)house)->message); }

static enum rc on_append_end(void *house, uint32_t flags, const struct str *keywords, size_t keyword_n, int64_t internal_ms,
                             uint32_t *out_uid, uint32_t *out_uidvalidity, struct why *why)
{
	struct imap_visit *s = house;
	struct store_copy_result got = { 0 };
	uint32_t defects;
	struct seal_target t = { .account = s->o->account, .box = s->append_box, .flags = flags, .keywords = keywords, .keyword_n = keyword_n };
	memcpy(t.public_key, s->o->public_key, sizeof t.public_key);
	size_t size = s->message.len;
	enum rc rc = sealer_deliver(house_of(s)->sealer, buf_str(&s->message), internal_ms, &t, 1, &got, &defects, why);
	buf_done(&s->message);
	TRY(rc);
	if (got.rc != RC_OK)
		FAIL(why, got.rc, "%s", got.rc == RC_FULL ? "the mailbox is full" : "not stored");
	*out_uid = got.uid;
	*out_uidvalidity = got.uidvalidity;
	count_add(s->v->e, M_APPENDED, 1);
	log_event(LEVEL_INFO, EV_APPEND, F("sid", s->v->sid), F("acct", (int64_t)s->o->account), F("size", size));
	return RC_OK;
}

/* ---- searching ---- */

static enum rc on_fold(void *house, struct str utf8, struct arena *a, struct str *out, struct why *why)
{
	struct imap_visit *s = house;
	struct msg_FOLD_answer answer;
	struct ipc_reply reply = { 0 };
	TRY(ipc_ask_role(node_of(s), ROLE_SCAN, MSG_FOLD, &(struct msg_FOLD){ .text = utf8 }, &answer, &reply, true, why));
	*out = arena_str(a, answer.folded);
	ipc_reply_done(&reply);
	return a->full ? RC_NOMEM : RC_OK;
}

/* The whole body, opened here, goes to `scan` to be read there. */
static enum rc whole_body(const struct imap_row *row, struct buf *out, struct why *why)
{
	buf_init(out, row->size);
	while (out->len < row->size) {
		struct str piece;
		TRY(reading_body(row->handle, out->len, BLOB_CHUNK, &piece, why));
		if (piece.n == 0)
			break;
		buf_add(out, piece);
	}
	return out->failed ? RC_NOMEM : RC_OK;
}

static enum rc on_match(void *house, const struct imap_row *row, char where, struct str field, struct str needle, bool *out, struct why *why)
{
	struct imap_visit *s = house;
	struct msg_MATCH_answer answer = { 0 };
	struct buf body;
	enum rc rc = whole_body(row, &body, why);
	struct msg_MATCH q = { .message = buf_str(&body), .where = where == 'B' ? MATCH_BODY : where == 'T' ? MATCH_TEXT : MATCH_HEADER, .field = field, .needle = needle };
	if (rc == RC_OK)
		rc = ipc_ask_role(node_of(s), ROLE_SCAN, MSG_MATCH, &q, &answer, NULL, true, why);
	*out = answer.yes;
	buf_wipe(&body);
	return rc;
}

void access_serve_imap(struct door_visit *v)
{
	const struct config *c = v->e->config;
	const struct stream_facts *f = stream_facts(v->stream);
	struct imap_visit *s = mem_new(sizeof *s); /* on the heap: an idle session's stack is given back */
	if (!s)
		return;
	s->v = v;
	struct imap_config ic = { .hostname = c->server_hostname, .plaintext_login = c->server_demo && f->loopback, .max_append = c->inbound_max_size,
		.idle_ms = (unsigned)c->access_idle, .prelogin_ms = (unsigned)c->access_prelogin, .max_errors = 20 };
	struct imap_hooks hooks = { .house = s, .connect = on_connect, .login = on_login, .logout = on_logout, .folders = on_folders, .status = on_status,
		.create = on_create, .remove = on_remove, .rename = on_rename, .subscribe = on_subscribe, .open = on_open, .close = on_close, .changes = on_changes, .recent = on_recent,
		.fetch_open = on_fetch_open, .fetch_next = on_fetch_next, .fetch_close = on_fetch_close, .body_read = on_body_read, .store = on_store,
		.expunge = on_expunge, .copy = on_copy, .append_begin = on_append_begin, .append_write = on_append_write, .append_end = on_append_end,
		.append_abort = on_append_abort, .fold = on_fold, .match = on_match };
	enum rc rc = imap_serve(v->stream, &ic, &hooks);
	log_event(LEVEL_DEBUG, EV_CLOSE, F("sid", v->sid), F("proto", "imap"), F("ip", f->peer_ip), F("reason", rc_name(rc)), F("dur_ms", loop_now(v->e->loop) - v->since));
	on_logout(s);
	buf_done(&s->message);
	mem_free(s);
}
