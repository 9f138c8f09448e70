#include "role/access_reading.h"

#include "base/log.h"
#include "base/mem.h"
#include "role/wire.h"

/* ---- rows ---- */

static enum rc ask_rows(struct reading *r, struct chunk *c, struct why *why)
{
	struct buf packed;
	struct ipc_peer *reader;
	buf_init(&packed, 8 << 20);
	for (size_t i = c->at; i < r->n && r->ranges[i].first <= c->last; i++) {
		struct uid_range x = r->ranges[i];
		x.first = x.first < c->first ? c->first : x.first;
		x.last = x.last > c->last ? c->last : x.last;
		wire_put_ranges(&packed, &x, 1);
	}
	struct msg_ROWS q = { .account = r->o->account, .box = r->box, .ranges = buf_str(&packed), .want = r->want, .max_bytes = CHUNK_BYTES };
	enum rc rc = packed.failed ? RC_NOMEM : ipc_find(r->o->e->node, ROLE_READER, 3000, &reader);
	if (rc == RC_OK)
		rc = ipc_ask_start(reader, MSG_ROWS, &q, &c->ask, why);
	buf_done(&packed);
	return rc;
}

/* The next `uids` UIDs of what is left. */
static struct chunk cut_chunk(struct reading *r, uint64_t uids)
{
	struct chunk c = { .at = r->at, .first = r->uid };
	for (unsigned i = 0; r->at < r->n && i < RANGES_AT_ONCE && uids; i++) {
		uint32_t last = r->ranges[r->at].last;
		if (uids <= last - r->uid) {
			r->uid += (uint32_t)uids;
			c.last = r->uid - 1;
			break;
		}
		uids -= (uint64_t)last - r->uid + 1;
		c.last = last;
		if (++r->at < r->n)
			r->uid = r->ranges[r->at].first;
	}
	return c;
}

/* Several questions are under way, so that neither side waits for the other. How many rows fill a chunk is known from the first on. */
static enum rc ask_ahead(struct reading *r, struct why *why)
{
	while (r->at < r->n && r->asked < (r->learnt ? AHEAD : 2)) {
		struct chunk *c = &r->ahead[r->asked];
		*c = cut_chunk(r, r->learnt || r->asked == 0 ? r->uids : 2 * r->uids);
		r->asked++;
		TRY(ask_rows(r, c, why));
	}
	return RC_OK;
}

static uint64_t uids_of(const struct reading *r, const struct chunk *c, uint32_t last)
{
	uint64_t n = 0;
	for (size_t i = c->at; i < r->n && r->ranges[i].first <= last; i++) {
		uint32_t from = r->ranges[i].first < c->first ? c->first : r->ranges[i].first, to = r->ranges[i].last > last ? last : r->ranges[i].last;
		n += to >= from ? (uint64_t)to - from + 1 : 0;
	}
	return n;
}

/* From what these UIDs weighed: how many fill the next chunk. Where there are few messages among many UIDs, steps grow quickly. */
static void learn(struct reading *r, const struct chunk *c, uint32_t next, size_t octets)
{
	uint64_t n = uids_of(r, c, next ? next - 1 : c->last), most = n < UINT32_MAX / 64 ? n * 64 : UINT32_MAX;
	uint64_t fit = octets ? n * AIM_BYTES / octets : most;
	r->uids = fit < 1 ? 1 : fit > most ? most : fit;
	r->learnt = true;
}

/* What did not fit into the answer is asked for again, before all that was asked for behind it. */
static enum rc after_chunk(struct reading *r, uint32_t next, size_t octets, struct why *why)
{
	struct chunk *c = &r->ahead[0];
	learn(r, c, next, octets);
	if (next > c->first && next <= c->last) {
		c->first = next;
		while (c->at < r->n && r->ranges[c->at].last < next)
			c->at++;
		return ask_rows(r, c, why);
	}
	if (next)
		FAIL(why, RC_SYNTAX, "rows that were not asked for");
	memmove(c, c + 1, --r->asked * sizeof *c);
	return RC_OK;
}

static enum rc take_chunk(struct reading *r, struct ipc_reply *reply, struct cursor *out, struct why *why)
{
	struct msg_ROWS_answer a;
	enum rc rc;
	TRY(ask_ahead(r, why));
	if (!r->asked)
		return RC_NOTFOUND;
	for (int tries = 0;; tries++) {
		if (!r->ahead[0].ask)
			TRY(ask_rows(r, &r->ahead[0], why));
		rc = ipc_ask_collect(&r->ahead[0].ask, &a, reply, why);
		if (rc != RC_CLOSED || tries || loop_stopping(r->o->e->loop))
			break; /* a reader that was restarted answers the same */
	}
	TRY(rc);
	*out = cursor_of(a.rows);
	TRY(after_chunk(r, a.next, a.rows.n, why));
	return ask_ahead(r, why);
}

