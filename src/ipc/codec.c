#include "ipc/codec.h"

#include "base/cursor.h"
#include <stddef.h>

enum kind { K_END, K_U8, K_U32, K_U64, K_BYTES, K_SECRET };
struct msg_field { enum kind kind; size_t offset; uint32_t max; };

/* Each message's fields as a table: inside the function, T is the message's own struct. */
#define U8(f) { K_U8, offsetof(T, f), 1 },
#define U32(f) { K_U32, offsetof(T, f), 4 },
#define U64(f) { K_U64, offsetof(T, f), 8 },
#define BYTES(f, max) { K_BYTES, offsetof(T, f), max },
#define SECRET(f, max) { K_SECRET, offsetof(T, f), max },
#define FIELDS(fn, type, ...)                                                           \
	static const struct msg_field *fn(void)                                         \
	{                                                                               \
		typedef struct type T;                                                  \
		static const struct msg_field f[] = { __VA_ARGS__ { K_END, offsetof(T, end_), 0 } }; \
		return f;                                                               \
	}
#define ASK(name, from, to, ms, q, a) FIELDS(q_##name, msg_##name, q) FIELDS(a_##name, msg_##name##_answer, a)
#define TELL(name, from, to, q) FIELDS(q_##name, msg_##name, q)
#include "ipc/messages.def"
#undef ASK
#undef TELL

static const struct rule {
	const char *name;
	unsigned from, to, patience;
	const struct msg_field *(*q)(void), *(*a)(void);
	size_t q_size, a_size;
} rules[MSG_COUNT] = {
#define ASK(name, f, t, ms, q, a) [MSG_##name] = { #name, f, t, ms, q_##name, a_##name, sizeof(struct msg_##name), sizeof(struct msg_##name##_answer) },
#define TELL(name, f, t, q) [MSG_##name] = { #name, f, t, 0, q_##name, NULL, sizeof(struct msg_##name), 0 },
#include "ipc/messages.def"
#undef ASK
#undef TELL
};

#define ASK(name, f, t, ms, q, a) _Static_assert(sizeof(struct msg_##name) <= MSG_STRUCT_MAX && sizeof(struct msg_##name##_answer) <= MSG_STRUCT_MAX, #name);
#define TELL(name, f, t, q) _Static_assert(sizeof(struct msg_##name) <= MSG_STRUCT_MAX, #name);
#include "ipc/messages.def"

const char *role_name(enum role r)
{
	static const char *const names[ROLE_COUNT] = { "master", "vault", "store", "reader", "edge", "access", "scan", "ledger", "web", "resolver", "relay", "ctl" };
	return r < ROLE_COUNT ? names[r] : "nobody";
}

bool msg_permitted(enum role from, enum role to, enum msg_type t)
{
	return t < MSG_COUNT && from < ROLE_COUNT && to < ROLE_COUNT && (rules[t].from >> from & 1) && (rules[t].to >> to & 1);
}

const char *msg_name(enum msg_type t) { return t < MSG_COUNT ? rules[t].name : "?"; }
size_t msg_size(enum msg_type t, bool answer) { return answer ? rules[t].a_size : rules[t].q_size; }
bool msg_is_ask(enum msg_type t) { return t < MSG_COUNT && rules[t].a != NULL; }
unsigned msg_patience(enum msg_type t) { return rules[t].patience; }

static const struct msg_field *fields_of(enum msg_type t, bool answer)
{
	return t >= MSG_COUNT ? NULL : answer ? (rules[t].a ? rules[t].a() : NULL) : rules[t].q();
}

bool msg_is_secret(enum msg_type t, bool answer)
{
	for (const struct msg_field *f = fields_of(t, answer); f && f->kind != K_END; f++)
		if (f->kind == K_SECRET)
			return true;
	return false;
}

uint64_t msg_payload_max(enum msg_type t, bool answer)
{
	uint64_t n = 0;
	for (const struct msg_field *f = fields_of(t, answer); f && f->kind != K_END; f++)
		n += f->kind >= K_BYTES ? 4ull + f->max : f->max;
	return n;
}

static void put_run(struct ipc_pieces *p, struct str s)
{
	buf_u32(&p->small, (uint32_t)s.n);
	if (s.n < IPC_INLINE_RUN || p->run_n == IPC_RUNS_MAX) {
		buf_add(&p->small, s);
		return;
	}
	p->runs[p->run_n].at = p->small.len;
	p->runs[p->run_n++].run = s;
	p->total += s.n;
}

enum rc msg_pieces(enum msg_type t, bool answer, const void *msg, struct ipc_pieces *p)
{
	const struct msg_field *f = fields_of(t, answer);
	if (!f)
		return RC_SYNTAX;
	for (; f->kind != K_END; f++) {
		const char *at = (const char *)msg + f->offset;
		struct str run;
		switch (f->kind) {
		case K_U8: buf_u8(&p->small, *(const uint8_t *)at); break;
		case K_U32: buf_u32(&p->small, *(const uint32_t *)(const void *)at); break;
		case K_U64: buf_u64(&p->small, *(const uint64_t *)(const void *)at); break;
		default:
			run = *(const struct str *)(const void *)at;
			if (run.n > f->max)
				return RC_LIMIT;
			put_run(p, run.p ? run : STR(""));
		}
	}
	p->total += p->small.len;
	return p->small.failed ? RC_NOMEM : RC_OK;
}

enum rc msg_encode(enum msg_type t, bool answer, const void *msg, struct buf *out)
{
	struct ipc_pieces p = { 0 };
	buf_init(&p.small, out->max);
	enum rc rc = msg_pieces(t, answer, msg, &p);
	size_t done = 0;
	for (size_t i = 0; rc == RC_OK && i < p.run_n; i++) {
		buf_add(out, str_of(p.small.p + done, p.runs[i].at - done));
		buf_add(out, p.runs[i].run);
		done = p.runs[i].at;
	}
	if (rc == RC_OK)
		buf_add(out, str_skip(buf_str(&p.small), done));
	buf_wipe(&p.small);
	return rc == RC_OK && out->failed ? RC_NOMEM : rc;
}

bool msg_add(struct buf *list, enum msg_type t, const void *msg)
{
	size_t start = list->len, begun = buf_run_begin(list);
	enum rc rc = msg_encode(t, false, msg, list);
	buf_run_end(list, begun);
	if (rc == RC_OK && !list->failed)
		return true;
	list->failed = false;
	list->len = start;
	return false;
}

enum rc msg_decode(enum msg_type t, bool answer, struct str payload, void *out_msg, struct why *why)
{
	const struct msg_field *f = fields_of(t, answer);
	if (!f)
		FAIL(why, RC_SYNTAX, "no such message (%d)", (int)t);
	struct cursor c = cursor_of(payload);
	for (; f->kind != K_END; f++) {
		char *at = (char *)out_msg + f->offset;
		switch (f->kind) {
		case K_U8: *(uint8_t *)at = cursor_u8(&c); break;
		case K_U32: *(uint32_t *)(void *)at = cursor_u32(&c); break;
		case K_U64: *(uint64_t *)(void *)at = cursor_u64(&c); break;
		default: *(struct str *)(void *)at = cursor_run(&c, f->max);
		}
	}
	if (c.failed)
		FAIL(why, RC_SYNTAX, "%s: a field is cut short or too long", msg_name(t));
	if (c.in.n)
		FAIL(why, RC_SYNTAX, "%s: %zu octets too many", msg_name(t), c.in.n);
	return RC_OK;
}
