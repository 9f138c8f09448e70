#pragma once
#include "base/buf.h"
#include "base/why.h"
#include "crypto/scram.h"

/* SCRAM-SHA-256 as a client says it (RFC 5802 5, RFC 7677), without channel binding. Three steps; texts are not base64. Pure but for the crypto. */
enum { SCRAM_TEXT_MAX = 2048 };
struct scram_client {
	struct buf bare;               /* client-first-message-bare */
	struct buf auth_message;
	char nonce[64];
	uint8_t server_signature[HASH_LEN]; /* what the server has to prove */
};
void scram_client_init(struct scram_client *s);
void scram_client_done(struct scram_client *s); /* wipes; works with AUTO() */
/* SASLprep (RFC 4013) of a name or password, which RFC 5802 2.2 asks for; ASCII without control characters is its own. RC_SYNTAX: not UTF-8, characters that the
 * profile forbids, or nothing left; RC_LIMIT: longer than SCRAM_TEXT_MAX. */
MUST_USE enum rc scram_prepare(struct str in, struct buf *out);
/* "n,,n=user,r=nonce". The nonce is printable without a comma, at most 63 octets. RC_LIMIT: the name is too long; RC_SYNTAX: it has a NUL. */
MUST_USE enum rc scram_client_first(struct scram_client *s, struct str user, const char *nonce, struct buf *out);
/* What the server answered, read: `nonce` begins with ours and `salt` (appended to `out_salt`) is not empty, else RC_SYNTAX. RC_LIMIT: fewer than
 * SCRAM_ITERATIONS_MIN iterations (a server that wants the password cheaply) or more than the most. */
struct scram_challenge { struct str nonce; uint32_t iterations; };
MUST_USE enum rc scram_client_read(const struct scram_client *s, struct str server_first, struct scram_challenge *out, struct buf *out_salt);
/* "c=biws,r=...,p=..." */
MUST_USE enum rc scram_client_final(struct scram_client *s, struct str server_first, const struct scram_challenge *c, const struct secret *salted, struct buf *out);
/* "v=...": RC_OK = the server knows the password too; RC_DENIED: it does not; RC_SYNTAX: it says something else ("e=..." included). */
MUST_USE enum rc scram_client_verify(const struct scram_client *s, struct str server_final);
