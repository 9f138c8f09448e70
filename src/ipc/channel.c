#include "ipc/build_id.h"
#include "ipc/frame.h"

#include "base/cursor.h"
#include "base/mem.h"
#include "os/file.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

/* Invariants.
 * 1. A peer is freed when its channel has ended and nobody refers to it any more: `refs` counts the open channel, each call
 *    that runs here, each question that waits, and the watch of its descriptor while it runs.
 * 2. A slot answers only to its own generation; it is cleared when its asker gives up, so a late answer is dropped.
 * 3. Frames leave in order: once one is queued, every later one is queued behind it.
 * 4. A question is answered or its asker told at once, also when memory is short: nobody waits out his patience for that. */

enum { QUEUE_MAX = 4 << 20, BATCHES = 16, CALLS_DEFAULT = 1024, SLOTS_MAX = 65536 };

struct queued { struct queued *next; size_t n; int fd; struct frame_header h; };

struct slot { struct ipc_pending *asker; uint32_t generation; };

struct ipc_peer {
	struct ipc_node *node;
	struct ipc_peer *next;
	int fd;
	struct io_watch *watch;
	bool hello, dead, paused;
	enum role role;
	unsigned index, refs, calls, asks;
	void *note;
	struct slot *slots;
	uint32_t slot_n, slot_hint;
	struct queued *queue, **queue_end;
	size_t queue_n;
};

struct ipc_node {
	struct loop *loop;
	struct ipc_config c;
	struct ipc_peer *peers;
	struct waitlist came;
	char (*rooms)[FRAME_ROOM];   /* FRAMES of them, for what is received */
};

struct ipc_call {
	struct ipc_peer *peer;
	struct ipc_frame *frame;
	struct frame_header h;
	int fd;
	_Alignas(max_align_t) char msg[MSG_STRUCT_MAX];
};

struct ipc_pending {
	struct ipc_peer *peer;
	enum msg_type type;
	uint32_t slot;
	bool answered, lost;           /* lost: the answer, or the question, did not fit in memory */
	struct ipc_frame *frame;
	int64_t deadline;
	struct waitlist done;
};

static void peer_unref(struct ipc_peer *p)
{
	if (--p->refs)
		return;
	mem_free(p->slots);
	mem_free(p);
}

static void drop_queue(struct ipc_peer *p)
{
	while (p->queue) {
		struct queued *q = p->queue;
		p->queue = q->next;
		fd_close(&q->fd);
		mem_wipe(q + 1, q->n);
		mem_free(q);
	}
	p->queue_end = &p->queue;
	p->queue_n = 0;
}

void ipc_detach(struct ipc_peer *p)
{
	if (p->dead)
		return;
	p->dead = true;
	for (struct ipc_peer **at = &p->node->peers; *at; at = &(*at)->next)
		if (*at == p) {
			*at = p->next;
			break;
		}
	drop_queue(p);
	for (uint32_t i = 0; i < p->slot_n; i++)
		if (p->slots[i].asker)
			wake_all(&p->slots[i].asker->done);
	if (p->node->c.gone)
		p->node->c.gone(p->node->c.house, p);
	io_watch_close(&p->watch);
	fd_close(&p->fd);
	peer_unref(p); /* the channel's own */
}

static void repoll(struct ipc_peer *p)
{
	if (!p->dead)
		io_watch_want(p->watch, (p->paused ? 0u : IO_READ) | (p->queue ? IO_WRITE : 0u));
}

/* ---- sending ---- */

static enum rc enqueue(struct ipc_peer *p, const struct frame_header *h, const struct ipc_pieces *pieces, int fd)
{
	if (p->queue_n + pieces->total > QUEUE_MAX + (256u << 20) * (p->queue_n == 0))
		return RC_BUSY;
	struct queued *q = mem_raw(sizeof *q + pieces->total);
	if (!q)
		return RC_NOMEM;
	*q = (struct queued){ 0 };
	q->fd = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
	if (fd >= 0 && q->fd < 0) {
		mem_free(q);
		return RC_BUSY;
	}
	q->h = *h;
	char *at = (char *)(q + 1);
	size_t done = 0;
	for (size_t i = 0; i < pieces->run_n; i++) {
		memcpy(at, pieces->small.p + done, pieces->runs[i].at - done);
		at += pieces->runs[i].at - done;
		memcpy(at, pieces->runs[i].run.p, pieces->runs[i].run.n);
		at += pieces->runs[i].run.n;
		done = pieces->runs[i].at;
	}
	if (pieces->small.len > done)
		memcpy(at, pieces->small.p + done, pieces->small.len - done);
	q->n = pieces->total;
	*p->queue_end = q;
	p->queue_end = &q->next;
	p->queue_n += q->n;
	repoll(p);
	return RC_OK;
}

