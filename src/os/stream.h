#pragma once
#include "base/buf.h"
#include "base/why.h"
#include "os/loop.h"

/* Bytes in order, both ways. TCP, a Unix socket, TLS or memory stand behind it. Over the first three a call that must
 * wait suspends the calling fiber until there is something, or until the deadline passes; over memory it never waits.
 * Every call answers RC_OK, or the one reason why not: RC_CLOSED (peer gone, or we are shutting down), RC_LATE
 * (deadline), RC_LIMIT (more than asked for), RC_SYNTAX (broken framing). After an error other than RC_LIMIT of
 * stream_line every further call gives the same error, so a caller may check once at the end of a step. */
struct stream;

/* One line without its CRLF, valid until the next read. A bare CR or LF in it is RC_SYNTAX, after which the line is
 * consumed up to its real CRLF and the stream goes on (the session decides whether to end). More than `max` octets
 * before the CRLF: RC_LIMIT, the rest of that line is thrown away (at most 1 MiB, then the stream is broken) and the
 * stream goes on. */
MUST_USE enum rc stream_line(struct stream *s, size_t max, struct str *out_line);

/* Between 1 and `max` octets, whatever is there; borrowed until the next read. For bodies and literals. */
MUST_USE enum rc stream_some(struct stream *s, size_t max, struct str *out);

/* Gives back the last `n` octets of what stream_some() lent: they are read again next. */
void stream_unread(struct stream *s, size_t n);

/* Octets that are already here and unread (pipelining, smuggling checks). */
size_t stream_pending(const struct stream *s);
/* Would a read find input, or the end? As far as is known without looking: what arrived since the loop's last turn is not. */
bool stream_ready(const struct stream *s);

/* Waits for input without consuming it: RC_OK = there is some, RC_AGAIN = stream_wake() was called, RC_LATE = `ms`
 * passed, RC_CLOSED. While it waits, buffers are given back and the stack is trimmed (IDLE). */
MUST_USE enum rc stream_wait(struct stream *s, unsigned ms);
void stream_wake(struct stream *s); /* callable from outside the fiber; sticky until the next stream_wait() */

/* Queues bytes; suspends only while more than the high-water mark (256 KiB) is unsent. Nothing is sent before
 * stream_flush() or before a read has to wait, so pipelined answers leave in one packet. */
void stream_write(struct stream *s, struct str bytes);
/* The same for `n` parts (<= STREAM_PARTS_MAX), which are the last for now: in clear they leave at once with everything unsent, from where they
 * lie. What finds no room there is kept, as ever. */
enum { STREAM_PARTS_MAX = 32 };
void stream_write_last(struct stream *s, const struct str *parts, size_t n);
void stream_writef(struct stream *s, const char *fmt, ...) __attribute__((format(printf, 2, 3))); /* <= 2047 bytes */
MUST_USE enum rc stream_flush(struct stream *s);
/* Direct access for hot formatting: room for at least `n` (<= 64 KiB) bytes at the end of the output, then how many were used.
 * NULL when the stream is broken. */
char *stream_reserve(struct stream *s, size_t n);
void stream_commit(struct stream *s, size_t n);

enum rc stream_error(const struct stream *s);           /* RC_OK while alive */
void stream_timeout(struct stream *s, unsigned ms);     /* the patience of each single wait; default 300,000 */
/* Every wait together, from now on: a peer that sends an octet now and then gains nothing. 0 lifts it. */
void stream_limit(struct stream *s, unsigned ms);

/* Upgrades to TLS where the stream was given a TLS provider. Throws away unread plaintext first: the command-injection
 * class of bugs ends here. RC_DENIED when there is no provider or TLS is on already. */
bool stream_can_tls(const struct stream *s);
bool stream_is_tls(const struct stream *s);
MUST_USE enum rc stream_starttls(struct stream *s);

/* What binds a login to this TLS session and no other (RFC 5056): RFC 9266's tls-exporter, RFC 5929 4's tls-server-end-point. RC_NOTFOUND: there is no TLS, or it
 * cannot give one of that kind. At most STREAM_BINDING_MAX octets. */
