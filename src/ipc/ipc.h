#pragma once
#include "base/buf.h"
#include "base/why.h"
#include "os/loop.h"

/* Asks and answers between the roles, over one SEQPACKET channel per pair of processes. messages.def is the only
 * vocabulary; structs, codecs, permissions, documentation and the fuzz target come from it. Frames up to 124 KiB travel inline,
 * larger ones as a sealed memfd. A wrong length, trailing bytes, an unknown type or one that this peer may not send end
 * that peer. */
enum role { ROLE_MASTER, ROLE_VAULT, ROLE_STORE, ROLE_READER, ROLE_EDGE, ROLE_ACCESS, ROLE_SCAN, ROLE_LEDGER, ROLE_WEB, ROLE_RESOLVER, ROLE_RELAY, ROLE_CTL, ROLE_COUNT };
#define R_MASTER (1u << ROLE_MASTER)
#define R_VAULT (1u << ROLE_VAULT)
#define R_STORE (1u << ROLE_STORE)
#define R_READER (1u << ROLE_READER)
#define R_EDGE (1u << ROLE_EDGE)
#define R_ACCESS (1u << ROLE_ACCESS)
#define R_SCAN (1u << ROLE_SCAN)
#define R_LEDGER (1u << ROLE_LEDGER)
#define R_WEB (1u << ROLE_WEB)
#define R_RESOLVER (1u << ROLE_RESOLVER)
#define R_RELAY (1u << ROLE_RELAY)
#define R_CTL (1u << ROLE_CTL)
#define R_ALL ((1u << ROLE_COUNT) - 1)
const char *role_name(enum role r);

enum msg_type {
#define ASK(name, from, to, ms, q, a) MSG_##name,
#define TELL(name, from, to, q) MSG_##name,
#include "ipc/messages.def"
#undef ASK
#undef TELL
	MSG_COUNT
};

#define U8(f) uint8_t f;
#define U32(f) uint32_t f;
#define U64(f) uint64_t f;
#define BYTES(f, max) struct str f;
#define SECRET(f, max) struct str f;
#define ASK(name, from, to, ms, q, a) struct msg_##name { q char end_[1]; }; struct msg_##name##_answer { a char end_[1]; };
#define TELL(name, from, to, q) struct msg_##name { q char end_[1]; };
#include "ipc/messages.def"
#undef ASK
#undef TELL
#undef U8
#undef U32
#undef U64
#undef BYTES
#undef SECRET

/* ---- codec: pure, fuzzed ---- */
/* Structs are struct msg_NAME / struct msg_NAME_answer; runs in a decoded one point into the frame. */
MUST_USE enum rc msg_encode(enum msg_type t, bool answer, const void *msg, struct buf *out);
MUST_USE enum rc msg_decode(enum msg_type t, bool answer, struct str payload, void *out_msg, struct why *why);
/* One more to a list of messages (a field of "(run NAME)*"); false: it does not fit or is not right, and the list is as it was. */
bool msg_add(struct buf *list, enum msg_type t, const void *msg);
bool msg_permitted(enum role from, enum role to, enum msg_type t); /* as a question or tell */
const char *msg_name(enum msg_type t);
size_t msg_size(enum msg_type t, bool answer);     /* sizeof its struct; <= MSG_STRUCT_MAX */
enum { MSG_STRUCT_MAX = 256 };

/* ---- channels ---- */
struct ipc_node;   /* one role's end of all its channels */
struct ipc_peer;   /* one channel */
struct ipc_call;   /* a question that waits for our answer */

/* Called in a fiber of its own. `msg` is valid until the call is answered or, for a tell, until it returns. `fd` >= 0: a descriptor
 * came along and is now the handler's. Asks must be answered exactly once with ipc_answer(). */
typedef void ipc_handler(void *house, struct ipc_peer *from, struct ipc_call *call, const void *msg, int fd);
struct ipc_config {
	enum role role; unsigned index;
	void *house;
	ipc_handler *on[MSG_COUNT];                              /* NULL = we do not take it */
	void (*gone)(void *house, struct ipc_peer *p);           /* the peer's channel ended; it is freed after this call */
	void (*came)(void *house, struct ipc_peer *p);           /* its HELLO was right */
	void (*violation)(void *house, struct ipc_peer *p, const char *what); /* it said what it may not; gone() follows */
	unsigned max_calls;                                      /* under way per peer; default 1,024 */
};
MUST_USE enum rc ipc_node_new(struct loop *l, const struct ipc_config *c, struct ipc_node **out);
void ipc_node_free(struct ipc_node **n);
/* Takes the descriptor; sends our HELLO. What the peer may say is bounded by the role it was introduced as. */
MUST_USE enum rc ipc_attach(struct ipc_node *n, int take_fd, enum role peer, unsigned index, struct ipc_peer **out_or_null, struct why *why);
void ipc_detach(struct ipc_peer *p);               /* everything pending on it fails with RC_CLOSED */
enum role ipc_peer_role(const struct ipc_peer *p);
unsigned ipc_peer_index(const struct ipc_peer *p);
unsigned ipc_peer_load(const struct ipc_peer *p);  /* asks of ours under way there */
void *ipc_peer_note(const struct ipc_peer *p);     /* a pointer for the house's own use */
void ipc_peer_set_note(struct ipc_peer *p, void *note);
/* A peer of that role: the least loaded one; waits up to `ms` for one to come (a restart). */
MUST_USE enum rc ipc_find(struct ipc_node *n, enum role r, unsigned ms, struct ipc_peer **out);
/* Calls fn for each peer of that role. */
void ipc_each(struct ipc_node *n, enum role r, void (*fn)(void *arg, struct ipc_peer *p), void *arg);

/* An answer held until ipc_reply_done(): runs in it point into its frame. */
struct ipc_reply { struct ipc_frame *frame; };
void ipc_reply_done(struct ipc_reply *r);

/* Suspends the fiber until the answer is here. The answer's own outcome comes back as the result, with its text in `why`.
 * RC_LATE after the message's patience; RC_CLOSED when the peer went away before it answered. `out_answer` (struct msg_NAME_answer) is
 * filled on RC_OK only; pass NULL for `reply` when the answer has no runs. */
MUST_USE enum rc ipc_ask(struct ipc_peer *p, enum msg_type t, const void *question, void *out_answer, struct ipc_reply *reply, struct why *why);
/* ipc_find + ipc_ask; asks again (twice at most, other or restarted peer) when the peer went away and `again` says it is harmless. */
MUST_USE enum rc ipc_ask_role(struct ipc_node *n, enum role r, enum msg_type t, const void *question, void *out_answer,
                              struct ipc_reply *reply, bool again, struct why *why);
/* The two halves of ipc_ask, to have work done meanwhile (prefetch). A handle must be collected or abandoned. */
struct ipc_pending;
MUST_USE enum rc ipc_ask_start(struct ipc_peer *p, enum msg_type t, const void *question, struct ipc_pending **out, struct why *why);
MUST_USE enum rc ipc_ask_collect(struct ipc_pending **h, void *out_answer, struct ipc_reply *reply, struct why *why);
void ipc_ask_abandon(struct ipc_pending **h);

/* One way. Queued when the channel is full (bounded: RC_BUSY past 4 MiB). `fd` >= 0 is sent along (not closed here). */
MUST_USE enum rc ipc_tell(struct ipc_peer *p, enum msg_type t, const void *msg, int fd);
/* `answer` may be NULL when rc != RC_OK. */
void ipc_answer(struct ipc_call *c, enum rc rc, const struct why *why, const void *answer);
