#pragma once
#include "base/buf.h"
#include "os/stream.h"

/* Plays scripts of "C:" and "S:" lines against a session over memory. README.md has the format. Each script is played once per chunk size, so
 * that every dialogue also shows that the session does not see packet boundaries. */
struct dialog_cast {
	void *arg;
	bool (*begin)(void *arg);                      /* a fresh house with the defaults */
	bool (*set)(void *arg, struct str option);     /* a "SET option" line; false = no such option */
	enum rc (*serve)(void *arg, struct stream *io);
	/* A "HOUSE claim" line: is it true? If not, what is. */
	bool (*holds)(void *arg, struct str claim, struct buf *out_truth);
	void (*end)(void *arg);
	/* Options that the runner itself needs of the cast, looked up after all SETs. */
	bool (*can_tls)(void *arg), (*is_tls)(void *arg);
	const char *peer_ip;
};

/* argv: the scripts. Prints one line per failure and "N passed, N failed"; gives the exit code. */
int dialog_main(int argc, char **argv, const struct dialog_cast *cast);
