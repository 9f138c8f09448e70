#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/why.h"
#include "os/net.h"

/* Machine facts, checked once by `master` (src/cmd/config_file.c reads the file) and handed to every role packed. Every scalar key is
 * one row of role/config.def, from which parsing, defaults, checks, `config explain` and docs/configuration.md come. */
enum listener_proto { LISTEN_SMTP, LISTEN_LMTP, LISTEN_IMAP, LISTEN_IMAPS, LISTEN_POP3, LISTEN_POP3S, LISTEN_METRICS, LISTEN_PROTOS };
extern const char *const listener_proto_names[LISTEN_PROTOS]; /* "smtp", "lmtp", ... as in `listen { smtp = {...} }` */
struct config_listener {
	enum listener_proto proto;
	struct str address;              /* "127.0.0.1:25", "[::]:25", "unix:/run/letterlock/lmtp.sock" */
	bool proxy;                      /* expects a PROXY header, from listen.trusted_proxies only */
};
struct config_tls { struct str name, cert, key; };  /* paths; read by master, handed to the vault */

struct config {
	struct arena a;                  /* owns every run below */
	/* scalars, one field per row of role/config.def: STRING -> struct str, SIZE/TIME/COUNT -> uint64_t (octets, ms), FLAG -> bool */
#define STRING(section, name, dflt, doc) struct str section##_##name;
#define SIZE(section, name, dflt, min, max, doc) uint64_t section##_##name;
#define TIME(section, name, dflt, min, max, doc) uint64_t section##_##name;
#define COUNT(section, name, dflt, min, max, doc) uint64_t section##_##name;
#define FLAG(section, name, dflt, doc) bool section##_##name;
#include "role/config.def"
#undef STRING
#undef SIZE
#undef TIME
#undef COUNT
#undef FLAG
	struct config_listener *listeners; size_t listener_n;
	struct config_tls *tls; size_t tls_n;
	struct net_range *proxies; size_t proxy_n;
};
void config_init(struct config *c);                        /* defaults */
void config_done(struct config *c);
void config_pack(const struct config *c, struct buf *out);
MUST_USE enum rc config_unpack(struct str in, struct config *out, struct why *why);
