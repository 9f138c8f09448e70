#pragma once
#include "origin/dkim_head.h"
#include "origin/dkim_hash.h"

/* Signature fields written: the tags in the order given, folded to lines of at most WRITE_LINE octets where the grammar lets them. */
enum { WRITE_LINE = 76, WRITE_MAX_TAGS = 16, WRITE_FIELD_MAX = 256 << 10 };
struct write_tag {
	const char *name;
	struct str value;
};
struct write_field {
	const char *name;                        /* "DKIM-Signature" */
	struct write_tag tag[WRITE_MAX_TAGS];    /* b= is among them, with an empty value */
	size_t n;
	bool plain;                              /* alphabetical, one line */
};
void write_tag(struct write_field *f, const char *name, struct str value);
/* Appends the field without its line end and says where the value of b= goes. */
void write_template(struct write_field *f, struct buf *out, size_t *out_b);
/* The template with the signature in its place and CRLF. */
void write_signed(struct str template, size_t b, struct str signature, bool plain, struct buf *out);

/* What a signer needs of the message. */
struct signer {
	struct arena a;
	struct head head;
	struct str h;                            /* the names to sign */
	struct buf names;
	uint8_t body[DKIM_HASH_MAX];
	struct buf text;                         /* base64 of the body hash */
};
/* `ams`: DKIM-Signature fields are signed too. signer_done() in any case. */
MUST_USE enum rc signer_init(struct signer *s, struct str header, struct str body, const struct dkim_sign_options *o, bool ams, struct why *why);
void signer_done(struct signer *s);
/* a= d= s= of a key, checked. RC_SYNTAX. */
MUST_USE enum rc signer_key(const struct dkim_key_ref *k, struct why *why);
struct str signer_algorithm(const struct dkim_key_ref *k);
/* Writes `f` with its b= over the fields in s->h. */
MUST_USE enum rc signer_sign(struct signer *s, struct write_field *f, const struct dkim_key_ref *k, enum dkim_canon c, struct buf *out, struct why *why);
/* The digest of the fields in s->h and of a signature field whose b= is empty, line end left out. */
MUST_USE enum rc signer_digest(struct signer *s, struct str template, enum dkim_canon c, uint8_t digest[DKIM_HASH_MAX]);
/* One digest signed. */
MUST_USE enum rc signer_call(const struct dkim_key_ref *k, const uint8_t digest[DKIM_HASH_MAX], struct buf *out, struct why *why);
/* The length of the header with its empty line. */
size_t head_length(struct str message);
