#pragma once
#include "unit/crypto/hex.h"
#include "vault/vault.h"
#include <stdio.h>
#include <unistd.h>

/* A directory of its own for each test of the vault. */
struct place { char dir[64], vault[80], file[96]; struct vault_options o; };

static inline int make_place(void **state)
{
	static struct place p;
	p = (struct place){ .o.root = { { 7, 7, 7 } }, .o.argon2_at_once = 2 };
	(void)snprintf(p.dir, sizeof p.dir, "/tmp/ll-vault-XXXXXX");
	if (!mkdtemp(p.dir))
		return -1;
	(void)snprintf(p.vault, sizeof p.vault, "%s/vault", p.dir);
	(void)snprintf(p.file, sizeof p.file, "%s/keys", p.vault);
	p.o.dir = p.vault;
	*state = &p;
	return 0;
}

static inline int drop_place(void **state)
{
	struct place *p = *state;
	static const char *const names[] = { "vault/keys", "vault/keys.tmp", "vault", "copy/keys", "copy", "key", "sub/key", "sub" };
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[128];
		(void)snprintf(path, sizeof path, "%s/%s", p->dir, names[i]);
		(void)remove(path);
	}
	return rmdir(p->dir);
}
