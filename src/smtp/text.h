#pragma once
#include "base/str.h"

/* The line rules of a message on its way in. RFC 5321 4.1.1.4: "<CRLF>.<CRLF>" ends the text, and nothing else does; 2.3.8: "conforming
 * implementations MUST NOT recognize or generate any other character or character sequence as a line terminator". So a bare CR or LF never
 * ends a line here; it is noted, and the session refuses the message after having read it to its real end. Pure, and blind to where the
 * input is cut. */

#define SMTP_TEXT_LINE_MAX 65536   /* octets of a line; RFC 5321 4.5.3.1.6 asks for 998, real mail has more */

struct smtp_text {
	enum { TEXT_START /* of a line */, TEXT_LINE, TEXT_DOT /* first of its line */, TEXT_DOT_CR, TEXT_END } at;
	bool plain;            /* no dots to look for: BDAT */
	bool cr;               /* the last octet was CR */
	bool bare_cr, bare_lf, long_line;
	size_t line;           /* octets of the current line so far */
};

/* Takes from the front of `in` (not empty, not in TEXT_END) and gives the next octets of the message, as long a run as there is: borrowed from
 * `in` or constant, perhaps empty. Call until `in` is empty or `at` is TEXT_END; what is then left in `in` is no part of the message. */
struct str smtp_text_run(struct smtp_text *t, struct str *in);

/* The message ends here (BDAT LAST): a CR that waits for its LF is a bare one. */
void smtp_text_finish(struct smtp_text *t);