static enum rc send_or_queue(struct ipc_peer *p, const struct frame_header *h, const struct ipc_pieces *pieces, int fd)
{
	if (p->dead)
		return RC_CLOSED;
	if (p->queue)
		return enqueue(p, h, pieces, fd);
	enum rc rc = frame_send(p->fd, *h, pieces, fd);
	return rc == RC_AGAIN ? enqueue(p, h, pieces, fd) : rc;
}

static enum rc send_msg(struct ipc_peer *p, struct frame_header h, const void *msg, int fd)
{
	struct ipc_pieces pieces = { 0 };
	buf_init(&pieces.small, 64 << 20);
	enum rc rc = msg_pieces(h.type, false, msg, &pieces);
	if (rc == RC_OK)
		rc = send_or_queue(p, &h, &pieces, fd);
	(msg_is_secret(h.type, false) ? buf_wipe : buf_done)(&pieces.small);
	return rc;
}

/* An answer that needs no memory: an outcome and no text. */
static void tiny_answer(struct buf *b, char room[16], enum rc rc)
{
	*b = (struct buf){ .p = room, .cap = 16, .max = 16 };
	buf_u8(b, (uint8_t)rc);
	buf_run(b, STR(""));
}

static enum rc refuse(struct ipc_peer *p, const struct frame_header *ask, enum rc outcome)
{
	char room[16];
	struct ipc_pieces pieces = { 0 };
	tiny_answer(&pieces.small, room, outcome);
	pieces.total = pieces.small.len;
	return send_or_queue(p, &(struct frame_header){ .kind = FRAME_ANSWER, .type = ask->type, .slot = ask->slot, .generation = ask->generation }, &pieces, -1);
}

static struct ipc_pending *asker_of(struct ipc_peer *p, const struct frame_header *h)
{
	struct slot *s = h->slot < p->slot_n ? &p->slots[h->slot] : NULL;
	return s && s->asker && s->generation == h->generation && s->asker->type == h->type && !s->asker->answered ? s->asker : NULL;
}

static void lose(struct ipc_peer *p, const struct frame_header *h)
{
	struct ipc_pending *asker = asker_of(p, h);
	if (!asker)
		return;
	asker->lost = true;
	wake_all(&asker->done);
}

/* A queued frame for which there is no memory now that it could leave: its asker, here or there, learns it in its place. */
static enum rc send_lost(struct ipc_peer *p, const struct queued *q)
{
	char room[16];
	struct ipc_pieces pieces = { 0 };
	if (q->h.kind == FRAME_ASK)
		lose(p, &q->h);
	if (q->h.kind != FRAME_ANSWER)
		return RC_OK;
	tiny_answer(&pieces.small, room, RC_NOMEM);
	pieces.total = pieces.small.len;
	return frame_send(p->fd, q->h, &pieces, -1);
}

static void flush_queue(struct ipc_peer *p)
{
	while (p->queue && !p->dead) {
		struct queued *q = p->queue;
		struct ipc_pieces pieces = { .small = { .p = (char *)(q + 1), .len = q->n }, .total = q->n };
		enum rc rc = frame_send(p->fd, q->h, &pieces, q->fd);
		if (rc == RC_NOMEM)
			rc = send_lost(p, q);
		if (rc == RC_AGAIN)
			return;
		if (rc == RC_CLOSED) {
			ipc_detach(p);
			return;
		}
		p->queue = q->next;
		if (!p->queue)
			p->queue_end = &p->queue;
		p->queue_n -= q->n;
		fd_close(&q->fd);
		mem_wipe(q + 1, q->n);
		mem_free(q);
	}
	repoll(p);
}

/* ---- receiving ---- */

static void call_free(struct ipc_call *c)
{
	struct ipc_peer *p = c->peer;
	fd_close(&c->fd);
	frame_free(&c->frame);
	mem_wipe(c->msg, sizeof c->msg);
	mem_free(c);
	p->calls--;
	if (p->paused && p->calls < p->node->c.max_calls / 2) {
		p->paused = false;
		repoll(p);
	}
	peer_unref(p);
}

