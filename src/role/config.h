#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/why.h"
#include "os/net.h"
#include <stdbool.h>

/* Machine facts, checked once by `master` (src/cmd/config_file.c reads the file) and handed to every role packed. Every scalar key is
 * one row of role/config.def, from which parsing, defaults, checks, `config explain` and docs/configuration.md come. */
enum listener_proto { LISTEN_SMTP, LISTEN_SMTPS, LISTEN_SUBMISSION, LISTEN_SUBMISSIONS, LISTEN_LMTP, LISTEN_IMAP, LISTEN_IMAPS, LISTEN_POP3, LISTEN_POP3S, LISTEN_METRICS, LISTEN_PROTOS };
extern const char *const listener_proto_names[LISTEN_PROTOS]; /* "smtp", "lmtp", ... as in `listen { smtp = {...} }` */
bool listener_is_tls(enum listener_proto p); /* from the first octet on */
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

/* ---- the table that parsing, defaults, checks, `config explain` and docs/configuration.md share ---- */
enum config_kind { CONFIG_STRING, CONFIG_SIZE, CONFIG_TIME, CONFIG_COUNT, CONFIG_FLAG };
struct config_row {
	enum config_kind kind;
	const char *section, *name, *doc;
	size_t offset;                   /* of its field in struct config */
	const char *text;                /* default of a STRING */
	uint64_t dflt, least, most;      /* of the others */
};
extern const struct config_row config_rows[];
extern const size_t config_row_n;
const struct config_row *config_row_find(struct str section, struct str name); /* NULL: no such key */

/* One value from its text in the file: units required ("50 MiB" or "50MiB", "30 min"), FLAG: true/false/yes/no/on/off. `why` says what
 * would be right. RC_SYNTAX, RC_LIMIT (outside least..most), RC_NOMEM. */
MUST_USE enum rc config_set(struct config *c, const struct config_row *row, struct str text, struct why *why);
void config_value(const struct config *c, const struct config_row *row, struct buf *out);   /* the value in force, as the file would say it */
void config_number(enum config_kind kind, uint64_t v, struct buf *out);                     /* "50 MiB", "31 min", "20" */
/* RC_SYNTAX: not an address, RC_LIMIT: too many. `proxy`: the key is the protocol's name with "_proxy" after it. */
MUST_USE enum rc config_listen(struct config *c, enum listener_proto proto, bool proxy, struct str address, struct why *why);
MUST_USE enum rc config_add_tls(struct config *c, const struct config_tls *t, struct why *why);
MUST_USE enum rc config_add_proxy(struct config *c, struct str network, struct why *why);
/* What no single key can say: the name is set, somebody listens, the root key is not in the data directory, a demo is on loopback. */
MUST_USE enum rc config_check(const struct config *c, struct why *why);
