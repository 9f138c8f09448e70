#pragma once
#include "base/arena.h"
#include "imap/ranges.h"

/* Takes the arguments of one complete command apart (RFC 3501 section 9). Literals stand in the text as they came:
 * "{3}" CRLF and the octets. Sticky failure: take many, check once; `expected` says what was missing first.
 * Borrowed from the input, or from the arena where escapes had to be removed. */
struct args {
	struct str in;
	struct arena *arena;
	const char *expected; /* NULL = fine so far */
};
static inline bool args_fine(const struct args *a) { return !a->expected; }
void args_fail(struct args *a, const char *expected); /* keeps the first */
bool args_next_is(const struct args *a, char c);
bool args_maybe(struct args *a, char c);   /* takes `c` when it is next */
void args_want(struct args *a, char c);
void args_space(struct args *a);
void args_end(struct args *a);

struct str args_atom(struct args *a);
struct str args_string(struct args *a);     /* quoted or literal */
struct str args_astring(struct args *a);
bool args_nil(struct args *a);              /* takes NIL when it is next */
struct str args_pattern(struct args *a);    /* list-mailbox: "%" and "*" are welcome */
bool args_word(struct args *a, struct str word); /* takes `word`, any case, when it stands there as a whole atom */
uint32_t args_number(struct args *a);
uint64_t args_number64(struct args *a);

/* Numbers as they were said: 0 stands for "*". */
struct set {
	struct imap_range *v;
	size_t n;
};
struct set args_set(struct args *a);
bool args_set_is_next(const struct args *a);

/* "(\Seen foo)" or, where RFC 3501 lets STORE leave them out, without the brackets. */
struct flag_list {
	uint32_t flags;
	struct str *keywords;
	size_t keyword_n;
};
struct flag_list args_flags(struct args *a, bool brackets_needed);

/* Mailbox name in UTF-8, INBOX in capitals; "" and failure when it is no mailbox name in modified UTF-7. */
struct str args_mailbox(struct args *a);
struct str mailbox_canonical(struct str utf8, struct arena *a);
bool is_atom_char(char c);
