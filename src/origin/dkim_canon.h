#pragma once
#include "origin/dkim.h"

/* Canonical octets on their way into a hash or a buffer, in runs of up to 4 KiB. */
struct canon_out {
	void (*flush)(struct canon_out *o, struct str run);
	uint64_t total;            /* octets put so far */
	size_t n;
	char hold[4096];
};
static inline void canon_flush(struct canon_out *o)
{
	if (o->n)
		o->flush(o, str_of(o->hold, o->n));
	o->n = 0;
}
static inline void canon_byte(struct canon_out *o, char c)
{
	if (o->n == sizeof o->hold)
		canon_flush(o);
	o->hold[o->n++] = c;
	o->total++;
}
void canon_put(struct canon_out *o, struct str s);

/* RFC 6376 3.4.1, 3.4.2: one whole field (raw, with its line end) without the part [cut_from, cut_to) of it, followed by CRLF when `crlf`. */
void canon_field(struct canon_out *o, enum dkim_canon c, struct str raw, size_t cut_from, size_t cut_to, bool crlf);

/* RFC 6376 3.4.3, 3.4.4: the body in any split. A line feed without a carriage return before it ends a line as CRLF does. */
struct canon_body {
	enum dkim_canon c;
	bool cr;                   /* a carriage return that may belong to a line end */
	bool space;                /* relaxed: white space not yet put, since the line may end here */
	bool text;                 /* octets were put since the last line end that was put */
	uint64_t lines;            /* line ends not yet put, since the body may end here */
};
void canon_body_add(struct canon_body *b, struct canon_out *o, struct str run);
void canon_body_end(struct canon_body *b, struct canon_out *o);