static enum rc next_chunk(struct reading *r, struct why *why)
{
	ipc_reply_done(&r->reply);
	if (!r->next.frame) {
		ahead_chunk(r, false);
		return take_chunk(r, &r->reply, &r->c, why);
	}
	r->reply = r->next;
	r->c = r->next_c;
	r->next.frame = NULL;
	ahead_chunk(r, true);
	return RC_OK;
}

enum rc reading_look_ahead(struct reading *r, struct cursor *out, struct why *why)
{
	if (!r->next.frame)
		TRY(take_chunk(r, &r->next, &r->next_c, why));
	*out = r->next_c;
	return RC_OK;
}

enum rc reading_open(struct owner *o, uint64_t box, const struct uid_range *ranges, size_t n, unsigned want, struct reading **out, struct why *why)
{
	struct reading *r = mem_new(sizeof *r);
	struct uid_range *copy = mem_new(n * sizeof *copy);
	if (!r || !copy) {
		mem_free(r);
		mem_free(copy);
		FAIL(why, RC_NOMEM, "no memory");
	}
	memcpy(copy, ranges, n * sizeof *copy);
	*r = (struct reading){ .o = o, .box = box, .ranges = copy, .n = n, .uid = n ? copy[0].first : 0, .want = want };
	r->uids = want & (ROW_RECORD | ROW_HEAD | ROW_GRAMS) ? FIRST_UIDS : 32 * FIRST_UIDS;
	buf_init(&r->scratch, SCRATCH_MAX);
	buf_init(&r->scratch2, 1 << 20);
	body_init(r);
	*out = r;
	return RC_OK;
}

void reading_close(struct reading **rp)
{
	struct reading *r = *rp;
	if (!r)
		return;
	for (unsigned i = 0; i < r->asked; i++)
		ipc_ask_abandon(&r->ahead[i].ask);
	ipc_reply_done(&r->reply);
	ipc_reply_done(&r->next);
	buf_wipe(&r->scratch);
	buf_wipe(&r->scratch2);
	body_done(r);
	mem_free(r->ranges);
	mem_free(r);
	*rp = NULL;
}

static enum rc damaged(struct reading *r, uint32_t uid, struct why *why)
{
	log_event(LEVEL_ERROR, EV_STORE_DAMAGE, F("what", "record"), F("acct", (int64_t)r->o->account), F("box", (int64_t)r->box), F("uid", (int64_t)uid));
	FAIL(why, RC_DAMAGED, "message %u is damaged", uid);
}

static enum rc open_row(struct reading *r, struct reading_row *out, struct why *why)
{
	struct str sealed;
	struct epoch_keys *keys;
	if (out->row.damaged || record_clear_parse(out->row.record, &out->clear, &sealed) != RC_OK)
		return damaged(r, out->row.uid, why);
	enum rc rc = owner_epoch(r->o, out->clear.epoch, &keys, why);
	if (rc == RC_OK)
		rc = (r->want & ROW_RECORD ? record_open : record_open_head)(keys, &out->clear, sealed, &r->scratch, &out->secret);
	if (rc == RC_OK && (r->want & ROW_GRAMS))
		rc = grams_open(keys, &out->clear, out->row.grams, &r->scratch2, &out->grams);
	if (rc == RC_DAMAGED)
		return damaged(r, out->row.uid, why);
	TRY(rc);
	body_reader_set(&r->body, &out->clear.blob, &out->secret.body_key, &out->row.place);
	r->uid_now = out->row.uid;
	return RC_OK;
}

enum rc reading_next(struct reading *r, struct reading_row *out, struct why *why)
{
	r->body.open = r->body.have_chunk = false;
	ahead_row(r);
	for (;;) {
		enum rc rc = r->reply.frame ? row_next(&r->c, r->want, &out->row) : RC_NOTFOUND;
		if (rc == RC_NOTFOUND) {
			TRY(next_chunk(r, why));
			continue;
		}
		if (rc != RC_OK)
			FAIL(why, rc, "a broken row");
		break;
	}
	out->grams = STR("");
	return r->want & (ROW_RECORD | ROW_HEAD) ? open_row(r, out, why) : out->row.damaged ? damaged(r, out->row.uid, why) : RC_OK;
}
