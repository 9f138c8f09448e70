#pragma once
#include "base/str.h"

/* So many of something in a time, and when the next may be: "30/min". They come evenly, one every 1/N of the time, and none is saved up; but of a rate beyond ten a
 * second those of a tenth of a second may come together, so that it needs no timer for each. Pure; times are those of a clock that never jumps. */
struct rate { uint32_t n, seconds; };  /* 0, 0: nothing said; 0, 1: no limit */
enum { RATE_MOST = 1000000, RATE_TEXT = 24 };

/* "N/s", "N/min", "N/h" with N up to RATE_MOST, or "0": no limit. */
bool rate_parse(struct str text, struct rate *out);
bool rate_possible(const struct rate *r);                    /* one that rate_parse() could have made, or nothing said */
static inline bool rate_said(const struct rate *r) { return r->n || r->seconds; }
void rate_text(const struct rate *r, char out[RATE_TEXT]);    /* as it is parsed; nothing said: "" */

/* `slot` (µs): when the next may come; 0 at the beginning. What it was is kept by the caller, and means nothing to another rate. */
int64_t rate_at(const struct rate *r, int64_t slot);         /* in ms; INT64_MIN: at once */
unsigned rate_room(const struct rate *r, int64_t slot, int64_t now_ms, unsigned most); /* so many may come now, of `most` */
int64_t rate_take(const struct rate *r, int64_t slot, int64_t now_ms, unsigned n);     /* n come now: the new slot */
int64_t rate_untake(const struct rate *r, int64_t slot, unsigned n);                   /* n of them did not come after all */