static void run_call(void *arg)
{
	struct ipc_call *c = arg;
	struct ipc_node *n = c->peer->node;
	bool ask = c->h.kind == FRAME_ASK;
	int fd = c->fd;
	c->fd = -1;
	n->c.on[c->h.type](n->c.house, c->peer, ask ? c : NULL, c->msg, fd);
	if (!ask)
		call_free(c);
}

static enum rc start_call(struct ipc_peer *p, const struct frame_header *h, struct ipc_frame *take, int take_fd, struct why *why)
{
	struct ipc_call *c = mem_new(sizeof *c);
	if (!c) {
		frame_free(&take);
		fd_close(&take_fd);
		return RC_NOMEM;
	}
	*c = (struct ipc_call){ .peer = p, .frame = take, .h = *h, .fd = take_fd };
	take->secret = msg_is_secret(h->type, false);
	p->refs++;
	p->calls++;
	enum rc rc = msg_decode(h->type, false, take->payload, c->msg, why);
	if (rc == RC_OK)
		rc = fiber_start(p->node->loop, run_call, c, NULL);
	if (rc == RC_OK && p->calls >= p->node->c.max_calls) {
		p->paused = true;
		repoll(p);
	}
	if (rc != RC_OK)
		call_free(c);
	return rc;
}

static void take_answer(struct ipc_peer *p, const struct frame_header *h, struct ipc_frame *take)
{
	struct ipc_pending *asker = asker_of(p, h);
	if (!asker) {
		frame_free(&take); /* too late: nobody waits for it any more */
		return;
	}
	take->secret = msg_is_secret(h->type, true);
	asker->frame = take;
	asker->answered = true;
	wake_all(&asker->done);
}

static enum rc check_hello(struct ipc_peer *p, const struct frame_header *h, struct str payload, struct why *why)
{
	struct msg_HELLO m;
	if (h->kind != FRAME_TELL || h->type != MSG_HELLO)
		FAIL(why, RC_SYNTAX, "HELLO must come first");
	TRY(msg_decode(MSG_HELLO, false, payload, &m, why));
	if (!str_eq(m.build, build_id()))
		FAIL(why, RC_DENIED, "the peer is another build of this program");
	if (m.role != p->role)
		FAIL(why, RC_DENIED, "the peer says it is %s, we know it as %s", role_name(m.role), role_name(p->role));
	p->hello = true; /* its number stays the one that it was introduced with */
	wake_all(&p->node->came);
	if (p->node->c.came)
		p->node->c.came(p->node->c.house, p);
	return RC_OK;
}

static enum rc frame_in(struct ipc_peer *p, struct str datagram, int *fd, bool lost, struct why *why)
{
	struct frame_header h;
	struct ipc_frame *f = NULL;
	if (frame_header_get(datagram, &h) != RC_OK || h.type >= MSG_COUNT)
		FAIL(why, RC_SYNTAX, "broken frame header");
	struct str inl = str_skip(datagram, FRAME_HEADER);
	bool answer = h.kind == FRAME_ANSWER, big = h.flags & FRAME_IN_MEMFD;
	if (h.length > msg_payload_max(h.type, answer) + (answer ? 256 : 0) || (!big && h.length != inl.n) || (big && (*fd < 0 || inl.n)))
		FAIL(why, RC_SYNTAX, "%s: wrong length", msg_name(h.type));
	if (lost && h.type != MSG_CONNECTION) /* which may be lost where descriptors are short */
		FAIL(why, RC_SYNTAX, "%s: its descriptor did not come through", msg_name(h.type));
	if (!p->hello)
		return check_hello(p, &h, inl, why);
	if (h.kind != FRAME_ANSWER && h.kind != (msg_is_ask(h.type) ? FRAME_ASK : FRAME_TELL))
		FAIL(why, RC_SYNTAX, "%s: wrong kind of frame", msg_name(h.type));
	if (!answer && (!msg_permitted(p->role, p->node->c.role, h.type) || !p->node->c.on[h.type]))
		FAIL(why, RC_DENIED, "%s may not send %s here", role_name(p->role), msg_name(h.type));
	int mine = *fd;
	*fd = -1;
	enum rc rc = big ? frame_of_memfd(mine, h.length, &f, why) : frame_of_bytes(inl, &f);
	if (!big && msg_is_secret(h.type, answer))
		mem_wipe((void *)(uintptr_t)inl.p, inl.n); /* the room is used again only some frames later */
	if (rc == RC_OK && !answer)
		rc = start_call(p, &h, f, big ? -1 : mine, why);
	else if (!big)
		fd_close(&mine);
	if (rc == RC_OK && answer)
		take_answer(p, &h, f);
	if (rc != RC_NOMEM && rc != RC_BUSY)
		return rc;
	if (answer)
		lose(p, &h);
	else if (h.kind == FRAME_ASK)
		(void)refuse(p, &h, rc);
	return RC_OK; /* that question ends, not the channel */
}

