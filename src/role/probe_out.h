#pragma once
#include "base/buf.h"
#include "origin/origin.h"

/* How probes print: one object of facts and steps, as JSON on one line or as text for people. */
struct probe_out {
	struct buf *out;
	bool json;
	bool open;                /* JSON: a comma goes before the next member */
	struct buf steps;         /* gathered while the evaluation runs */
};
void probe_begin(struct probe_out *p, struct str name);
void probe_text(struct probe_out *p, const char *key, struct str value);  /* "" is left out of text, not of JSON */
void probe_number(struct probe_out *p, const char *key, int64_t v);
void probe_bool(struct probe_out *p, const char *key, bool v);
void probe_list(struct probe_out *p, const char *key);                    /* begins an array of objects */
void probe_item(struct probe_out *p, const char *title);                  /* begins an object of it */
void probe_item_end(struct probe_out *p);
void probe_list_end(struct probe_out *p);
struct origin_trace probe_trace(struct probe_out *p);
/* The steps, and the end of the object. RC_LIMIT: it was too much. */
MUST_USE enum rc probe_end(struct probe_out *p, struct why *why);
