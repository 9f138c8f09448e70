#pragma once
#include "mail/dsn.h"

/* Between dsn.c (the message and its fields) and dsn_text.c (the part for people). */
/* A stranger's text on one line of ours: controls, what reorders text and what is not UTF-8 become '?' (white space one space); past `max` octets it ends in "...". */
void dsn_clean(struct buf *out, struct str s, size_t max);
bool dsn_ascii(struct str s);
int dsn_code(struct str diagnostic); /* the reply code that it begins with; 0 = none */
/* The status as it goes out: as given where it is one that fits the action, else the action's plain one. */
void dsn_status(const struct dsn_rcpt *r, char out[12]);
/* The text for people, UTF-8, CRLF, lines of at most 72 columns where words allow. */
void dsn_text(const struct dsn *d, struct buf *out);
/* "Not delivered: ..." in UTF-8, on one line. */
void dsn_subject(const struct dsn *d, struct buf *out);