enum stream_binding { STREAM_TLS_EXPORTER, STREAM_TLS_SERVER_END_POINT };
enum { STREAM_BINDING_MAX = 64 };
MUST_USE enum rc stream_binding(struct stream *s, enum stream_binding kind, struct buf *out);

/* Who is there. Text stays valid as long as the stream. */
struct stream_facts {
	char peer_ip[46];              /* "192.0.2.1" or "2001:db8::1"; empty for a Unix socket or memory */
	uint16_t peer_port;
	char local_ip[46];
	uint16_t local_port;
	bool loopback, unix_socket;
	char tls_version[16];          /* "TLSv1.3", empty without TLS */
	char tls_cipher[40];
};
const struct stream_facts *stream_facts(const struct stream *s);

void stream_free(struct stream **s); /* closes; unsent output is dropped unless flushed before */

/* ---- making streams ---- */

/* A stream that reads `in`, handing out at most `chunk` octets at a time, and appends what is written to `out`.
 * `fail_at` >= 0: after that many octets read or written the stream breaks with RC_CLOSED (fault tests). `can_tls`
 * makes stream_starttls() succeed and change nothing but stream_is_tls(); with `more` set, each of its answers counts as
 * what had arrived by then, and the unread rest of it is thrown away as on a socket. `in` is borrowed. */
struct stream_memory {
	struct str in;
	size_t chunk;                  /* 0 = everything at once */
	struct buf *out;
	long fail_at;                  /* < 0: never */
	bool can_tls, is_tls;
	struct str binding;            /* of both kinds while TLS is on; "" = none */
	struct stream_facts facts;
	/* Called when input has run out, before RC_CLOSED is given: may set more input. For dialog tests (may be NULL).
	 * True with nothing set plays a silent peer: RC_LATE (or RC_AGAIN from stream_wait() when it called stream_wake()). */
	bool (*more)(void *arg, struct str *out_in);
	void *arg;
};
struct stream *stream_of_memory(struct stream_memory m); /* NULL: no memory */

/* A stream over a connected descriptor, taken over also on failure. `tls` may be NULL; borrowed, outlives the stream. */
struct tls_provider;
MUST_USE enum rc stream_of_fd(struct loop *l, int take_fd, const struct tls_provider *tls, struct stream **out, struct why *why);
/* The same for what accept4() has given, non-blocking and with its peer's address, from a listener of net_listen(). `own`: no other descriptor,
 * in no process, stands for this socket. */
struct net_addr;
MUST_USE enum rc stream_of_accepted(struct loop *l, int take_fd, const struct net_addr *peer, bool own, const struct tls_provider *tls, struct stream **out, struct why *why);
void stream_set_peer(struct stream *s, const char *ip, uint16_t port); /* after a PROXY header */

/* What a TLS implementation gives a stream (src/crypto/tls.c implements it). Each call answers the number of octets
 * (> 0), or 0 = closed, or TLS_WANT_READ / TLS_WANT_WRITE, or TLS_BROKEN. None of them waits, except `handshake` steps
 * which may suspend inside (private-key operation). */
enum { TLS_WANT_READ = -1, TLS_WANT_WRITE = -2, TLS_BROKEN = -3 };
/* The octets under TLS: they are gathered by the stream and leave together, and a read that would find nothing costs no system
 * call. Same answers as above; a write may take less than it was given. */
struct tls_wire {
	void *stream;
	long (*read)(void *stream, void *p, size_t n);
	long (*write)(void *stream, const void *p, size_t n);
};
struct tls_provider {
	void *house;
	void *(*start)(void *house, const struct tls_wire *wire);     /* NULL: no memory; `wire` outlives the session */
	int (*handshake)(void *tls);                                  /* 1 = done, or a TLS_* value */
	long (*read)(void *tls, void *p, size_t n);
	long (*write)(void *tls, const void *p, size_t n);
	void (*facts)(void *tls, struct stream_facts *out);
	void (*stop)(void *tls);                                      /* close_notify, best effort; frees */
	enum rc (*binding)(void *tls, enum stream_binding kind, struct buf *out); /* as stream_binding(); NULL: none */
};
