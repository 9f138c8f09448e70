#pragma once
#include "os/stream.h"

/* The server side of POP3: RFC 1939, CAPA (2449), STLS (2595), SASL PLAIN (5034), RESP-CODES, AUTH-RESP-CODE (3206), UTF8 (6856),
 * PIPELINING. A function of a stream and its hooks. */
struct pop3_config {
	struct str hostname;
	bool plaintext_login;      /* USER/PASS and AUTH PLAIN without TLS (demo on loopback only) */
	unsigned idle_ms;          /* RFC 1939: at least 10 minutes; 0 = 10 minutes */
	unsigned max_errors;       /* mistakes and failed logins; the last of them closes; 0 = 20 */
	unsigned prelogin_ms;      /* patience before login; 0 = idle_ms */
};
struct pop3_entry { uint32_t uid; uint32_t size; };  /* size: the message's own octets; README.md: two less than RETR sends where it has no last line end */
enum { POP3_AHEAD = 3 };
struct pop3_hooks {
	void *house;
	/* Not RC_OK: -ERR with `why` text and a response code as below, and the session ends. */
	enum rc (*connect)(void *house, const struct stream_facts *facts, struct why *why);
	/* RC_OK; RC_DENIED wrong credentials -> [AUTH] and a fixed text. Otherwise `why` text goes to the client; it may begin with a response
	 * code of its own ("[LOGIN-DELAY] ..."), else it gets one: RC_CONFLICT, RC_EXISTS (maildrop locked by another session)
	 * [IN-USE]; RC_LIMIT, RC_NOTFOUND, RC_DAMAGED [SYS/PERM]; RC_BUSY and all others [SYS/TEMP]. */
	enum rc (*login)(void *house, struct str user, struct str password, struct why *why);
	/* The maildrop as it is now, in UID order; valid until logout. Failing: logout follows, the client may log in again. */
	enum rc (*list)(void *house, const struct pop3_entry **out, size_t *out_n, uint32_t *out_uidvalidity, struct why *why);
	/* Message `i`: body bytes from `offset`, some at a time (<= 64 KiB); borrowed until the next call. Empty = end. A failure at
	 * offset 0 is answered -ERR and the session goes on; a later one breaks the connection. */
	enum rc (*read)(void *house, size_t i, uint64_t offset, struct str *out, struct why *why);
	/* Message `i` will be asked for soon, most likely: open it while the client is busy with one before, at most POP3_AHEAD away. What fails
	 * is said when it is read. May be NULL. */
	void (*ahead)(void *house, size_t i);
	/* At QUIT: expunge these (indices). All or nothing. */
	enum rc (*expunge)(void *house, const size_t *index, size_t n, struct why *why);
	void (*logout)(void *house);      /* always called once after a successful login */
};

/* Serves one connection until it ends, and says why: RC_OK after QUIT, RC_LIMIT after too many errors, connect()'s refusal, or
 * what broke the stream. Nothing is expunged but by QUIT. Owns nothing but its own memory: one octet per message. */
enum rc pop3_serve(struct stream *stream, const struct pop3_config *config, const struct pop3_hooks *hooks);
