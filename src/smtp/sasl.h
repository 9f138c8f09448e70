#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/why.h"

/* The messages of SASL mechanisms, as a server reads and writes them. Pure: no secret is kept and none is computed here. Every parser answers RC_SYNTAX for what
 * the mechanism's grammar does not allow, RC_NOMEM when `a` is full; runs point into the input or into `a`. */
enum { SASL_USER_MAX = 320, SASL_PASSWORD_MAX = 1024, SASL_NONCE_MAX = 128, SASL_PROOF_LEN = 32 };

/* RFC 4616 2: [authzid] NUL authcid NUL passwd, neither of the last two empty. */
struct sasl_plain { struct str authzid, user, password; };
MUST_USE enum rc sasl_plain_parse(struct str message, struct sasl_plain *out);

/* RFC 5802 7: the client's first message. */
struct sasl_scram_first {
	char flag;                     /* 'n': no channel binding, 'y': it thinks that we have none, 'p': with `binding` */
	struct str binding;            /* "tls-exporter"; "" unless 'p' */
	struct str authzid, user;      /* decoded; authzid "" = none */
	struct str nonce;
	struct str gs2, bare;          /* gs2-header with both commas; client-first-message-bare */
};
MUST_USE enum rc sasl_scram_first_parse(struct str message, struct arena *a, struct sasl_scram_first *out);
/* The client's final message. Extensions before the proof are allowed and ignored. */
struct sasl_scram_final {
	struct str binding;            /* decoded: gs2-header and the channel's data */
	struct str nonce, proof;       /* proof: decoded, SASL_PROOF_LEN octets */
	struct str without_proof;
};
MUST_USE enum rc sasl_scram_final_parse(struct str message, struct arena *a, struct sasl_scram_final *out);

/* "r=...,s=...,i=..." and "v=...": what the server says. `nonce` is the client's and ours behind it. */
void sasl_scram_server_first(struct str nonce, struct str salt, uint32_t iterations, struct buf *out);
void sasl_scram_server_final(struct str signature, struct buf *out);
/* RFC 5802 3: AuthMessage := client-first-message-bare + "," + server-first-message + "," + client-final-message-without-proof */
void sasl_scram_auth_message(struct str first_bare, struct str server_first, struct str final_without_proof, struct buf *out);
