#pragma once
#include "os/stream.h"

/* What every stream has, whatever stands behind it. Lines, limits and buffers are written once, over this. */
enum {
	STREAM_HIGH_WATER = 256 * 1024,
	STREAM_LINE_FLOOD = 1024 * 1024, /* a line longer than this breaks the stream */
};

struct stream_ops {
	/* Puts at least one octet behind the unread ones, waiting for it; false after stream_break(). Sends what is unsent
	 * before it waits, and gives empty buffers back while it does. */
	bool (*fill)(struct stream *s);
	/* Sends everything that is unsent, waiting for room. Leaves the input alone: a caller may have borrowed it. */
	enum rc (*send)(struct stream *s);
	/* How many octets of the parts left, behind everything unsent; 0 as well when it would not do. Does not wait. May be NULL. */
	size_t (*send_lent)(struct stream *s, const struct str *parts, size_t n);
	/* Is there something to read below, as far as is known? May be NULL. */
	bool (*ready)(const struct stream *s);
	/* Waits for input: RC_OK = octets were put behind the unread ones, RC_AGAIN = woken, or an error. */
	enum rc (*wait)(struct stream *s, unsigned ms);
	void (*wake)(struct stream *s);
	bool (*can_tls)(const struct stream *s);
	enum rc (*starttls)(struct stream *s);
	enum rc (*binding)(struct stream *s, enum stream_binding kind, struct buf *out); /* with TLS only */
	void (*close)(struct stream *s); /* frees what is behind the stream, not the stream */
};

struct stream {
	const struct stream_ops *ops;
	struct loop *loop;        /* NULL: memory */
	char *in;                 /* unread octets are in[pos .. end); NULL while there are none and nobody reads */
	size_t pos, end, in_cap;
	char *out;                /* unsent octets are out[sent .. out_n) */
	size_t sent, out_n, out_cap;
	enum rc error;
	unsigned patience;
	int64_t until;                   /* no wait ends later; 0: no such limit */
	bool woken, is_tls, keeps_plaintext;
	struct stream_facts facts;
};

void stream_break(struct stream *s, enum rc rc);      /* the first reason stays */
bool stream_room(struct stream *s);                   /* makes sure in[end ..] has room; false = broken */
void stream_rest(struct stream *s);                   /* gives empty buffers back */
void stream_init(struct stream *s, const struct stream_ops *ops, struct loop *l);
