#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/why.h"

/* What a program on this machine gives to `sendmail` on its standard input, made into a message. Pure. */

/* Lines end with LF, CR LF or CR, and come out with CR LF. A line "From " at the top (mbox) goes. Where the text does not begin with a header field, an empty
 * line is put before it. `dot_ends`: a line that is a dot alone ends it. */
void sendmail_message(struct str in, bool dot_ends, struct buf *out);
/* The addresses of To, Cc and Bcc; where there are Resent-To, Resent-Cc or Resent-Bcc, of these alone. As "local@domain", or the local part alone. RC_SYNTAX: a list
 * that cannot be read. */
MUST_USE enum rc sendmail_recipients(struct str message, struct arena *a, struct str **out, size_t *out_n, struct why *why);
/* The same of an argument, which is an address or a list of them: "bob", "Bob <bob@x>, ann@y". What cannot be anything but one address comes out as it is. */
MUST_USE enum rc sendmail_argument(struct str text, struct arena *a, struct str **out, size_t *out_n, struct why *why);
/* Names without a domain in address fields ("From: root (Cron Daemon)", "To: root") get `domain`, as the programs of a machine expect of its sendmail; all
 * else stays as it is. domain "": nothing is done. RC_NOMEM. */
MUST_USE enum rc sendmail_qualify(struct str message, struct str domain, struct arena *a, struct buf *out);
/* A From field? */
bool sendmail_has_from(struct str message);