static void take_frame(struct ipc_peer *p, struct received *in)
{
	struct why why = { 0 };
	enum rc rc = in->rc;
	if (rc == RC_OK && !p->dead)
		rc = frame_in(p, in->datagram, &in->fd, in->lost, &why);
	fd_close(&in->fd);
	if (rc == RC_OK || rc == RC_NOMEM || p->dead)
		return;
	if (rc != RC_CLOSED && p->node->c.violation)
		p->node->c.violation(p->node->c.house, p, why.text);
	ipc_detach(p);
}

static void read_frames(struct ipc_peer *p)
{
	struct received in[FRAMES];
	size_t n = FRAMES;
	for (int i = 0; i < BATCHES && n == FRAMES && !p->dead && !p->paused; i++) {
		enum rc rc = frames_recv(p->fd, p->node->rooms, in, &n);
		if (rc == RC_AGAIN)
			return;
		if (rc != RC_OK) {
			ipc_detach(p);
			return;
		}
		for (size_t k = 0; k < n; k++)
			take_frame(p, &in[k]); /* all of them, also when one of them has us pause */
	}
}

static void on_ready(void *arg, unsigned ready)
{
	struct ipc_peer *p = arg;
	p->refs++; /* a handler may detach it */
	if (ready & IO_WRITE)
		flush_queue(p);
	if (!p->dead && (ready & IO_READ))
		read_frames(p);
	peer_unref(p);
}

/* ---- nodes and peers ---- */

enum rc ipc_node_new(struct loop *l, const struct ipc_config *c, struct ipc_node **out)
{
	struct ipc_node *n = mem_new(sizeof *n);
	char (*rooms)[FRAME_ROOM] = mem_raw(sizeof *rooms * FRAMES); /* pages that no frame has come to stay untouched */
	if (!n || !rooms) {
		mem_free(n);
		mem_free(rooms);
		return RC_NOMEM;
	}
	*n = (struct ipc_node){ .loop = l, .c = *c, .rooms = rooms };
	if (!n->c.max_calls)
		n->c.max_calls = CALLS_DEFAULT;
	*out = n;
	return RC_OK;
}

void ipc_node_free(struct ipc_node **n)
{
	if (!*n)
		return;
	(*n)->c.gone = NULL;
	while ((*n)->peers)
		ipc_detach((*n)->peers);
	mem_free((*n)->rooms);
	mem_free(*n);
	*n = NULL;
}

enum rc ipc_attach(struct ipc_node *n, int take_fd, enum role role, unsigned index, struct ipc_peer **out, struct why *why)
{
	AUTO(fd_close) int fd = take_fd;
	struct ipc_peer *p = mem_new(sizeof *p);
	if (!p)
		FAIL(why, RC_NOMEM, "no memory for a peer");
	*p = (struct ipc_peer){ .node = n, .fd = -1, .role = role, .index = index, .refs = 1 };
	p->queue_end = &p->queue;
	int big = 1 << 20; /* frames of 124 KiB, several at a time; the kernel gives what it may */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &big, sizeof big);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &big, sizeof big);
	if (io_watch_open(n->loop, fd, IO_READ, on_ready, p, &p->watch) != RC_OK) {
		mem_free(p);
		FAIL(why, RC_IO, "cannot watch a channel");
	}
	p->fd = fd;
	fd = -1;
	p->next = n->peers;
	n->peers = p;
	struct msg_HELLO hello = { .build = build_id(), .role = n->c.role, .index = n->c.index };
	enum rc rc = send_msg(p, (struct frame_header){ .kind = FRAME_TELL, .type = MSG_HELLO }, &hello, -1);
	if (rc != RC_OK) {
		ipc_detach(p);
		FAIL(why, rc, "greet a peer");
	}
	if (out)
		*out = p;
	return RC_OK;
}

