#pragma once
#include "base/str.h"

/* Questions about every octet of a text, many octets at a time: a call for each line costs more than its octets do. Pure; nothing outside
 * of `s` is read. */

/* How many octets are `c`; at how many places `a` stands right before `b`. */
size_t octets_count(struct str s, char c);
size_t octets_count_pair(struct str s, char a, char b);

/* The first place where `a` stands right before `b`: the offset of `a`, or s.n when there is none. */
size_t octets_find_pair(struct str s, char a, char b);

/* Which octets that a mail should not have are there, as bits. A CR at the very end is a bare one. */
enum { OCTETS_NUL = 1 << 0, OCTETS_BARE_CR = 1 << 1, OCTETS_BARE_LF = 1 << 2 };
unsigned octets_survey(struct str s);

/* Is there a line of more than `most` octets, CRLF or LF at its end not counted? The last line needs no end. */
bool octets_long_line(struct str s, size_t most);

/* `s` begins where a line begins. How many octets at its front are whole lines, each ended by CRLF and without any other CR or LF; they end
 * before the first line behind an LF that begins with `stop` ('\n': no line is such). What `s` itself begins with is not compared with
 * `stop`. */
size_t octets_whole_lines(struct str s, char stop);
