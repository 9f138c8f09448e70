#pragma once
#include "crypto/crypto.h"
#include "origin/origin.h"

/* DKIM signatures (RFC 6376, 8301, 8463) and ARC (RFC 8617): one verifier for both, since they share canonicalisation, keys and the one pass
 * over the body. Straight over the raw message: the header first, then the body in runs as it arrives, then the verdicts. */
enum { DKIM_MAX_SIGNATURES = 10, ARC_MAX_SETS = 50 };

struct dkim_signature {
	enum auth result;          /* pass; fail (bad signature or body hash); neutral (malformed header field); permerror (key gone, revoked, too
	                              short, rsa-sha1, expired, ...); temperror (DNS); policy (signed, but not acceptable, as an l= that leaves text unsigned) */
	struct str domain, selector, identity; /* d= s= i= ("@d" when left out), lower-case domains */
	struct str algorithm;      /* "rsa-sha256", "ed25519-sha256", or what it said as far as that is a word */
	struct str b_head;         /* first 8 characters of b= (RFC 6008 header.b) */
	bool body_ok;              /* body hash matches */
	bool signature_ok;         /* b= fits the signed header fields and the key; false too when it never came to that */
	bool testing;              /* t=y in the key */
	bool over_from;            /* From listed once more often than it occurs */
	bool secure;               /* the key came validated by DNSSEC */
	unsigned key_bits;
	int64_t signed_at, expires_at; /* t= x=; -1 = not given */
	struct str why;            /* one sentence, printable ASCII */
};
struct arc_result {
	enum auth result;          /* none, pass, fail */
	bool late;                 /* fail, but only because a key could not be asked for: another try may say pass */
	unsigned sets;             /* highest instance */
	struct str sealer;         /* d= of the newest ARC-Seal, "" = none */
	struct str *sealers;       /* d= of every seal, [0] = i=1 */
	struct str aar;            /* what follows "i=N;" in the ARC-Authentication-Results of the newest set, folded as it came */
	struct str first_aar;      /* of i=1: what the first sealer saw */
	unsigned oldest_pass;      /* RFC 8617 5.2 */
	struct str why;
};
struct dkim_result {
	struct dkim_signature *signature;
	size_t n;                  /* at most DKIM_MAX_SIGNATURES; more are counted in `ignored` and not looked at */
	size_t ignored;
	bool skipped;              /* no_dkim: nobody has looked for signatures */
	bool lost;                 /* memory ended: signatures may be missing here, and nothing can be said of the author */
	struct arc_result arc;
};
struct dkim_options {
	int64_t now_s;
	bool allow_weak;           /* tests of old vectors only: rsa-sha1 and keys down to 512 bits */
	bool no_dkim, no_arc;      /* leave one out */
	bool tls_reports;          /* where reports are read and nowhere else: keys of RFC 8460 3's service, s=tlsrpt, count too */
};

struct dkim_verifier;
/* `header` is the raw header including the empty line if there is one; borrowed until dkim_verify_free(). Line ends CRLF (or LF, taken as CRLF).
 * Never fails on a hostile message; RC_NOMEM only. */
MUST_USE enum rc dkim_verify_new(struct str header, const struct dkim_options *o, struct dkim_verifier **out);
void dkim_verify_body(struct dkim_verifier *v, struct str run); /* any split */
/* Asks the DNS, once per key, and judges. Results live in `a`. */
void dkim_verify_end(struct dkim_verifier *v, const struct dns *dns, const struct origin_trace *t, struct arena *a, struct dkim_result *out);
void dkim_verify_free(struct dkim_verifier **v);
bool dkim_verify_idle(const struct dkim_verifier *v); /* neither signed nor sealed, not even badly: there is nothing to feed and nothing to tell */
/* Gives back what this thread keeps between messages (hash contexts, up to 256 parsed keys). A thread that ends does it by itself. */
void dkim_thread_done(void);

/* ---- signing ---- */
enum dkim_canon { DKIM_SIMPLE, DKIM_RELAXED };
struct dkim_key_ref {
	struct str domain, selector;
	enum { DKIM_RSA, DKIM_ED25519 } kind;
	/* Signs SHA-256 `digest` (RSA: PKCS #1 v1.5 with the DigestInfo; Ed25519: PureEdDSA over the 32 octets, RFC 8463 3). In the server this asks the vault. */
	enum rc (*sign)(void *house, const uint8_t digest[32], struct buf *out_signature, struct why *why);
	void *house;
};
struct dkim_sign_options {
	enum dkim_canon header, body;     /* relaxed, relaxed is the default of the server */
	struct str identity;              /* i=, "" = none */
	struct str headers;               /* "from:to:subject"; "" = the sensible list: those of RFC 6376 5.4.1 that are there, From, To, Cc, Subject, Date,
	                                     Message-ID, In-Reply-To, References, MIME-Version, Content-* over-signed once */
	int64_t now_s, expires_s;         /* t=; x= when > 0 */
	bool plain;                       /* no folding, tags alphabetical: the form of public signing vectors */
};
/* Appends one "DKIM-Signature: …\r\n" per key. `message` is complete, CRLF. */
MUST_USE enum rc dkim_sign(struct str message, const struct dkim_key_ref *keys, size_t n, const struct dkim_sign_options *o, struct buf *out, struct why *why);
/* Appends ARC-Seal, ARC-Message-Signature, ARC-Authentication-Results in that order, instance = highest + 1 (RC_LIMIT past 50; RC_DENIED: the chain has
 * failed before, RFC 8617 5.1). `results` is the value after "ARC-Authentication-Results: i=N; ". `chain` is our verdict on the sets that are there. */
MUST_USE enum rc arc_seal(struct str message, const struct dkim_key_ref *key, struct str results, enum auth chain, const struct dkim_sign_options *o,
                          struct buf *out, struct why *why);
/* One message canonicalised (tests, probe): whole header fields or the body. */
void dkim_canon_header(struct str field, enum dkim_canon c, struct buf *out);
void dkim_canon_body(struct str body, enum dkim_canon c, struct buf *out);
/* The TXT record of a public key: "v=DKIM1; k=rsa; p=…" from SubjectPublicKeyInfo DER, or Ed25519's 32 octets. */
void dkim_key_record(int kind, struct str public_key, bool testing, struct buf *out);
