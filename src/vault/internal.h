#pragma once
#include "base/map.h"
#include "crypto/tls.h"
#include "vault/file.h"
#include "vault/limiter.h"
#include "vault/record.h"
#include "vault/remember.h"
#include "vault/vault.h"

struct dkim_set {
	struct dkim_entry **entry; size_t n;
	struct map by_name;
	uint64_t uses;
	unsigned ready;
	int64_t turned_ms, turned_steady_ms; /* by either clock, the last turn; 0 = none yet */
};
/* The vault's one object, between its files. */
enum { TLS_MAX = 256, TICKETS = 3, TICKET_LEN = 48, PASSWORD_MAX_LEN = 1024 };
struct tls_entry { uint64_t id; struct tls_key *key; struct buf chain; };
struct tls_set { struct tls_entry *entry; size_t n; };
struct vault {
	struct loop *loop;             /* NULL: offline */
	struct vault_file *file;
	bool read_only, scram;
	struct secret *organisation, *audit, *hash, *ledger;
	struct secret *queue, *srs;    /* NULL until they are asked for */
	struct remember *remember;
	struct limiter limiter;
	struct waitlist decided;        /* a login is over: others of its network may go on */
	struct map attempts;           /* pair -> struct attempt: logins whose password is being hashed */
	unsigned argon_max, argon_now, argon_waiting;
	struct waitlist argon_free;
	struct tls_set tls, tls_before; /* before: of the last configuration, for handshakes that began under it */
	struct dkim_set dkim;
	struct secret *ticket[TICKETS][2]; /* 48 octets in two locked pieces: name and half the key, the rest */
	int64_t ticket_at;
};
int64_t vault_now(struct vault *v);
/* Argon2id on a worker, at most argon_max at once; suspends. RC_BUSY: too many wait. */
MUST_USE enum rc vault_stretch(struct vault *v, struct str password, const struct password_params *p, struct secret *out, struct why *why);
/* The limiter, around an attempt: RC_BUSY, or the attempt's outcome goes to vault_tried(). Suspends. */
MUST_USE enum rc vault_may_try(struct vault *v, const uint8_t network[16], uint64_t pair, struct why *why);
void vault_tried(struct vault *v, const uint8_t network[16], uint64_t pair, enum rc rc);
/* Is a verifier to be kept of this password? Its bytes (scram_make() suspends). What is wrong with one, NULL: nothing. */
bool scram_wanted(const struct vault *v, const struct account_record *r, struct str password);
MUST_USE enum rc scram_make(struct str password, struct buf *out);
const char *scram_check_record(struct str bytes);
/* The account's record: its bytes go to `hold`, which the caller wipes. RC_NOTFOUND, RC_DAMAGED. */
MUST_USE enum rc vault_record(struct vault *v, uint64_t id, struct buf *hold, struct account_record *out, struct why *why);
/* What is wrong with a record in force, for verify; NULL: nothing. */
const char *vault_record_check(void *arg, enum vault_kind kind, uint64_t id, struct str value);
void tls_set_done(struct tls_set *s);
