#pragma once
#include "base/map.h"
#include "role/body_reader.h"
#include "role/door.h"
#include "role/sealer.h"
#include "store/rows.h"

/* Shared by the files of the role `access`: accounts that are logged in here, their keys, and reading their mail. */

struct access_house {
	struct sealer *sealer;
	struct map owners;                    /* account id -> struct owner */
	struct segment_files files;
	uint8_t name_key[16];                 /* for ids of names that are nobody's */
	struct map known;                     /* watch.c: accounts with a watched mailbox */
	uint64_t generation, lingering;
	struct ticker *sweep;
	struct map names;                     /* keys.c: login name -> account, emptied by DIRECTORY_NEWS */
	uint64_t names_generation;
};

/* ---- keys.c: one per account that is logged in here, wiped at the last logout ---- */
struct reading;
struct owner {
	struct role_env *e;
	uint64_t account;
	unsigned refs;
	struct secret private_key;
	uint8_t public_key[PUB_LEN];
	struct map epochs;                    /* epoch id -> struct epoch_have */
	bool loaded, loading;
	struct waitlist done_loading;
	struct guest *guests;                 /* the sessions that are logged in */
	struct { uint64_t id; struct epoch_keys *keys; } ready[32]; /* derived keys, by id modulo their number */
};
/* Verifies the login and gives the account's owner with one reference. RC_DENIED, RC_BUSY (text says how long). */
MUST_USE enum rc owner_login(struct door_visit *v, struct str user, struct str password, const char *protocol, struct owner **out, struct why *why);
void owner_unref(struct owner **o);
/* guests.c: a session's fiber is known from its login to its logout. check: whoever is in, when the account is disabled or gone, is put out. */
MUST_USE enum rc guests_enter(struct owner *o);
void guests_leave(struct owner *o);
void guests_check(struct role_env *e, uint64_t account);
void names_forget(struct access_house *h);   /* the directory changed */
/* The keys of an epoch, borrowed until the next call. Loads what is missing; RC_DAMAGED: no such epoch, or its seal is broken. */
MUST_USE enum rc owner_epoch(struct owner *o, uint64_t epoch, struct epoch_keys **out, struct why *why);

/* ---- watch.c: sessions with a mailbox open, and what they hear of ---- */
struct visitor { struct visitor *next; uint64_t box; struct stream *stream; };
MUST_USE enum rc watch_add(struct owner *o, struct visitor *w, struct why *why);
void watch_drop(struct owner *o, struct visitor *w);
/* Up to which UID sessions were given this mailbox's messages as \Recent, as far as known here: 0 = not. Kept while it is watched, so that what the
 * reader does not know yet is not asked for again. */
uint32_t watch_given(const struct access_house *h, uint64_t account, uint64_t box);
void watch_gave(struct access_house *h, uint64_t account, uint64_t box, uint32_t first_not_given);
void watch_changed(struct access_house *h, uint64_t account, uint64_t box);
void watch_again(struct role_env *e);         /* the store is new: tell it everything, and have everybody look */
void watch_sweep(void *env);                  /* every few seconds */
void watch_done(struct access_house *h);
/* The packed list of folders as BOXES answers it, kept while a change of it would be told here. To keep one: a mark, then the question, then
 * learn; 0 or a mark of before a change keeps nothing. */
bool folders_known(struct access_house *h, uint64_t account, struct str *out);
uint64_t folders_mark(struct access_house *h, uint64_t account);
void folders_learn(struct access_house *h, uint64_t account, uint64_t mark, struct str packed);
void folders_forget(struct access_house *h, uint64_t account);

/* ---- reading.c: rows in UID order, chunks ahead; bodies from the segments ---- */
struct reading_row {                          /* borrowed until the next reading_next() */
	struct row row;
	struct record_clear clear;
	struct record_secret secret;          /* when ROW_RECORD was wanted; with ROW_HEAD its key and envelope */
	struct str grams;                     /* when ROW_GRAMS was wanted; opened */
};
MUST_USE enum rc reading_open(struct owner *o, uint64_t box, const struct uid_range *r, size_t n, unsigned want, struct reading **out, struct why *why);
MUST_USE enum rc reading_next(struct reading *r, struct reading_row *out, struct why *why); /* RC_NOTFOUND: the end; RC_DAMAGED: this one, go on */
/* Octets of the current row's body; at most `max`, at most one chunk; borrowed until the next call. Empty = past the end. */
MUST_USE enum rc reading_body(struct reading *r, uint64_t offset, uint64_t max, struct str *out, struct why *why);
void reading_close(struct reading **r);
void reading_for_bodies(struct reading *r);   /* most rows' bodies will be read, one after the other: a worker opens them ahead */

/* ---- the protocols ---- */
void access_serve_imap(struct door_visit *v);
void access_serve_pop3(struct door_visit *v);
/* A connection more of this account; false = over access.connections_per_account. */
bool access_enter_account(struct role_env *e, uint64_t account);
void access_leave_account(struct role_env *e, uint64_t account);