enum role ipc_peer_role(const struct ipc_peer *p) { return p->role; }
unsigned ipc_peer_index(const struct ipc_peer *p) { return p->index; }
unsigned ipc_peer_load(const struct ipc_peer *p) { return p->asks; }
void *ipc_peer_note(const struct ipc_peer *p) { return p->note; }
void ipc_peer_set_note(struct ipc_peer *p, void *note) { p->note = note; }

enum rc ipc_find(struct ipc_node *n, enum role r, unsigned ms, struct ipc_peer **out)
{
	int64_t deadline = loop_now(n->loop) + ms;
	for (;;) {
		struct ipc_peer *best = NULL;
		for (struct ipc_peer *p = n->peers; p; p = p->next)
			if (p->role == r && p->hello && (!best || p->asks < best->asks))
				best = p;
		if (best) {
			*out = best;
			return RC_OK;
		}
		if (ms == 0 || !fiber_self())
			return RC_CLOSED;
		TRY(wait_on(&n->came, deadline));
	}
}

void ipc_each(struct ipc_node *n, enum role r, void (*fn)(void *arg, struct ipc_peer *p), void *arg)
{
	for (struct ipc_peer *p = n->peers, *next; p; p = next) {
		next = p->next;
		if (p->role == r && p->hello)
			fn(arg, p);
	}
}

/* ---- asking ---- */

static enum rc slot_take(struct ipc_peer *p, uint32_t *out)
{
	for (uint32_t i = 0; i < p->slot_n; i++) {
		uint32_t at = (p->slot_hint + i) % p->slot_n;
		if (!p->slots[at].asker) {
			p->slot_hint = at + 1;
			*out = at;
			return RC_OK;
		}
	}
	uint32_t n = p->slot_n ? p->slot_n * 2 : 16;
	if (n > SLOTS_MAX)
		return RC_BUSY;
	struct slot *s = mem_grow(p->slots, p->slot_n * sizeof *s, n * sizeof *s);
	if (!s)
		return RC_NOMEM;
	*out = p->slot_n;
	p->slots = s;
	p->slot_n = n;
	p->slot_hint = *out + 1;
	return RC_OK;
}

static void pending_free(struct ipc_pending *h)
{
	struct ipc_peer *p = h->peer;
	p->slots[h->slot].asker = NULL;
	p->asks--;
	frame_free(&h->frame);
	mem_free(h);
	peer_unref(p);
}

enum rc ipc_ask_start(struct ipc_peer *p, enum msg_type t, const void *question, struct ipc_pending **out, struct why *why)
{
	uint32_t slot;
	if (p->dead)
		FAIL(why, RC_CLOSED, "%s is not there", role_name(p->role));
	if (slot_take(p, &slot) != RC_OK)
		FAIL(why, RC_BUSY, "too many questions wait for %s", role_name(p->role));
	struct ipc_pending *h = mem_new(sizeof *h);
	if (!h)
		FAIL(why, RC_NOMEM, "no memory for a question");
	*h = (struct ipc_pending){ .peer = p, .type = t, .slot = slot, .deadline = loop_now(p->node->loop) + msg_patience(t) };
	p->slots[slot].asker = h;
	p->slots[slot].generation++;
	p->refs++;
	p->asks++;
	struct frame_header fh = { .kind = FRAME_ASK, .type = (uint16_t)t, .slot = slot, .generation = p->slots[slot].generation };
	enum rc rc = send_msg(p, fh, question, -1);
	if (rc != RC_OK) {
		pending_free(h);
		FAIL(why, rc, "ask %s: %s", role_name(p->role), rc_name(rc));
	}
	*out = h;
	return RC_OK;
}

/* Answer payload: u8 outcome, run reason, then the fields when the outcome is RC_OK. */
static enum rc read_answer(struct ipc_pending *h, void *out_answer, struct why *why)
{
	struct cursor c = cursor_of(h->frame->payload);
	enum rc rc = cursor_u8(&c);
	struct str text = cursor_run(&c, sizeof why->text - 1);
	if (c.failed || rc > RC_IO)
		FAIL(why, RC_SYNTAX, "%s: broken answer", msg_name(h->type));
	if (rc != RC_OK)
		FAIL(why, rc, "%.*s", PSTR(text));
	char scrap[MSG_STRUCT_MAX];
	return msg_decode(h->type, true, c.in, out_answer ? out_answer : scrap, why);
}

