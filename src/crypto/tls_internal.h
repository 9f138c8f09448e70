#pragma once
#include "crypto/tls.h"
#include <openssl/ssl.h>
#include <openssl/x509.h>

/* The parts of a TLS server, between the files of src/crypto. */

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
