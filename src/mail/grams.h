#pragma once
#include "base/buf.h"
#include "base/why.h"

/* Search signatures: a bloom filter over the folded trigrams of a message's decoded text and header values. Two filters in one:
 * body and header trigrams, so that BODY and TEXT can be told apart. Form: u8 version, u8 log2 size in octets, u8 hash count,
 * words of 64 bits, little-endian. Trigrams with the same first two octets are the bits of one word, which is hashed as a whole: turned, it is
 * in as many words of the filter as there are hashes. Version 3, where each trigram was hashed into single bits, is read as well; with any
 * other a message is always a candidate. Sized to about 7 bits per trigram (a word of five letters is wrongly thought to be in
 * one message of 1,300 at worst): a power of two less 72 octets, 56 octets to 16 KiB, so that a sealed signature with its key and
 * checksums fills whole pages of the index, or two share one. */
enum { GRAMS_VERSION = 4, GRAMS_BODY = 1, GRAMS_HEADER = 2 };
/* May the text contain `needle_folded`? False only when it certainly does not. Needles under 3 characters: true. */
bool grams_maybe(struct str signature, unsigned where, struct str needle_folded);

/* Building: add text as it is decoded, in any number of pieces (a trigram may span two of them). */
struct grams;
MUST_USE enum rc grams_new(struct grams **out);
void grams_add(struct grams *g, unsigned where, struct str folded);
void grams_add_text(struct grams *g, unsigned where, struct str utf8); /* whole: as mail_fold() has it */
void grams_gap(struct grams *g);                       /* the next piece does not follow the last one */
MUST_USE enum rc grams_format(struct grams *g, struct buf *out); /* RC_OK: and is empty again, as new */
void grams_free(struct grams **g);
void grams_thread_done(void);                          /* see mail_thread_done() */
