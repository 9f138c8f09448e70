#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "base/why.h"

/* "type/subtype; a=b; c*=utf-8''d" and "attachment; filename=x": the structured MIME fields (RFC 2045 5.1, 2183, 2231), leniently.
 * Continuations (name*0, name*1) are joined: to "name" when no piece was extended, else to one extended "name*". */
enum { PARAMS_MAX = 64 };
struct mail_param {
	struct str name;   /* without stars; as written */
	struct str value;  /* unquoted, unfolded; when extended still charset'language'percent-encoded */
	bool extended;
	struct mail_param *next;
};
/* Splits "text/html; x" into its tokens and the rest. False (nothing set) when there is no sound type. */
bool param_type(struct str value, struct str *out_type, struct str *out_subtype, struct str *out_rest);
/* The first token of a field such as Content-Disposition, "" when there is none. */
struct str param_token(struct str value, struct str *out_rest);
/* Parameters of `rest`; past PARAMS_MAX the rest is ignored and *out_sound set false. RC_NOMEM. */
MUST_USE enum rc param_parse(struct str rest, struct arena *a, struct mail_param **out_first, bool *out_sound);
/* The raw value of one parameter without joining anything; "" when absent. Borrowed, still with its escapes: for boundaries. */
const struct mail_param *param_get(const struct mail_param *first, struct str name);
/* The value as UTF-8 text: RFC 2231, and RFC 2047 words and raw 8-bit text where they do not belong. False: something was wrong. */
bool param_text(const struct mail_param *p, struct buf *out);
