#pragma once
#include "origin/mta_sts.h"

/* MTA-STS policies of other domains (RFC 8461 3.3, 5.1): looked up, fetched, kept among the store's notes and refreshed. What it asks of the world comes as hooks, so that a
 * table stands in for all of it in tests. Notes are sealed: the key is "sts/" and a keyed hash of the domain, the value cannot be read without the hash key. */
struct sts_hooks {
	struct dns dns;                /* with a cache in front: every message asks for _mta-sts */
	void *house;
	/* As sts_fetch(). */
	enum rc (*fetch)(void *house, struct str domain, struct buf *out, const char **out_result, struct why *why);
	enum rc (*note_get)(void *house, struct str key, struct buf *out, struct why *why);  /* RC_NOTFOUND */
	enum rc (*note_put)(void *house, struct str key, struct str value, struct why *why); /* "" deletes */
	/* Notes whose key begins with `prefix`, after `after`: (run key, run value)*; at most some 1 MiB. */
	enum rc (*note_list)(void *house, struct str prefix, struct str after, struct buf *out, bool *out_more, struct why *why);
	int64_t (*now_ms)(void);       /* Unix time */
};
struct sts_cache;
MUST_USE enum rc sts_cache_new(const struct sts_hooks *hooks, const uint8_t hash_key[16], struct sts_cache **out);
void sts_cache_free(struct sts_cache **c);

enum sts_state {
	STS_NONE,       /* the domain has no MTA-STS, or none that can be told */
	STS_FETCHED,    /* anew, just now */
	STS_KEPT,       /* as kept: its id still stands in the DNS */
	STS_KEPT_STALE, /* as kept, though the DNS or the web server says otherwise or nothing: until it expires it holds (5.1) */
	STS_FAILED,     /* there is a record, but no policy could be had, and none was kept */
};
struct sts_status {
	enum sts_state state;
	const char *result;            /* STS_FAILED, STS_KEPT_STALE: RFC 8460 4.3's type of what went wrong, else "" */
	bool later;                    /* the DNS or the web server gave no answer that counts: next time there may be a policy, or another one */
};
/* The policy in force for mail to `domain` (A-labels; an address literal has none). RC_OK: *out_policy, in memory of `a`; mode none counts. RC_NOTFOUND: none, with the reason.
 * RC_NOMEM, RC_CLOSED. Suspends: a question to the DNS always, a fetch (at most the fetcher's timeout) where needed; callers for one domain share it. After a failed fetch
 * there is none for 5 minutes, then 10, at most an hour. */
MUST_USE enum rc sts_policy_for(struct sts_cache *c, struct str domain, struct arena *a, struct mta_sts_policy *out_policy, struct sts_status *out_status, struct why *why);
/* RFC 8461 10.2: policies are fetched again before they expire even when no mail asks, so that nobody can wait for that moment. Goes over all kept ones: those past half
 * their life, or a day, are refreshed, expired ones forgotten. To be called every hour or so, in a fiber; one at a time. How many were refreshed. */
size_t sts_refresh(struct sts_cache *c);
