#pragma once
#include "base/mem.h"
#include "base/str.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* What the load generators share: non-blocking connections on one epoll, with or without TLS, a clock, and latencies.
 * These are programs, not the server: what goes wrong in them ends them with a message. They must cost little CPU of
 * their own, since they run on the machine that they measure: bodies are borrowed, never copied; input is looked at where it lies. */

void die(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));
double now(void);                     /* seconds, monotonic */

enum { LINK_PIECES = 8, LINK_IN = 1 << 18, LINK_SMALL = 4096 };

struct link {
	int fd;
	SSL *ssl;
	bool connecting, want_write, closed; /* closed: the peer ended it or it broke */
	bool more, ended;              /* in clear: the last read may have left something; the end is in there */
	char *in;                      /* unread input is in[at..end) */
	size_t at, end, cap;
	size_t most;                   /* one read takes at most so many octets; 0: all there is room for */
	struct str out[LINK_PIECES];   /* borrowed, in order */
	unsigned out_n;
	unsigned number;
	void *user;
};

struct net {
	int epoll;
	SSL_CTX *tls;                  /* NULL = clear */
	union { struct sockaddr sa; struct sockaddr_in in; struct sockaddr_un un; } to;
	socklen_t to_len;
	size_t in_cap;                 /* room for unread input of each connection */
};
/* `where` is a port on `host`, or the path of a Unix socket. */
void net_init(struct net *n, const char *host, const char *where, bool tls, size_t in_cap);
void net_fds(unsigned n);             /* room for so many descriptors */
void link_open(struct net *n, struct link *l);
void link_close(struct net *n, struct link *l);
void link_send(struct net *n, struct link *l, struct str s); /* borrowed until sent */
bool link_sent(const struct link *l);
/* Waits for events and calls `on` for each connection that has new input, has sent all it had, or was closed. False after
 * `ms` milliseconds of silence (-1: for ever). */
bool net_turn(struct net *n, int ms, void (*on)(struct link *l));

/* The next whole line without CRLF; false = not here yet. Consumed. */
bool link_line(struct link *l, struct str *out);

/* Throws away up to `n` octets that are here and were not read yet, without copying them; answers how many. 0 over TLS, and while there is unread input. */
size_t link_skip(struct link *l, size_t n);
/* Reads once more at once, instead of after the next event. False: nothing has come. */
bool link_more(struct net *n, struct link *l);

/* Latencies, in seconds. */
struct lat { float *v; size_t n, cap; };
void lat_add(struct lat *l, double s);
double lat_ms(struct lat *l, double quantile); /* sorts */

/* ---- the command line: "--name value" and "--flag" ---- */
struct opt { const char *name; const char *help; const char **text; long *number; bool *flag; };
void options(int argc, char **argv, const char *what, const struct opt *opts, size_t n);

/* ---- corpora (made by mkcorpus) ---- */
struct corpus { struct str *mail; size_t n; };
void corpus_load(const char *path, bool dot_stuffed, struct corpus *out); /* dot-stuffed: with CRLF "." CRLF at the end */

/* ---- the result: one JSON line ---- */
struct result { const char *tool, *action; uint64_t count, bytes, errors; double seconds; char first_error[200]; struct lat lat; };
void result_error(struct result *r, struct str what);
void result_print(struct result *r);
