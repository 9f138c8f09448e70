#pragma once
#include "base/map.h"
#include <openssl/evp.h>

/* What a thread keeps for DKIM between messages. Nothing that uses it suspends a fiber. Inside src/origin/dkim* only. */
enum { DKIM_SPARES = 16 };
struct dkim_key_entry;
struct dkim_thread {
	EVP_MD *sha256, *sha1;
	EVP_MD_CTX *spare[DKIM_SPARES];
	size_t spares;
	struct map keys;                   /* record's text -> entry */
	struct dkim_key_entry *newest, *oldest;
};
struct dkim_thread *dkim_thread(void);     /* NULL: no memory */