enum rc ipc_ask_collect(struct ipc_pending **hp, void *out_answer, struct ipc_reply *reply, struct why *why)
{
	struct ipc_pending *h = *hp;
	*hp = NULL;
	enum rc rc = RC_OK;
	while (!h->answered && !h->lost && !h->peer->dead && rc == RC_OK)
		rc = wait_on(&h->done, h->deadline);
	if (h->answered) {
		rc = read_answer(h, out_answer, why);
		if (rc == RC_OK && reply) {
			reply->frame = h->frame;
			h->frame = NULL;
		}
	} else if (h->lost) {
		rc = why_fail(why, RC_NOMEM, 0, __FILE__, "no memory for what %s answered", role_name(h->peer->role));
	} else if (h->peer->dead || rc == RC_CLOSED) {
		rc = why_fail(why, RC_CLOSED, 0, __FILE__, "%s went away", role_name(h->peer->role));
	} else {
		rc = why_fail(why, RC_LATE, 0, __FILE__, "%s did not answer in time", role_name(h->peer->role));
	}
	pending_free(h);
	return rc;
}

void ipc_ask_abandon(struct ipc_pending **h)
{
	if (*h)
		pending_free(*h);
	*h = NULL;
}

void ipc_reply_done(struct ipc_reply *r) { frame_free(&r->frame); }

enum rc ipc_ask(struct ipc_peer *p, enum msg_type t, const void *question, void *out_answer, struct ipc_reply *reply, struct why *why)
{
	struct ipc_pending *h;
	if (reply)
		reply->frame = NULL;
	TRY(ipc_ask_start(p, t, question, &h, why));
	return ipc_ask_collect(&h, out_answer, reply, why);
}

/* The second one may be a peer that ends just then, too. */
enum { FIND_MS = 3000, TRIES = 3 };

enum rc ipc_ask_role(struct ipc_node *n, enum role r, enum msg_type t, const void *question, void *out_answer,
                     struct ipc_reply *reply, bool again, struct why *why)
{
	for (int tries = again ? TRIES : 1;; tries--) {
		struct ipc_peer *p;
		if (ipc_find(n, r, FIND_MS, &p) != RC_OK)
			FAIL(why, RC_CLOSED, "%s is not there", role_name(r));
		enum rc rc = ipc_ask(p, t, question, out_answer, reply, why);
		if (rc != RC_CLOSED || tries == 1 || loop_stopping(n->loop))
			return rc;
	}
}

enum rc ipc_tell(struct ipc_peer *p, enum msg_type t, const void *msg, int fd)
{
	return send_msg(p, (struct frame_header){ .kind = FRAME_TELL, .type = (uint16_t)t }, msg, fd);
}

void ipc_answer(struct ipc_call *c, enum rc rc, const struct why *why, const void *answer)
{
	struct ipc_pieces pieces = { 0 };
	buf_init(&pieces.small, 64 << 20);
	buf_u8(&pieces.small, (uint8_t)rc);
	buf_run(&pieces.small, rc == RC_OK || !why ? STR("") : str_z(why->text));
	char none[MSG_STRUCT_MAX] = { 0 };
	enum rc fits = rc == RC_OK ? msg_pieces(c->h.type, true, answer ? answer : none, &pieces) : RC_OK;
	if (fits != RC_OK) {
		buf_clear(&pieces.small);
		pieces.run_n = pieces.total = 0;
		buf_u8(&pieces.small, (uint8_t)(fits == RC_NOMEM ? RC_NOMEM : RC_LIMIT));
		buf_run(&pieces.small, fits == RC_NOMEM ? STR("no memory for the answer") : STR("the answer is too large"));
		pieces.total = pieces.small.len;
	} else if (rc != RC_OK) {
		pieces.total = pieces.small.len;
	}
	struct frame_header h = { .kind = FRAME_ANSWER, .type = c->h.type, .slot = c->h.slot, .generation = c->h.generation };
	rc = pieces.small.failed ? RC_NOMEM : send_or_queue(c->peer, &h, &pieces, -1);
	if (rc != RC_OK && rc != RC_CLOSED) /* a peer that is gone waits for nothing */
		(void)refuse(c->peer, &h, rc);
	(msg_is_secret(c->h.type, true) ? buf_wipe : buf_done)(&pieces.small);
	call_free(c);
}
