#pragma once
#include "base/cursor.h"
#include "crypto/crypto.h"
#include "vault/vault.h"

/* An account as the vault keeps it: mode, public key, and the private half wrapped several times over. A wrap is a type and bytes, so
 * that types to come (app password, passkey, token) lie beside those of today and are carried along unread. */
enum wrap_type { WRAP_PASSWORD = 1, WRAP_APP_PASSWORD, WRAP_PASSKEY, WRAP_TOKEN, WRAP_RECOVERY, WRAP_ORGANISATION, WRAP_SCRAM /* no wrap but a verifier: scram.c */ };
enum { WRAPS_MAX = 64, WRAP_MAX = 512, WRAP_SALT = 16 };
struct wrap { uint8_t type; struct str bytes; };
struct account_record {
	uint64_t id;
	enum vault_mode mode;
	uint8_t public_key[PUB_LEN];
	int64_t made_ms;
	struct wrap wrap[WRAPS_MAX];
	unsigned wraps;
};
void record_format(const struct account_record *r, struct buf *out);
MUST_USE enum rc record_parse(uint64_t id, struct str value, struct account_record *out); /* runs point into `value`; RC_DAMAGED */
const struct wrap *record_wrap(const struct account_record *r, enum wrap_type type);        /* NULL: none */
void record_drop(struct account_record *r, enum wrap_type type);                            /* the wrap of this type, if there is one */
/* Replaces the wrap of this type or adds it; `bytes` stay the caller's. RC_LIMIT. */
MUST_USE enum rc record_put(struct account_record *r, enum wrap_type type, struct str bytes);

/* A private half under a strong secret (128 bits or more): salt 16, AEAD. Bound to the account, its public key and the type. */
MUST_USE enum rc wrap_seal(const struct account_record *r, enum wrap_type type, struct str strong, const struct secret *priv, struct buf *out);
MUST_USE enum rc wrap_open(const struct account_record *r, enum wrap_type type, struct str strong, struct str bytes, struct secret *out);
/* Before a password's wrap: salt and cost of its Argon2id. */
struct password_params { uint8_t salt[WRAP_SALT]; struct argon2_cost cost; };
void params_format(const struct password_params *p, struct buf *out);
MUST_USE enum rc params_parse(struct str bytes, struct password_params *out, struct str *out_wrap); /* RC_DAMAGED: also for a cost past reason */

/* 128 bits as people write them down: "7F3K-9Q2D-...": 26 letters of Crockford's base32 and two of check. */
enum { RECOVERY_BITS = 16, RECOVERY_TEXT = 7 * 5 };
MUST_USE enum rc recovery_format(const uint8_t key[RECOVERY_BITS], char out[RECOVERY_TEXT]); /* with a NUL */
MUST_USE enum rc recovery_parse(struct str text, uint8_t out[RECOVERY_BITS]); /* RC_SYNTAX: a slip of the pen */
