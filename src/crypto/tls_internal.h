#pragma once
#include "crypto/tls.h"
#include "crypto/tls_client.h"
#include <openssl/ssl.h>
#include <openssl/x509.h>

/* The parts of TLS, between the files of src/crypto. */

/* ---- what a tls_provider is made of; `tls` is an SSL ---- */

bool tls_wire_attach(SSL *ssl, const struct tls_wire *wire); /* false: no memory */
int tls_wire_outcome(SSL *ssl, int ret);                      /* of a call that did not succeed, as a TLS_* value; 0 = close_notify. Empties the error queue */
int tls_wire_handshake(void *tls);
long tls_wire_read(void *tls, void *p, size_t n);
long tls_wire_write(void *tls, const void *p, size_t n);
void tls_wire_facts(void *tls, struct stream_facts *out);
void tls_wire_stop(void *tls);

/* ---- servers ---- */

/* An EVP_PKEY that holds only the public half of the leaf's key; each signature asks hook->sign with `key_id`. `hook` is borrowed
 * and outlives the key. */
MUST_USE enum rc tls_hook_key(X509 *leaf, const struct tls_key_hook *hook, uint64_t key_id, EVP_PKEY **out, struct why *why);

/* Session-ticket keys, newest first: the first one seals, all open. */
enum { TICKETS_MAX = 3, TICKET_KEY_LEN = 48 };
struct tls_tickets {
	struct ticket_key { uint8_t name[16]; struct secret aes, mac; } key[TICKETS_MAX];
	size_t n;
};
void tls_tickets_set(struct tls_tickets *t, struct str keys); /* "" wipes all */
bool tls_tickets_attach(SSL_CTX *c, struct tls_tickets *t);   /* `t` outlives every connection of `c` */

/* ---- clients ---- */

enum { TLS_NAMES_MAX = 8, TLS_NAME_MAX = 255 };
/* How RFC 7672 differs from RFC 7671: mail knows no usages 0 and 1 and compares no name for usage 3. Other rules are for comparing with others' tests. */
struct tls_dane_rules { bool pkix_usages, ee_names; };
struct tls_wish {
	enum tls_want want;
	struct tls_dane_rules rules;
	char sni[TLS_NAME_MAX + 1];    /* "" = none: an address literal */
	char names[TLS_NAMES_MAX][TLS_NAME_MAX + 1];
	size_t name_n;                 /* at least 1 */
	bool dane;                     /* the SSL holds at least one usable record */
};
struct tls_verdict {
	int pkix, dane, depth;         /* X509_V_*; depth of the TLSA match, -1 = none */
	int usage, selector, matching; /* of the record that matched; usage -1 = none */
};
/* The certificates of a PEM bundle are trusted by `store` from now on; each is parsed when a chain asks for it. */
MUST_USE enum rc tls_roots_add(X509_STORE *store, struct str pem, struct why *why);
/* The judgement on a chain, at Unix time `at` (0 = now): fills everything in `out` but `done`. `ssl` holds the TLSA records. True: the wish is met. */
bool tls_judge(SSL *ssl, X509_STORE *roots, X509 *leaf, STACK_OF(X509) *chain, const struct tls_wish *w, int64_t at, struct tls_verdict *out_verdict,
               struct tls_peer_facts *out);
MUST_USE enum rc tls_peer_new_by(struct tls_client *c, const struct tls_peer_config *p, struct tls_dane_rules rules, struct tls_peer **out, struct why *why);
const struct tls_verdict *tls_peer_verdict(const struct tls_peer *p);
